"""Text in English and Japanese, and numbers as a reader expects them."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from markupsafe import Markup, escape

from embedstore.errors import SettingsError

NumberForm = Literal["number", "percent", "points"]

LANGUAGES = {"en": "English", "ja": "日本語"}
NO_NUMBER = "–"
DIGITS: dict[NumberForm, int] = {"number": 3, "percent": 1, "points": 1}


@dataclass(frozen=True)
class Text:
    """What a reader sees, in both languages; escaped when it becomes HTML, where the page shows one of them."""

    en: str
    ja: str

    def __html__(self) -> Markup:
        if self.en == self.ja:
            return escape(self.en)
        return Markup('<span lang="en">{}</span><span lang="ja">{}</span>').format(self.en, self.ja)


Words = str | Text  # a plain str is the same in both: ids, labels, numbers


def in_language(words: Words, language: str) -> str:
    """Return the text of one language, `en` or `ja`, not escaped."""
    if isinstance(words, Text):
        return words.ja if language == "ja" else words.en
    return str(words)


def for_each_language(draw: Callable[[str], Markup]) -> Markup:
    """Call `draw` with each language and join the results; once where they are the same.

    For what can't hold two languages at once, such as a drawing whose layout follows the length of its labels.
    """
    drawn = {language: draw(language) for language in LANGUAGES}
    if len(set(drawn.values())) == 1:
        return drawn["en"]
    return Markup("").join(
        Markup('<div lang="{}">{}</div>').format(language, markup) for language, markup in drawn.items()
    )


def number(value: float | None, digits: int = 3, *, signed: bool = False) -> str:
    """Return a number with a true minus sign and thousands; a dash for None, NaN and infinity."""
    if value is None or not math.isfinite(value):
        return NO_NUMBER
    text = f"{value:+,.{digits}f}" if signed else f"{value:,.{digits}f}"
    if not float(text.replace(",", "")):  # no sign before a number that was rounded to zero
        text = text.lstrip("+-")
    return text.replace("-", "−")


def percent(value: float | None, digits: int = 0, *, signed: bool = False) -> str:
    """Return a share (0 to 1) as a percentage; a dash for None, NaN and infinity."""
    text = number(None if value is None else 100 * value, digits, signed=signed)
    return text if text == NO_NUMBER else f"{text}\u202f%"  # a narrow space that does not break


def points(value: float | None, digits: int = 1) -> str:
    """Return a difference of two shares in percentage points, signed, without the unit."""
    return number(None if value is None else 100 * value, digits, signed=True)


def figure(value: float | None, form: NumberForm, digits: int | None = None) -> str:
    """Return a value as a `number`, as `percent` (a share) or in `points` (a difference of two shares).

    Raises:
        SettingsError: another form.
    """
    if form not in DIGITS:
        raise SettingsError(f"The form {form!r} is not known; choose one of {', '.join(DIGITS)}.")
    write = {"number": number, "percent": percent, "points": points}[form]
    return write(value, DIGITS[form] if digits is None else digits)

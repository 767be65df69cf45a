"""The page as a whole: one self-contained HTML document, and the blocks of text that it is made of."""

import base64
import hashlib
from collections.abc import Iterable, Sequence
from typing import Literal

from markupsafe import Markup, escape

from embedstore.errors import SettingsError
from embedstore.pages.markup import asset, environment, part
from embedstore.pages.words import LANGUAGES, Words, in_language

Part = Markup | Words  # a finished part, or text that becomes a paragraph


def render_page(
    title: Words,
    sections: Iterable[Markup],
    *,
    languages: Sequence[str] = ("en", "ja"),
    kicker: Words | None = None,
    lead: Words | None = None,
    footer: Words | None = None,
) -> str:
    """Return a whole HTML document that loads nothing from anywhere.

    Style and script are inside; a content security policy forbids all else. It prints, follows the reader's dark mode,
    and switches languages without a script; with one, the browser's language decides the start, and an address that ends
    in `#ja` or `#en` decides it before that.

    Args:
        title: the heading, and the title of the browser's tab.
        sections: parts as the functions of this package return them, from top to bottom.
        languages: those the reader can choose from, out of `en` and `ja`; the first one shows without a script.
        kicker: a small line above the title: what kind of page this is, of what, from when.
        lead: the answer, in one or two sentences that anyone understands.
        footer: where the figures come from, licences.

    Raises:
        SettingsError: no language, or one that pages are not written in.
    """
    if not languages or not set(languages) <= set(LANGUAGES):
        raise SettingsError(f"A page was asked for in {list(languages)}; choose one or more of {list(LANGUAGES)}.")
    script = asset("page.js")
    html = (
        environment()
        .get_template("page.html")
        .render(
            title=title,
            titles={language: in_language(title, language) for language in LANGUAGES},
            sections=list(sections),
            languages=[(language, LANGUAGES[language]) for language in dict.fromkeys(languages)],
            kicker=kicker,
            lead=lead,
            footer=footer,
            style=Markup(asset("page.css")),  # noqa: S704  a file of this package
            script=Markup(script),  # noqa: S704  a file of this package
            script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        )
    )
    # File names may hold what no document can: bytes that are not UTF-8, and NUL.
    return html.encode("utf-8", "replace").decode("utf-8").replace("\0", "\ufffd")


def section(title: Words, *parts: Part, lead: Words | None = None) -> Markup:
    """Return a section of the page: a heading, a sentence that sums it up, and its parts."""
    return part("section", title=title, lead=lead, parts=_blocks(parts))


def paragraph(words: Words) -> Markup:
    """Return a paragraph."""
    return Markup("<p>{}</p>").format(escape(words))


def bullets(*items: Words) -> Markup:
    """Return a list."""
    return Markup("<ul>{}</ul>").format(Markup("").join(Markup("<li>{}</li>").format(escape(item)) for item in items))


def callout(title: Words, *parts: Part, kind: Literal["note", "caution"] = "caution") -> Markup:
    """Return a box that stands out: `caution` for what the figures can't prove, `note` for an explanation."""
    return part("callout", title=title, parts=_blocks(parts), kind=kind)


def fold(title: Words, *parts: Part) -> Markup:
    """Return technical parts that a reader opens on demand; printed in full."""
    return part("fold", title=title, parts=_blocks(parts))


def key_figure(value: Words, caption: Words, note: Words | None = None, *, strong: bool = False) -> Markup:
    """Return one figure for `key_figures`.

    Args:
        value: the number as it is read, such as `41 of 60`.
        caption: what it counts, in a few words.
        note: what it is compared with, or how sure it is.
        strong: in the page's accent colour; for the one that matters most.
    """
    return part("key_figure", value=value, caption=caption, note=note, strong=strong)


def key_figures(*figures: Markup) -> Markup:
    """Return a row of large figures, for the top of a page."""
    return part("key_figures", figures=figures)


def _blocks(parts: Sequence[Part]) -> list[Markup]:
    return [one if isinstance(one, Markup) else paragraph(one) for one in parts]

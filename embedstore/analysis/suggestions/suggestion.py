"""What a suggestion is: samples, the reason why a person should look at them, and the verdicts that it proposes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from embedstore.pages.words import Text
from embedstore.verdicts import Verdict

if TYPE_CHECKING:
    from embedstore.analysis.suggestions.evidence import Evidence


@dataclass(frozen=True)
class Suggestion:
    """One thing to look at.

    Attributes:
        kind: a key of `KINDS`.
        ids: the samples that it speaks of, the most telling first; others it is compared with come after.
        score: ranks suggestions of one kind, the higher the sooner; what it measures is told where the kind is. It is no
            probability.
        reason: why, in words.
        verdicts: what to say of samples if the suggestion is right, as `triage.triage` takes it; empty where there is nothing
            to say.
    """

    kind: str
    ids: tuple[str, ...]
    score: float
    reason: Text
    verdicts: Mapping[str, Verdict] = field(default_factory=dict)


@dataclass(frozen=True)
class Found:
    """The suggestions of one kind, the best first, and what a reader should know of them."""

    suggestions: list[Suggestion]
    remarks: list[Text]


@dataclass(frozen=True)
class Suggestions:
    """What was found.

    Attributes:
        version: of the store that was looked at.
        by_kind: kind -> its suggestions, the best first.
        remarks: kind -> what a reader should know of these.
    """

    version: int
    by_kind: dict[str, list[Suggestion]]
    remarks: dict[str, list[Text]]


Kind = Callable[["Evidence"], Found]


def quoted(label: str | None) -> Text:
    """Return a label as sentences name it."""
    return Text("without a label", "ラベルなし") if label is None else Text(f"'{label}'", f"「{label}」")


def number_of(count: int, one: str) -> str:
    """Return a number with what is counted, in the singular or the plural: English, for Japanese has neither."""
    return f"{count} {one}" if count == 1 else f"{count} {one}s"


def filled(sentence: Text, **facts: object) -> Text:
    """Return a sentence with its fields filled in; a fact that is a `Text` is put into each language in that language."""
    english, japanese = ({name: getattr(fact, of, fact) for name, fact in facts.items()} for of in ("en", "ja"))
    return Text(sentence.en.format(**english), sentence.ja.format(**japanese))

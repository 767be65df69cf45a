"""A first task file for a store: what `distill init` writes."""

import re
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from distill.training.settings import Settings
from distill.training.task_format import format_task, key, near, quoted
from embedstore import EmbeddingStore
from embedstore.errors import SettingsError

# What people call good parts; written as `_plain` leaves names.
_GOOD_NAMES = {
    "good", "ok", "okay", "pass", "passed", "accepted", "normal", "free", "intact", "sound", "undamaged", "defectfree",
    "faultfree", "nodefect", "nodefects", "nofault", "nondefective", "良品", "良", "良好", "正常", "正常品", "合格", "合格品",
    "無欠陥", "欠陥なし", "異常なし", "양품", "정상", "합격",
}  # fmt: skip
_MOST_LABELS = 20  # that the example of a policy for each label shows


@dataclass(frozen=True)
class Draft:
    """A task that fits a store.

    Attributes:
        settings: what it says.
        text: of the task file.
        remarks: sentences on what was chosen, and on what the store lacks.
    """

    settings: Settings
    text: str
    remarks: list[str]


def draft_task(store: EmbeddingStore, *, good: str | None = None, without_good: bool = False) -> Draft:
    """Return a task file for a store, with comments that say what can be changed.

    Args:
        store: to train from.
        good: the label of good parts; where None, the one label that has a customary name of good parts.
        without_good: there is no such label; reports then give the recall of each label.

    Raises:
        SettingsError: the store has not two labels, or not the good one, or none has a customary name.
    """
    counts = {label: count for label, count in store.counts("label").items() if label is not None}
    if len(counts) < 2:
        have = f"All labelled pictures in '{store.path}' are {quoted(min(counts))}" if counts else None
        raise SettingsError(
            f"{have or f'No picture in {store.path!s} has a label'}; a student needs at least two labels to tell apart."
        )
    remarks = []
    if without_good and good is not None:
        raise SettingsError(
            f"The good label {quoted(good)} was given together with the word that there is none; drop one."
        )
    if good is None and not without_good:
        good = customary_good(counts)
        remarks.append(
            f"Good parts have the label {quoted(good)}, going by its name; choose another with --good LABEL."
        )
    elif good is not None:
        good = unicodedata.normalize("NFC", good)
        if good not in counts:
            raise SettingsError(f"The store '{store.path}' has no label {quoted(good)}; {near(good, sorted(counts))}")
    if not store.views:
        remarks.append(
            "The store has no augmented views, and students learn more from some; add them with: "
            f"embedstore build '{store.path}' IMAGES --views 8"
        )
    settings = Settings(good=good, views=store.views)
    text = format_task(
        settings, heading=_heading(store, counts), of_policy=_why_own(counts), ending=_example(list(counts), good)
    )
    return Draft(settings, text, remarks)


def customary_good(labels: Iterable[str]) -> str:
    """Return the one label that people would take for that of good parts.

    Raises:
        SettingsError: none or several have such a name.
    """
    every = list(labels)
    found = [label for label in every if _plain(label) in _GOOD_NAMES]
    if len(found) == 1:
        return found[0]
    shown = ", ".join(quoted(label) for label in (found or every)[:_MOST_LABELS])
    raise SettingsError(
        f"{'Several labels' if found else 'None of the labels'} ({shown}) {'have' if found else 'has'} a customary name of "
        "good parts; name theirs with --good LABEL, or say --no-good where there is none."
    )


def _plain(label: str) -> str:
    """Return a label without case, width, blanks, and signs that join words."""
    return re.sub(r"[\s_\-.]+", "", unicodedata.normalize("NFKC", label).casefold())


def _heading(store: EmbeddingStore, counts: Mapping[str, int]) -> list[str]:
    path = str(store.path)
    name = path if re.fullmatch(r"[\w./\\:-]+", path) else quoted(path)
    shown = [f"{quoted(label)} {count}" for label, count in list(counts.items())[:_MOST_LABELS]]
    more = f" and {len(counts) - len(shown)} more" if len(counts) > len(shown) else ""
    return [
        f"Written by: distill init {name}",
        f"Train with: distill train {name} --task FILE --out RUN",
        f"Pictures by label: {', '.join(shown)}{more}; augmented views of each: {store.views}",
    ]


def _why_own(counts: Mapping[str, int]) -> list[str]:
    rarest = min(counts, key=lambda label: (counts[label], label))
    return [
        "What a picture's features are drawn to, beside its label. own: what the teacher saw in this very picture, so that",
        f"nothing rare is averaged away; a mean would speak for all {counts[rarest]} pictures of {quoted(rarest)} at once.",
        "Others: none (plain training), class-mean, sub-prototypes, rare-samples, retrieved.",
    ]


def _example(labels: list[str], good: str | None) -> list[str]:
    """Return a policy for each label, as comments that become valid when the signs before them are taken away."""
    common = good or labels[0]
    lines = [
        f"{key(label)} = " + ('"sub-prototypes"' if label == common else "{ own = 0.5, rare-samples = 0.5 }")
        for label in labels[:_MOST_LABELS]
    ]
    return [
        "Each label may have its own policy, or weights by which one is drawn for each picture and step. Delete the line",
        "that begins with policy, and the # before these lines:",
        "[policy]",
        *lines,
        *([f"and so on for the other {len(labels) - len(lines)} labels"] if len(labels) > len(lines) else []),
        '[policies.rare-samples]  # options of a policy: parameters of its summary, or summary = "NAME" of a saved one',
        "share = 0.2",
        "k = 8",
    ]

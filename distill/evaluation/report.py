"""The report of a run: from held-out scores to figures that a reader can trust."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from distill.evaluation.metrics import (
    average_precision,
    mean_recall,
    rejected_share,
    roc_area,
    threshold_at_overkill,
    upper_bound,
)


@dataclass(frozen=True)
class Held:
    """A held-out sample and what the student says of it."""

    id: str
    side: str  # val, test or aside
    label: str | None
    mode: str | None
    group: str | None
    probabilities: tuple[float, ...]  # in the order of the classes


@dataclass(frozen=True)
class ModeFigures:
    """How one mode (kind of defect) fared on the test side.

    Attributes:
        pictures: of the mode.
        caught: rejected ones.
        parts: groups; a picture without a group is a part of its own.
        parts_missed: parts with at least one picture passed as good.
        escape_bound: 95 % upper bound of the share of parts with an escape.
    """

    mode: str
    pictures: int
    caught: int
    recall: float
    parts: int
    parts_missed: int
    escape_bound: float


@dataclass(frozen=True)
class ClassFigures:
    """How one label fared on the test side."""

    label: str
    pictures: int
    recall: float


@dataclass(frozen=True)
class AsideFigures:
    """What the student says of pictures that were set aside from the split: neither learned nor tested."""

    mode: str
    pictures: int
    rejected: int | None  # None without a good label
    answers: dict[str, int]  # most likely label -> pictures


@dataclass(frozen=True)
class Report:
    """The figures of a run; those that need a good class are None without one.

    Attributes:
        policy: target policy.
        classes: the labels.
        counts: val, test, aside -> pictures that were scored.
        good: the label of good parts.
        accuracy: on the test side, by the most likely label.
        by_class: recall of each label.
        macro_recall, worst_class: over the labels.
        auroc, aupr: test side, defects against good.
        threshold: chosen on the validation side for `overkill_wanted`.
        overkill: share of good test parts that it rejects.
        recall: share of defective test pictures that it rejects; 1 - recall escapes.
        mean_recall: recall averaged over thresholds for 2 to 10 % overkill.
        by_mode: recall of each kind of defect, worst first.
        macro_mode_recall: mean over the kinds.
        aside: what it says of pictures set aside.
    """

    policy: str
    classes: list[str]
    counts: dict[str, int]
    good: str | None
    accuracy: float
    by_class: list[ClassFigures]
    macro_recall: float
    worst_class: str
    overkill_wanted: float | None = None
    auroc: float | None = None
    aupr: float | None = None
    threshold: float | None = None
    overkill: float | None = None
    recall: float | None = None
    mean_recall: float | None = None
    by_mode: list[ModeFigures] = field(default_factory=list)
    macro_mode_recall: float | None = None
    aside: list[AsideFigures] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Report:
        """Return the report that `to_dict` gave."""
        kinds: dict[str, type] = {"by_class": ClassFigures, "by_mode": ModeFigures, "aside": AsideFigures}
        return cls(**values | {name: [kind(**line) for line in values[name]] for name, kind in kinds.items()})


def make_report(held: Sequence[Held], classes: list[str], policy: str, good: str | None, overkill: float) -> Report:
    """Compute the figures of a run from what its student says of held-out samples.

    The threshold comes from the validation side and is never moved by the test side.

    Args:
        held: labelled samples of val and test, and all of aside.
        classes: the order of the probabilities.
        policy: for the reader.
        good: the label of good parts, or None.
        overkill: share of good validation parts that may be rejected.
    """
    test = [one for one in held if one.side == "test"]
    said = [classes[int(np.argmax(one.probabilities))] for one in test]
    right = np.array([one.label == answer for one, answer in zip(test, said, strict=True)])
    by_class = [
        ClassFigures(label, len(at), float(right[at].mean()))
        for label in classes
        if len(at := np.array([i for i, one in enumerate(test) if one.label == label], np.int64))
    ]
    common: dict[str, Any] = {
        "policy": policy,
        "classes": classes,
        "counts": {side: sum(one.side == side for one in held) for side in ("val", "test", "aside")},
        "good": good,
        "accuracy": float(right.mean()),
        "by_class": by_class,
        "macro_recall": float(np.mean([figures.recall for figures in by_class])),
        "worst_class": min(by_class, key=lambda figures: (figures.recall, figures.label)).label,
    }
    aside = [one for one in held if one.side == "aside"]
    if good is None:
        return Report(**common, aside=_aside(aside, classes))
    at_good = classes.index(good)
    scores = {one.id: 1 - one.probabilities[at_good] for one in held}
    val_good = [scores[one.id] for one in held if one.side == "val" and one.label == good]
    threshold = threshold_at_overkill(val_good, overkill)
    test_scores: npt.NDArray[np.float64] = np.array([scores[one.id] for one in test])
    defect = np.array([one.label != good for one in test])
    by_mode = _by_mode([one for one in test if one.label != good], scores, threshold)
    return Report(
        **common,
        overkill_wanted=overkill,
        auroc=roc_area(defect, test_scores),
        aupr=average_precision(defect, test_scores),
        threshold=threshold,
        overkill=rejected_share(test_scores[~defect], threshold),
        recall=rejected_share(test_scores[defect], threshold),
        mean_recall=mean_recall(val_good, test_scores[defect]),
        by_mode=by_mode,
        macro_mode_recall=float(np.mean([figures.recall for figures in by_mode])),
        aside=_aside(aside, classes, lambda one: scores[one.id] > threshold),
    )


def kind_of(one: Held) -> str:
    """Return a sample's mode; where it has none, its label is the finest thing known."""
    return one.mode or one.label or "no label"


def _by_mode(defects: list[Held], scores: dict[str, float], threshold: float) -> list[ModeFigures]:
    figures = []
    for mode in sorted({kind_of(one) for one in defects}):
        members = [one for one in defects if kind_of(one) == mode]
        missed = [one for one in members if scores[one.id] <= threshold]
        parts = {part_of(one) for one in members}
        parts_missed = {part_of(one) for one in missed}
        figures.append(
            ModeFigures(
                mode=mode,
                pictures=len(members),
                caught=len(members) - len(missed),
                recall=1 - len(missed) / len(members),
                parts=len(parts),
                parts_missed=len(parts_missed),
                escape_bound=upper_bound(len(parts_missed), len(parts)),
            )
        )
    return sorted(figures, key=lambda one: (one.recall, one.mode))


def _aside(aside: list[Held], classes: list[str], rejected: Callable[[Held], bool] | None = None) -> list[AsideFigures]:
    return [
        AsideFigures(
            mode=mode,
            pictures=len(members),
            rejected=None if rejected is None else sum(map(rejected, members)),
            answers=dict(sorted(Counter(classes[int(np.argmax(one.probabilities))] for one in members).items())),
        )
        for mode in sorted({kind_of(one) for one in aside})
        if (members := [one for one in aside if kind_of(one) == mode])
    ]


def part_of(one: Held) -> str:
    """Return the key of the part that a sample shows: its group; a sample without one is a part of its own."""
    return f"group {one.group}" if one.group is not None else f"sample {one.id}"

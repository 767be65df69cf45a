"""What a comparison found: figures of each policy, and policies side by side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from distill.evaluation.intervals import Difference
from distill.evaluation.report import ModeFigures


@dataclass(frozen=True)
class RecallFigures:
    """How one kind of defect fared; without a good label, how one label fared.

    Attributes:
        name: the mode (the label where a sample has no mode).
        pictures: of it, on all test sides.
        caught: expected number that is rejected (without a good label: given the right label), the mean over runs.
        recall: caught / pictures.
        low, high: 95 % interval of the recall over parts and trainings; None where one part shows it.
        parts: groups; a picture without a group is a part of its own.
        parts_missed: with at least one picture missed, the mean over runs.
        escape_bound: 95 % upper bound of the share of parts with one missed. Runs look at the same parts, so the
            trials are parts and not parts x runs, and the mean over runs is rounded up to a whole part.
    """

    name: str
    pictures: int
    caught: float
    recall: float
    low: float | None
    high: float | None
    parts: int
    parts_missed: float
    escape_bound: float


@dataclass(frozen=True)
class PolicyFigures:
    """One policy's figures and costs, over all folds and seeds; a figure that can't be had is None.

    With a good label; decisions come from the cross-fitted threshold of each fold and are pooled over folds, runs averaged:

    Attributes:
        policy: its name.
        recall: share of all defects that is rejected at the stated overkill.
        overkill: share of good test parts that is rejected.
        zero_escape_recall, zero_escape_overkill: the same where the threshold lets no defect of the cross-fitted ones pass;
            without such defects None. That threshold is the lowest score over all trainings, so more seeds lower it and raise
            both figures: they are not to be held against those of another number of seeds.
        mean_recall: recall averaged over thresholds for 2 to 10 % overkill.
        macro_mode_recall: recall averaged over the kinds of defect, each counting the same.
        auroc, aupr: mean over folds and runs of the areas within each run and fold.
        by_mode: each kind of defect, the worst first; the worst of several is biased low.
        worst_mode: the name of the first one.
        accuracy, macro_recall, worst_class_recall, by_class, worst_class: the same without a good label, by the most
            likely label.
        seconds: training time of all runs together.
        peak_memory: bytes, the highest of the runs.
        curve: for each epoch the mean of each figure over the runs that have it.
    """

    policy: str
    recall: float | None = None
    overkill: float | None = None
    zero_escape_recall: float | None = None
    zero_escape_overkill: float | None = None
    mean_recall: float | None = None
    macro_mode_recall: float | None = None
    auroc: float | None = None
    aupr: float | None = None
    by_mode: list[RecallFigures] = field(default_factory=list)
    worst_mode: str | None = None
    accuracy: float | None = None
    macro_recall: float | None = None
    worst_class_recall: float | None = None
    by_class: list[RecallFigures] = field(default_factory=list)
    worst_class: str | None = None
    seconds: float = 0.0
    peak_memory: int | None = None
    curve: list[dict[str, float | None]] = field(default_factory=list)


@dataclass(frozen=True)
class Comparison:
    """Policies side by side, and each one's paired differences to the baseline.

    Attributes:
        policies: the baseline first, the others by what they find: by `main_figure` falling, then by name.
        differences: by policy in that order, then by figure; then, in the same way, those to further baselines.
        baseline: its name.
        good: the label of good parts, or None.
        overkill_wanted: what the thresholds were chosen for; None without a good label.
        folds, seeds: runs of each policy = folds x seeds.
        looks: runs of each policy that are tested on a sample; they are averaged. Twice the seeds where a run is tested on
            both folds that it holds out.
        pictures, parts: on all test sides together.
        resamples, seed: of the intervals.
        learned: held-out pictures that are not tested, since some runs had to learn them: nothing else shows their label.
        without_group: test pictures without a group, each of them counted as a part of its own.
        validation_good: good samples whose cross-fitted scores the threshold comes from, for the fold that has the fewest;
            None without a good label.
        validation_scores: how many such scores, of all runs that hold its parts out, for the fold that has the fewest; None
            without a good label.
        folds_with_area: that test both defects and good parts, so that AUROC and AUPR can be had; None without a good
            label.
        remarks: sentences of the runs on their own data.
    """

    policies: list[PolicyFigures]
    differences: list[Difference]
    baseline: str
    good: str | None
    overkill_wanted: float | None
    folds: int
    seeds: int
    pictures: int
    parts: int
    resamples: int
    seed: int
    without_group: int = 0
    validation_good: int | None = None
    validation_scores: int | None = None
    folds_with_area: int | None = None
    looks: int = 1
    learned: int = 0
    remarks: list[str] = field(default_factory=list)

    @property
    def against_baseline(self) -> list[Difference]:
        """The differences to `baseline` alone: what a report tells under its name."""
        return [one for one in self.differences if one.baseline == self.baseline]

    def to_dict(self) -> dict[str, Any]:
        """Return plain values without NaN."""
        return asdict(self)


def finds_none(kinds: Sequence[RecallFigures | ModeFigures]) -> bool:
    """Return whether nothing is caught of several kinds of defect, so that none of them is the worst."""
    return len(kinds) > 1 and not any(one.caught for one in kinds)


def main_figure(good: str | None) -> str:
    """Return the figure that ranks policies: the one that a single threshold's noise does not decide."""
    return "macro_recall" if good is None else "mean_recall"

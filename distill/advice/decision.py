"""The rule: of the ways in the order of simplicity, the first that is not worse than the best by more than a margin.

Among ways beside patches each is judged by what its student reached alone, too; see `judged`. Patches make all students look
alike, so that short trials beside them tell mostly noise, while a head that is better alone is mostly better beside them: of six
in docs/rare-defects.md both orders are nearly the same, and what they differ by alone is half as much beside patches. Whether
patches are asked at all is for the figures themselves to say.

Which figure decides follows from what the line asks for, see `figure_of`. The rule looks at the figures themselves and not at
whether an interval excludes zero: with few parts of a rare kind, intervals hold zero nearly always, and a rule that then takes
the simplest way would give most away where most is at stake. Of two ways that were tested alike, taking the better figure has
the smallest worst regret of all rules (Stoye, Minimax regret treatment choice with finite samples, 2009); the margin gives a
little of that away for a simpler way. The intervals are told beside it, so that a reader knows how sure the choice is.

By simulation of five ways whose true figures vary by .01 to .06 (standard deviation), measured with a noise of .02 to .06 in each
difference, the mean regret is .002 to .015 where the best is taken, .004 to .015 with the margin, by which another way than the
best was taken in 15 to 53 % of the cases, and .008 to .040 where the simplest is taken that is not significantly worse.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from distill.evaluation.comparison import Comparison, PolicyFigures, compare_runs
from distill.evaluation.intervals import Difference
from distill.evaluation.report import Held
from distill.evaluation.runs import RunScores
from embedstore.errors import TrainingError

MARGIN = 0.02  # of what ways are judged by: two in a hundred defects, the most that simplicity may cost
NO_ESCAPE = "zero_escape_overkill"  # the one figure of which less is better
_LEFT = 0.5  # of how students differ alone, beside patches
_NOTHING = "(nothing)"  # a way that finds nothing; a difference to it is the figure itself, and has an interval


@dataclass(frozen=True)
class Estimate:
    """A figure with its 95 % interval over parts and trainings; None where it, or the interval, can't be had."""

    value: float | None
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Standing:
    """How one way did.

    Attributes:
        name: of the way.
        figures: every figure of the comparison, by name.
        deciding: the one that decides.
        judged: what it was judged by: that, or what `judged` makes of it; None where the trials give no such figure.
        gap: of the deciding figure to that of the best way, paired on the same pictures; of the best way itself 0.
    """

    name: str
    figures: dict[str, Estimate]
    deciding: Estimate
    judged: float | None
    gap: Estimate


@dataclass(frozen=True)
class Decision:
    """Which way is advised.

    Attributes:
        figure: that decided.
        standings: of all ways, in the order of simplicity.
        best: the way that is judged best.
        chosen: the way that is advised.
        by_figure: the way that would be, if ways beside patches were judged by their own figures alone.
        unlearned: the ways that the trials do not show to know more than chance: they may reject defects no more often than good
            parts; without a good label, give the right one no more often than a guess.
        comparison: of all ways, held against the best.
    """

    figure: str
    standings: list[Standing]
    best: str
    chosen: str
    by_figure: str
    unlearned: list[str]
    comparison: Comparison

    @property
    def counts_alone(self) -> bool:
        """Whether the way was chosen by what its student reached alone, too; see `judged`."""
        return any(one.judged != one.deciding.value for one in self.standings)

    def standing(self, name: str) -> Standing:
        """Return how a way did."""
        return next(one for one in self.standings if one.name == name)

    def figures_of(self, name: str) -> PolicyFigures:
        """Return a way's figures as the comparison has them."""
        return next(one for one in self.comparison.policies if one.policy == name)


def decide(
    runs: Sequence[RunScores],
    order: Sequence[str],
    *,
    good: str | None,
    overkill: float,
    no_escape: bool,
    beside: Mapping[str, str] | None = None,
) -> Decision:
    """Compare the ways on what their runs say, and choose one.

    Args:
        runs: of every way on the same folds, with the same seeds.
        order: the ways, the simplest first.
        good: the label of good parts, or None.
        overkill: share of good parts that may be rejected.
        no_escape: the threshold is to let no defect of the trials pass; needs `good`.
        beside: way beside patches -> the way whose students are asked there.

    Raises:
        TrainingError: the runs can't be compared, or none has the deciding figure.
    """
    nothing = [replace(run, policy=_NOTHING, held=_found_nothing(run, good)) for run in runs if run.policy == order[0]]
    alone = compare_runs([*runs, *nothing], good=good, overkill=overkill, baseline=_NOTHING)
    by_name = {one.policy: one for one in alone.policies}
    figure = figure_of(by_name[order[0]], good, no_escape=no_escape)
    figures: dict[str, dict[str, Estimate]] = {name: {} for name in order}
    for one in alone.differences:
        figures[one.policy][one.figure] = _itself(one, getattr(by_name[one.policy], one.figure))
    guess = 1 / len(runs[0].classes)
    unlearned = [name for name in order if not _knows_more(figures[name], guess if good is None else None)]
    eligible = [name for name in order if name not in unlearned] or order
    values: dict[str, float | None] = {name: getattr(by_name[name], figure) for name in order}
    known = {} if len(unlearned) == len(order) else beside or {}  # nothing to count where no student has learned
    best, chosen, by_figure, by_both = select(values, eligible, known, less=figure == NO_ESCAPE)
    comparison = compare_runs(runs, good=good, overkill=overkill, baseline=best)
    gaps = {
        one.policy: Estimate(one.value, one.low, one.high) for one in comparison.differences if one.figure == figure
    }
    best_value = values[best]
    standings = []
    for name in order:
        value = values[name]
        # Where the comparison has no interval of it.
        plain = Estimate(None if value is None or best_value is None else value - best_value)
        standings.append(
            Standing(
                name,
                figures[name],
                deciding=figures[name].get(figure, Estimate(value)),
                judged=by_both[name],
                gap=Estimate(0.0) if name == best else gaps.get(name, plain),
            )
        )
    return Decision(figure, standings, best, chosen, by_figure, unlearned, comparison)


def figure_of(some: PolicyFigures, good: str | None, *, no_escape: bool) -> str:
    """Return which figure decides.

    Without a good label the recall averaged over the labels. Where no defect may pass, the overkill that this costs. Else recall
    averaged over the kinds of defect, each counting the same, where several are known; else recall averaged over 2 to 10 %
    overkill, which hangs less on one threshold.
    """
    if good is None:
        return "macro_recall"
    if no_escape:
        return NO_ESCAPE
    return "macro_mode_recall" if len(some.by_mode) > 1 else "mean_recall"


class Selection(NamedTuple):
    """What is chosen: `best`, `chosen` and `by_figure` as of `Decision`, and what each way was judged by."""

    best: str
    chosen: str
    by_figure: str
    judged: Mapping[str, float | None]


def select(
    values: Mapping[str, float | None], eligible: Sequence[str], beside: Mapping[str, str], *, less: bool = False
) -> Selection:
    """Choose by the figures whether patches are asked, and among ways beside patches by what students reach alone, too.

    Args:
        values: the deciding figure of each way, the simplest first.
        eligible: the ways that may be chosen.
        beside: way beside patches -> the way whose students are asked there.
        less: less is better.

    Raises:
        TrainingError: no way has a figure.
    """
    best, by_figure = best_and_simplest({name: values[name] for name in eligible}, less=less)
    by_both = judged(values, beside)
    if by_figure in beside:
        best_beside, chosen = best_and_simplest({name: by_both[name] for name in eligible if name in beside}, less=less)
        alone = {name: values[name] for name in eligible if name not in beside}
        _, against_alone = best_and_simplest({**alone, chosen: values[chosen]}, less=less)
        if against_alone == chosen:  # else a student alone did as well
            return Selection(best_beside, chosen, by_figure, by_both)
    return Selection(best, by_figure, by_figure, values)


def judged(values: Mapping[str, float | None], beside: Mapping[str, str]) -> dict[str, float | None]:
    """Return the deciding figures, those of ways beside patches brought nearer to what their students reached alone.

    How far a way is from the mean of those beside patches is averaged with half of how far its student is from the mean alone.
    A student that was trained too shortly to be advised alone counts as well, for the others learned faster than it did. Where
    one of both figures is missing of any of these ways, all stay as they are, for they could not be compared.

    Args:
        values: the deciding figure of each way; None where it has none.
        beside: way beside patches -> the way whose students are asked there.
    """
    found = dict(values)
    pairs = [(name, values[name], values.get(way)) for name, way in beside.items() if values.get(name) is not None]
    known = [(name, own, alone) for name, own, alone in pairs if own is not None and alone is not None]
    if known and len(known) == len(pairs):
        level, level_alone = (math.fsum(some) / len(known) for some in list(zip(*known, strict=True))[1:])
        for name, own, alone in known:
            found[name] = level + ((own - level) + _LEFT * (alone - level_alone)) / 2
    return found


def best_and_simplest(
    values: Mapping[str, float | None], *, less: bool = False, margin: float = MARGIN
) -> tuple[str, str]:
    """Return the best way and the chosen one: the first that is not worse than the best by more than the margin.

    Args:
        values: what each way is judged by, the simplest first; a way without it is never chosen.
        less: less is better.
        margin: as large a difference is still no reason.

    Raises:
        TrainingError: no way has a figure.
    """
    known = {name: -value if less else value for name, value in values.items() if value is not None}
    if not known:
        raise TrainingError(
            "The trials give no figure to decide by, since some fold lacks defects that set a threshold; add defects of more "
            "parts, or state the overkill that is allowed instead of the escape."
        )
    best = max(known, key=lambda name: known[name])  # of equals the first
    chosen = next(name for name, value in known.items() if value >= known[best] - margin - 1e-12)
    return best, chosen


def _itself(one: Difference, figure: float | None) -> Estimate:
    """Return a figure with its interval from a difference to a way that finds nothing, whose AUROC is .5 and all else 0."""
    if figure is None or one.value is None:
        return Estimate(figure)
    chance = figure - one.value
    low, high = (None if end is None else end + chance for end in (one.low, one.high))
    return Estimate(figure, low, high)


def _knows_more(figures: Mapping[str, Estimate], guess: float | None) -> bool:
    """Return whether a way is better than chance for certain: than a guess of the label, or than rejecting at random."""
    recall = figures["recall" if guess is None else "macro_recall"]
    chance = figures["overkill"].value if guess is None else guess
    return recall.low is not None and chance is not None and recall.low > chance


def _found_nothing(run: RunScores, good: str | None) -> list[Held]:
    """Return what a student would say that takes all for good; without a good label, one that is always wrong."""
    return [replace(one, probabilities=_certain(run.classes, _wrong(run.classes, one, good))) for one in run.held]


def _wrong(classes: Sequence[str], held: Held, good: str | None) -> str:
    return next(label for label in classes if label != held.label) if good is None else good


def _certain(classes: Sequence[str], label: str) -> tuple[float, ...]:
    return tuple(float(one == label) for one in classes)

"""The rule of an advice on hand-made scores: which figure decides, which way is chosen, and with which intervals."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pytest
from toy_scores import NONE, OWN, random_runs

from distill.advice import decision as decision_module
from distill.advice.decision import MARGIN, NO_ESCAPE, Estimate, best_and_simplest, decide, judged, select
from distill.evaluation.comparison import compare_runs
from distill.evaluation.runs import RunScores
from embedstore.errors import TrainingError

ORDER = ["none", "own"]


@pytest.mark.parametrize(
    ("values", "less", "expected"),
    [
        ({"simple": 0.60, "middle": 0.61, "rich": 0.62}, False, ("rich", "simple")),  # just at the margin
        ({"simple": 0.599, "middle": 0.61, "rich": 0.62}, False, ("rich", "middle")),
        ({"simple": 0.5, "middle": 0.5, "rich": 0.62}, False, ("rich", "rich")),
        ({"simple": 0.62, "middle": 0.62, "rich": 0.5}, False, ("simple", "simple")),  # of equals the simplest
        ({"simple": 0.5, "middle": 0.62, "rich": 0.55}, False, ("middle", "middle")),
        ({"simple": None, "middle": 0.3, "rich": 0.31}, False, ("rich", "middle")),
        ({"simple": 0.33, "middle": 0.31, "rich": 0.30}, True, ("rich", "middle")),  # less is better
    ],
)
def test_the_simplest_within_the_margin_is_chosen(
    values: Mapping[str, float | None], less: bool, expected: tuple[str, str]
) -> None:
    assert MARGIN == 0.02
    assert best_and_simplest(values, less=less) == expected


@pytest.mark.parametrize(("spread", "noise"), [(0.01, 0.02), (0.06, 0.06)])
def test_the_margin_costs_little_and_intervals_would_cost_more(spread: float, noise: float) -> None:
    """The two ends of the simulation that the module tells of."""
    random = np.random.default_rng(0)
    lost: dict[str, list[float]] = {"best": [], "margin": [], "interval": []}
    for _ in range(4_000):
        true = random.normal(0, spread, 5)
        seen = {str(way): float(value) for way, value in enumerate(true + random.normal(0, noise / 2**0.5, 5))}
        best, chosen = best_and_simplest(seen)
        _, by_interval = best_and_simplest(seen, margin=1.96 * noise)
        for rule, way in (("best", best), ("margin", chosen), ("interval", by_interval)):
            lost[rule].append(float(true.max() - true[int(way)]))
    regret = {rule: float(np.mean(values)) for rule, values in lost.items()}
    assert regret["margin"] < regret["best"] + 0.004
    assert regret["margin"] < 0.016
    assert regret["interval"] > regret["margin"] + 0.002


BESIDE = {"none-patches": "none", "own-patches": "own"}


def test_ways_beside_patches_are_judged_by_what_their_students_reach_alone_too() -> None:
    """By hand: beside patches .5 on average, .02 above and below; alone own is .1 above the mean, of which half counts."""
    values = {"none": 0.1, "own": 0.3, "none-patches": 0.52, "own-patches": 0.48}
    found = judged(values, BESIDE)
    assert found == pytest.approx(values | {"none-patches": 0.485, "own-patches": 0.515})
    assert select(values, list(values), BESIDE) == ("own-patches", "own-patches", "none-patches", found)
    margin = values | {"own": 0.25}  # .0025 beside patches, so that the simpler one is taken
    assert select(margin, list(values), BESIDE)[:2] == ("own-patches", "none-patches")


def test_whether_patches_are_asked_the_figures_themselves_say() -> None:
    values = {"none": 0.39, "own": 1.0, "none-patches": 0.73, "own-patches": 0.85}
    assert select(values, list(values), BESIDE) == ("own", "own", "own", values)
    # Own would be first beside patches, but alone it did better.
    head = {"none": 0.1, "own": 0.45, "none-patches": 0.5, "own-patches": 0.44}
    assert judged(head, BESIDE)["own-patches"] > judged(head, BESIDE)["none-patches"] + MARGIN
    assert select(head, list(head), BESIDE) == (*("none-patches",) * 3, head)
    less = {name: 1 - value for name, value in values.items()}
    assert select(less, list(less), BESIDE, less=True) == ("own", "own", "own", less)


def test_ways_that_can_not_be_compared_alone_are_judged_by_their_own_figures() -> None:
    for values in ({"none": 0.1, "own": 0.3, "trunk": None}, {"none-patches": 0.5, "own-patches": 0.4}):
        assert judged(values, BESIDE) == values
    lacking = {"none": 0.46, "own": 0.3, "own-patches": 0.52}  # nothing tells how none would do beside patches
    assert judged(lacking, BESIDE) == lacking
    halves = {"none": 0.2, "own": 0.2, "none-patches": 0.5, "own-patches": 0.6, "trunk-patches": 0.57}
    assert judged(halves, {**BESIDE, "trunk-patches": "trunk"}) == halves  # of trunk nothing is known alone
    unknown = {"none": None, "own": 0.3, "none-patches": 0.5, "own-patches": 0.52}
    assert judged(unknown, BESIDE) == unknown


@pytest.mark.parametrize(
    ("alone_reach", "beside_reach", "gains"),
    [(0.2, 0.5, 0.003), (0.5, 0.6, 0.002), (0.6, 0.6, -0.001), (0.7, 0.6, -0.001)],
)
def test_judging_so_gains_where_patches_help_and_costs_nothing_where_a_head_alone_comes_near(
    alone_reach: float, beside_reach: float, gains: float
) -> None:
    """By simulation of five students and both ways of asking, that differ by half as much beside patches."""
    random = np.random.default_rng(0)
    students = [str(number) for number in range(5)]
    beside = {f"{one}-patches": one for one in students}
    names = [*students, *beside]
    lost: dict[str, list[float]] = {"figure": [], "both": []}
    for _ in range(4_000):
        alone = random.normal(0, 0.08, 5)
        true = np.concatenate([alone_reach + alone, beside_reach + 0.5 * alone + random.normal(0, 0.01, 5)])
        values = dict(zip(names, map(float, true + random.normal(0, 0.03, 10)), strict=True))
        _, both, figure, _ = select(values, names, beside)
        for rule, chosen in (("figure", figure), ("both", both)):
            lost[rule].append(float(true.max() - true[names.index(chosen)]))
    assert np.mean(lost["figure"]) - np.mean(lost["both"]) > gains


def test_without_any_figure_there_is_nothing_to_choose() -> None:
    with pytest.raises(TrainingError, match="The trials give no figure to decide by"):
        best_and_simplest({"none": None, "own": None})


def test_recall_over_the_kinds_decides_where_several_are_known() -> None:
    """By hand: 40 cross-fitted good scores a fold; two of them may be rejected, so each threshold is .75."""
    decision = decide([*NONE, *OWN], ORDER, good="good", overkill=0.05, no_escape=False)
    assert (decision.figure, decision.best, decision.chosen) == ("macro_mode_recall", "own", "own")
    none, own = decision.standings
    assert [none.name, own.name] == ORDER
    assert (none.deciding.value, own.deciding.value) == (0.25, 0.5)  # spots 3 of 6; cracks none of 4, 2 of 4
    assert (none.figures["recall"].value, own.figures["recall"].value) == (0.3, 0.5)
    assert none.figures["overkill"].value == 0.125  # G2 with seed 1, of 4 good ones with 2 seeds
    assert none.gap.value == -0.25
    assert own.gap == Estimate(0.0)


def test_a_figure_that_is_as_good_without_the_store_is_enough() -> None:
    as_good = [replace(run, policy="own") for run in NONE]
    decision = decide([*NONE, *as_good], ORDER, good="good", overkill=0.05, no_escape=False)
    assert (decision.best, decision.chosen) == ("none", "none")
    assert decision.standing("own").gap == Estimate(0.0, 0.0, 0.0)


def runs_of(seed: int) -> list[RunScores]:
    return random_runs(seed, policies=ORDER, folds=3, seeds=2)


def of_one_kind(runs: list[RunScores], kind: str | None = "x") -> list[RunScores]:
    return [
        replace(run, held=[replace(one, mode=None if one.label == "good" else kind) for one in run.held])
        for run in runs
    ]


def test_intervals_of_a_figure_are_those_that_one_kind_of_defect_would_have() -> None:
    """The comparison has an interval of the recall of each kind: with one kind only, that is all defects."""
    runs = runs_of(3)
    decision = decide(runs, ORDER, good="good", overkill=0.1, no_escape=False)
    for one in compare_runs(of_one_kind(runs), good="good", overkill=0.1).policies:
        (kind,) = one.by_mode
        found = decision.standing(one.policy).figures["recall"]
        assert (found.value, found.low, found.high) == pytest.approx((kind.recall, kind.low, kind.high))


def test_differences_are_paired_with_the_best() -> None:
    runs = runs_of(4)
    decision = decide(runs, ORDER, good="good", overkill=0.1, no_escape=False)
    (other,) = [name for name in ORDER if name != decision.best]
    expected = next(
        one
        for one in compare_runs(runs, good="good", overkill=0.1, baseline=decision.best).differences
        if (one.policy, one.figure) == (other, "macro_mode_recall")
    )
    assert decision.standing(other).gap == Estimate(expected.value, expected.low, expected.high)
    assert decision.comparison.baseline == decision.best


def test_with_one_kind_the_figure_that_hangs_on_no_single_threshold_decides() -> None:
    runs = of_one_kind(runs_of(5), None)
    decision = decide(runs, ORDER, good="good", overkill=0.1, no_escape=False)
    assert decision.figure == "mean_recall"
    values = {one.policy: one.mean_recall for one in compare_runs(runs, good="good", overkill=0.1).policies}
    assert {one.name: one.deciding.value for one in decision.standings} == pytest.approx(values)


def test_without_a_good_label_labels_decide() -> None:
    runs = runs_of(6)
    decision = decide(runs, ORDER, good=None, overkill=0.05, no_escape=False)
    assert decision.figure == "macro_recall"
    for one in compare_runs(runs, good=None, overkill=0.05).policies:
        figures = decision.standing(one.policy).figures
        assert figures["macro_recall"].value == pytest.approx(one.macro_recall)
        assert figures["accuracy"].value == pytest.approx(one.accuracy)
        low, high = figures["accuracy"].low, figures["accuracy"].high
        assert low is not None
        assert high is not None
        assert low < (one.accuracy or 0) < high


def test_where_no_defect_may_pass_the_least_overkill_decides() -> None:
    runs = runs_of(7)
    decision = decide(runs, ORDER, good="good", overkill=0.05, no_escape=True)
    values = {one.policy: one.zero_escape_overkill for one in compare_runs(runs, good="good", overkill=0.05).policies}
    assert decision.figure == NO_ESCAPE
    assert {one.name: one.deciding for one in decision.standings} == {n: Estimate(v) for n, v in values.items()}
    assert decision.best == min(ORDER, key=lambda name: values[name] or 0)
    (other,) = [name for name in ORDER if name != decision.best]
    assert decision.standing(other).gap.value == pytest.approx((values[other] or 0) - (values[decision.best] or 0))


def test_a_way_that_may_know_no_more_than_chance_is_told() -> None:
    """The toy's defects mostly score above good ones; a way that mixes them up rejects both alike."""
    runs = runs_of(8)
    mixed_up = [
        replace(run, held=[replace(one, probabilities=(0.5 + len(one.id) / 100, 0.5)) for one in run.held])
        if run.policy == "none"
        else run
        for run in runs
    ]
    for good in ("good", None):
        assert decide(runs, ORDER, good=good, overkill=0.1, no_escape=False).unlearned == []
        assert decide(mixed_up, ORDER, good=good, overkill=0.1, no_escape=False).unlearned == ["none"]


def test_a_way_that_learned_nothing_is_not_chosen_beside_one_that_did(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever chance gives it: within the margin the simplest would be taken."""
    runs = random_runs(2, folds=3, seeds=2)
    names = list(dict.fromkeys(run.policy for run in runs))
    first = decide(runs, names, good="good", overkill=0.05, no_escape=False)
    monkeypatch.setattr(decision_module.best_and_simplest, "__kwdefaults__", {"less": False, "margin": 1.0})
    assert decide(runs, names, good="good", overkill=0.05, no_escape=False).chosen == names[0]
    last = first.standing(names[-1]).figures
    monkeypatch.setattr(decision_module, "_knows_more", lambda figures, _: figures == last)
    found = decide(runs, names, good="good", overkill=0.05, no_escape=False)
    assert (found.unlearned, found.best, found.chosen) == (names[:-1], names[-1], names[-1])


def test_figures_are_those_of_the_comparison() -> None:
    """AUROC, too, though a way that finds nothing has one of .5."""
    runs = random_runs(2, folds=3, seeds=2)
    names = list(dict.fromkeys(run.policy for run in runs))
    decision = decide(runs, names, good="good", overkill=0.05, no_escape=False)
    plain = compare_runs(runs, good="good", overkill=0.05)
    for standing in decision.standings:
        own = next(one for one in plain.policies if one.policy == standing.name)
        assert standing.figures.keys() >= {"auroc", "recall", "overkill"}
        for name, found in standing.figures.items():
            assert found.value == getattr(own, name)
            if found.value is not None and found.low is not None and found.high is not None:
                assert found.low <= found.value <= found.high

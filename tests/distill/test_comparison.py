"""Comparisons of policies: hand-made examples, a loop over resamples by hand, invariances, coverage, refusals."""

import json
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import chain, product
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import beta
from sklearn.metrics import roc_auc_score
from toy_scores import (
    CLASSES,
    DEFECTS,
    NONE,
    OWN,
    changed,
    looks_at,
    one,
    random_runs,
    score_of,
    weighted_threshold,
    with_fixed_thresholds,
)

from distill.evaluation.comparison import Comparison, PolicyFigures, RunScores, compare_runs
from distill.evaluation.intervals import FIGURES, Difference
from distill.evaluation.metrics import OVERKILL_GRID, upper_bound
from distill.evaluation.report import Held, make_report, part_of
from embedstore.errors import SettingsError, TrainingError


def compare(runs: Sequence[RunScores], good: str | None = "good", **options: Any) -> Comparison:
    return compare_runs(runs, good=good, **{"overkill": 0.05, "resamples": 200, **options})


def figures(found: Comparison, policy: str) -> PolicyFigures:
    return next(figures for figures in found.policies if figures.policy == policy)


def difference(found: Comparison, figure: str, policy: str = "own") -> Difference:
    return next(d for d in found.differences if (d.figure, d.policy) == (figure, policy))


# By hand


def test_figures_by_hand() -> None:
    found = figures(compare([*NONE, *OWN]), "none")
    # Share of the two seeds that reject: A1 1/2 (at the threshold is not above it), A2 0, A3 1, B1 0, C1 0; G2 1/2.
    assert found.recall == 1.5 / 5
    assert found.overkill == 0.5 / 4
    assert found.macro_mode_recall == pytest.approx((1.5 / 3 + 0) / 2)
    # Thresholds of the grid that each is above, of 9: seed 0: 3 1 8 3 1, seed 1: 8 3 9 1 3.
    assert found.mean_recall == pytest.approx(40 / 90)
    # Fold 0: 7 and 5.5 of 8 pairs, fold 1: 1.5 and 2 of 2. Pooled scores would say otherwise.
    assert found.auroc == pytest.approx(((7 / 8 + 5.5 / 8) / 2 + (1.5 / 2 + 2 / 2) / 2) / 2)
    # Precision at each defect from the top. Fold 0: 1, 1, 1, 4/5 and 1, 2/3 (a tie), 3/4, 4/5; fold 1: 1/2 and 1.
    assert found.aupr == pytest.approx((3.8 / 4 + (1 + 2 / 3 + 3 / 4 + 4 / 5) / 4 + 1 / 2 + 1) / 4)
    assert found.accuracy is found.macro_recall is found.worst_class is found.worst_class_recall is None
    assert found.by_class == []


def test_kinds_of_defect_by_hand() -> None:
    found = figures(compare(with_fixed_thresholds([*NONE, *OWN]), resamples=2000), "none")
    assert found.worst_mode == "crack"
    crack, spot = found.by_mode
    assert (crack.name, crack.pictures, crack.caught, crack.recall) == ("crack", 2, 0, 0)
    assert (crack.parts, crack.parts_missed, crack.escape_bound) == (2, 2.0, 1.0)
    assert (spot.name, spot.pictures, spot.caught, spot.recall) == ("spot", 3, 1.5, 0.5)
    assert (spot.parts, spot.parts_missed, spot.escape_bound) == (2, 1.0, upper_bound(1, 2))  # A in both seeds
    assert (crack.low, crack.high) == (0, 0)
    # D only; A only, in a quarter of the resamples, with half the relative weight of seed 1, which is beta(1/2, 1/2).
    assert (spot.low, spot.high) == (pytest.approx(beta(0.5, 0.5).ppf(0.025 / 0.25) / 2, abs=0.02), 1)


def test_differences_by_hand() -> None:
    found = compare([*NONE, *OWN])
    assert found.baseline == "none"
    assert [d.figure for d in found.differences] == ["mean_recall", "recall", "overkill", "macro_mode_recall", "auroc"]
    assert all((d.policy, d.baseline, d.looks, d.resamples) == ("own", "none", 2, 200) for d in found.differences)
    assert difference(found, "recall").value == pytest.approx(1 / 5)
    assert difference(found, "mean_recall").value == pytest.approx(14 / 90)
    assert difference(found, "macro_mode_recall").value == pytest.approx(1 / 4)
    assert difference(found, "auroc").value == pytest.approx((1 - (1.5 / 2 + 2 / 2) / 2) / 2)
    overkill = difference(found, "overkill")
    assert (overkill.value, overkill.low, overkill.high, overkill.verdict) == (0, 0, 0, "noise")
    assert (overkill.parts, difference(found, "recall").parts, difference(found, "auroc").parts) == (4, 4, 4)
    # Fold 1 holds C1, G3, G4: of its 27 draws, 8 lack C1 and 1 has C1 alone. Fold 0: A, B, D, G1, G2.
    assert 0.25 < difference(found, "auroc").left_out / 200 < 0.5


def test_resamples_without_a_good_validation_sample_have_no_decisions_but_an_area() -> None:
    # All thresholds of a fold hang on one part, which the other fold tests beside two others, or four.
    runs = [changed(of, "v", group="A" if of.fold else "G3") for of in [*NONE, *OWN]]
    found = compare(runs, resamples=400)
    assert difference(found, "recall").left_out == difference(found, "macro_mode_recall").left_out
    lacking = 1 - (1 - (2 / 3) ** 3) * (1 - (4 / 5) ** 5)
    assert difference(found, "overkill").left_out / 400 == pytest.approx(lacking, abs=0.08)  # standard error .025
    assert difference(found, "recall").value == pytest.approx(1 / 5)
    assert difference(found, "recall").low is not None
    assert difference(found, "auroc").left_out == difference(compare([*NONE, *OWN], resamples=400), "auroc").left_out


def test_what_was_compared() -> None:
    found = compare([*NONE, *OWN], seed=3)
    assert [p.policy for p in found.policies] == ["none", "own"]
    assert (found.good, found.overkill_wanted, found.folds, found.seeds, found.looks) == ("good", 0.05, 2, 2, 2)
    assert (found.pictures, found.parts, found.resamples, found.seed) == (9, 8, 200, 3)
    assert (found.without_group, found.validation_good, found.folds_with_area, found.remarks) == (1, 20, 2, [])


def test_costs_and_curves() -> None:
    found = figures(compare([*NONE, *OWN]), "none")
    assert found.seconds == 42
    assert found.peak_memory == 2000
    assert found.curve == [
        {"epoch": 1, "seconds": 2.0, "val_auroc": 0.625},
        {"epoch": 2, "val_auroc": None},  # of no number there is no mean
    ]
    unmeasured = compare([replace(of, peak_memory=None, curve=[]) for of in NONE])
    assert unmeasured.policies[0].peak_memory is None
    assert unmeasured.policies[0].curve == []


def test_json_without_nan() -> None:
    for found in (compare([*NONE, *OWN]), compare(NONE), compare([*NONE, *OWN], good=None)):
        assert json.loads(json.dumps(found.to_dict(), allow_nan=False)) == found.to_dict()


@pytest.mark.parametrize("overkill", [0, 0.05, 0.1])
def test_one_run_has_the_figures_of_its_report(overkill: float) -> None:
    found = compare(NONE[:1], overkill=overkill).policies[0]
    report = make_report(NONE[0].held, CLASSES, "none", "good", overkill)
    for name in ("recall", "overkill", "mean_recall", "macro_mode_recall", "auroc", "aupr"):
        assert getattr(found, name) == pytest.approx(getattr(report, name))
    assert [(m.name, m.caught, m.parts_missed, m.escape_bound) for m in found.by_mode] == [
        (m.mode, m.caught, m.parts_missed, m.escape_bound) for m in report.by_mode
    ]


def test_without_a_good_label_right_answers_are_compared() -> None:
    def said(policy: str, answers: str) -> RunScores:
        truth = "aaaabbc"
        held = [
            Held(f"t{k}", "test", label, None, f"g{k // 2}", tuple(float(c == answer) for c in "abc"))
            for k, (label, answer) in enumerate(zip(truth, answers, strict=True))
        ]
        return RunScores(policy, 0, 0, held, list("abc"))

    found = compare([said("none", "aaabbac"), said("own", "aaaabbb")], good=None)
    none, own = found.policies
    assert (none.accuracy, none.macro_recall) == (pytest.approx(5 / 7), pytest.approx((3 / 4 + 1 / 2 + 1) / 3))
    assert (none.worst_class, none.worst_class_recall, own.worst_class, own.worst_class_recall) == ("b", 0.5, "c", 0)
    assert [(c.name, c.pictures, c.caught, c.parts) for c in none.by_class] == [
        ("b", 2, 1, 1),
        ("a", 4, 3, 2),
        ("c", 1, 1, 1),
    ]
    assert (none.by_class[0].low, none.by_class[1].low, none.by_class[1].high) == (None, 0.5, 1)
    assert {d.figure: d.value for d in found.differences} == {
        "accuracy": pytest.approx(1 / 7),
        "macro_recall": pytest.approx((1 + 1 + 0) / 3 - 0.75),
        "worst_class_recall": -0.5,
    }
    assert none.recall is none.overkill is none.mean_recall is none.macro_mode_recall is none.auroc is none.aupr is None
    assert none.by_mode == []
    assert found.overkill_wanted is None
    assert found.validation_good is found.folds_with_area is None


# Random runs


def by_loop(runs: list[RunScores], policy: str, parts: Counter[Any], weights: Mapping[Any, float]) -> dict[str, float]:
    """Compute the figures of a resample in the plainest way: each part as often as it was drawn, each run as it weighs."""
    rejected: list[tuple[str, str | None, float, float]] = []  # label, mode, share of runs, share of runs and grid
    areas = []
    for fold in sorted({of.fold for of in runs}):
        looks = looks_at(runs, policy, fold)
        own = np.array([weights[of.fold, of.seed] for of, _, _ in looks])
        own /= own.mean()
        setting = [
            (score_of(h), parts[part_of(h)] * weight)
            for (_, _, held), weight in zip(looks, own, strict=True)
            for h in held
            if h.label == "good"
        ]
        thresholds = [weighted_threshold(*zip(*setting, strict=True), x) for x in (0.05, *OVERKILL_GRID)]
        for k, held in enumerate(looks[0][1]):
            hits = np.array([[score_of(tested[k]) > x for x in thresholds] for _, tested, _ in looks])
            share, *grid = own @ hits / len(looks)
            rejected += [(held.label or "", held.mode, share, float(np.mean(grid)))] * parts[part_of(held)]
        for (_, tested, _), weight in zip(looks, own, strict=True):
            times = np.array([parts[part_of(h)] for h in tested])
            defect = np.repeat([h.label == "defect" for h in tested], times)
            scores = np.repeat([score_of(h) for h in tested], times)
            lacks = len(set(defect.tolist())) < 2
            areas.append(math.nan if lacks else weight * roc_auc_score(defect, scores))
    modes = {mode for label, mode, _, _ in rejected if label == "defect"}
    return {
        "recall": float(np.mean([share for label, _, share, _ in rejected if label == "defect"])),
        "mean_recall": float(np.mean([grid for label, _, _, grid in rejected if label == "defect"])),
        "overkill": float(np.mean([share for label, _, share, _ in rejected if label == "good"])),
        "macro_mode_recall": float(np.mean([np.mean([s for _, m, s, _ in rejected if m == mode]) for mode in modes])),
        "auroc": float(np.mean(areas)),
    }


@pytest.mark.parametrize(("both", "looks"), [(False, 2), (True, 4)])
def test_intervals_are_those_of_a_loop_over_resamples(both: bool, looks: int) -> None:
    runs, resamples = random_runs(1, ("none", "a"), both=both), 40
    found = compare(runs, resamples=resamples, seed=7)
    assert found.looks == looks
    sides = {
        (side, fold): {
            part_of(h) for of in runs if of.fold == fold for h in of.held if h.side == side and h.label in labels
        }
        for side, labels in (("test", ("good", "defect")), ("val", ("good",)))
        for fold in range(3)
    }
    strata, seen = list[list[str]](), set[str]()
    for some in sides.values():  # first what each fold tests, then what only validates
        strata.append(sorted(some - seen))
        seen |= some
    assert [bool(some) for some in strata[3:]] == [not both] * 3
    draws = [
        np.random.default_rng([7, k]).integers(len(p), size=(resamples, len(p))) if p else np.zeros((resamples, 0), int)
        for k, p in enumerate(strata)
    ]
    parts = [Counter(p[k] for p, drawn in zip(strata, draws, strict=True) for k in drawn[b]) for b in range(resamples)]
    gammas = np.random.default_rng([7, len(strata)]).gamma(1 - 1 / looks, size=(6, resamples))
    weights = [dict(zip(product(range(3), range(2)), gammas[:, b], strict=True)) for b in range(resamples)]
    ones = dict.fromkeys(product(range(3), range(2)), 1.0)
    itself = {policy: by_loop(runs, policy, Counter(chain(*strata)), ones) for policy in ("none", "a")}
    loops = {policy: [by_loop(runs, policy, *drawn) for drawn in zip(parts, weights, strict=True)] for policy in itself}
    for policy, values in itself.items():
        assert {name: getattr(figures(found, policy), name) for name in values} == pytest.approx(values)
    for gap in found.differences:
        assert gap.value == pytest.approx(itself[gap.policy][gap.figure] - itself["none"][gap.figure])
        gaps = [a[gap.figure] - b[gap.figure] for a, b in zip(loops[gap.policy], loops["none"], strict=True)]
        assert gap.left_out == np.isnan(gaps).sum()
        assert (gap.low, gap.high) == pytest.approx(tuple(np.nanpercentile(gaps, [2.5, 97.5])))


@settings(max_examples=8, deadline=None)
@given(seed=st.integers(0, 5), order=st.randoms())
def test_no_order_changes_anything(seed: int, order: Any) -> None:
    runs = random_runs(seed, both=seed % 2 == 1)
    shuffled = [replace(of, held=order.sample(list(of.held), len(of.held))) for of in runs]
    turned = [
        replace(of, classes=CLASSES[::-1], held=[replace(h, probabilities=h.probabilities[::-1]) for h in of.held])
        if order.random() < 0.5
        else of
        for of in shuffled
    ]
    order.shuffle(turned)
    assert compare(turned, resamples=30).to_dict() == compare(runs, resamples=30).to_dict()


def test_the_seed_decides_the_draws_and_other_policies_do_not() -> None:
    runs = random_runs(0)
    assert compare(runs) == compare(runs)
    assert compare(runs, seed=1).differences != compare(runs).differences
    assert compare(runs, seed=1).policies[0].recall == compare(runs).policies[0].recall
    without = compare([of for of in runs if of.policy != "a"])
    assert without.differences == [d for d in compare(runs).differences if d.policy == "b"]


@pytest.mark.parametrize("both", [False, True])
@pytest.mark.parametrize("good", ["good", None])
def test_the_same_policy_under_two_names_differs_by_exactly_nothing(good: str | None, both: bool) -> None:
    runs = random_runs(3, ("none", "a"), both=both)
    found = compare([*runs, *(replace(of, policy="again") for of in runs if of.policy == "none")], good)
    same = [d for d in found.differences if d.policy == "again"]
    assert len(same) == (5 if good else 3)
    assert {(d.value, d.low, d.high, d.verdict) for d in same} == {(0.0, 0.0, 0.0, "noise")}
    assert any(d.value != 0 for d in found.differences if d.policy == "a")


def test_the_baseline() -> None:
    runs = random_runs(0)
    assert compare([of for of in runs if of.policy != "none"]).baseline == "a"
    turned = difference(compare(runs, baseline="a"), "auroc", "none")
    straight = difference(compare(runs), "auroc", "a")
    assert (turned.value, turned.low, turned.high) == pytest.approx(
        (-(straight.value or 0), -(straight.high or 0), -(straight.low or 0))
    )


def catching(policy: str, share: float) -> RunScores:
    """Return a run that catches a share of ten defects."""
    held = [one(f"v{k}", "val", "good", 0.25) for k in range(20)] + [one("g", "test", "good", 0.125)]
    held += [one(f"d{k}", "test", "defect", 0.75 if k < 10 * share else 0.125, "spot") for k in range(10)]
    return RunScores(policy, 0, 0, held, CLASSES)


def test_the_baseline_comes_first_and_the_others_by_what_they_find() -> None:
    shares = {"z": 0.2, "a": 0.4, "b": 0.9, "d": 0.6, "c": 0.6, "e": 0.1}
    found = compare([catching(policy, share) for policy, share in shares.items()], baseline="z", resamples=5)
    assert [one.policy for one in found.policies] == ["z", "b", "c", "d", "a", "e"]
    assert [one.mean_recall for one in found.policies] == [0.2, 0.9, 0.6, 0.6, 0.4, 0.1]
    assert list(dict.fromkeys(d.policy for d in found.differences)) == ["b", "c", "d", "a", "e"]
    by_label = compare([catching(policy, share) for policy, share in shares.items()], None, baseline="z", resamples=5)
    assert [one.policy for one in by_label.policies] == ["z", "b", "c", "d", "a", "e"]


def test_without_the_figure_that_ranks_policies_stand_by_name() -> None:
    good_only = [
        replace(of, held=[h for h in of.held if h.label == "good"]) for of in (catching(name, 0.5) for name in "cab")
    ]
    found = compare(good_only, baseline="b", resamples=5)
    assert [(one.policy, one.mean_recall) for one in found.policies] == [("b", None), ("a", None), ("c", None)]


def test_a_gain_on_one_rare_kind_shows_there() -> None:
    def trained(policy: str, rare: float) -> RunScores:
        held = [one(f"v{k}", "val", "good", k / 100) for k in range(50)]
        held += [one(f"g{k}", "test", "good", 0.1, None, f"g{k}") for k in range(60)]
        held += [one(f"c{k}", "test", "defect", 0.9 if k % 3 else 0.2, "common", f"c{k}") for k in range(90)]
        held += [one(f"r{k}", "test", "defect", rare if k < 9 else 0.2, "rare", f"r{k}") for k in range(10)]
        return RunScores(policy, 0, 0, held, CLASSES)

    found = compare([trained("none", 0.2), trained("own", 0.9)])
    none, own = found.policies
    assert (none.worst_mode, own.worst_mode) == ("rare", "common")
    assert [(m.name, m.recall) for m in none.by_mode] == [("rare", 0), ("common", pytest.approx(2 / 3))]
    assert [(m.name, m.recall) for m in own.by_mode] == [("common", pytest.approx(2 / 3)), ("rare", 0.9)]
    assert difference(found, "recall").value == pytest.approx(0.09)
    assert difference(found, "macro_mode_recall").value == pytest.approx(0.45)
    assert difference(found, "macro_mode_recall").verdict == "more"
    parts = {d.figure: d.parts for d in found.differences}
    assert (parts["recall"], parts["overkill"], parts["auroc"]) == (100, 60, 60)


def test_a_kind_shown_by_one_part_decides_nothing() -> None:
    def trained(policy: str, rare: float) -> RunScores:
        held = [one(f"v{k}", "val", "good", k / 100) for k in range(50)]
        held += [one(f"g{k}", "test", "good", 0.1) for k in range(50)]
        held += [one(f"c{k}", "test", "defect", 0.9 if k % 3 else 0.2, "common") for k in range(50)]
        return RunScores(policy, 0, 0, [*held, one("r", "test", "defect", rare, "rare")], CLASSES)

    found = compare([trained("none", 0.2), trained("own", 0.9)])
    gap = difference(found, "macro_mode_recall")
    assert (gap.value, gap.low, gap.verdict) == (0.5, 0, "noise")  # a third of the resamples do not hold that part
    (rare,) = [m for m in figures(found, "own").by_mode if m.name == "rare"]
    assert (rare.recall, rare.low, rare.high, rare.parts) == (1, None, None, 1)
    assert rare.escape_bound == pytest.approx(0.95)


# Without figures, and refusals


def test_figures_that_the_test_sides_do_not_give_are_none() -> None:
    good_only = [replace(of, held=[h for h in of.held if h.id not in DEFECTS]) for of in NONE[2:]]
    found = compare([*good_only, *(replace(of, policy="own") for of in good_only)])
    assert found.policies[0].overkill == 0
    for name in ("recall", "mean_recall", "macro_mode_recall", "auroc", "aupr", "worst_mode"):
        assert getattr(found.policies[0], name) is None
    assert difference(found, "recall").value is None
    assert difference(found, "recall").verdict == "unknown"
    assert (found.folds_with_area, found.folds) == (0, 1)


def test_areas_are_of_the_folds_that_have_them() -> None:
    good_only = [replace(of, held=[h for h in of.held if h.id != "C1"]) for of in NONE[2:]]
    found = compare([*NONE[:2], *good_only])
    assert found.policies[0].auroc == pytest.approx((7 / 8 + 5.5 / 8) / 2)
    assert (found.folds_with_area, found.folds) == (1, 2)


def test_the_fold_with_the_fewest_good_validation_samples_is_told() -> None:
    short = changed(NONE[2], "v1-0", label="defect")
    assert compare([*NONE[:2], short, changed(NONE[3], "v1-0", label="defect")]).validation_good == 19


def test_every_difference_has_a_name_for_readers() -> None:
    assert {d.figure for good in ("good", None) for d in compare([*NONE, *OWN], good).differences} == set(FIGURES)


def test_unknown_baseline_and_settings_out_of_range() -> None:
    with pytest.raises(TrainingError, match=r"The baseline 'odd' is not among the policies \(none, own\)"):
        compare([*NONE, *OWN], baseline="odd")
    for options in ({"overkill": -0.1}, {"overkill": 0.6}, {"overkill": math.nan}, {"resamples": 0}, {"seed": -1}):
        with pytest.raises(SettingsError, match="expected"):
            compare(NONE, **options)

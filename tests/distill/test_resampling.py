"""Thresholds, decisions and areas inside resamples, against repeated samples, scikit-learn's weights and loops by hand."""

import math
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score
from toy_scores import weighted_threshold

from distill.evaluation import resampling
from distill.evaluation.metrics import OVERKILL_GRID, threshold_at_overkill
from distill.evaluation.resampling import (
    Fold,
    decide,
    divide,
    rank,
    rejected,
    resample,
    roc_areas,
    thresholds_at_overkill,
)

SCORES = st.sampled_from([0.0, 0.2, 0.5, 0.9]) | st.floats(0, 1)  # with ties


# The area for any multiplicities


@settings(deadline=None)
@given(st.lists(st.tuples(st.booleans(), SCORES, st.integers(0, 3)), min_size=2, max_size=30))
def test_areas_are_those_of_scikit_learn_with_weights(rows: list[tuple[bool, float, int]]) -> None:
    defect, scores = np.array([one for one, _, _ in rows]), np.array([score for _, score, _ in rows])
    weights = np.array([weight for _, _, weight in rows], float)
    every_other = weights * (np.arange(len(rows)) % 2)
    found = roc_areas(rank(defect, scores), np.stack([weights, np.ones(len(rows)), every_other], axis=1))
    for area, held in zip(found, (weights, np.ones(len(rows)), every_other), strict=True):
        if held[defect].sum() == 0 or held[~defect].sum() == 0:
            assert math.isnan(area)
        else:
            assert area == pytest.approx(roc_auc_score(defect, scores, sample_weight=held), abs=1e-12)


def test_an_area_by_hand() -> None:
    # Defects .9 and .5, good ones .5 and .1: wins 2 and 1.5 of 4. Doubling the tied good one: 3 and 2 of 6.
    ranking = rank(np.array([True, False, True, False]), np.array([0.9, 0.5, 0.5, 0.1]))
    assert roc_areas(ranking, np.array([[1.0, 1], [1, 2], [1, 1], [1, 1]])).tolist() == [3.5 / 4, 5 / 6]


# Thresholds and decisions for any multiplicities


@settings(deadline=None)
@given(
    val=st.lists(st.tuples(SCORES, st.integers(0, 4), st.integers(0, 2)), min_size=1, max_size=60),
    test=st.lists(st.tuples(SCORES, st.integers(0, 2), st.integers(0, 3)), min_size=1, max_size=20),
    share=st.floats(0, 0.5) | st.sampled_from([0.0, 0.05, 0.29, 0.5]),
)
def test_thresholds_and_decisions_are_those_of_samples_repeated(
    val: list[tuple[float, int, int]], test: list[tuple[float, int, int]], share: float
) -> None:
    val_good, test_scores = np.array([score for score, _, _ in val]), np.array([score for score, _, _ in test])
    kind, weights = np.array([one for _, one, _ in test]), np.array([weight for _, _, weight in test], float)
    drawn = np.array([[1, *some] for _, *some in val], float)
    falling = np.argsort(-val_good, kind="stable")
    decisions = decide(kind, 3, test_scores, val_good[falling])
    wanted = (share, *OVERKILL_GRID)
    at = thresholds_at_overkill(drawn[falling], wanted)
    counts = rejected(decisions, np.stack([np.ones(len(test)), weights, 2 * weights], axis=1), at)
    assert counts.shape == (3, len(wanted), 3)
    for resample_at, times in enumerate((1, weights, 2 * weights)):
        repeated = np.repeat(val_good, drawn[:, resample_at].astype(int))
        if not len(repeated):
            continue
        for row, overkill in enumerate(wanted):
            threshold = threshold_at_overkill(repeated, overkill)
            assert val_good[falling][at[row, resample_at]] == threshold
            hit = (test_scores > threshold) * times
            assert counts[:, row, resample_at].tolist() == [hit[kind == which].sum() for which in range(3)]


def test_a_share_is_not_rounded_away() -> None:
    # 0.29 * 100 is 28.999999999999996 to a computer: with 29 allowed, the 30th score stands; drawn twice each, the 15th.
    assert thresholds_at_overkill(np.array([[1.0, 2, 0]] * 50 + [[1, 0, 2]] * 50), [0.29]).tolist() == [[29, 14, 64]]


def test_a_fixed_threshold_stands_whatever_is_drawn() -> None:
    decisions = decide(np.array([0, 2, 2]), 3, np.array([1.0, 0.0, 1.0]), np.array([0.5]))
    counts = rejected(decisions, np.array([[1.0, 3], [1, 1], [1, 2]]), np.zeros((1, 2), int))
    assert counts[:, 0].tolist() == [[1, 3], [0, 0], [1, 2]]


# Resampling

WANTED = (0.1, 0.2, 0.3)


@dataclass(frozen=True)
class Plain:
    """A fold as it comes: scores[policy, run, sample], and val_scores[policy, validation score]."""

    part: Any
    kind: Any
    run: Any
    val_part: Any
    val_run: Any
    scores: Any
    val_scores: Any

    def ordered(self) -> Fold:
        falling = [np.argsort(-val, kind="stable") for val in self.val_scores]
        return Fold(
            self.part,
            self.kind,
            self.run,
            self.val_part,
            self.val_run,
            falling,
            [
                [decide(self.kind, 3, one, val[order]) for one in of]
                for of, val, order in zip(self.scores, self.val_scores, falling, strict=True)
            ],
            [[rank(self.kind > 0, one) for one in of] for of in self.scores],
        )


def plain(parts: range, val_parts: list[int], runs: list[int], seed: int) -> Plain:
    """Return a fold of two policies with two runs, two samples a part, with ties between the scores."""
    random = np.random.default_rng(seed)
    part, val_part = np.repeat(parts, 2), np.repeat(val_parts, 2)
    kind = random.integers(0, 3, len(part))
    kind[:2] = 0, 1
    scores, val_scores = (random.integers(0, 12, shape) / 12 for shape in ((2, 2, len(part)), (2, len(val_part))))
    return Plain(part, kind, np.array(runs), val_part, random.integers(0, 2, len(val_part)), scores, val_scores)


# Parts 0 to 5 are tested in the first fold, 6 to 14 in the second; 15 to 18 only validate in the first, 19 to 21 in the
# second. Some of each fold's tested parts validate in the other. Run 1 of three is tested on both folds.
FOLDS = [
    plain(range(6), [6, 8, 9, 12, 15, 16, 17, 18], [0, 1], 1),
    plain(range(6, 15), [0, 1, 2, 5, 15, 19, 20, 21], [2, 1], 2),
]
STRATA = [6, 9, 4, 3]
RUNS = 3


def by_hand(times: Any, weights: Any) -> tuple[Any, Any, Any, Any]:
    """Count a resample in the plainest way: every sample as often as its part was drawn, every run as it weighs."""
    pictures, first, others, areas = np.zeros(3), np.zeros((2, 3)), np.zeros((2, 3)), np.zeros(2)
    for one in FOLDS:
        again = np.repeat(np.arange(len(one.part)), times[one.part])
        kind = one.kind[again]
        pictures += np.bincount(kind, minlength=3)
        own = weights[one.run] / weights[one.run].mean()
        val_weights = times[one.val_part] * own[one.val_run]
        for policy, run in product(range(2), range(2)):
            scores = one.scores[policy, run][again]
            thresholds = [weighted_threshold(one.val_scores[policy], val_weights, x) for x in WANTED]
            hits = [
                own[run] * np.bincount(kind[scores > at], minlength=3) if val_weights.any() else np.full(3, np.nan)
                for at in thresholds
            ]
            first[policy] += hits[0]
            others[policy] += hits[1] + hits[2]
            mixed = 0 < (kind > 0).sum() < len(kind)
            areas[policy] += own[run] * (roc_auc_score(kind > 0, scores) if mixed else np.nan) / 4
    return pictures, first, others, areas


@pytest.mark.parametrize("at_once", [1, 7 * 18, 40 * 18, 1 << 20])
def test_resamples_are_those_of_a_loop_however_many_are_held_at_once(
    monkeypatch: pytest.MonkeyPatch, at_once: int
) -> None:
    monkeypatch.setattr(resampling, "_AT_ONCE", at_once)
    found = resample([one.ordered() for one in FOLDS], STRATA, WANTED, 25, 4)
    draws = [np.random.default_rng([4, k]).integers(parts, size=(25, parts)) for k, parts in enumerate(STRATA)]
    times = [np.concatenate([np.bincount(d[b], minlength=d.shape[1]) for d in draws]) for b in range(25)]
    weights = np.random.default_rng([4, len(STRATA)]).gamma(0.5, size=(RUNS, 25))
    for b, drawn in enumerate([np.ones(22, int), *times]):
        pictures, first, others, areas = by_hand(drawn, weights[:, b - 1] if b else np.ones(RUNS))
        assert found.pictures[:, b].tolist() == pictures.tolist()
        assert found.rejected[..., b] == pytest.approx(first, nan_ok=True)
        assert found.rejected_on_grid[..., b] == pytest.approx(others, nan_ok=True)
        assert found.areas[:, b] == pytest.approx(areas, nan_ok=True)
    assert found.folds_with_area == 2


def single(kind: Any, val_part: Any = (), val_score: float = 0.5) -> Fold:
    """Return a fold of one run and one sample a part, half of which are above the threshold."""
    kind, val_part, scores = np.array(kind), np.array(val_part, np.int64), np.arange(len(kind)) % 2.0
    decisions = decide(kind, len(kind), scores, np.full(max(1, len(val_part)), val_score))
    part, run, val_run = np.arange(len(kind)), np.zeros(1, np.int64), np.zeros(len(val_part), np.int64)
    return Fold(
        part, kind, run, val_part, val_run, [np.arange(len(val_part))], [[decisions]], [[rank(kind > 0, scores)]]
    )


@pytest.mark.parametrize("runs", [1, 2, 3, 6])
def test_runs_weigh_as_unequally_as_if_they_were_drawn(runs: int) -> None:
    # Run k alone rejects, so the share that is rejected is its weight.
    fold = single([1])
    decisions = [
        [decide(fold.kind, 2, np.array([float(k == one)]), np.array([0.5])) for one in range(runs)] for k in range(runs)
    ]
    fold = replace(fold, run=np.arange(runs), falling=fold.falling * runs, decisions=decisions, rankings=[])
    found = resample([fold], [1], (0.05,), 20_000, 0)
    weights = found.rejected[:, 1]
    assert weights.sum(axis=0) == pytest.approx(np.full(20_001, runs))
    assert (weights[:, 0] == 1).all()
    assert weights.mean(axis=1) == pytest.approx(np.ones(runs), abs=0.03)
    assert weights.var(axis=1) == pytest.approx(np.full(runs, 1 - 1 / runs), abs=0.05)  # of a multiplicity
    assert (weights > 0).all()


def test_a_run_that_is_tested_in_two_folds_weighs_the_same_in_both() -> None:
    # The first run of each fold alone rejects; it is one run in the first case, and another in the second.
    def weighing(runs: list[int]) -> Any:
        fold = single([1])
        decisions = [[decide(fold.kind, 2, np.array([one]), np.array([0.5])) for one in (1.0, 0.0)]]
        first, second = (replace(fold, run=np.array(own), decisions=decisions, rankings=[]) for own in ([0, 1], runs))
        second = replace(second, part=second.part + 1)
        return resample([first, second], [1, 1], (0.05,), 4000, 0).rejected[0, 1, 1:]

    assert weighing([0, 1]).var() == pytest.approx(4 * 0.5, abs=0.1)  # twice the same
    assert weighing([2, 3]).var() == pytest.approx(2 * 0.5, abs=0.1)


def test_parts_are_drawn_with_replacement_each_equally_often() -> None:
    n, resamples = 6, 20_000
    drawn = resample([single(range(n))], [n], (0.05,), resamples, 0).pictures[
        :, 1:
    ]  # one kind a part: its multiplicity
    assert (drawn.sum(axis=0) == n).all()
    assert drawn.mean(axis=1) == pytest.approx(np.ones(n), abs=0.03)  # binomial(6, 1/6): standard error .0065
    assert drawn.var(axis=1) == pytest.approx(np.full(n, 5 / 6), abs=0.05)
    assert np.cov(drawn)[0, 1] == pytest.approx(-1 / 6, abs=0.03)


def test_a_part_that_validates_elsewhere_is_drawn_equally_often_there() -> None:
    # The second fold has a threshold in those resamples that hold part 0 of the first.
    first, second = single([0, 1, 1]), single([0, 1, 1], [0])
    second = replace(second, part=second.part + 3)
    found = resample([first, second], [3, 3], (0.05,), 400, 0)
    only_first = resample([first], [3], (0.05,), 400, 0)
    assert np.array_equal(np.isnan(found.rejected[0, 0]), only_first.pictures[0] == 0)
    assert np.isnan(found.rejected[0, 0]).mean() == pytest.approx((2 / 3) ** 3, abs=0.1)  # standard error .023


def test_without_a_validation_sample_there_are_areas_and_pictures_but_no_decisions() -> None:
    found = resample([single([0, 1, 0, 1], [4])], [4, 2], (0.05, 0.1), 400, 0)
    without = np.isnan(found.rejected[0, 0])
    assert without.mean() == pytest.approx(1 / 4, abs=0.1)  # of two parts that validate, one has a sample
    assert (np.isnan(found.rejected) == without).all()
    assert (np.isnan(found.rejected_on_grid) == without).all()
    assert np.isfinite(found.areas[0, without]).mean() == pytest.approx(1 - 2 * (1 / 2) ** 4, abs=0.15)
    assert (found.pictures.sum(axis=0) == 4).all()


def test_a_fold_of_one_kind_only_counts_for_no_area_and_a_resample_without_a_kind_has_none() -> None:
    both, only = single([1, 0, 0, 0]), single([0, 0, 0, 0])
    found = resample([replace(both, part=both.part + 4), only], [4, 4], (0.05,), 400, 0)
    assert found.folds_with_area == 1
    assert found.areas[0, 0] == pytest.approx(1 / 6)
    without = np.isnan(found.areas[0, 1:]).mean()  # the one defect is not drawn, or alone
    assert without == pytest.approx((3 / 4) ** 4 + (1 / 4) ** 4, abs=0.08)  # standard error .023
    none = resample([only], [4], (0.05,), 5, 0)
    assert none.folds_with_area == 0
    assert np.isnan(none.areas).all()


def test_small_sums() -> None:
    assert divide(np.array([1.0, 1.0]), np.array([2.0, 0.0])).tolist()[0] == 0.5
    assert math.isnan(divide(np.array([1.0]), np.array([0.0]))[0])

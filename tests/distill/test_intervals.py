"""Resampled areas, shares and differences, against scikit-learn's weights and loops by hand."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from distill.evaluation import intervals
from distill.evaluation.intervals import (
    Difference,
    FoldCounts,
    divide,
    finite,
    in_words,
    paired_difference,
    percentile_interval,
    rank,
    resample,
    roc_areas,
)


def counts(parts: int, seed: int, policies: int = 2, columns: int = 3) -> FoldCounts:
    """Return a fold of two samples a part, with ties between the scores."""
    random = np.random.default_rng(seed)
    part = np.repeat(np.arange(parts), 2)
    defect = random.random(2 * parts) < 0.5
    defect[:2] = True, False
    return FoldCounts(
        part=part,
        trials=random.integers(0, 3, (columns, parts)).astype(float),
        hits=random.integers(0, 5, (policies, columns, parts)).astype(float),
        rankings=[[rank(defect, random.integers(0, 6, 2 * parts) / 5) for _ in range(2)] for _ in range(policies)],
    )


# The area for any multiplicities


@settings(deadline=None)
@given(
    st.lists(
        st.tuples(st.booleans(), st.sampled_from([0.0, 0.2, 0.5, 0.9]) | st.floats(0, 1), st.integers(0, 3)),
        min_size=2,
        max_size=30,
    )
)
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


# Resampling


def test_entry_0_is_the_sample_itself() -> None:
    folds = [counts(5, 1), counts(8, 2)]
    found = resample(folds, 10, 0)
    assert (found.trials[:, 0] == folds[0].trials.sum(axis=1) + folds[1].trials.sum(axis=1)).all()
    assert (found.hits[:, :, 0] == folds[0].hits.sum(axis=2) + folds[1].hits.sum(axis=2)).all()
    assert found.trials.shape == (3, 11)
    assert found.hits.shape == (2, 3, 11)
    assert found.areas.shape == (2, 11)


def test_each_fold_keeps_its_number_of_parts() -> None:
    folds = [
        FoldCounts(np.arange(n), np.stack([np.ones(n) * (k == which) for which in range(2)]), np.zeros((1, 2, n)), [])
        for k, n in enumerate((4, 7))
    ]
    found = resample(folds, 50, 3)
    assert (found.trials == [[4], [7]]).all()
    assert found.folds_with_area == 0
    assert np.isnan(found.areas).all()


def test_parts_are_drawn_with_replacement_each_equally_often() -> None:
    n, resamples = 6, 20_000
    fold = FoldCounts(np.arange(n), np.eye(n), np.zeros((1, n, n)), [])  # one column a part: its multiplicity
    drawn = resample([fold], resamples, 0).trials[:, 1:]
    assert drawn.mean(axis=1) == pytest.approx(np.ones(n), abs=0.03)  # binomial(6, 1/6): standard error .0065
    assert drawn.var(axis=1) == pytest.approx(np.full(n, 5 / 6), abs=0.05)
    assert np.cov(drawn)[0, 1] == pytest.approx(-1 / 6, abs=0.03)


@pytest.mark.parametrize("at_once", [1, 7, 40, 1 << 20])
def test_counts_are_those_of_a_loop_however_many_are_held_at_once(
    monkeypatch: pytest.MonkeyPatch, at_once: int
) -> None:
    folds = [counts(6, 1), counts(9, 2)]
    whole = resample(folds, 25, 4)
    monkeypatch.setattr(intervals, "_AT_ONCE", at_once)
    found = resample(folds, 25, 4)
    assert (found.trials == whole.trials).all()
    assert (found.hits == whole.hits).all()
    assert np.array_equal(found.areas, whole.areas, equal_nan=True)
    draws = [np.random.default_rng([4, k]).integers(parts, size=(25, parts)) for k, parts in enumerate((6, 9))]
    for b in range(25):
        held = [(fold, drawn[b]) for fold, drawn in zip(folds, draws, strict=True)]
        trials = np.sum([fold.trials[:, parts].sum(axis=1) for fold, parts in held], axis=0)
        hits = np.sum([fold.hits[:, :, parts].sum(axis=2) for fold, parts in held], axis=0)
        assert found.trials[:, 1 + b].tolist() == trials.tolist()
        assert found.hits[:, :, 1 + b].tolist() == hits.tolist()


def test_a_fold_of_one_kind_only_counts_for_no_area_and_a_resample_without_a_kind_has_none() -> None:
    scores = np.array([0.9, 0.8, 0.3, 0.1])
    both, only = np.array([True, False, False, False]), np.zeros(4, bool)
    folds = [
        FoldCounts(np.arange(4), np.ones((1, 4)), np.zeros((1, 1, 4)), [[rank(defect, scores)]])
        for defect in (both, only)
    ]
    found = resample(folds, 400, 0)
    assert found.folds_with_area == 1
    assert found.areas[0, 0] == 1
    without = np.isnan(found.areas[0, 1:]).mean()  # the one defect is not drawn
    assert without == pytest.approx((3 / 4) ** 4 + (1 / 4) ** 4, abs=0.08)  # standard error .023


# Intervals and differences


def test_the_interval_is_the_central_95_percent_of_what_is_known() -> None:
    values = np.append(np.arange(1001.0), [np.nan] * 5)
    assert percentile_interval(np.random.default_rng(0).permutation(values)) == pytest.approx((25, 975))
    assert percentile_interval(np.array([np.nan])) == (None, None)


@pytest.mark.parametrize(
    ("gaps", "verdict"),
    [
        ([0.3, 0.1, 0.2], "more"),
        ([-0.3, -0.1, -0.2], "less"),
        ([0.3, -0.1, 0.2], "noise"),
        ([0.0, 0.0, 0.0], "noise"),
        ([0.3, 0.0, 0.0], "noise"),  # an interval that ends at zero holds it
        ([np.nan, 0.1, 0.2], "unknown"),
        ([0.1, np.nan, np.nan], "unknown"),
    ],
)
def test_verdicts(gaps: list[float], verdict: str) -> None:
    found = paired_difference("own", "none", "recall", np.array(gaps) + 0.0, np.zeros(3), parts=40, seeds=2)
    assert found.verdict == verdict
    assert found.left_out == np.isnan(gaps[1:]).sum()
    assert found.value == (None if np.isnan(gaps[0]) else gaps[0])
    assert (found.low is None) == (verdict == "unknown")


def test_one_part_gives_no_interval() -> None:
    found = paired_difference("a", "b", "auroc", np.ones(4), np.zeros(4), parts=1, seeds=2)
    assert (found.value, found.low, found.high, found.verdict) == (1, None, None, "unknown")


def difference(low: float | None, high: float | None, verdict: str, **changed: object) -> Difference:
    value = None if low is None or high is None else (low + high) / 2
    known: dict[str, object] = {"parts": 100, "seeds": 3, "resamples": 2000, "left_out": 0, "value": value} | changed
    return Difference("own", "none", low=low, high=high, verdict=verdict, **{"figure": "auroc", **known})  # type: ignore[arg-type]


def test_words_say_more_less_or_noise_and_what_the_interval_leaves_out() -> None:
    assert (
        in_words(difference(0.01, 0.05, "more"))
        == "AUROC: 0.030 more with 'own' than with 'none' (95 % interval +0.010 to +0.050, 100 parts)."
    )
    assert "AUROC: 0.030 less with 'own' than with 'none'" in in_words(difference(-0.05, -0.01, "less"))
    noise = in_words(difference(-0.02, 0.04, "noise"))
    assert "no difference beyond noise between 'own' and 'none' (+0.010; 95 % interval -0.020 to +0.040" in noise
    assert "One seed only" not in noise
    assert "too narrow" not in noise
    assert "left out" not in noise
    doubtful = in_words(difference(0.01, 0.05, "more", seeds=1, parts=12, left_out=7))
    assert "One seed only: another training may move it" in doubtful
    assert "12 parts). " in doubtful
    assert "So few parts make the interval too narrow." in doubtful
    assert "7 of 2000 resamples" in doubtful
    single = in_words(difference(None, None, "unknown", value=0.2, parts=1))
    assert single == "AUROC: +0.200 with 'own' against 'none'; no interval, since it hangs on 1 part."
    assert "since no resample gives it" in in_words(difference(None, None, "unknown", value=0.2, parts=5))
    assert "can't be compared" in in_words(difference(None, None, "unknown"))


def test_small_sums() -> None:
    assert divide(np.array([1.0, 1.0]), np.array([2.0, 0.0])).tolist()[0] == 0.5
    assert math.isnan(divide(np.array([1.0]), np.array([0.0]))[0])
    assert finite(np.nan) is None
    assert finite(np.float64(0.5)) == 0.5

"""Thresholds and areas, against brute force, scikit-learn and SciPy."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import brentq
from scipy.stats import binom
from sklearn.metrics import average_precision_score, roc_auc_score

from distill.evaluation.metrics import (
    average_precision,
    mean_recall,
    no_better_than_chance,
    rejected_share,
    roc_area,
    threshold_at_overkill,
    too_few,
    upper_bound,
)

scores = st.lists(st.floats(0, 1) | st.sampled_from([0.0, 0.25, 0.5, 1.0]), min_size=1, max_size=40)  # with ties
shares = st.floats(0, 0.5) | st.sampled_from([0.0, 0.02, 0.05, 0.1, 0.2, 0.5])


@given(good=scores, overkill=shares)
def test_the_threshold_is_the_lowest_that_rejects_no_more_than_allowed(good: list[float], overkill: float) -> None:
    threshold = threshold_at_overkill(good, overkill)
    allowed = math.floor(overkill * len(good) + 1e-9)
    assert sum(score > threshold for score in good) <= allowed
    lower = max((score for score in good if score < threshold), default=-math.inf)
    for candidate in (lower, np.nextafter(threshold, -np.inf)):
        assert sum(score > candidate for score in good) > allowed


@given(good=scores, overkill=shares, order=st.randoms())
def test_the_threshold_does_not_depend_on_the_order(good: list[float], overkill: float, order: object) -> None:
    shuffled = list(good)
    order.shuffle(shuffled)  # type: ignore[attr-defined]
    assert threshold_at_overkill(shuffled, overkill) == threshold_at_overkill(good, overkill)


@pytest.mark.parametrize(
    ("overkill", "expected"), [(0, 10), (0.09, 10), (0.1, 9), (0.19, 9), (0.2, 8), (0.3, 7), (0.5, 5)]
)
def test_thresholds_of_ten_good_parts(overkill: float, expected: float) -> None:
    assert threshold_at_overkill(range(1, 11), overkill) == expected


def test_a_share_is_not_rounded_away() -> None:
    assert threshold_at_overkill(range(1, 101), 0.29) == 71  # 0.29 * 100 is 28.999999999999996 to a computer


def test_ties_are_rejected_together_or_not_at_all() -> None:
    assert threshold_at_overkill([1, 5, 5, 5, 5, 5, 5, 5, 5, 5], 0.1) == 5  # a lower one would reject nine of ten
    assert threshold_at_overkill([1, 1, 1, 1, 1, 1, 1, 1, 1, 5], 0.1) == 1


def test_no_good_part_gives_no_threshold() -> None:
    with pytest.raises(ValueError, match="needs scores of good parts"):
        threshold_at_overkill([], 0.05)


def test_rejected_is_above_the_threshold() -> None:
    assert rejected_share([0.1, 0.5, 0.5, 0.9], 0.5) == 0.25
    assert math.isnan(rejected_share([], 0.5))


def test_mean_recall_by_hand() -> None:
    # Of 50 good parts scored 1 to 50, 2 to 10 % overkill allow 1, 1, 2, 2, 3, 3, 4, 4, 5 rejected: thresholds 49 to 45.
    good = np.arange(1, 51)
    assert mean_recall(good, [49.5, 48.5, 47.5, 46.5, 45.5]) == pytest.approx((2 * (1 + 2 + 3 + 4) + 5) / (9 * 5))
    assert mean_recall(good, [1, 2]) == 0
    assert mean_recall(good, [99]) == 1


@given(st.lists(st.tuples(st.booleans(), st.sampled_from([0.0, 0.1, 0.2, 0.5, 0.9, 1.0])), min_size=2, max_size=40))
def test_areas_are_those_of_scikit_learn(pairs: list[tuple[bool, float]]) -> None:
    defect, found = np.array([kind for kind, _ in pairs]), np.array([score for _, score in pairs])
    if defect.all() or not defect.any():
        assert math.isnan(roc_area(defect, found))
        assert math.isnan(average_precision(defect, found))
    else:
        assert roc_area(defect, found) == pytest.approx(roc_auc_score(defect, found))
        assert average_precision(defect, found) == pytest.approx(average_precision_score(defect, found))
        wins = (found[defect][:, None] > found[~defect]).mean() + (found[defect][:, None] == found[~defect]).mean() / 2
        assert roc_area(defect, found) == pytest.approx(wins)


def test_six_groups_without_a_miss_still_bound_escape_at_39_percent_only() -> None:
    assert upper_bound(0, 6) == pytest.approx(0.393, abs=5e-4)


@given(trials=st.integers(1, 60), data=st.data(), confidence=st.sampled_from([0.8, 0.95, 0.99]))
def test_the_bound_is_the_share_at_which_so_few_hits_would_be_just_too_unlikely(
    trials: int, data: st.DataObject, confidence: float
) -> None:
    hits = data.draw(st.integers(0, trials))
    bound = upper_bound(hits, trials, confidence)
    if hits == trials:
        assert bound == 1
    else:
        exact = brentq(lambda share: binom.cdf(hits, trials, share) - (1 - confidence), 1e-9, 1 - 1e-12)
        assert bound == pytest.approx(exact, abs=1e-6)
        assert bound > hits / trials


def test_of_nothing_nothing_is_known() -> None:
    assert upper_bound(0, 0) == 1


@pytest.mark.parametrize(("scores", "overkill"), [(1, 0.05), (4, 0.05), (19, 0.05), (20, 0.05), (39, 0.05), (3, 0.5)])
def test_too_few_scores_reject_as_many_of_new_good_parts_as_is_said(scores: int, overkill: float) -> None:
    good = np.random.default_rng(0).normal(size=scores + 1)  # any of which may be the new one
    rejected = [good[new] > threshold_at_overkill(np.delete(good, new), overkill) for new in range(scores + 1)]
    found = too_few(scores, overkill)
    assert found is not None
    assert found == (pytest.approx(np.mean(rejected)), round(2 / overkill))
    assert too_few(found[1], overkill) is None
    for enough in range(found[1], found[1] + 60):
        assert (math.floor(overkill * enough + 1e-9) + 1) / (enough + 1) <= 1.5 * overkill


@pytest.mark.parametrize(
    ("recall", "overkill", "told"),
    [
        (0.0, 0.118, True),
        (0.05, 0.05, True),  # Youden's index is 0, as of a lot
        (0.0, 0.0, True),
        (0.0501, 0.05, False),
        (1.0, 0.0, False),
        (None, 0.1, False),
        (float("nan"), 0.1, False),
        (0.1, float("nan"), False),
    ],
)
def test_a_threshold_that_finds_no_more_than_a_lot_is_told(
    recall: float | None, overkill: float | None, told: bool
) -> None:
    assert no_better_than_chance(recall, overkill) == told


def test_without_scores_or_without_overkill_none_are_too_few() -> None:
    assert too_few(0, 0.05) is too_few(12, 0.0) is None

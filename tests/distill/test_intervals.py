"""Intervals and differences."""

import numpy as np
import pytest

from distill.evaluation.intervals import finite, paired_difference, percentile_interval


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
    found = paired_difference("own", "none", "recall", np.array(gaps) + 0.0, np.zeros(3), parts=40, looks=2)
    assert found.verdict == verdict
    assert found.left_out == np.isnan(gaps[1:]).sum()
    assert found.value == (None if np.isnan(gaps[0]) else gaps[0])
    assert (found.low is None) == (verdict == "unknown")


def test_one_part_gives_no_interval() -> None:
    found = paired_difference("a", "b", "auroc", np.ones(4), np.zeros(4), parts=1, looks=2)
    assert (found.value, found.low, found.high, found.verdict) == (1, None, None, "unknown")


def test_json_knows_no_nan() -> None:
    assert finite(np.nan) is None
    assert finite(np.float64(0.5)) == 0.5

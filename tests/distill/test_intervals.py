"""Intervals, differences and what they say in words."""

import numpy as np
import pytest

from distill.evaluation.intervals import Difference, finite, in_words, paired_difference, percentile_interval


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


def test_json_knows_no_nan() -> None:
    assert finite(np.nan) is None
    assert finite(np.float64(0.5)) == 0.5

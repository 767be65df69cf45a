"""How many prototypes each label gets: shares are rounded up exactly, numbers capped and told."""

import math
from fractions import Fraction

import pytest
from helpers import training_of, unit_vectors
from hypothesis import example, given, settings
from hypothesis import strategies as st

from embedstore.errors import SummaryError
from embedstore.summaries.sizes import sizes
from embedstore.summaries.strategy import TrainingVectors


def labelled(**counts: int) -> TrainingVectors:
    labels = [label for label, count in counts.items() for _ in range(count)]
    return training_of(unit_vectors(0, len(labels), 2), labels)


@settings(max_examples=100, deadline=None)
@given(st.integers(1, 100), st.integers(1, 400))
@example(10, 30)  # .1 * 30 is a little above 3 in floating point
@example(7, 100)  # and .07 * 100 above 7
@example(29, 100)  # .29 * 100 is a little below 29
def test_a_share_is_rounded_up_as_exact_arithmetic_does(percent: int, count: int) -> None:
    exact = math.ceil(Fraction(percent, 100) * count)
    assert sizes(labelled(a=count), None, percent / 100, 0.5) == ({"a": exact}, ())


@pytest.mark.parametrize("share", [1e-6, 1e-9, 1e-12, 5e-324])
def test_every_label_keeps_one_however_small_the_share(share: float) -> None:
    assert sizes(labelled(a=1, b=50), None, share, 0.5) == ({"a": 1, "b": 1}, ())


def test_a_share_counts_within_each_label() -> None:
    assert sizes(labelled(b=100, a=7, c=1), None, 0.25, 0.9) == ({"a": 2, "b": 25, "c": 1}, ())
    assert sizes(labelled(b=100, a=7, c=1), None, 1.0, 0.9) == ({"a": 7, "b": 100, "c": 1}, ())


def test_without_either_the_default_share_decides() -> None:
    assert sizes(labelled(a=30, b=5), None, None, 0.1) == ({"a": 3, "b": 1}, ())


def test_a_number_is_capped_by_the_label_and_that_is_said() -> None:
    wanted, remarks = sizes(labelled(many=20, five=5, two=2), 5, None, 0.1)
    assert wanted == {"five": 5, "many": 5, "two": 2}
    assert remarks == ("The label 'two' has 2 samples, so it gets 2 prototypes, not 5.",)
    _, remarks = sizes(labelled(a=1, b=3), 9, None, 0.1)
    assert [remark.split("'")[1] for remark in remarks] == ["a", "b"]


def test_a_number_and_a_share_exclude_each_other() -> None:
    with pytest.raises(SummaryError, match=r"^Both k = 3 and share = 0\.5 were given; give one of them\.$"):
        sizes(labelled(a=9), 3, 0.5, 0.1)


@pytest.mark.parametrize("k", [0, -1])
def test_less_than_one_prototype_is_refused(k: int) -> None:
    with pytest.raises(SummaryError, match=rf"^The number of prototypes per label is {k}; expected 1 or more\.$"):
        sizes(labelled(a=9), k, None, 0.1)


@pytest.mark.parametrize("share", [0.0, -0.1, 1.01, math.inf, math.nan])
def test_a_share_that_can_not_be_is_refused(share: float) -> None:
    with pytest.raises(
        SummaryError, match=r"^The share of samples to keep is .*; expected a number above 0 and up to 1"
    ):
        sizes(labelled(a=9), None, share, 0.1)

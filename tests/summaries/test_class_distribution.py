"""class-distribution: the axes are those of the covariance, the same in any order, and what they lack is told."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from helpers import store_of, training_of, unit_vectors
from hypothesis import given, settings
from hypothesis import strategies as st

from embedstore.errors import SummaryError
from embedstore.summaries import Prototypes, class_distribution, class_mean


def axes_of(found: Prototypes) -> npt.NDArray[np.float64]:
    assert found.axes is not None
    return found.axes.astype(np.float64)


def test_the_axes_of_a_hand_made_example() -> None:
    vectors = np.array([[0.5, 0.25], [1, 0], [0.5, -0.25], [0.5, 0]], np.float16)
    found = class_distribution.fit(training_of(vectors, ["b", "a", "b", "b"]), 0)
    assert found.labels == ["a", "b"]
    assert found.vectors.tolist() == [[1, 0], [0.5, 0]]
    np.testing.assert_allclose(axes_of(found), [[[0, 0]], [[0, 0.25]]], atol=1e-7)  # (2 * .25^2 / 2)^.5
    assert found.source.tolist() == [-1, -1]
    assert found.fitted.tolist() == [True] * 4
    assert found.remarks == (
        "The label 'a' gets no axes, since it has one sample; all that can be drawn of it is its mean.",
        "The label 'b' gets 1 axis, not 16: its 3 samples vary in no more directions.",
        "The axes carry 100% of the variance of 'b'.",
    )


@settings(max_examples=60)
@given(st.integers(0, 10**6), st.integers(2, 60), st.integers(2, 24), st.integers(1, 30))
def test_the_axes_are_those_of_numpy(seed: int, count: int, dim: int, rank: int) -> None:
    """With fewer samples than dimensions, and with more."""
    vectors = unit_vectors(seed, 2 * count, dim)
    labels = ["a", "b"] * count
    found = class_distribution.fit(training_of(vectors, labels), 0, rank=rank)
    assert axes_of(found).shape == (2, min(rank, count - 1, dim), dim)
    for number, own in enumerate((vectors[::2], vectors[1::2])):
        covariance = np.cov(own.astype(np.float64), rowvar=False).reshape(dim, dim)
        variances = np.linalg.eigvalsh(covariance)[::-1]
        axes = axes_of(found)[number]
        between = axes @ axes.T
        expected = np.where(variances > 1e-12 * variances[0], variances, 0)[: len(axes)]
        np.testing.assert_allclose(between, np.diag(expected), atol=1e-6)  # at right angles, the longest first
        np.testing.assert_allclose(axes @ covariance, expected[:, None] * axes, atol=1e-6)
        if rank >= dim:
            np.testing.assert_allclose(axes.T @ axes, covariance, atol=1e-6)
        for axis in axes[expected > 0]:
            assert axis[np.abs(axis).argmax()] > 0


def test_the_means_are_those_of_class_mean_to_the_last_bit() -> None:
    training = training_of(unit_vectors(3, 80), ["a", "b", "b", "c"] * 20)
    found, means = class_distribution.fit(training, 0), class_mean.fit(training, 0)
    assert found.vectors.tobytes() == means.vectors.tobytes()
    assert found.labels == means.labels
    assert means.axes is None


@settings(max_examples=20)
@given(st.data(), st.integers(1, 120))
def test_the_axes_are_the_same_in_any_order_to_the_last_bit(data: st.DataObject, count: int) -> None:
    vectors = unit_vectors(data.draw(st.integers(0, 10**6)), count)
    labels = data.draw(st.lists(st.sampled_from("abc"), min_size=count, max_size=count))
    order = data.draw(st.permutations(range(count)))
    found = class_distribution.fit(training_of(vectors, labels, order=order, block=7), 0)
    straight = class_distribution.fit(training_of(vectors, labels, block=1000), 1)
    assert axes_of(found).tobytes() == axes_of(straight).tobytes()
    assert found.remarks == straight.remarks


def test_a_long_label_is_read_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    training = training_of(unit_vectors(1, 300), ["a"] * 300)
    whole = axes_of(class_distribution.fit(training, 0, rank=5))
    monkeypatch.setattr(class_distribution, "_AT_ONCE", 7)
    np.testing.assert_allclose(axes_of(class_distribution.fit(training, 0, rank=5)), whole, atol=1e-7)


def test_twins_give_no_axes_of_rounding() -> None:
    """Means are rounded to float32, which must not look like a direction to vary in."""
    three = unit_vectors(2, 3)
    for copies in (4, 40):  # fewer samples than dimensions, and more
        found = class_distribution.fit(training_of(np.repeat(three, copies, axis=0), ["x"] * 3 * copies), 0, rank=8)
        assert axes_of(found).shape == (1, 2, 12)
        assert (
            found.remarks[0]
            == f"The label 'x' gets 2 axes, not 8: its {3 * copies} samples vary in no more directions."
        )


@pytest.mark.parametrize("count", [2, 40])
def test_equal_samples_have_no_axes(count: int) -> None:
    found = class_distribution.fit(training_of(np.repeat(unit_vectors(2, 1), count, axis=0), ["x"] * count), 0)
    assert axes_of(found).shape == (1, 0, 12)
    assert found.remarks == (
        f"The label 'x' gets no axes, since its {count} samples are all alike; all that can be drawn of it is its mean.",
    )


def test_what_the_axes_leave_out_is_told() -> None:
    vectors, labels = unit_vectors(5, 200), ["a", "b"] * 100
    found = class_distribution.fit(training_of(vectors, labels), 0, rank=3)
    shares = {}
    for label, own in (("a", vectors[::2]), ("b", vectors[1::2])):
        variances = np.linalg.eigvalsh(np.cov(own.astype(np.float64), rowvar=False))
        shares[label] = variances[-3:].sum() / variances.sum()
    least = min(shares, key=shares.__getitem__)
    assert 0.2 < shares[least] < 0.8
    assert found.remarks == (
        f"The axes carry {shares[least]:.0%} of the variance of '{least}', and no less of any other label's.",
    )


# Refused, kept


@pytest.mark.parametrize("rank", [0, -3])
def test_a_rank_below_one_is_refused(tmp_path: Path, rank: int) -> None:
    with store_of(tmp_path / "store", unit_vectors(1, 6), labels=["a", "b"] * 3) as store:
        with pytest.raises(SummaryError, match=f"^The rank of the distributions is {rank}; expected 1 or more\\.$"):
            store.summarize("class-distribution", name="x", rank=rank)
        assert store.summary_names == []


def test_a_huge_rank_takes_no_more_room_than_there_are_axes(tmp_path: Path) -> None:
    with store_of(tmp_path / "store", unit_vectors(1, 9), labels=["a"] * 5 + ["b"] * 4) as store:
        summary = store.summarize("class-distribution", name="x", rank=10**12)
        assert summary.axes is not None
        assert summary.axes.shape == (2, 4, 12)
        assert not summary.axes[1, 3].any()
        assert store.summary("x").parameters == {"rank": 10**12}
        assert store.summary("x").remarks == summary.remarks

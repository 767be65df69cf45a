"""class-mean: exact, in any order, N per label where N are asked for."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from helpers import store_of, training_of, unit_vectors
from hypothesis import given, settings
from hypothesis import strategies as st

from embedstore.errors import SummaryError
from embedstore.summaries import class_mean


def test_the_means_of_a_hand_made_example() -> None:
    vectors = np.array([[1, 0], [0, 1], [0.5, 0.25], [-1, 0]], np.float16)
    found = class_mean.fit(training_of(vectors, ["b", "b", "a", "b"]), 0)
    assert found.labels == ["a", "b"]
    assert found.vectors.tolist() == [[0.5, 0.25], [0, np.float32(1 / 3)]]
    assert found.source.tolist() == [-1, -1]
    assert found.fitted.tolist() == [True] * 4


@settings(max_examples=30, deadline=None)
@given(st.data(), st.integers(1, 300), st.integers(1, 20))
def test_the_means_are_those_of_numpy(data: st.DataObject, count: int, dim: int) -> None:
    vectors = unit_vectors(data.draw(st.integers(0, 10**6)), count, dim)
    labels = data.draw(st.lists(st.sampled_from("abc"), min_size=count, max_size=count))
    order = data.draw(st.permutations(range(count)))
    block = data.draw(st.integers(1, 301))
    found = class_mean.fit(training_of(vectors, labels, order=order, block=block), 0)
    chosen = np.array(labels)
    exact = np.stack([vectors[chosen == label].astype(np.float64).mean(0) for label in sorted(set(labels))])
    assert found.labels == sorted(set(labels))
    assert np.abs(found.vectors - exact).max() <= 1e-7
    straight = class_mean.fit(training_of(vectors, labels, block=1000), 0)
    assert found.vectors.tobytes() == straight.vectors.tobytes()  # sums of float16 in float64 never round


def test_sums_do_not_round_where_float32_would() -> None:
    """A long label: 60,000 vectors whose float32 sum hangs on its order."""
    vectors = np.concatenate([np.full((30_000, 1), 0.1), np.full((30_000, 1), 1e-4)]).astype(np.float16)
    exact = (float(vectors[0, 0]) + float(vectors[-1, 0])) / 2
    for block in (999, 60_000):
        found = class_mean.fit(training_of(vectors, ["x"] * 60_000, block=block), 0)
        assert found.vectors.tolist() == [[np.float32(exact)]]
        assert class_mean.fit(training_of(vectors[::-1], ["x"] * 60_000, block=block), 0).vectors == found.vectors


# N samples per label

COUNT = 90
VECTORS = unit_vectors(4, COUNT)
LABELS = ["many"] * 70 + ["some"] * 15 + ["few"] * 4 + ["one"]


@pytest.mark.parametrize("per_class", [1, 3, 10, 100])
def test_per_class_draws_so_many_of_each_label_and_averages_those(per_class: int) -> None:
    found = class_mean.fit(training_of(VECTORS, LABELS), 7, per_class=per_class)
    drawn = Counter(label for label, made in zip(LABELS, found.fitted, strict=True) if made)
    assert drawn == {label: min(count, per_class) for label, count in Counter(LABELS).items()}
    for k, label in enumerate(found.labels):
        chosen = (np.array(LABELS) == label) & found.fitted
        exact = VECTORS[chosen].astype(np.float64).mean(0)
        assert np.abs(found.vectors[k] - exact).max() <= 1e-7


def test_a_draw_hangs_on_the_seed_and_the_ids_and_not_on_the_order_or_on_other_labels() -> None:
    def drawn(seed: int, **options: object) -> set[str]:
        training = training_of(VECTORS, LABELS, **options)
        found = class_mean.fit(training, seed, per_class=5)
        return {name for name, made in zip(training.ids, found.fitted, strict=True) if made}

    assert drawn(1) == drawn(1, order=np.random.default_rng(0).permutation(COUNT), block=11)
    assert drawn(1) == drawn(1, order=range(COUNT)[::-1], block=1)
    assert len({frozenset(drawn(seed)) for seed in range(10)}) == 10
    many = {name for name in drawn(1) if int(name.split()[1]) < 70}
    assert drawn(1, order=range(70)) == many


def test_a_draw_is_fair() -> None:
    """Over many seeds each sample is drawn about as often as any other: 70 samples, 10 drawn, 400 seeds."""
    times = np.zeros(70)
    for seed in range(400):
        times += class_mean.fit(training_of(VECTORS[:70], LABELS[:70]), seed, per_class=10).fitted
    expected, deviation = 400 * 10 / 70, np.sqrt(400 * (1 / 7) * (6 / 7))
    assert (np.abs(times - expected) < 4.5 * deviation).all()


# Refused, kept


@pytest.mark.parametrize("per_class", [0, -1])
def test_less_than_one_per_class_is_refused(tmp_path: Path, per_class: int) -> None:
    with (
        store_of(tmp_path / "store", VECTORS, labels=LABELS) as store,
        pytest.raises(SummaryError, match=f"^The number of samples per class is {per_class}; expected 1 or more\\.$"),
    ):
        store.summarize("class-mean", name="x", per_class=per_class)


def test_the_parameters_are_kept(tmp_path: Path) -> None:
    with store_of(tmp_path / "store", VECTORS, labels=LABELS) as store:
        summary = store.summarize("class-mean", per_class=3, seed=11)
        made_by = {"per_class": 3}
        assert (summary.strategy, summary.parameters, summary.seed) == ("class-mean", made_by, 11)
        assert int(summary.fitted.sum()) == 10
        assert int(summary.counts.sum()) == COUNT

"""Prototypes that are samples: medoids, random-samples and herding, against their definitions."""

import math
import tracemalloc
from collections import Counter
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pytest
from helpers import training_of, unit_vectors
from hypothesis import given, settings
from hypothesis import strategies as st

from embedstore.errors import SummaryError
from embedstore.summaries import Prototypes, herding, medoids, random_samples, sub_prototypes
from embedstore.summaries.strategy import Strategy
from embedstore.vectors import unit_length

Rows = npt.NDArray[np.float64]


def centred(vectors: npt.NDArray[np.float16]) -> Rows:
    """Return centred directions in float64, of samples that all have labels."""
    wide = vectors.astype(np.float64)
    off = wide - wide.mean(axis=0)
    return off / np.linalg.norm(off, axis=1, keepdims=True)


def sizes_of(found: Prototypes) -> dict[str, int]:
    return dict(Counter(found.labels))


# k and share, the same for all that choose samples

CHOOSERS = [random_samples.fit, herding.fit]
LABELS = ["many"] * 70 + ["some"] * 15 + ["few"] * 4 + ["one"]
VECTORS = unit_vectors(4, len(LABELS))
choosers = pytest.mark.parametrize("fit", CHOOSERS, ids=["random-samples", "herding"])


@choosers
def test_a_tenth_is_kept_where_nothing_is_said(fit: Strategy) -> None:
    assert sizes_of(fit(training_of(VECTORS, LABELS), 0)) == {"few": 1, "many": 7, "one": 1, "some": 2}


@choosers
def test_so_many_or_such_a_share_of_each_label_is_kept(fit: Strategy) -> None:
    found = fit(training_of(VECTORS, LABELS), 0, k=5)
    assert sizes_of(found) == {"few": 4, "many": 5, "one": 1, "some": 5}
    assert found.remarks == (
        "The label 'few' has 4 samples, so it gets 4 prototypes, not 5.",
        "The label 'one' has 1 samples, so it gets 1 prototypes, not 5.",
    )
    assert sizes_of(fit(training_of(VECTORS, LABELS), 0, share=0.3)) == {"few": 2, "many": 21, "one": 1, "some": 5}
    assert sorted(fit(training_of(VECTORS, LABELS), 0, share=1.0).source) == list(range(len(LABELS)))


@choosers
def test_a_smaller_choice_is_the_start_of_a_larger_one(fit: Strategy) -> None:
    training = training_of(VECTORS[:70], LABELS[:70])
    largest = fit(training, 5, k=70).source.tolist()
    assert sorted(largest) == list(range(70))
    for k in (1, 2, 13, 69):
        assert fit(training, 5, k=k).source.tolist() == largest[:k]


@choosers
def test_a_number_or_share_that_can_not_be_is_refused(fit: Strategy) -> None:
    for wrong in (
        {"k": 0},
        {"share": 0.0},
        {"share": 1.5},
        {"k": 1, "share": 0.5},
    ):  # the sentences are those of `test_sizes`
        with pytest.raises(SummaryError):
            fit(training_of(VECTORS, LABELS), 0, **wrong)


def test_no_table_of_all_distances_is_made() -> None:
    training = training_of(unit_vectors(0, 6000, 4), ["x"] * 6000)
    herding.fit(training, 0, k=1)
    tracemalloc.start()
    herding.fit(training, 0, k=20)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 8_000_000  # 6,000 x 6,000 numbers take 36 MB and more


# random-samples


def test_a_random_draw_hangs_on_the_seed_and_the_ids() -> None:
    training = training_of(VECTORS[:70], LABELS[:70])
    draws = [frozenset(random_samples.fit(training, seed, k=5).source.tolist()) for seed in range(10)]
    assert len(set(draws)) == 10
    renamed = training_of(VECTORS[:70], LABELS[:70], ids=[f"other {number}" for number in range(70)])
    assert frozenset(random_samples.fit(renamed, 0, k=5).source.tolist()) != draws[0]
    moved = training_of(-VECTORS[:70], LABELS[:70])
    assert frozenset(random_samples.fit(moved, 0, k=5).source.tolist()) == draws[0]


def test_a_random_draw_is_fair() -> None:
    """Over many seeds each sample is drawn about as often as any other: 70 samples, 10 drawn, 400 seeds."""
    training = training_of(VECTORS[:70], LABELS[:70])
    times = np.zeros(70)
    for seed in range(400):
        times += random_samples.fit(training, seed, k=10).fitted
    expected, deviation = 400 * 10 / 70, np.sqrt(400 * (1 / 7) * (6 / 7))
    assert (np.abs(times - expected) < 4.5 * deviation).all()


def test_a_random_draw_is_another_than_that_of_class_mean() -> None:
    """Else the control would keep the very samples whose mean is its rival."""
    training = training_of(VECTORS[:70], LABELS[:70])
    other = training.drawn(0, b"class-mean")["many"][:10]
    assert set(random_samples.fit(training, 0, k=10).source) != set(other)


# herding


def assert_herded(points: Rows, found: Sequence[int]) -> None:
    """Assert that each choice brings the mean of the chosen as near to the mean of all points as any could."""
    mean = points.mean(axis=0)
    assert len(set(found)) == len(found)
    for step, one in enumerate(found):
        away = {
            at: math.dist(mean, points[[*found[:step], at]].mean(axis=0))
            for at in set(range(len(points))) - set(found[:step])
        }
        assert away[one] <= min(away.values()) + 1e-4


@settings(max_examples=40, deadline=None)
@given(st.data(), st.integers(0, 10**6), st.integers(3, 20), st.integers(3, 6))
def test_herding_is_what_its_definition_says(data: st.DataObject, seed: int, count: int, dim: int) -> None:
    vectors = unit_vectors(seed, count, dim)
    k = data.draw(st.integers(1, count))
    assert_herded(centred(vectors), herding.fit(training_of(vectors, ["x"] * count), 0, k=k).source.tolist())


def test_herding_follows_its_own_label_and_the_centre_of_all() -> None:
    found = herding.fit(training_of(VECTORS[:40], ["x", "y"] * 20), 0, k=7)
    points = centred(VECTORS[:40])
    for first, label in ((0, "x"), (1, "y")):
        own = [int(at) for at, of in zip(found.source, found.labels, strict=True) if of == label]
        assert_herded(points[first::2], [at // 2 for at in own])
        assert {at % 2 for at in own} == {first}


def test_the_mean_of_herded_samples_is_nearer_to_the_label_than_that_of_random_ones() -> None:
    vectors = unit_vectors(8, 300)
    training, points = training_of(vectors, ["x"] * 300), centred(vectors)

    def off(found: Prototypes) -> float:
        return math.dist(points[found.source].mean(axis=0), points.mean(axis=0))

    herded = off(herding.fit(training, 0, k=30))
    assert herded < 0.4 * min(off(random_samples.fit(training, seed, k=30)) for seed in range(20))


# medoids


def medoid_by_definition(points: Rows) -> int:
    return min(range(len(points)), key=lambda at: sum(math.dist(points[at], other) ** 2 for other in points))


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6), st.integers(3, 25), st.integers(3, 6))
def test_one_medoid_is_the_sample_with_the_smallest_sum_of_squared_distances(seed: int, count: int, dim: int) -> None:
    vectors = unit_vectors(seed, count, dim)
    found = medoids.fit(training_of(vectors, ["x"] * count), 0, k=1)
    points = centred(vectors)
    sums = [sum(math.dist(one, other) ** 2 for other in points) for one in points]
    assert len(found.source) == 1
    assert sums[int(found.source[0])] <= min(sums) + 1e-3


def test_medoids_are_the_middles_of_planted_clusters() -> None:
    random = np.random.default_rng(5)
    planted = np.repeat([0, 1, 2], [40, 12, 5])
    vectors = unit_length(np.eye(6)[planted] + random.normal(size=(57, 6)) * 0.05).astype(np.float16)
    found = medoids.fit(training_of(vectors, ["x"] * 57), 1, k=3)
    points = centred(vectors)
    expected = [
        int(inside[medoid_by_definition(points[inside])])
        for inside in (np.flatnonzero(planted == cluster) for cluster in range(3))
    ]
    assert sorted(found.source.tolist()) == sorted(expected)


def test_there_are_as_many_medoids_as_sub_prototypes_each_beside_one() -> None:
    labels = ["x", "y"] * 60
    training = training_of(unit_vectors(3, 120), labels)
    for k in (None, 4):
        means, found = sub_prototypes.fit(training, 2, k=k), medoids.fit(training, 2, k=k)
        assert (found.labels, found.remarks) == (means.labels, means.remarks)
        assert len(found.labels) > 2
        for label in "xy":
            own = np.array(found.labels) == label
            towards = unit_length(means.vectors[own] - training.centre)
            cosine = unit_length(training.read(found.source[own]) - training.centre) @ towards.T
            assert cosine.argmax(axis=1).tolist() == list(range(own.sum()))


def test_with_a_medoid_for_each_sample_they_are_the_samples_and_the_rest_is_said() -> None:
    vectors = unit_vectors(3, 6)
    vectors[5] = vectors[0]
    found = medoids.fit(training_of(vectors, ["x"] * 6, groups=["p", "q", "r", "p", "q", "p"]), 0, k=9)
    assert sorted(found.source.tolist()) == [0, 1, 2, 3, 4]
    assert found.remarks == (
        "The label 'x' gets 5 prototypes, not 9, since it has 6 samples, some of them alike.",
        "5 of the 5 prototypes of 'x' stand for pictures of one part only.",
    )


def test_less_than_one_medoid_is_refused() -> None:
    with pytest.raises(SummaryError, match=r"^The number of prototypes per label is 0; expected 1 or more\.$"):
        medoids.fit(training_of(VECTORS, LABELS), 0, k=0)

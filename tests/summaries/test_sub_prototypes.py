"""sub-prototypes: class-mean where k is 1, planted clusters found, nothing left out, k chosen by what lies far."""

import numpy as np
import numpy.typing as npt
import pytest
from helpers import training_of, unit_vectors
from hypothesis import given, settings
from hypothesis import strategies as st

from embedstore.errors import SummaryError
from embedstore.summaries import Prototypes, class_mean, sub_prototypes
from embedstore.summaries.nearness import near_distances
from embedstore.vectors import unit_length


def around(planted: npt.ArrayLike, dim: int, spread: float, seed: int = 0) -> npt.NDArray[np.float16]:
    """Return a vector around the axis that each sample is planted on."""
    axes = np.eye(dim)[np.asarray(planted)]
    return unit_length(axes + np.random.default_rng(seed).normal(size=axes.shape) * spread).astype(np.float16)


@settings(max_examples=25, deadline=None)
@given(st.data(), st.integers(1, 200), st.integers(1, 12))
def test_with_one_prototype_it_is_class_mean_to_the_last_bit(data: st.DataObject, count: int, dim: int) -> None:
    vectors = unit_vectors(data.draw(st.integers(0, 10**6)), count, dim)
    labels = data.draw(st.lists(st.sampled_from("abc"), min_size=count, max_size=count))
    block = data.draw(st.integers(1, 201))
    found = sub_prototypes.fit(training_of(vectors, labels, block=block), 0, k=1)
    plain = class_mean.fit(training_of(vectors, labels), 0)
    assert found.vectors.tobytes() == plain.vectors.tobytes()
    assert (found.labels, found.source.tolist()) == (plain.labels, plain.source.tolist())
    assert found.fitted.tolist() == plain.fitted.tolist()


def test_prototypes_are_the_means_of_planted_clusters() -> None:
    planted = np.random.default_rng(2).permutation(np.repeat([0, 1, 2, 3], [60, 25, 10, 5]))
    vectors = around(planted, 8, 0.04)
    labels = ["a" if cluster < 2 else "b" for cluster in planted]
    found = sub_prototypes.fit(training_of(vectors, labels, groups=[f"{n % 3}" for n in range(100)]), 0, k=2)
    assert found.labels == ["a", "a", "b", "b"]
    expected = [vectors[planted == cluster].astype(np.float64).mean(axis=0).astype(np.float32) for cluster in range(4)]
    assert sorted(map(bytes, found.vectors)) == sorted(map(bytes, expected))
    assert found.remarks == ()


@pytest.mark.parametrize("seed", range(3))
def test_a_rare_cluster_of_3_in_952_gets_a_prototype_of_its_own_when_there_are_enough(seed: int) -> None:
    defects = np.concatenate([around([0] * 949, 16, 0.1, seed), around([1] * 3, 16, 0.05, seed)])
    training = training_of(
        np.concatenate([defects, around([2] * 952, 16, 0.1, seed + 50)]), ["defect"] * 952 + ["good"] * 952
    )
    assert defects[:949, 1].max() < 0.5  # along the axis of the rare ones
    assert class_mean.fit(training, seed).vectors[0, 1] < 0.1
    found = sub_prototypes.fit(training, seed, k=64)
    assert found.labels == ["defect"] * 64 + ["good"] * 64
    assert unit_length(found.vectors[:64])[:, 1].max() > 0.95


def test_the_prototypes_average_every_sample() -> None:
    """Each sample is in exactly one mean: with its cluster's size as weight the means give the mean of all."""
    vectors = around(np.repeat([0, 1, 2], [40, 30, 7]), 6, 0.05)
    found = sub_prototypes.fit(training_of(vectors, ["x"] * 77), 0, k=3)
    nearest = (unit_length(vectors) @ unit_length(found.vectors).T).argmax(axis=1)
    sizes = np.bincount(nearest, minlength=3)
    assert sorted(sizes.tolist()) == [7, 30, 40]
    assert found.fitted.all()
    assert sizes @ found.vectors.astype(np.float64) / 77 == pytest.approx(vectors.astype(np.float64).mean(0), abs=1e-7)


@pytest.mark.parametrize("k", [1, 7, 30, 90])
def test_vectors_that_are_all_far_apart_are_all_kept_when_k_allows(k: int) -> None:
    vectors = unit_vectors(5, 30)
    found = sub_prototypes.fit(training_of(vectors, ["x"] * 30), 0, k=k)
    assert len(found.vectors) <= min(k, 30)
    if k >= 30:
        assert sorted(map(bytes, found.vectors)) == sorted(map(bytes, vectors.astype(np.float32)))


# Chosen


def far_share(vectors: npt.NDArray[np.float16], found: Prototypes, near: float) -> float:
    away = np.linalg.norm(unit_length(vectors)[:, None] - unit_length(found.vectors)[None], axis=2)
    return float((away.min(axis=1) > near).mean())


@pytest.mark.parametrize(("clusters", "spread"), [(1, 0.1), (5, 0.04), (9, 0.15), (30, 0.02), (12, 0.6)])
def test_a_chosen_k_is_the_first_power_of_2_that_leaves_5_percent_far_or_half_the_samples(
    clusters: int, spread: float
) -> None:
    vectors = around(np.arange(130) % clusters, 32, spread)
    training = training_of(vectors, ["x"] * 130)
    near = near_distances(training)["x"]
    assert near is not None
    found = sub_prototypes.fit(training, 0)
    tried = 1
    while far_share(vectors, sub_prototypes.fit(training, 0, k=tried), near) > 0.05 and 2 * tried <= 65:
        tried *= 2
    same = sub_prototypes.fit(training, 0, k=tried)
    assert found.vectors.tobytes() == same.vectors.tobytes()
    assert far_share(vectors, found, near) <= 0.05 or tried == 64


def test_a_chosen_k_is_chosen_for_each_label() -> None:
    planted = np.concatenate([np.zeros(60, int), 1 + np.arange(64) % 16])
    found = sub_prototypes.fit(training_of(around(planted, 200, 0.01), ["plain"] * 60 + ["varied"] * 64), 0)
    assert found.labels.count("plain") == 1
    assert found.labels.count("varied") >= 16
    assert found.labels == sorted(found.labels)


@pytest.mark.parametrize("count", [1, 2, 3, 40])
def test_a_label_of_one_part_gets_one(count: int) -> None:
    found = sub_prototypes.fit(training_of(unit_vectors(0, count), ["x"] * count, groups=["p"] * count), 0)
    assert len(found.vectors) == 1
    assert found.remarks == ()


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5])
def test_of_a_few_samples_no_more_than_half_are_prototypes(count: int) -> None:
    found = sub_prototypes.fit(training_of(unit_vectors(0, count), ["x"] * count), 0)
    assert len(found.vectors) <= max(1, count // 2)


# What is said


def test_a_label_with_less_to_tell_apart_than_asked_is_named() -> None:
    vectors = np.concatenate([unit_vectors(0, 20), np.repeat(unit_vectors(1, 3), 4, axis=0)])
    groups = ["p", "q"] * 16
    found = sub_prototypes.fit(training_of(vectors, ["a"] * 20 + ["b"] * 12, groups=groups), 0, k=5)
    assert (found.labels.count("a"), found.labels.count("b")) == (5, 3)
    assert (
        "The label 'b' gets 3 prototypes, not 5, since k-means left the other clusters empty, as where pictures are alike."
        in found.remarks
    )
    assert not any("'a' gets" in remark for remark in found.remarks)


@pytest.mark.parametrize(
    ("count", "said"),
    [(1, "1 prototype, not 5, since it has 1 sample."), (4, "4 prototypes, not 5, since it has 4 samples.")],
)
def test_a_label_with_fewer_samples_than_asked_is_named_with_that(count: int, said: str) -> None:
    found = sub_prototypes.fit(training_of(unit_vectors(0, count), ["hole"] * count), 0, k=5)
    assert found.remarks[0] == f"The label 'hole' gets {said}"


def test_fewer_than_asked_is_not_laid_to_too_few_different_pictures() -> None:
    """Of 60 directions, each there twice, k-means may make fewer than 50 clusters."""
    training = training_of(np.repeat(unit_vectors(0, 60), 2, axis=0), ["x"] * 120)
    fewer = [one for one in (sub_prototypes.fit(training, seed, k=50) for seed in range(5)) if len(one.vectors) < 50]
    assert fewer
    for found in fewer:
        assert found.remarks[0] == (
            f"The label 'x' gets {len(found.vectors)} prototypes, not 50, since k-means left the other clusters empty, as "
            "where pictures are alike."
        )


def test_prototypes_made_from_one_part_are_counted() -> None:
    """A cluster of twins is no sign of a mode: cluster 0 shows parts p and q, clusters 1 and 2 one part each."""
    vectors = around([0] * 6 + [1] * 4 + [2] * 3, 6, 0.02)
    groups = ["p", "q"] * 3 + ["r"] * 4 + ["s"] * 3
    found = sub_prototypes.fit(training_of(vectors, ["x"] * 13, groups=groups), 0, k=3)
    assert found.remarks == ("2 of the 3 prototypes of 'x' stand for pictures of one part only.",)
    found = sub_prototypes.fit(training_of(vectors, ["x"] * 13, groups=["p"] * 13), 0, k=3)
    assert found.remarks == ()  # the label has no other


@pytest.mark.parametrize("k", [0, -3])
def test_less_than_one_is_refused(k: int) -> None:
    with pytest.raises(SummaryError, match=rf"^The number of prototypes per label is {k}; expected 1 or more\.$"):
        sub_prototypes.fit(training_of(unit_vectors(0, 9), ["x"] * 9), 0, k=k)

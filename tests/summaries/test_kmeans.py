"""Spherical k-means: planted clusters are found, every point takes part, clusters are numbered without gaps."""

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from embedstore.summaries.kmeans import centroids, spherical_clusters
from embedstore.vectors import Vectors, unit_length


def spread(seed: int, count: int, dim: int = 8) -> Vectors:
    return unit_length(np.random.default_rng(seed).normal(size=(count, dim)))


def by_first_member(clusters: npt.ArrayLike) -> list[int]:
    """Renumber clusters by their first member, one point at a time."""
    numbers: dict[int, int] = {}
    return [numbers.setdefault(int(cluster), len(numbers)) for cluster in np.asarray(clusters)]


@pytest.mark.parametrize("seed", range(5))
def test_planted_clusters_are_found(seed: int) -> None:
    """Of very different sizes, 200 to 5 points, around orthogonal directions."""
    random = np.random.default_rng(seed)
    planted = random.permutation(np.repeat(np.arange(5), [200, 80, 40, 10, 5]))
    points = unit_length(np.eye(12)[planted] + random.normal(size=(335, 12)) * 0.03)
    found = spherical_clusters(points, 12, seed)  # k-means alone may halve a large one, but never joins two of these
    pairs = {(int(cluster), int(truth)) for cluster, truth in zip(found, planted, strict=True)}
    assert len(pairs) == len(set(found.tolist()))
    assert {truth for _, truth in pairs} == set(range(5))


def test_what_lies_in_one_direction_is_one_cluster_whatever_surrounds_it() -> None:
    points = unit_length([[1, 0.02], [-0.02, 1], [1, -0.02], [0.02, 1], [-1, 0]])
    assert spherical_clusters(points, 3, 0).tolist() == [0, 1, 0, 1, 2]


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 60), st.integers(1, 70), st.integers(1, 6))
def test_clusters_are_at_most_k_and_numbered_without_gaps_by_their_first_member(
    seed: int, count: int, k: int, dim: int
) -> None:
    points = spread(seed, count, dim)
    found = spherical_clusters(points, k, seed)
    assert (found.shape, found.dtype) == ((count,), np.int64)
    assert found.tolist() == by_first_member(found)
    assert 1 <= found.max() + 1 <= min(k, count)
    assert spherical_clusters(points, k, seed).tolist() == found.tolist()


@pytest.mark.parametrize("k", [2, 3, 8])
def test_every_point_takes_part(k: int) -> None:
    """FAISS by itself trains on 256 points a centroid: here 512 of 3,000. The others would not shape the means."""
    points = spread(k, 3000, 3)
    found = spherical_clusters(points, k, 1)
    means = unit_length([points[found == cluster].mean(axis=0) for cluster in range(k)])
    moved = (points @ means.T).argmax(axis=1) != found
    assert moved.mean() < 0.001  # at rest: each point is in the cluster of the nearest mean of all members


def test_one_cluster_holds_all() -> None:
    assert spherical_clusters(spread(0, 20), 1, 0).tolist() == [0] * 20


@pytest.mark.parametrize("k", [4, 5, 100])
def test_with_as_many_clusters_as_different_points_each_is_one(k: int) -> None:
    points = spread(0, 4)[[2, 0, 2, 1, 3, 0, 2]]
    assert spherical_clusters(points, k, 0).tolist() == [0, 1, 0, 2, 3, 1, 0]
    assert spherical_clusters(points[:1], k, 0).tolist() == [0]


@pytest.mark.parametrize("first", [0, 1])
def test_how_many_points_differ_is_found_wherever_they_stand(first: int) -> None:
    """Five different points among 4,000, of which the first thousand show one or two."""
    numbers = np.append(np.arange(1000) % (first + 1), np.random.default_rng(0).integers(0, 5, 3000))
    points = spread(0, 5)[numbers]
    for k in (5, 6, 40):
        assert spherical_clusters(points, k, 0).tolist() == by_first_member(numbers)
    assert spherical_clusters(points, 4, 0).max() <= 3
    assert centroids(points, 5, 0).tolist() == sorted(spread(0, 5).tolist())


def test_any_seed_will_do_and_decides() -> None:
    points = spread(0, 300)
    found = {tuple(spherical_clusters(points, 9, seed).tolist()) for seed in (0, 1, -1, 2**31, 2**63 + 7)}
    assert len(found) > 2


def test_a_point_without_direction_is_in_some_cluster() -> None:
    points = np.concatenate([spread(0, 30), np.zeros((2, 8), np.float32)])
    found = spherical_clusters(points, 4, 0)
    assert found[30] == found[31]
    assert found.tolist() == by_first_member(found)

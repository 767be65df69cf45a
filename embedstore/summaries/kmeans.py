"""k-means by FAISS: clusters of directions, by cosine, and centroids of points."""

from typing import Any

import numpy as np
import numpy.typing as npt

from embedstore.vectors import Vectors

_ITERATIONS, _STARTS = 40, 3
_FEWER_ITERATIONS = 15  # for centroids of codes: many are fitted, and more bring nothing


def centroids(points: Vectors, k: int, seed: int) -> Vectors:
    """Return at most k centroids of points (n, d), by k-means on every point; where there are no more different points, those.

    Args:
        points: in an order that the caller has fixed.
        k: how many.
        seed: of the start.
    """
    if not _differ(points, k):
        return np.unique(points, axis=0)
    means = _trained(points, k, seed, spherical=False, iterations=_FEWER_ITERATIONS, starts=1)
    return np.unique(means.centroids.reshape(k, -1), axis=0)


def spherical_clusters(points: Vectors, k: int, seed: int) -> npt.NDArray[np.int64]:
    """Return the cluster (n,) of each of n directions, numbered from 0 without gaps; at most k of them.

    FAISS does the work, told to train on every point, so that no rare mode can vanish.

    Args:
        points: (n, d) of unit length, in an order that the caller has fixed.
        k: how many clusters; with as many as there are distinct points, or more, each of those is one.
        seed: of the starts.
    """
    if not _differ(points, k):
        return _without_gaps(np.unique(points, axis=0, return_inverse=True)[1].reshape(-1))
    if k == 1:
        return np.zeros(len(points), np.int64)
    means = _trained(points, k, seed, spherical=True, iterations=_ITERATIONS, starts=_STARTS)
    _, nearest = means.index.search(points, 1)
    return _without_gaps(nearest[:, 0])


def _differ(points: Vectors, k: int) -> bool:
    """Return whether there are more than k different points; mostly the first few tell, and sorting all takes long."""
    few = 2 * k + 2
    while few < len(points):
        if len(np.unique(points[:few], axis=0)) > k:
            return True
        few *= 8
    return len(np.unique(points, axis=0)) > k


def _trained(points: Vectors, k: int, seed: int, *, spherical: bool, iterations: int, starts: int) -> Any:
    """Return FAISS's k-means, trained on every point: by default it takes 256 a centroid and leaves the others out."""
    import faiss

    means = faiss.Kmeans(
        points.shape[1],
        k,
        niter=iterations,
        nredo=starts,
        spherical=spherical,
        seed=seed % 2**31,
        min_points_per_centroid=1,
        max_points_per_centroid=len(points),
    )
    means.train(np.ascontiguousarray(points))
    return means


def _without_gaps(clusters: npt.NDArray[np.integer]) -> npt.NDArray[np.int64]:
    """Return the clusters numbered by their first member, since one may have lost all of its points."""
    _, first, inverse = np.unique(clusters, return_index=True, return_inverse=True)
    numbers: npt.NDArray[np.int64] = np.argsort(np.argsort(first)).astype(np.int64)
    return np.asarray(numbers[inverse.reshape(-1)])

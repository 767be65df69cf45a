"""Spherical k-means: clusters of directions, by cosine."""

import numpy as np
import numpy.typing as npt

from embedstore.vectors import Vectors

_ITERATIONS, _STARTS = 40, 3


def spherical_clusters(points: Vectors, k: int, seed: int) -> npt.NDArray[np.int64]:
    """Return the cluster (n,) of each of n directions, numbered from 0 without gaps; at most k of them.

    FAISS does the work, told to train on every point: by default it takes 256 a centroid and leaves the others out, so
    that a rare mode can vanish.

    Args:
        points: (n, d) of unit length, in an order that the caller has fixed.
        k: how many clusters; with as many as there are distinct points, or more, each of those is one.
        seed: of the starts.
    """
    distinct, same = np.unique(points, axis=0, return_inverse=True)
    if k >= len(distinct):
        return _without_gaps(same.reshape(-1))
    if k == 1:
        return np.zeros(len(points), np.int64)
    import faiss

    means = faiss.Kmeans(
        points.shape[1],
        k,
        niter=_ITERATIONS,
        nredo=_STARTS,
        spherical=True,
        seed=seed % 2**31,
        min_points_per_centroid=1,
        max_points_per_centroid=len(points),
    )
    means.train(points)
    _, nearest = means.index.search(points, 1)
    return _without_gaps(nearest[:, 0])


def _without_gaps(clusters: npt.NDArray[np.integer]) -> npt.NDArray[np.int64]:
    """Return the clusters numbered by their first member, since one may have lost all of its points."""
    _, first, inverse = np.unique(clusters, return_index=True, return_inverse=True)
    numbers: npt.NDArray[np.int64] = np.argsort(np.argsort(first)).astype(np.int64)
    return np.asarray(numbers[inverse.reshape(-1)])

"""sub-prototypes: several means per label, by spherical k-means within it. Coverage of what a label looks like."""

import numpy as np
import numpy.typing as npt

from embedstore.summaries.change import LabelChange, Updated, moved_means
from embedstore.summaries.kmeans import spherical_clusters
from embedstore.summaries.sizes import check_k, on_fewer
from embedstore.summaries.strategy import Positions, Prototypes, TrainingVectors, directions
from embedstore.vectors import Vectors, squared_distances, unit_length

FAR = 0.05  # k is chosen so that at most this share of a label's samples has no prototype near
MOST_CHOSEN = 256  # prototypes per label; more can be asked for, but not chosen
_NUMBERS = 4_000_000  # distances at once


def fit(training: TrainingVectors, seed: int, *, k: int | None = None) -> Prototypes:
    """Cluster each label's centred directions; a prototype is the mean of a cluster's vectors.

    Every sample takes part in the clustering. With k = 1 this is `class-mean`.

    Args:
        training: n samples of d dimensions.
        seed: of the clustering.
        k: prototypes per label, fewer where k-means leaves clusters empty, as of copies. None chooses for each label: 1, 2, 4,
            ... until no more than 5 % of its samples lie farther than near from their prototype; at most 256, and at most half as
            many as it has samples. A label whose samples are all of one part gets one.

    Raises:
        SummaryError: `k` is below 1.
    """
    check_k(k)
    vectors, labels, remarks = [], [], []
    for label, members in training.members.items():
        samples = training.read(members)
        clusters = (
            chosen_clusters(samples, training.centre, training.near[label], seed)
            if k is None
            else spherical_clusters(directions(samples, training.centre), k, seed)
        )
        means = cluster_means(samples, clusters)
        vectors.append(means)
        labels += [label] * len(means)
        remarks += on_fewer(label, len(means), k, len(samples))
        remarks += single_part_remarks(training, label, members, clusters)
    made = np.concatenate(vectors)
    return Prototypes(made, labels, np.full(len(made), -1, np.int64), np.ones(len(training.ids), bool), tuple(remarks))


def chosen_clusters(samples: Vectors, centre: Vectors, near: float | None, seed: int) -> npt.NDArray[np.int64]:
    """Return clusters of one label's samples (n, d): 1, 2, 4, ... until 5 % of them or fewer have no prototype near."""
    points = directions(samples, centre)
    k = 1
    while True:
        clusters = spherical_clusters(points, k, seed)
        if near is None or 2 * k > min(MOST_CHOSEN, len(samples) // 2):
            return clusters
        if (distances_to(samples, cluster_means(samples, clusters)) > near).mean() <= FAR:
            return clusters
        k *= 2


def cluster_means(samples: Vectors, clusters: npt.NDArray[np.int64]) -> Vectors:
    """Return the mean of each cluster's vectors, summed exactly (see `TrainingVectors.centre`)."""
    count = int(clusters.max()) + 1
    sums = np.zeros((count, samples.shape[1]), np.float64)
    np.add.at(sums, clusters, samples.astype(np.float64))
    return (sums / np.bincount(clusters, minlength=count)[:, None]).astype(np.float32)


def distances_to(samples: Vectors, prototypes: Vectors) -> npt.NDArray[np.float64]:
    """Return how far each sample's direction (n, d) is from the nearest prototype's (k, d)."""
    towards = unit_length(prototypes)
    step = max(1, _NUMBERS // len(towards))
    parts = [
        np.sqrt(squared_distances(unit_length(samples[start : start + step]), towards).min(axis=1))
        for start in range(0, len(samples), step)
    ]
    return np.concatenate(parts)


def single_part_remarks(
    training: TrainingVectors, label: str, members: Positions, clusters: npt.NDArray[np.int64]
) -> list[str]:
    """Say how many clusters were made from one part only, where a label has several parts."""
    parts: dict[int, set[str]] = {}
    for at, cluster in zip(members, clusters, strict=True):
        parts.setdefault(int(cluster), set()).add(training.groups[at])
    single = sum(len(found) == 1 for found in parts.values())
    if single == 0 or len({training.groups[at] for at in members}) == 1:
        return []
    return [f"{single} of the {len(parts)} prototypes of '{label}' stand for pictures of one part only."]


def update(change: LabelChange, seed: int, *, k: int | None = None) -> Updated:
    """Give what came to the nearest prototype, and move those that gained or lost; see `change.moved_means`.

    There are never more prototypes than before, so a new kind pulls at an old one until the label is clustered again.
    """
    training = change.training
    means, before, member = moved_means(change, np.arange(len(change.vectors)))
    clusters = np.searchsorted(before, member)
    remarks = single_part_remarks(training, change.label, np.arange(len(training.ids)), clusters)
    none = np.full(len(means), -1, np.int64)
    every = np.ones(len(training.ids), bool)
    return Updated(Prototypes(means, [change.label] * len(means), none, every, tuple(remarks)), before)

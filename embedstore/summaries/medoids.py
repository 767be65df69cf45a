"""medoids: the sample in the middle of each sub-prototype's cluster, where a prototype must be a real image."""

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from embedstore.summaries.change import LabelChange, Updated
from embedstore.summaries.kmeans import spherical_clusters
from embedstore.summaries.sizes import check_k, on_fewer
from embedstore.summaries.strategy import Prototypes, TrainingVectors, directions
from embedstore.summaries.sub_prototypes import chosen_clusters, single_part_remarks
from embedstore.vectors import Vectors


def fit(training: TrainingVectors, seed: int, *, k: int | None = None) -> Prototypes:
    """Cluster each label's centred directions as `sub-prototypes` does, and keep each cluster's medoid.

    Args:
        training: n samples of d dimensions.
        seed: of the clustering.
        k: prototypes per label, fewer where k-means leaves clusters empty, as of copies; None chooses as `sub-prototypes` does.

    Raises:
        SummaryError: `k` is below 1.
    """
    check_k(k)
    chosen, remarks = {}, []
    for label, members in training.members.items():
        samples = training.read(members)
        points = directions(samples, training.centre)
        clusters = (
            chosen_clusters(samples, training.centre, training.near[label], seed)
            if k is None
            else spherical_clusters(points, k, seed)
        )
        chosen[label] = members[cluster_medoids(points, clusters)]
        remarks += on_fewer(label, len(chosen[label]), k, len(samples))
        remarks += single_part_remarks(training, label, members, clusters)
    return Prototypes.from_samples(training, chosen, tuple(remarks))


def cluster_medoids(points: Vectors, clusters: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Return the medoid of each cluster: the member with the smallest sum of squared distances to the members.

    For directions that is the member of the largest cosine to the members' mean, so no distances between members are
    needed. Of equal ones it is the first.
    """
    found = []
    for cluster in range(int(clusters.max()) + 1):
        inside = np.flatnonzero(clusters == cluster)
        own = points[inside].astype(np.float64)
        found.append(inside[((own - own.mean(axis=0)) ** 2).sum(axis=1).argmin()])
    return np.array(found, np.int64)


def update(change: LabelChange, seed: int, *, k: int | None = None) -> Updated:
    """Keep the medoids that stayed, and give what came to the nearest; where one left, the middle of those left takes its place.

    Only of such a cluster are other samples read.
    """
    training = change.training
    member = change.served_by.copy()
    member[change.came] = change.nearest(change.came_vectors, np.arange(len(change.vectors)))
    source, before = [], []
    for number, at in enumerate(change.source.tolist()):
        members = np.flatnonzero(member == number)
        if change.left_source[number] and len(members):
            points = directions(training.read(members), training.centre)
            at = members[cluster_medoids(points, np.zeros(len(members), np.int64))[0]]  # noqa: PLW2901
        if at >= 0:
            source.append(int(at))
            before.append(number)
    if not source:  # all medoids left, and none had another member: what came is a label of its own
        anew = fit(training, seed, k=k)
        return Updated(anew, np.full(len(anew.labels), -1, np.int64))
    made = Prototypes.from_samples(training, {change.label: np.array(source, np.int64)})
    clusters = np.searchsorted(np.array(before), member)
    remarks = single_part_remarks(training, change.label, np.arange(len(training.ids)), clusters)
    return Updated(replace(made, remarks=tuple(remarks)), np.array(before, np.int64))

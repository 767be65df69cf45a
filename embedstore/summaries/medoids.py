"""medoids: the sample in the middle of each sub-prototype's cluster, where a prototype must be a real image."""

import numpy as np
import numpy.typing as npt

from embedstore.summaries.kmeans import spherical_clusters
from embedstore.summaries.sizes import check_k
from embedstore.summaries.strategy import Prototypes, TrainingVectors, directions
from embedstore.summaries.sub_prototypes import chosen_clusters, single_part_remarks
from embedstore.vectors import Vectors


def fit(training: TrainingVectors, seed: int, *, k: int | None = None) -> Prototypes:
    """Cluster each label's centred directions as `sub-prototypes` does, and keep each cluster's medoid.

    Args:
        training: n samples of d dimensions.
        seed: of the clustering.
        k: prototypes per label, no more than it has different vectors; None chooses as `sub-prototypes` does.

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
        if k is not None and len(chosen[label]) < k:
            remarks.append(
                f"The label '{label}' gets {len(chosen[label])} prototypes, not {k}, since it has no more to tell apart."
            )
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

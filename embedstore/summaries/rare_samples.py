"""rare-samples: the samples that means would lose, each kept as its own prototype beside some common ones.

The farthest samples alone are dirt and wrong labels, and losing them costs nothing. So rarity is balanced with coverage:
of the samples without a prototype near, those are kept first that stand for the most others. What a person called rare and
real is no dirt, so that is kept in any case.
"""

from collections import Counter
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from embedstore.summaries.change import LabelChange, Updated, moved_means
from embedstore.summaries.kmeans import spherical_clusters
from embedstore.summaries.sizes import check_k, check_share, kept_of, on_most_kept, share_of
from embedstore.summaries.strategy import Positions, Prototypes, TrainingVectors, directions
from embedstore.summaries.sub_prototypes import cluster_means, distances_to
from embedstore.vectors import Vectors, squared_distances, unit_length

_NUMBERS = 4_000_000  # distances at once
MOST_LOST = 5_000  # samples of a label that are weighed against each other, the farthest: memory is its square


def fit(training: TrainingVectors, seed: int, *, share: float = 0.1, k: int = 32) -> Prototypes:
    """Keep a share of each label's samples, the rare ones, and summarise the others by sub-prototypes.

    Those that a person called rare are kept first, and if they are more than the share, all of them. Of a label whose share
    is more than 5,000 samples, 5,000 are kept: out of as many that are farthest, and those that a person called rare.

    Args:
        training: n samples of d dimensions.
        seed: of the clustering.
        share: of each label's samples to keep, rounded up, above 0 and up to 1.
        k: common prototypes per label.

    Raises:
        SummaryError: `share` or `k` is out of range.
    """
    check_share(share)
    check_k(k)
    vectors, labels, sources = [], [], []
    fitted = np.zeros(len(training.ids), bool)
    beyond = 0  # the share
    for label, members in training.members.items():
        samples = training.read(members)
        groups = [training.groups[at] for at in members]
        points = directions(samples, training.centre)
        gap = distances_beyond_own_part(samples, groups, spherical_clusters(points, k, seed))
        said, wanted = np.flatnonzero(np.isin(members, training.rare)), kept_of(share, len(members))
        beyond += max(0, len(said) - wanted)
        among = np.arange(len(members))
        if wanted < share_of(share, len(members)):  # else each that is kept would cost a look at all
            among = np.union1d(np.argsort(-gap, kind="stable")[:MOST_LOST], said)
        rare = among[
            rarest(
                samples[among],
                [groups[at] for at in among],
                gap[among],
                training.near[label],
                max(wanted, len(said)),
                said=np.searchsorted(among, said),
            )
        ]
        rest = np.setdiff1d(np.arange(len(members)), rare)
        means = samples[:0]
        if len(rest):  # again, so that what is kept does not pull them
            means = cluster_means(samples[rest], spherical_clusters(points[rest], k, seed))
        vectors += [means, samples[rare]]
        labels += [label] * (len(means) + len(rare))
        sources += [np.full(len(means), -1, np.int64), members[rare]]
        fitted[members] = True
    counts = {label: len(at) for label, at in training.members.items()}
    remarks = (*on_said(len(training.rare), beyond), *on_most_kept(counts, share))
    return Prototypes(np.concatenate(vectors), labels, np.concatenate(sources), fitted, remarks)


def on_said(said: int, beyond: int) -> tuple[str, ...]:
    """Say how many samples are kept since a person called them rare."""
    if not said:
        return ()
    pictures, them = (f"{said} pictures are", "them") if said > 1 else ("1 picture is", "it")
    more = f", {beyond} of them beyond the share that was asked for" if beyond else ""
    return (f"{pictures} kept because a person called {them} rare{more}.",)


def distances_beyond_own_part(
    samples: Vectors, groups: list[str], clusters: npt.NDArray[np.int64]
) -> npt.NDArray[np.float64]:
    """Return how far each sample (n, d) is from the nearest cluster's mean that other parts have made too.

    A cluster of a sample's own part alone says nothing of how usual the sample is: a rare part, the more so one that was
    photographed twice, gets a cluster of its own. Where there is no other cluster, the distance is the largest there is, 2.
    """
    means = cluster_means(samples, clusters)
    parts: list[set[str]] = [set() for _ in means]
    for group, cluster in zip(groups, clusters, strict=True):
        parts[cluster].add(group)
    alone = {cluster: next(iter(found)) for cluster, found in enumerate(parts) if len(found) == 1}
    if len(set(groups)) == 1:  # nothing is known beyond this part
        alone = {}
    points, towards = unit_length(samples), unit_length(means)
    gap = np.empty(len(samples))
    step = max(1, _NUMBERS // len(means))
    for start in range(0, len(samples), step):
        squares = squared_distances(points[start : start + step], towards)
        own = np.array(groups[start : start + step], object)
        for cluster, group in alone.items():
            squares[own == group, cluster] = np.inf
        gap[start : start + step] = np.sqrt(squares.min(axis=1))
    return np.minimum(gap, 2)


def rarest(
    samples: Vectors,
    groups: list[str],
    distance: npt.NDArray[np.float64],
    near: float | None,
    count: int,
    *,
    said: Positions | Sequence[int] = (),
) -> Positions:
    """Return which samples (n, d) of one label to keep, the first to be kept first.

    While some have no prototype near, the one is kept that takes most of the distance off between these lost samples and
    their prototypes, summed over parts: the greedy choice of facility location (Nemhauser et al. 1978). A lone speck of
    dirt brings only itself nearer, a rare kind of defect all parts that show it. When none is lost, the farthest from all
    that is kept (farthest-first traversal, Gonzalez 1985). The twins of a kept sample lie near it, so they add little.

    Args:
        samples: of one label, in an order that the caller has fixed.
        groups: the part that each shows.
        distance: (n,) of each to the nearest prototype that the label has already.
        near: the label's near distance; None where all of its samples are of one part.
        count: how many to keep, with those in `said`.
        said: which are kept in any case, before all others.
    """
    points = unit_length(samples)
    gap = distance.copy()  # from each sample to the nearest of all that is kept
    kept: list[int] = []

    def keep(one: int) -> None:
        kept.append(one)
        np.minimum(gap, np.sqrt(np.maximum(0, 2 - 2 * (points @ points[one]))), out=gap)
        gap[one] = -1  # never again

    for one in said:
        keep(int(one))
    if near is not None:
        lost = np.flatnonzero(gap > near)
        lost = lost[np.argsort(-gap[lost], kind="stable")][:MOST_LOST]
        apart = np.sqrt(squared_distances(points[lost], points[lost])).astype(np.float32)
        np.fill_diagonal(apart, 0)
        pictures = Counter(groups[at] for at in lost)
        weight = np.array([1 / pictures[groups[at]] for at in lost], np.float32)  # a part counts once
        left = gap[lost].astype(np.float32)  # what is still to be taken off
        gain = np.maximum(0, left - apart) @ weight
        while len(kept) < count and (left > near).any():
            best = int(np.argmax(np.where(left >= 0, np.round(gain, 5), -1)))
            nearer = np.minimum(left, apart[best])
            changed = np.flatnonzero(nearer < left)
            before, after = (np.maximum(0, part[changed] - apart[:, changed]) for part in (left, nearer))
            gain -= (before - after) @ weight[changed]
            left = nearer
            left[best] = -1  # never again
            keep(int(lost[best]))
    while len(kept) < count:
        keep(int(np.argmax(gap)))
    return np.array(kept, np.int64)


def update(change: LabelChange, seed: int, *, share: float = 0.1, k: int = 32) -> Updated:
    """Keep the rare samples that stayed, fill the share up from what came and what a lost one spoke for, and move the means.

    Only these candidates get new scores. A rare sample that came while the share is full is not kept, unless a person called
    it rare; where that hides too much, the label is made again.
    """
    training, every = change.training, np.arange(len(change.training.ids))
    is_mean = (change.source < 0) & ~change.left_source
    kept = np.flatnonzero(~is_mean & ~change.left_source)
    left = np.flatnonzero(change.left_source)
    said = np.setdiff1d(training.rare, change.source[kept])
    candidates = np.union1d(np.union1d(change.came, np.flatnonzero(np.isin(change.served_by, left))), said)
    free = max(kept_of(share, len(every)) - len(kept), len(said))
    chosen = candidates[:0]
    if free > 0 and len(candidates):
        samples = training.read(candidates)
        there = np.flatnonzero(~change.left_source)
        gap = distances_to(samples, change.vectors[there]) if len(there) else np.full(len(samples), 2.0)
        groups = [training.groups[at] for at in candidates]
        wanted = min(free, len(candidates))
        near = training.near[change.label]
        first = np.flatnonzero(np.isin(candidates, said))
        chosen = candidates[rarest(samples, groups, gap, near, wanted, said=first)]
    means, before, _ = moved_means(change, np.flatnonzero(is_mean), np.append(change.source[kept], chosen))
    source = np.concatenate([np.full(len(means), -1), change.source[kept], chosen]).astype(np.int64)
    made = Prototypes(
        np.concatenate([means, change.vectors[kept], training.read(chosen)]),
        [change.label] * len(source),
        source,
        np.ones(len(every), bool),
    )
    return Updated(made, np.concatenate([before, kept, np.full(len(chosen), -1)]).astype(np.int64))

"""The strategies that need no label's vectors together: `fit(training, shards, seed, **parameters)`, as `STRATEGIES` take them.

Means are the same to the bit as those of gathered vectors. k-means starts elsewhere, from a drawn part, so it may settle
elsewhere; see `clusters`.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from embedstore.summaries import class_distribution, class_mean, random_samples
from embedstore.summaries.over_shards.clusters import Clusters, KMeans, nearest_cosines
from embedstore.summaries.over_shards.rare import Common, rarest_over
from embedstore.summaries.over_shards.shards import Numbers, Read, Shard, Shards
from embedstore.summaries.over_shards.sums import label_means, label_products
from embedstore.summaries.rare_samples import MOST_LOST, on_said, rarest
from embedstore.summaries.sizes import check_k, check_share, kept_of, on_fewer, on_most_kept
from embedstore.summaries.strategy import Prototypes, TrainingVectors
from embedstore.summaries.sub_prototypes import FAR, MOST_CHOSEN
from embedstore.vectors import Vectors, exact_directions

_FROM_PART = (
    "Made over shards, so never with all vectors of a label in memory: k-means started from a drawn part of each label and then "
    "passed over all samples. Its clusters may differ from those of the ordinary way."
)
_FROM_FARTHEST = f"What is kept of a label is chosen among its {MOST_LOST} rarest samples, where it has more."


def class_mean_over(
    training: TrainingVectors, shards: Shards, seed: int, *, per_class: int | None = None
) -> Prototypes:
    """As `class_mean.fit`, to the bit. With `per_class` the drawn samples are all that is read."""
    none = np.full(len(shards.labels), -1, np.int64)
    if per_class is None:
        means, _ = label_means(shards, training.dim)
        return Prototypes(means, list(shards.labels), none, np.ones(len(training.ids), bool))
    class_mean.check_per_class(per_class)
    drawn = [at[:per_class] for at in training.drawn(seed, class_mean.DRAW).values()]
    fitted = np.zeros(len(training.ids), bool)
    fitted[np.concatenate(drawn)] = True
    means = np.stack([training.total(at) / len(at) for at in drawn]).astype(np.float32)
    return Prototypes(means, list(shards.labels), none, fitted)


def class_distribution_over(training: TrainingVectors, shards: Shards, seed: int, *, rank: int = 16) -> Prototypes:
    """As `class_distribution.fit`, but for the rounding of other sums: one pass for the means, one for the products."""
    class_distribution.check_rank(rank)
    means = class_mean_over(training, shards, seed)
    large = np.flatnonzero(shards.counts > training.dim)
    found = {
        label: class_distribution.axes_of_products(products, int(shards.counts[label]), rank)
        for label, products in label_products(shards, means.vectors, large)
    }
    for label, members in enumerate(training.members.values()):
        if label not in found:  # no more samples than dimensions
            found[label] = class_distribution.principal_axes(training, members, means.vectors[label], rank)
    return class_distribution.distributions(training, means, [found[label] for label in sorted(found)], rank)


def random_samples_over(
    training: TrainingVectors, shards: Shards, seed: int, *, k: int | None = None, share: float | None = None
) -> Prototypes:
    """As `random_samples.fit`, to the bit, which reads no more than what it draws."""
    return random_samples.fit(training, seed, k=k, share=share)


def sub_prototypes_over(training: TrainingVectors, shards: Shards, seed: int, *, k: int | None = None) -> Prototypes:
    """As `sub_prototypes.fit`, with k-means over shards; k is chosen in the same way."""
    check_k(k)
    means = KMeans(training, shards, seed)
    found = means.clusters(_wanted(training, shards, means, k))
    labels = [shards.labels[number] for number in found.label]
    none = np.full(len(labels), -1, np.int64)
    every = np.ones(len(training.ids), bool)
    return Prototypes(found.means, labels, none, every, _on_clusters(shards, found, k))


def medoids_over(training: TrainingVectors, shards: Shards, seed: int, *, k: int | None = None) -> Prototypes:
    """As `medoids.fit`, with k-means over shards, and one more pass for who is in the middle of each cluster."""
    check_k(k)
    means = KMeans(training, shards, seed)
    found, at = means.medoids(_wanted(training, shards, means, k))
    chosen = {label: at[found.label == number] for number, label in enumerate(shards.labels)}
    return Prototypes.from_samples(training, chosen, _on_clusters(shards, found, k))


def _on_clusters(shards: Shards, found: Clusters, k: int | None) -> tuple[str, ...]:
    """Say how clusters were made, and what a gathered fit would say of them."""
    remarks = [_FROM_PART]
    for number, label in enumerate(shards.labels):
        own = found.label == number
        remarks += on_fewer(label, int(own.sum()), k, int(shards.counts[number]))
        single = int((found.part[own] >= 0).sum())
        if single and not shards.lone[number]:
            remarks.append(f"{single} of the {own.sum()} prototypes of '{label}' stand for pictures of one part only.")
    return tuple(remarks)


def count_far(
    shard: Shard, read: Read, towards: npt.NDArray[np.float64], first: Numbers, near: npt.NDArray[np.float64]
) -> Numbers:
    """Step: how many samples (labels,) of each label lie farther than near (labels,) from the nearest of its prototypes.

    These are `towards` (k, d), exact; those of label c are `first[c]` up to `first[c + 1]`. A label without is passed over.
    """
    far = np.zeros(len(near), np.int64)
    for label, _, vectors in shard.by_label(read, np.diff(first) > 0):
        _, cosine = nearest_cosines(exact_directions(vectors), towards[first[label] : first[label + 1]])
        far[label] += int((2 - 2 * cosine > near[label] ** 2).sum())
    return far


def _wanted(training: TrainingVectors, shards: Shards, means: KMeans, k: int | None) -> Numbers:
    """Return how many clusters each label gets (labels,): k, or 1, 2, 4, ... until few enough samples have none near."""
    if k is not None:
        return np.full(len(shards.labels), k)
    near = np.array([np.nan if one is None else one for one in training.near.values()])
    most = np.minimum(MOST_CHOSEN, shards.counts // 2)
    asked, chosen = np.ones(len(shards.labels), np.int64), np.zeros(len(shards.labels), np.int64)
    while asked.any():
        found = means.clusters(asked)
        first = np.searchsorted(found.label, np.arange(len(asked) + 1))
        far = np.zeros(len(asked), np.int64)
        for part in shards.map("Enough clusters?", count_far, exact_directions(found.means), first, near):
            far += part
        done = (asked > 0) & (np.isnan(near) | (2 * asked > most) | (far <= FAR * shards.counts))
        chosen[done] = asked[done]
        asked = np.where(done, 0, 2 * asked)
    return chosen


def rare_samples_over(
    training: TrainingVectors, shards: Shards, seed: int, *, share: float = 0.1, k: int = 32
) -> Prototypes:
    """As `rare_samples.fit`, with k-means over shards; what is kept is among the 5,000 highest scores of each label."""
    check_share(share)
    check_k(k)
    means = KMeans(training, shards, seed)
    wanted = np.full(len(shards.labels), k)
    said = shards.numbers(training.rare)
    common = Common.of(means.clusters(wanted), shards.lone, said)
    kept: list[npt.NDArray[np.int64]] = []
    beyond = 0
    for number, scored in sorted(rarest_over(shards, common, MOST_LOST).items()):
        label, order = shards.labels[number], np.argsort(scored.numbers)  # as gathered samples are: by id
        at, own = shards.positions[scored.numbers[order]], np.flatnonzero(np.isin(scored.numbers[order], said))
        count = kept_of(share, int(shards.counts[number]))
        beyond += max(0, len(own) - count)
        groups = [training.groups[one] for one in at]
        chosen = rarest(
            training.read(at),
            groups,
            scored.gaps[order],
            training.near[label],
            max(count, len(own)),
            said=own,
        )
        kept.append(at[chosen])
    rest = means.clusters(wanted, np.concatenate(kept))  # again, so that what is kept does not pull them
    vectors, labels, sources = [], [], []
    for number, (label, at) in enumerate(zip(shards.labels, kept, strict=True)):
        own_means = rest.means[rest.label == number]
        vectors += [own_means, training.read(at)]
        labels += [label] * (len(own_means) + len(at))
        sources += [np.full(len(own_means), -1, np.int64), at]
    counts = dict(zip(shards.labels, shards.counts.tolist(), strict=True))
    among = (_FROM_FARTHEST,) if max(counts.values()) > MOST_LOST else ()
    remarks = (*on_said(len(training.rare), beyond), *on_most_kept(counts, share), _FROM_PART, *among)
    every = np.ones(len(training.ids), bool)
    made: Vectors = np.concatenate(vectors)
    return Prototypes(made, labels, np.concatenate(sources), every, remarks)

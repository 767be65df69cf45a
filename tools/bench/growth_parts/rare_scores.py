"""Rare scores of all samples, over shards, against the exact ones.

The score of a sample is what `rare-samples` ranks by: the distance from its direction to the nearest common prototype of its
label that another part has made too. Common prototypes are the means of k-means with 32 clusters a label. Two things may be
lost on the way, and each is measured by itself, as the share of the exact top 1 % that is found:

- of the scoring: shards, their top lists, and their merging. Exact are the scores of all samples, compared one by one in
  float64 with the same prototypes, and sorted. This is the definition of the score, which names the prototypes it is of.
- of the clustering: k-means that starts from a drawn part instead of all vectors. Compared with the same scores against the
  prototypes of k-means on all gathered vectors of a label. k-means ends in one of many equally good optima, so the same
  is told of that k-means with another seed: no more can be asked for than two runs on the same vectors agree in. Where a
  label has about as many modes as prototypes, that is little (24 modes and 10,000 samples: 33 %; over shards 43 %), for each
  run leaves other modes without a prototype.

How many of the planted rare samples are among those listed is told as well.
"""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import numpy.typing as npt

from embedstore import EmbeddingStore
from embedstore.summaries import TrainingVectors
from embedstore.summaries.kmeans import spherical_clusters
from embedstore.summaries.over_shards.clusters import KMeans
from embedstore.summaries.over_shards.rare import Common, rarest_over
from embedstore.summaries.over_shards.shards import InProcess
from embedstore.summaries.rare_samples import distances_beyond_own_part
from embedstore.summaries.strategy import directions

K, TOP = 32, 0.01


def over_shards(store: EmbeddingStore) -> tuple[dict[str, npt.NDArray[np.int64]], TrainingVectors, Common]:
    """Return of each label the positions of the top 1 %, over shards, and what they were compared with."""
    training = TrainingVectors.from_store(store, np.arange(len(store)), InProcess())
    shards = training.shards
    assert shards is not None  # noqa: S101  an engine was given
    clusters = KMeans(training, shards, 0).clusters(np.full(len(shards.labels), K))
    common = Common.of(clusters, shards.lone, np.zeros(0, np.int64))
    most = int(np.ceil(TOP * shards.counts.max()))
    found = rarest_over(shards, common, most)
    top = {
        shards.labels[label]: shards.positions[scored.numbers[: int(np.ceil(TOP * shards.counts[label]))]]
        for label, scored in found.items()
    }
    return top, training, common


def overlaps(
    training: TrainingVectors, common: Common, top: dict[str, npt.NDArray[np.int64]], modes: list[str | None]
) -> dict[str, Any]:
    """Return the share of the exact top 1 % that was found, of all labels together; see above."""
    shards = training.shards
    assert shards is not None  # noqa: S101
    planted = {at for at, mode in enumerate(modes) if (mode or "").startswith("rare")}
    found = {"same prototypes": 0, "gathered": 0, "two gathered runs": 0}
    seconds = 0.0
    for label, members in training.members.items():
        own, count = set(top[label].tolist()), len(top[label])
        samples = training.read(members)
        groups = [training.groups[at] for at in members]
        number = shards.labels.index(label)
        towards = slice(common.first[number], common.first[number + 1])
        exact = _scores(samples, shards.parts[members], common.directions[towards], common.alone[towards])
        found["same prototypes"] += len(own & _top(members, exact, count))
        tops = []
        for seed in (0, 1):
            began = time.monotonic()
            clusters = spherical_clusters(directions(samples, training.centre), K, seed)
            tops.append(_top(members, distances_beyond_own_part(samples, groups, clusters), count))
            seconds += time.monotonic() - began
        found["gathered"] += len(own & tops[0])
        found["two gathered runs"] += len(tops[0] & tops[1])
    total = sum(map(len, top.values()))
    listed = {at for own in top.values() for at in own.tolist()}
    return {
        "top": total,
        **{name: count / total for name, count in found.items()},
        "planted": len(planted),
        "planted found": len(planted & listed) / min(len(planted), total),
        "seconds of a gathered run": seconds / 2,
    }


def _scores(
    samples: npt.NDArray[np.float32],
    parts: npt.NDArray[np.int32],
    towards: npt.NDArray[np.float64],
    alone: npt.NDArray[np.int64],
) -> npt.NDArray[np.float64]:
    """Return the score (n,) of each sample, one prototype at a time."""
    points = samples / np.linalg.norm(samples.astype(np.float64), axis=1, keepdims=True)
    gap = np.full(len(samples), 2.0)
    for prototype, part in zip(towards, alone, strict=True):
        away = np.sqrt(((points - prototype) ** 2).sum(axis=1))
        gap = np.where(parts == part, gap, np.minimum(gap, away))
    return gap


def _top(members: npt.NDArray[np.int64], scores: npt.NDArray[np.float64], count: int) -> set[int]:
    return set(members[np.argsort(-scores, kind="stable")[:count]].tolist())

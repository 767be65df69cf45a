"""Choices that were tried and earned no place among the strategies; kept here so that the record can be made again.

k-centre is below k-means at every size, and means weighted by the teacher's confidence are far below plain ones: a rare
defect looks like a good part, so confidence takes away what is to be kept.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from embedstore.summaries import Prototypes, TrainingVectors, class_mean
from embedstore.summaries.strategy import directions
from embedstore.vectors import Vectors, unit_length

_TEMPERATURE = 0.1  # of the teacher's confidence: a difference of .1 in cosine is a factor of e


def k_centre(training: TrainingVectors, seed: int, *, k: int) -> Prototypes:
    """Choose k samples of each label by farthest-first traversal, twin-aware; of fewer samples, all.

    Greedily the sample farthest from all chosen ones (Gonzalez 1985; for active learning Sener and Savarese,
    arXiv 1708.00489), which leaves no sample more than twice as far away as the best choice would, where each sample is
    of a part of its own.
    """
    chosen = {
        label: at[farthest_first(unit_length(training.read(at)), [training.groups[one] for one in at], min(k, len(at)))]
        for label, at in training.members.items()
    }
    return Prototypes.from_samples(training, chosen)


def farthest_first(points: Vectors, groups: Sequence[str], count: int) -> npt.NDArray[np.int64]:
    """Return `count` of n points (n, d) of unit length in the order of choice, the first being the nearest to their mean.

    A second picture of a part, as `groups` (n,) name it, is taken only when each part has one. Of equally far points it
    is the first.
    """
    codes = np.unique(np.array(groups, object), return_inverse=True)[1]
    mean = points.mean(axis=0, dtype=np.float64)
    similarity = np.full(len(points), -np.inf, np.float32)  # to the most similar chosen one
    open_part, open_point = np.ones(len(points), bool), np.ones(len(points), bool)
    chosen = np.empty(count, np.int64)
    for number in range(count):
        allowed = open_part if open_part.any() else open_point
        cost = similarity if number else -(points @ mean.astype(np.float32))
        chosen[number] = np.where(allowed, cost, np.inf).argmin()
        open_point[chosen[number]] = False
        open_part &= codes != codes[chosen[number]]
        similarity = np.maximum(similarity, points @ points[chosen[number]])
    return chosen


def confident_means(training: TrainingVectors, seed: int) -> Prototypes:
    """Average each label, a sample weighing as much as the teacher is sure of its label.

    That is the softmax, over the labels, of the cosine between the sample and the plain means, both centred.
    """
    plain = class_mean.fit(training, seed)
    towards = directions(plain.vectors, training.centre).astype(np.float64)
    own = np.array([plain.labels.index(label) for label in training.labels], np.int64)
    sums, total = np.zeros(plain.vectors.shape), np.zeros(len(plain.labels))
    for positions, vectors in training.blocks(0):
        cosine = directions(vectors, training.centre).astype(np.float64) @ towards.T / _TEMPERATURE
        shares = np.exp(cosine - cosine.max(axis=1, keepdims=True))
        weights = (shares / shares.sum(axis=1, keepdims=True))[np.arange(len(positions)), own[positions]]
        np.add.at(sums, own[positions], vectors.astype(np.float64) * weights[:, None])
        np.add.at(total, own[positions], weights)
    return Prototypes((sums / total[:, None]).astype(np.float32), plain.labels, plain.source, plain.fitted)

"""k-centre: samples such that no sample of the label is far from all of them. Coverage by real images."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from embedstore.summaries.sizes import sizes
from embedstore.summaries.strategy import Prototypes, TrainingVectors
from embedstore.vectors import Vectors, unit_length

SHARE = 0.1


def fit(training: TrainingVectors, seed: int, *, k: int | None = None, share: float | None = None) -> Prototypes:
    """Choose samples of each label by farthest-first traversal, twin-aware.

    Greedily the sample farthest from all chosen ones (Gonzalez 1985; for active learning Sener and Savarese,
    arXiv 1708.00489), which leaves no sample more than twice as far away as the best choice would, where each sample is
    of a part of its own. Distances are Euclidean between vectors of unit length, as for near.

    Args:
        training: n samples of d dimensions.
        seed: decides nothing here.
        k: so many of each label, or
        share: this share of each label, rounded up; without either, a tenth.

    Raises:
        SummaryError: both `k` and `share` are given, or one is out of range.
    """
    wanted, remarks = sizes(training, k, share, SHARE)
    chosen = {
        label: at[farthest_first(unit_length(training.read(at)), [training.groups[one] for one in at], wanted[label])]
        for label, at in training.members.items()
    }
    return Prototypes.from_samples(training, chosen, remarks)


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

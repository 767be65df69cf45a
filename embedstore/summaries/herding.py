"""herding: samples whose own mean is close to the label's (Welling 2009; exemplars of iCaRL, arXiv 1611.07725). A control."""

import numpy as np
import numpy.typing as npt

from embedstore.summaries.sizes import sizes
from embedstore.summaries.strategy import Prototypes, TrainingVectors
from embedstore.vectors import Vectors

SHARE = 0.1


def fit(training: TrainingVectors, seed: int, *, k: int | None = None, share: float | None = None) -> Prototypes:
    """Choose samples of each label one by one, each time the one that brings their mean nearest to the label's mean.

    Means are those of centred directions. No sample is chosen twice; of equally good ones the first by id is.

    Args:
        training: n samples of d dimensions.
        seed: decides nothing here.
        k: so many of each label, or
        share: this share of each label, rounded up; without either, a tenth.

    Raises:
        SummaryError: both `k` and `share` are given, or one is out of range.
    """
    wanted, remarks = sizes(training, k, share, SHARE)
    chosen = {label: at[herded(training.directions(at), wanted[label])] for label, at in training.members.items()}
    return Prototypes.from_samples(training, chosen, remarks)


def herded(points: Vectors, count: int) -> npt.NDArray[np.int64]:
    """Return `count` of n points (n, d) in the order of choice; one product with all points for each.

    With t chosen of sum s, the next x brings |mean - (s + x) / (t + 1)| to its minimum, which is where |x|^2 - 2 x.w is
    smallest for w = (t + 1) mean - s.
    """
    mean = points.mean(axis=0, dtype=np.float64)
    squares = (points * points).sum(axis=1)
    left = np.zeros(points.shape[1], np.float64)  # w, in which the large parts cancel
    chosen = np.empty(count, np.int64)
    for number in range(count):
        left += mean
        cost = squares - 2 * (points @ left.astype(np.float32))
        cost[chosen[:number]] = np.inf
        chosen[number] = cost.argmin()
        left -= points[chosen[number]]
    return chosen

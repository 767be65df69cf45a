"""class-mean: one mean vector per label, as CLIP-Embed-KD keeps (arXiv 2404.06170). The fair baseline.

It averages rare defects away; the averaging loss says how many.
"""

import numpy as np
import numpy.typing as npt

from embedstore.errors import SummaryError
from embedstore.summaries.strategy import Prototypes, TrainingVectors, directions
from embedstore.vectors import Vectors

_TEMPERATURE = 0.1  # of the teacher's confidence: a difference of .1 in cosine is a factor of e


def fit(training: TrainingVectors, seed: int, *, per_class: int | None = None, weighted: bool = False) -> Prototypes:
    """Average the vectors of each label, in one pass; weighted, in two.

    The sums of unweighted means are exact (see `TrainingVectors.centre`), so order and blocks change nothing.

    Args:
        training: n samples of d dimensions.
        seed: decides which samples are drawn, with `per_class`.
        per_class: average so many random samples of each label, as the paper does with 100; None takes all.
        weighted: weigh each sample by the teacher's confidence in its label: the softmax, over the labels, of the
            cosine between the sample and the plain means, both centred. A sample that looks like another label counts less.

    Raises:
        SummaryError: `per_class` is below 1.
    """
    if per_class is not None and per_class < 1:
        raise SummaryError(f"The number of samples per class is {per_class}; expected 1 or more.")
    labels = list(training.members)
    number = {label: index for index, label in enumerate(labels)}
    label_of = np.array([number[label] for label in training.labels], np.int64)
    fitted = np.ones(len(training.ids), bool)
    if per_class is not None:
        fitted[:] = False
        for members in training.drawn(seed, b"class-mean").values():
            fitted[members[:per_class]] = True
    weights = fitted.astype(np.float64)
    means = _means(training, label_of, weights, len(labels))
    if weighted:
        weights *= _confidence(training, label_of, means)
        means = _means(training, label_of, weights, len(labels))
    return Prototypes(means, labels, np.full(len(labels), -1, np.int64), fitted)


def _means(
    training: TrainingVectors, label_of: npt.NDArray[np.int64], weights: npt.NDArray[np.float64], count: int
) -> Vectors:
    sums = np.zeros((count, training.dim), np.float64)
    for positions, vectors in training.blocks(0):
        np.add.at(sums, label_of[positions], vectors.astype(np.float64) * weights[positions, None])
    return (sums / np.bincount(label_of, weights, minlength=count)[:, None]).astype(np.float32)


def _confidence(training: TrainingVectors, label_of: npt.NDArray[np.int64], means: Vectors) -> npt.NDArray[np.float64]:
    """Return each sample's confidence as a multiple of 2^-12, so that weighted sums are exact too."""
    towards = directions(means, training.centre).astype(np.float64)
    confidence = np.empty(len(training.ids))
    for positions, vectors in training.blocks(0):
        cosine = directions(vectors, training.centre).astype(np.float64) @ towards.T / _TEMPERATURE
        shares = np.exp(cosine - cosine.max(axis=1, keepdims=True))
        confidence[positions] = (shares / shares.sum(axis=1, keepdims=True))[
            np.arange(len(positions)), label_of[positions]
        ]
    return np.maximum(np.round(confidence * 2**12), 1) / 2**12

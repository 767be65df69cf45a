"""class-mean: one mean vector per label, as CLIP-Embed-KD keeps (arXiv 2404.06170). The fair baseline.

It averages rare defects away; the averaging loss says how many.
"""

import numpy as np

from embedstore.errors import SummaryError
from embedstore.summaries.change import LabelChange, Updated
from embedstore.summaries.strategy import Prototypes, TrainingVectors

DRAW = b"class-mean"  # tells this draw from others


def fit(training: TrainingVectors, seed: int, *, per_class: int | None = None) -> Prototypes:
    """Average the vectors of each label, in one pass.

    The sums are exact (see `TrainingVectors.centre`), so order and blocks change nothing.

    Args:
        training: n samples of d dimensions.
        seed: decides which samples are drawn, with `per_class`.
        per_class: average so many random samples of each label, as the paper does with 100; None takes all.

    Raises:
        SummaryError: `per_class` is below 1.
    """
    check_per_class(per_class)
    labels = list(training.members)
    number = {label: index for index, label in enumerate(labels)}
    label_of = np.array([number[label] for label in training.labels], np.int64)
    fitted = np.ones(len(training.ids), bool)
    if per_class is not None:
        fitted[:] = False
        for members in training.drawn(seed, DRAW).values():
            fitted[members[:per_class]] = True
    sums = np.zeros((len(labels), training.dim), np.float64)
    for positions, vectors in training.blocks(0):
        of_mean = fitted[positions]
        np.add.at(sums, label_of[positions][of_mean], vectors[of_mean].astype(np.float64))
    counts = np.bincount(label_of[fitted], minlength=len(labels))
    means = (sums / counts[:, None]).astype(np.float32)
    return Prototypes(means, labels, np.full(len(labels), -1, np.int64), fitted)


def check_per_class(per_class: int | None) -> None:
    """Refuse a number of samples that can't be.

    Raises:
        SummaryError: it is below 1.
    """
    if per_class is not None and per_class < 1:
        raise SummaryError(f"The number of samples per class is {per_class}; expected 1 or more.")


def update(change: LabelChange, seed: int, *, per_class: int | None = None) -> Updated:
    """Move a label's mean by the sums of what came and left: the mean made anew, but for float32's rounding of the last one.

    With `per_class` the draw hangs on ids alone, so it is drawn again; whoever it takes in or drops is all that is read.
    """
    training = change.training
    fitted = np.ones(len(training.ids), bool)
    if per_class is not None:
        fitted[:] = False
        fitted[training.drawn(seed, DRAW)[change.label][:per_class]] = True
    joined = np.flatnonzero(fitted & ~change.was_fitted)
    dropped = np.flatnonzero(~fitted & change.was_fitted)
    count = int(change.was_fitted.sum() + change.left_fitted.sum())
    total = change.vectors[0].astype(np.float64) * count
    total += training.total(joined)
    total -= change.left[change.left_fitted].astype(np.float64).sum(axis=0)
    total -= training.total(dropped)
    mean = (total / fitted.sum()).astype(np.float32)[None]
    return Updated(Prototypes(mean, [change.label], np.array([-1]), fitted), np.zeros(1, np.int64))

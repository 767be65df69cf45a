"""class-mean: one mean vector per label, as CLIP-Embed-KD keeps (arXiv 2404.06170). The fair baseline.

It averages rare defects away; the averaging loss says how many.
"""

import hashlib

import numpy as np

from embedstore.errors import SummaryError
from embedstore.summaries.strategy import Prototypes, TrainingVectors


def fit(training: TrainingVectors, seed: int, *, per_class: int | None = None) -> Prototypes:
    """Average the vectors of each label, in one pass.

    The sums are exact, so the means do not depend on the order of rows or on block sizes: stored components are float16
    of magnitude up to 1, that is multiples of 2^-24, and float64 adds more than 10^8 of those without rounding.

    Args:
        training: n samples of d dimensions.
        seed: decides which samples are drawn, with `per_class`.
        per_class: average so many random samples of each label, as the paper does with 100; None takes all.

    Raises:
        SummaryError: `per_class` is below 1.
    """
    if per_class is not None and per_class < 1:
        raise SummaryError(f"The number of samples per class is {per_class}; expected 1 or more.")
    labels = sorted(set(training.labels))
    number = {label: index for index, label in enumerate(labels)}
    serving = np.array([number[label] for label in training.labels], np.int64)
    fitted = _drawn(training, seed, per_class)
    sums = np.zeros((len(labels), training.dim), np.float64)
    for positions, vectors in training.blocks():
        chosen = fitted[positions]
        np.add.at(sums, serving[positions[chosen]], vectors[chosen].astype(np.float64))
    counts = np.bincount(serving[fitted], minlength=len(labels))
    return Prototypes((sums / counts[:, None]).astype(np.float32), labels, serving, fitted)


def _drawn(training: TrainingVectors, seed: int, per_class: int | None) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    """Return which samples are averaged: per label those of the smallest seeded hash, so row order does not matter."""
    drawn = np.ones(len(training.ids), bool)
    if per_class is not None:
        order = sorted(range(len(training.ids)), key=lambda at: _hash(seed, training.ids[at]))
        taken = dict.fromkeys(training.labels, 0)
        for at in order:
            taken[training.labels[at]] += 1
            drawn[at] = taken[training.labels[at]] <= per_class
    return drawn


def _hash(seed: int, sample_id: str) -> bytes:
    return hashlib.blake2b(f"{seed}\0{sample_id}".encode(), digest_size=16, person=b"class-mean").digest()

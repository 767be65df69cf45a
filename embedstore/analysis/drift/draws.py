"""Random batches, drawn by whole parts from all parts at hand: what tells chance from drift.

If nothing changed, the batch is one of the many ways in which some parts could have been picked. Pictures of one part are no
independent draws, so parts are shuffled, not pictures, and each part counts as much as another, however many pictures it has:
else five pictures of each of ten parts would pass for fifty parts. Each stratum gives as many parts as it gave to the batch, so
that a batch with more defects is compared with draws that have as many.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Numbers = npt.NDArray[np.float64]
Codes = npt.NDArray[np.int64]
Masks = npt.NDArray[np.bool_]

_TIE = 1e-9  # sums in another order differ by less


def drawn_batches(batch: npt.NDArray[np.bool_], strata: Codes, draws: int, seed: int) -> Masks:
    """Return which parts are in each drawn batch (draws + 1, n); the first is the batch itself.

    Args:
        batch: (n,) which parts are in the batch.
        strata: (n,) the stratum of each; every draw takes as many of it as the batch has.
        draws: how many batches to draw.
        seed: of the shuffling.
    """
    keys = np.random.default_rng(seed).random((draws, len(batch)), np.float32)
    masks = np.zeros((draws + 1, len(batch)), bool)
    masks[0] = batch
    for stratum in np.unique(strata[batch]):
        own = np.flatnonzero(strata == stratum)
        wanted = int(batch[own].sum())
        first = np.argpartition(keys[:, own], wanted - 1, axis=1)[:, :wanted]
        masks[np.arange(1, draws + 1)[:, None], own[first]] = True
    return masks


def between_parts(
    distances: npt.NDArray[np.float32], parts: Codes, guessed: npt.NDArray[np.bool_]
) -> npt.NDArray[np.float32]:
    """Return the mean distance (p, p) between the pictures of two parts, of distances (n, n) between pictures.

    Of a part to itself it is 0, so that a part of several pictures counts as one of a single picture does; not of a guessed one,
    in which pictures of several parts lie far from each other: these would be missing from the batch's spread.

    Args:
        distances: between pictures.
        parts: (n,) the part of each, 0 to p - 1, all of which occur.
        guessed: (p,) which parts are guessed.
    """
    order = np.argsort(parts, kind="stable")
    sizes = np.bincount(parts)
    starts = np.cumsum(sizes) - sizes
    sums = np.add.reduceat(np.add.reduceat(distances[order], starts, axis=0)[:, order], starts, axis=1)
    between: npt.NDArray[np.float32] = (sums / np.outer(sizes, sizes)).astype(np.float32)
    known = np.flatnonzero(~guessed)
    between[known, known] = 0
    return between


def contrasts(masks: Masks, strata: Codes) -> npt.NDArray[np.float32]:
    """Return weights (b, n) that take the mean over the other parts from the mean over each drawn batch.

    On both sides, each stratum counts as much as in the batch, which comes first. Where a draw leaves nothing of a stratum, it
    counts on one side only.
    """
    inside, weights = masks.astype(np.float32), np.zeros(masks.shape, np.float32)
    size = int(masks[0].sum())
    for stratum in np.unique(strata):
        own = strata == stratum
        share = np.float32(masks[0, own].sum() / size)
        taken = inside[:, own].sum(axis=1, keepdims=True)
        left = int(own.sum()) - taken
        weights[:, own] = share * (inside[:, own] / np.maximum(1, taken) - (1 - inside[:, own]) / np.maximum(1, left))
    return weights


def quadratic(weights: npt.NDArray[np.float32], kernel: npt.NDArray[np.float32]) -> Numbers:
    """Return w K w for each row of weights (b, n) and a kernel (n, n)."""
    products: Numbers = np.einsum("bn,bn->b", weights @ kernel, weights, dtype=np.float64)
    return products


def tail_shares(values: Numbers) -> Numbers:
    """Return for each of some values (..., b) which share of them is as large or larger, itself included."""
    ordered = np.sort(values, axis=-1)
    at_least = [
        len(row) - np.searchsorted(row, one - _TIE * max(1.0, abs(float(row[-1]))), "left")
        for row, one in zip(ordered.reshape(-1, values.shape[-1]), values.reshape(-1, values.shape[-1]), strict=True)
    ]
    shares: Numbers = np.stack(at_least).reshape(values.shape) / values.shape[-1]
    return shares


def combined(statistics: Sequence[Numbers]) -> tuple[float, list[float]]:
    """Return the p-value of several tests together, and of each, of the batch that comes first.

    Each statistic (b,) is of the batch and of all drawn ones. The smallest p-value of the batch is held against the smallest
    of each drawn one, so the false-alarm rate of all together is the one that is asked for, whatever they have in common
    (Westfall and Young, 1993).
    """
    each = tail_shares(np.stack(list(statistics)))
    together = tail_shares(-each.min(axis=0))
    return float(together[0]), [float(one[0]) for one in each]

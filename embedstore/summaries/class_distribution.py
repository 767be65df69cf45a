"""class-distribution: the mean of each label and the axes along which its samples vary most. More than a mean, no sample kept.

From these a target can be drawn: the mean, and along each axis a random step of the spread that the label has there.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from embedstore.errors import SummaryError
from embedstore.summaries import class_mean
from embedstore.summaries.strategy import Positions, Prototypes, TrainingVectors
from embedstore.vectors import Vectors

_AT_ONCE = 2048  # vectors; fixed, since sums round otherwise with other blocks
_NOTHING = 1e-12  # of the largest variance: what is left of none, since vectors are stored as float16


def fit(training: TrainingVectors, seed: int, *, rank: int = 16) -> Prototypes:
    """Take each label's mean, as `class-mean` does, and the principal axes of its covariance (unbiased, by n - 1).

    What varies beside the axes is left out, so draws vary less than the samples; a remark says by how much.

    Args:
        training: n samples of d dimensions.
        seed: decides nothing here.
        rank: axes per label; fewer where a label has no more samples or dimensions to vary in.

    Raises:
        SummaryError: `rank` is below 1.
    """
    check_rank(rank)
    means = class_mean.fit(training, seed)
    found = [
        principal_axes(training, members, means.vectors[number], rank)
        for number, members in enumerate(training.members.values())
    ]
    return distributions(training, means, found, rank)


def check_rank(rank: int) -> None:
    """Refuse a number of axes that can't be.

    Raises:
        SummaryError: it is below 1.
    """
    if rank < 1:
        raise SummaryError(f"The rank of the distributions is {rank}; expected 1 or more.")


def distributions(
    training: TrainingVectors, means: Prototypes, spread: Sequence[tuple[npt.NDArray[np.float64], float]], rank: int
) -> Prototypes:
    """Put means together with the axes and the variance of each label, as `principal_axes` returns them."""
    of_label, remarks, carried = [], [], {}
    for (label, members), (found, variance) in zip(training.members.items(), spread, strict=True):
        of_label.append(found)
        if len(found) < rank:
            remarks.append(_few(label, len(members), len(found), rank))
        if variance > 0:
            carried[label] = float((found**2).sum() / variance)
    if carried:
        least = min(carried, key=carried.__getitem__)
        others = ", and no less of any other label's" if len(carried) > 1 else ""
        remarks.append(f"The axes carry {carried[least]:.0%} of the variance of '{least}'{others}.")
    axes = np.zeros((len(of_label), max(map(len, of_label)), training.dim), np.float32)
    for number, found in enumerate(of_label):
        axes[number, : len(found)] = found
    return Prototypes(means.vectors, means.labels, means.source, means.fitted, tuple(remarks), axes)


def principal_axes(
    training: TrainingVectors, members: Positions, mean: Vectors, rank: int
) -> tuple[npt.NDArray[np.float64], float]:
    """Return up to `rank` axes (r, d) of some samples, the longest first, and their variance summed over dimensions.

    Each is as long as the standard deviation along it, and its largest component is positive. Of (d, d) products between
    dimensions and (n, n) products between samples, which have the same eigenvalues, the fewer are decomposed.
    """
    count, dim = len(members), training.dim
    if count <= dim:
        off = training.read(members).astype(np.float64) - mean
        products = off @ off.T
        squares, vectors = np.linalg.eigh(products)
        axes = vectors.T @ off  # each of the length that a singular value has
    else:
        products = np.zeros((dim, dim))
        for start in range(0, count, _AT_ONCE):
            off = training.read(members[start : start + _AT_ONCE]).astype(np.float64) - mean
            products += off.T @ off
        return axes_of_products(products, count, rank)
    return _longest(axes, squares, count, rank), float(np.trace(products)) / max(1, count - 1)


def axes_of_products(products: npt.NDArray[np.float64], count: int, rank: int) -> tuple[npt.NDArray[np.float64], float]:
    """Return what `principal_axes` does, of the products (d, d) between dimensions of so many vectors without their mean."""
    squares, vectors = np.linalg.eigh(products)
    axes = vectors.T * np.sqrt(np.maximum(squares, 0))[:, None]
    return _longest(axes, squares, count, rank), float(np.trace(products)) / max(1, count - 1)


def _longest(
    axes: npt.NDArray[np.float64], squares: npt.NDArray[np.float64], count: int, rank: int
) -> npt.NDArray[np.float64]:
    """Return the longest axes, each as long as a standard deviation; given in rising order with their squared lengths."""
    dim = axes.shape[1]
    free = max(1, count - 1)
    wanted = min(rank, count - 1, dim, int((squares > _NOTHING * squares[-1]).sum()))
    axes = axes[::-1][:wanted] / np.sqrt(free)  # eigenvalues come in rising order
    largest = np.abs(axes).argmax(axis=1)
    axes *= np.sign(axes[np.arange(wanted), largest])[:, None]
    return axes


def _few(label: str, count: int, found: int, rank: int) -> str:
    if found:
        axes = "axis" if found == 1 else "axes"
        return f"The label '{label}' gets {found} {axes}, not {rank}: its {count} samples vary in no more directions."
    why = "it has one sample" if count == 1 else f"its {count} samples are all alike"
    return f"The label '{label}' gets no axes, since {why}; all that can be drawn of it is its mean."

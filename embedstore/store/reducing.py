"""Fit what brings a store's vectors to fewer axes: the centre and the principal axes of its training side."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from embedstore.errors import SettingsError
from embedstore.store.reading import StoreReader
from embedstore.teachers.reduction import KIND, Halves, Reduction, projected

Flags = npt.NDArray[np.bool_]


def training_side(store: StoreReader) -> Flags:
    """Return which samples (n,) a centre and axes may be fitted to.

    Raises:
        SettingsError: none is in the split `train`.
    """
    chosen = store.where({"split": "train"})
    if not chosen.any():
        raise SettingsError(
            f"Centre and axes are fitted to the training side alone, and no sample of '{store.path}' is in the split 'train'; "
            f"write a split first: embedstore split '{store.path}'"
        )
    return chosen


def fitted_centre(store: StoreReader, chosen: Flags) -> Halves:
    """Return the mean (d,) of the plain vectors of some samples (n,); zeros where there are none."""
    total = np.zeros(store.dim, np.float64)
    for positions, vectors in store.scan():
        total += vectors[chosen[positions]].sum(axis=0, dtype=np.float64)
    centre: Halves = (total / max(1, int(chosen.sum()))).astype("<f2")
    return centre


def fit(store: StoreReader, dims: int) -> Reduction:
    """Fit centre and axes to the plain vectors of a store's training side.

    Args:
        store: to be reduced.
        dims: how many axes.

    Raises:
        SettingsError: the store was reduced already, has no training side, or not so many axes.
    """
    if KIND in store.space:
        raise SettingsError(
            f"The vectors of '{store.path}' are on {store.dim} axes already; reduce the store that it was made from."
        )
    chosen = training_side(store)
    most = min(store.dim - 1, int(chosen.sum()))
    if not 1 <= dims <= most:
        raise SettingsError(
            f"The number of dimensions is {dims}; expected 1 to {most}, for the vectors have {store.dim} and the training side "
            f"{int(chosen.sum())} samples."
        )
    centre = fitted_centre(store, chosen)
    spread = np.zeros((store.dim, store.dim), np.float64)
    for positions, vectors in store.scan():
        directions = projected(vectors[chosen[positions]], centre).astype(np.float64)
        spread += directions.T @ directions
    axes = np.linalg.eigh(spread)[1][:, : -dims - 1 : -1]
    largest = axes[np.abs(axes).argmax(axis=0), np.arange(dims)]
    return Reduction(store.teacher, store.fingerprint, centre, np.ascontiguousarray(axes * np.sign(largest), "<f2"))

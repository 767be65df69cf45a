"""Where on a picture a model's map of its square cut has its peak, and the map as it lies on the picture. Needs no PyTorch."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image

from embedstore.views import Fit

Numbers = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Place:
    """The place of a picture that looks most like a defect.

    Attributes:
        x: its centre, in pixels of the picture as it is shown (upright, whatever its EXIF data say), from the left edge.
        y: the same from the upper edge.
        deviations: how far it is from what is usual of places of good parts, in standard deviations.
    """

    x: float
    y: float
    deviations: float


def peak(where: Numbers, fit: Fit, size: tuple[int, int]) -> Place:
    """Return the place with the largest number.

    Args:
        where: (side, side) of the picture's square cut; see `model.Seen`.
        fit: how the picture was brought to a square.
        size: width and height of the picture, in pixels.
    """
    side = len(where)
    centres = (np.arange(side) + 0.5) / side
    across, down = ((centres - bar) / (1 - 2 * bar) for bar in _bars(fit, size))
    shown = np.where(_on_picture(down)[:, None] & _on_picture(across), where, -np.inf)
    row, column = np.unravel_index(int(shown.argmax()), shown.shape)
    x, y = (float(np.clip(share, 0, 1)) for share in (across[column], down[row]))
    return Place(round(x * size[0], 1), round(y * size[1], 1), round(float(where[row, column]), 2))


def on_picture(where: Numbers, fit: Fit, size: tuple[int, int]) -> Numbers:
    """Return the map as it lies on a picture, (height, width), one number a pixel.

    Args:
        where: see `peak`.
        fit: see `peak`.
        size: width and height of the picture, or of a smaller copy.
    """
    side = len(where)
    left, top = (bar * side for bar in _bars(fit, size))
    laid = Image.fromarray(where.astype(np.float32)).resize(
        size, Image.Resampling.BILINEAR, box=(left, top, side - left, side - top)
    )
    return np.asarray(laid, np.float32)


def _bars(fit: Fit, size: tuple[int, int]) -> tuple[float, float]:
    """Return which shares of the square stay free on either side, across and down."""
    if fit == "squash":
        return 0.0, 0.0
    across, down = ((1 - length / max(size)) / 2 for length in size)
    return across, down


def _on_picture(shares: npt.NDArray[np.float64]) -> npt.NDArray[np.bool_]:
    """Return which centres of places are on the picture; of one that is narrower than a place, those that are nearest."""
    away = np.abs(shares - 0.5)
    found: npt.NDArray[np.bool_] = away <= max(0.5, away.min() + 1e-9)
    return found

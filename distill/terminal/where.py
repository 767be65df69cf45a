"""Where on a picture a model's map of its square cut has its peak, and the map as it lies on the picture. Needs no PyTorch."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image

from embedstore.views import Fit

Numbers = npt.NDArray[np.float32]
Shares = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Place:
    """The place of a picture that looks most like a defect, in whole pixels of the upright picture, whatever its EXIF data say.

    Attributes:
        x: its centre, from the left edge; at most the picture's width - 1.
        y: the same from the upper edge.
        width: of what of it is on the picture, at least 1; a map says no more than that the defect is somewhere in there.
        height: the same.
        deviations: how far it is from what is usual of places of good parts, in standard deviations.
    """

    x: int
    y: int
    width: int
    height: int
    deviations: float


def peak(where: Numbers, fit: Fit, size: tuple[int, int]) -> Place:
    """Return the place with the largest number.

    Args:
        where: (side, side) of the picture's square cut; see `model.Seen`.
        fit: how the picture was brought to a square.
        size: width and height of the picture, in pixels.
    """
    across, down = (_edges(bar, len(where)) for bar in _bars(fit, size))
    shown = np.where(_on_picture(down)[:, None] & _on_picture(across), where, -np.inf)
    row, column = np.unravel_index(int(shown.argmax()), shown.shape)
    x, width = _in_pixels(across[column : column + 2], size[0])
    y, height = _in_pixels(down[row : row + 2], size[1])
    return Place(x, y, width, height, round(float(where[row, column]), 2))


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


def _edges(bar: float, side: int) -> Shares:
    """Return where places begin and end (side + 1,), as shares of the picture's length: below 0 or above 1 beside it."""
    edges: Shares = (np.arange(side + 1) / side - bar) / (1 - 2 * bar)
    return edges


def _on_picture(edges: Shares) -> npt.NDArray[np.bool_]:
    """Return which places have their centres on the picture; of one that is narrower than a place, the nearest of them."""
    away = np.abs((edges[1:] + edges[:-1]) / 2 - 0.5)
    found: npt.NDArray[np.bool_] = away <= max(0.5, away.min() + 1e-9)
    return found


def _in_pixels(edges: Shares, length: int) -> tuple[int, int]:
    """Return the middle and the length of that part of a place which is on a picture of this length."""
    first, last = (edges.clip(0, 1) * length).tolist()
    return min(round((first + last) / 2), length - 1), max(1, round(last - first))

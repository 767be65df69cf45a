"""Cuts the views of a batch at once: what `embedstore.views.render` gives of each, up to rounding.

Beside sharp edges, which overshoot, a few pixels differ by more: Pillow takes the axes in the order that is cheaper for a
picture, and cuts off what is above white or below black in between.

A view is a resampling, and a resampling is two weighted sums, along the rows and along the columns: which pixels count, and
how much, is one small table per view and axis. All views of a batch go through each sum together.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn.functional import embedding_bag

from embedstore.views import PADDING, Fit, View

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]


MOST_BYTES = 1 << 26  # of pictures that are cut together, laid side by side; one that is larger is cut alone


def cut_views(pictures: Sequence[npt.NDArray[np.uint8]], views: Sequence[View], size: int, fit: Fit) -> Tensor:
    """Return one view of each picture as (m, 3, size, size) uint8 RGB, anti-aliased.

    Args:
        pictures: (m), each (width, height, 1 or 3): columns one after the other.
        views: (m) what to cut from each.
        size: side of the square, in pixels.
        fit: how a crop reaches it: `squash` or `letterbox`.
    """
    parts = _parts(pictures)
    cut = [_cut(_columns([pictures[at] for at in part]), [views[at] for at in part], size, fit) for part in parts]
    if len(parts) == 1:
        return cut[0]
    found = torch.empty(len(pictures), 3, size, size, dtype=torch.uint8)
    for part, own in zip(parts, cut, strict=True):
        found[part] = own
    return found


def _parts(pictures: Sequence[npt.NDArray[np.uint8]]) -> list[list[int]]:
    """Return which pictures are cut together: all, or where that takes too much memory, those of like height."""
    everyone = list(range(len(pictures)))
    if _bytes(pictures) <= MOST_BYTES:
        return [everyone]
    parts: list[list[int]] = [[]]
    for at in sorted(everyone, key=lambda at: pictures[at].shape[1]):
        if parts[-1] and _bytes([pictures[other] for other in [*parts[-1], at]]) > MOST_BYTES:
            parts.append([])
        parts[-1].append(at)
    return parts


def _bytes(pictures: Sequence[npt.NDArray[np.uint8]]) -> int:
    """Return how many bytes pictures take side by side."""
    widths, heights, channels = zip(*(picture.shape for picture in pictures), strict=True)
    return int(sum(widths) * max(heights) * max(channels))


@dataclass(frozen=True)
class _Columns:
    """Pictures (m), column by column, one after the other.

    Attributes:
        pixels: (columns of all pictures, height of the highest, channels) uint8; below a lower picture anything.
        first: (m,) where each begins among the columns.
        widths, heights: (m,) of each, in pixels.
    """

    pixels: npt.NDArray[np.uint8]
    first: Integers
    widths: Integers
    heights: Integers


def _columns(pictures: Sequence[npt.NDArray[np.uint8]]) -> _Columns:
    """Lay pictures side by side; grey ones get three channels where any has them."""
    widths, heights = (np.array([picture.shape[axis] for picture in pictures], np.int64) for axis in (0, 1))
    ends = np.cumsum(widths)
    channels = max(picture.shape[2] for picture in pictures)
    pixels = np.empty((int(ends[-1]), int(heights.max()), channels), np.uint8)
    for picture, first, end in zip(pictures, (ends - widths).tolist(), ends.tolist(), strict=True):
        pixels[first:end, : picture.shape[1]] = picture
    return _Columns(pixels, ends - widths, widths, heights)


def _cut(columns: _Columns, views: Sequence[View], size: int, fit: Fit) -> Tensor:
    left, top, width, height, turns, mirrored, gain, gamma = np.array(
        [(v.left, v.top, v.width, v.height, v.turns, v.mirrored, v.gain, v.gamma) for v in views], np.float64
    ).T
    # A quarter turn is an exchange of the axes, before or after which rows or columns are read backwards.
    turned, mirror = turns % 2 == 1, mirrored == 1
    backwards_x = np.where(turned, turns == 1, (turns == 2) ^ mirror)
    backwards_y = np.where(turned, (turns == 3) ^ mirror, turns == 2)
    boxes = (left * columns.widths, width * columns.widths), (top * columns.heights, height * columns.heights)
    bars = _bars(boxes[0][1], boxes[1][1], size) if fit == "letterbox" else (np.zeros(len(views), np.int64),) * 2
    across = _taps(*boxes[0], columns.widths, bars[0], backwards_x, size)
    down = _taps(*boxes[1], columns.heights, bars[1], backwards_y, size)
    with torch.inference_mode():
        # Rounded in between, as Pillow does: sharp edges overshoot, and what is cut off there shows.
        of_columns = _sums(torch.from_numpy(columns.pixels).flatten(1).float(), across, columns.first)
        high, channels = columns.pixels.shape[1:]
        rows = of_columns.view(len(views), size, high, channels).transpose(1, 2).reshape(len(views) * high, -1)
        cut = _sums(rows, down, np.arange(len(views)) * high).view(len(views), size, size, channels)
        if fit == "letterbox":
            inside = torch.from_numpy(down.inside)[:, :, None] & torch.from_numpy(across.inside)[:, None, :]
            cut = torch.where(inside[..., None], cut, float(PADDING))
        cut = _lit(cut, gain, gamma) if (gain != 1).any() or (gamma != 1).any() else cut.to(torch.uint8)
        if turned.any():
            at = torch.from_numpy(np.flatnonzero(turned))
            cut[at] = cut[at].transpose(1, 2)
        return cut.permute(0, 3, 1, 2).expand(-1, 3, -1, -1)


@dataclass(frozen=True)
class _Taps:
    """For each place of each view along one axis: which pixels count (m, size, k), how much, and if it is no bar (m, size)."""

    pixels: Integers
    weights: npt.NDArray[np.float32]
    inside: npt.NDArray[np.bool_]


def _taps(  # noqa: PLR0917
    start: Floats, length: Floats, count: Integers, bar: Integers, backwards: npt.NDArray[np.bool_], size: int
) -> _Taps:
    """Return the taps of the bicubic filter (a = -0.5) along one axis, widened where the picture gets smaller.

    Args:
        start: (m,) of the boxes, in pixels.
        length: (m,) of the boxes, in pixels.
        count: (m,) pixels of the pictures along the axis.
        bar: (m,) places of the view on either side that the box does not reach.
        backwards: (m,) whether the view is read from its end.
        size: places of a view.
    """
    places = np.where(backwards[:, None], np.arange(size)[::-1], np.arange(size)) - bar[:, None]
    inner = size - 2 * bar
    scale = length / inner
    widened = np.maximum(scale, 1)[:, None]
    centre = start[:, None] + (places + 0.5) * scale[:, None]
    lowest = np.maximum(np.floor(centre - 2 * widened + 0.5), 0)
    highest = np.minimum(np.floor(centre + 2 * widened + 0.5), count[:, None])  # and without
    inside = (places >= 0) & (places < inner[:, None])
    taps = int((highest - lowest)[inside].max())
    pixels = lowest[..., None] + np.arange(taps)
    away = np.abs(pixels - centre[..., None] + 0.5) / widened[..., None]
    near, far = (1.5 * away - 2.5) * away**2 + 1, ((2.5 - 0.5 * away) * away - 4) * away + 2
    weights = np.where(away < 1, near, np.where(away < 2, far, 0.0))
    weights[(pixels >= highest[..., None]) | ~inside[..., None]] = 0
    total = weights.sum(axis=-1, keepdims=True)
    weights = np.divide(weights, total, out=weights, where=total != 0)
    pixels = np.clip(pixels, 0, count[:, None, None] - 1).astype(np.int64)
    return _Taps(pixels, weights.astype(np.float32), inside)


def _sums(lines: Tensor, taps: _Taps, first: Integers) -> Tensor:
    """Return (m * size, ...) weighted sums of lines, rounded to levels from 0 to 255."""
    places = torch.from_numpy((taps.pixels + first[:, None, None]).reshape(-1, taps.pixels.shape[2]))
    weights = torch.from_numpy(taps.weights).flatten(0, 1)
    return embedding_bag(places, lines, per_sample_weights=weights, mode="sum").round_().clamp_(0, 255)


def _bars(width: Floats, height: Floats, size: int) -> tuple[Integers, Integers]:
    """Return how many places on either side a letterbox leaves free, across and down; see `views.render`."""
    scale = size / np.maximum(width, height)
    free = [np.rint((size - side * scale) / 2).astype(np.int64) for side in (width, height)]
    return np.minimum(free[0], (size - 1) // 2), np.minimum(free[1], (size - 1) // 2)


def _lit(cut: Tensor, gain: Floats, gamma: Floats) -> Tensor:
    """Return views under another light as uint8: each level of each view is looked up."""
    levels = np.rint(255 * gain[:, None] * (np.arange(256) / 255) ** gamma[:, None]).clip(0, 255)
    return torch.gather(torch.from_numpy(levels.astype(np.uint8)), 1, cut.flatten(1).long()).view_as(cut)

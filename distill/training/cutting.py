"""Cuts the views of a batch at once: what `embedstore.views.render` gives of each, up to rounding.

Beside sharp edges, which overshoot, a few pixels differ by more: Pillow takes the axes in the order that is cheaper for a
picture, and cuts off what is above white or below black in between.

A view is a resampling, and a resampling is two weighted sums, along the rows and along the columns: which pixels count, and
how much, is one small table per view and axis. All views of a batch go through each sum together.

The sums are quick; what costs is memory. So only the pixels that a view needs are laid out, not more of them at a time than
caches bear, and the axes are exchanged no more often than the sums and the turned views ask for.
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
Weights = npt.NDArray[np.float32]
Integers = npt.NDArray[np.int32]
Flags = npt.NDArray[np.bool_]


MOST_BYTES = 3 << 20  # of pictures that are cut together, laid side by side; one that is larger is cut alone


def cut_views(
    pictures: Sequence[npt.NDArray[np.uint8]],
    views: Sequence[View],
    size: int,
    fit: Fit,
    device: torch.device | None = None,
) -> Tensor:
    """Return one view of each picture as (m, 3, size, size) uint8 RGB, anti-aliased.

    In memory the channels of a pixel stand together (`torch.channels_last`), which convolutions on processors like best; the
    three of grey pictures are one and the same.

    Args:
        pictures: (m), each (width, height, 1 or 3): columns one after the other.
        views: (m) what to cut from each.
        size: side of the square, in pixels.
        fit: how a crop reaches it: `squash` or `letterbox`.
        device: where to cut; there the views lie then. The processor if None.
    """
    parts = [sorted(part, key=lambda at: _is_turned(views[at])) for part in _parts(pictures)]
    with torch.inference_mode():
        cut = [_cut([pictures[at] for at in part], [views[at] for at in part], size, fit, device) for part in parts]
        channels = max(own.shape[3] for own in cut)
        together = torch.cat([own.expand(-1, -1, -1, channels) for own in cut])
        order = torch.from_numpy(np.argsort(np.concatenate(parts))).to(device)
        return together.index_select(0, order).permute(0, 3, 1, 2).expand(-1, 3, -1, -1)


def _is_turned(view: View) -> bool:
    """Return whether the rows of a view are columns of the picture."""
    return view.turns % 2 == 1


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
    """Return how many bytes pictures take side by side, at most: where their views need all of them."""
    widths, heights, channels = zip(*(picture.shape for picture in pictures), strict=True)
    return int(sum(widths) * max(heights) * max(channels))


def _cut(
    pictures: Sequence[npt.NDArray[np.uint8]], views: Sequence[View], size: int, fit: Fit, device: torch.device | None
) -> Tensor:
    """Return views (m, size, size, channels) uint8, the turned ones of which are the last."""
    left, top, width, height, turns, mirrored, gain, gamma = np.array(
        [(v.left, v.top, v.width, v.height, v.turns, v.mirrored, v.gain, v.gamma) for v in views], np.float64
    ).T
    # A quarter turn is an exchange of the axes, before or after which rows or columns are read backwards.
    turned, mirror = turns % 2 == 1, mirrored == 1
    backwards_x = np.where(turned, turns == 1, (turns == 2) ^ mirror)
    backwards_y = np.where(turned, (turns == 3) ^ mirror, turns == 2)
    widths, heights = (np.array([picture.shape[axis] for picture in pictures], np.int32) for axis in (0, 1))
    boxes = (left * widths, width * widths), (top * heights, height * heights)
    bars = _bars(boxes[0][1], boxes[1][1], size) if fit == "letterbox" else (np.zeros(len(views), np.int32),) * 2
    across = _taps(*boxes[0], widths, bars[0], backwards_x, size)
    down = _taps(*boxes[1], heights, bars[1], backwards_y, size)
    columns = torch.from_numpy(_columns(pictures, across, down)).to(device)
    high, channels = columns.shape[1:]
    # Rounded in between, as Pillow does: sharp edges overshoot, and what is cut off there shows.
    of_columns = _sums(columns.flatten(1).float(), across, _begins(across.counts)).view(-1, size, high, channels)
    rows = _exchanged(of_columns).flatten(2).flatten(0, 1)
    cut = _sums(rows, down, _begins(np.full(len(views), high))).view(-1, size, size, channels)
    if fit == "letterbox":
        inside = torch.from_numpy(down.inside[:, :, None] & across.inside[:, None, :]).to(device)
        cut = torch.where(inside[..., None], cut, float(PADDING))
    levels = cut.int()  # by way of which floats become bytes in half of the time
    lit = _lit(levels, gain, gamma) if (gain != 1).any() or (gamma != 1).any() else levels.to(torch.uint8)
    upright = len(views) - int(turned.sum())
    if upright < len(views):
        lit[upright:] = _exchanged(lit[upright:])
    return lit


@dataclass(frozen=True)
class _Taps:
    """For each place of each of m views along one axis: which pixels count, and how much.

    Attributes:
        first, counts: (m,) the pixels that count for any place of a view: where in the picture they begin, and how many.
        pixels: (k, m, size) those that count for a place, from `first` on.
        weights: (k, m, size) how much each of them counts.
        inside: (m, size) whether the place is no bar.
    """

    first: Integers
    counts: Integers
    pixels: Integers
    weights: Weights
    inside: Flags


def _taps(start: Floats, length: Floats, count: Integers, bar: Integers, backwards: Flags, size: int) -> _Taps:  # noqa: PLR0917
    """Return the taps of the bicubic filter (a = -0.5) along one axis, widened where the picture gets smaller.

    Args:
        start: (m,) of the boxes, in pixels.
        length: (m,) of the boxes, in pixels.
        count: (m,) pixels of the pictures along the axis.
        bar: (m,) places of the view on either side that the box does not reach.
        backwards: (m,) whether the view is read from its end.
        size: places of a view.
    """
    inner = (size - 2 * bar)[:, None]
    places = np.where(backwards[:, None], np.arange(size)[::-1], np.arange(size)) - bar[:, None]
    within = np.clip(places, 0, inner - 1)  # bars are filled in the end; until then they repeat the edge
    scale = length[:, None] / inner
    widened = np.maximum(scale, 1)
    centre = start[:, None] + (within + 0.5) * scale
    lowest = np.maximum(np.floor(centre - 2 * widened + 0.5), 0)
    highest = np.minimum(np.floor(centre + 2 * widened + 0.5), count[:, None])  # and without
    first, end = lowest.min(axis=1, keepdims=True), highest.max(axis=1, keepdims=True)
    # From here on there are k times as many numbers: short ones, and k in front, since numpy is slow along short rows.
    taps = np.arange((highest - lowest).max(), dtype=np.float32)[:, None, None]
    nearest, step = ((lowest + 0.5 - centre) / widened).astype(np.float32), (1 / widened).astype(np.float32)
    weights = _bicubic(np.abs(nearest + taps * step))
    weights *= taps < (highest - lowest).astype(np.float32)
    weights /= weights.sum(axis=0)
    pixels = np.minimum((lowest - first).astype(np.int32) + taps.astype(np.int32), (end - first - 1).astype(np.int32))
    begin, counts = first[:, 0].astype(np.int32), (end - first)[:, 0].astype(np.int32)
    return _Taps(begin, counts, pixels, weights, places == within)


def _bicubic(away: Weights) -> Weights:
    """Return the filter at distances of 0 and more: its piece from 1 to 2, and below 1 what the other piece has more."""
    far, near = np.minimum(away, 2), np.maximum(1 - away, 0)
    weights: Weights = (1 - far) * (2 - far) ** 2 / 2 + near**2 * (1 - 2 * near)
    return weights


def _columns(pictures: Sequence[npt.NDArray[np.uint8]], across: _Taps, down: _Taps) -> npt.NDArray[np.uint8]:
    """Lay what counts of the pictures side by side; grey ones get three channels where any has them.

    Returns:
        (columns of all, rows of the highest, channels) with anything below a lower one.
    """
    channels = max(picture.shape[2] for picture in pictures)
    columns = np.empty((int(across.counts.sum()), int(down.counts.max()), channels), np.uint8)
    numbers = np.stack([across.first, across.counts, down.first, down.counts, _begins(across.counts)], axis=1)
    for picture, (left, width, top, height, begin) in zip(pictures, numbers.tolist(), strict=True):
        columns[begin : begin + width, :height] = picture[left : left + width, top : top + height]
    return columns


def _begins(counts: npt.NDArray[np.integer]) -> Integers:
    """Return (m,) where each of m things begins that stand one after the other."""
    begins: Integers = (np.cumsum(counts) - counts).astype(np.int32)
    return begins


def _sums(lines: Tensor, taps: _Taps, begins: Integers) -> Tensor:
    """Return (m * size, ...) weighted sums of lines, rounded to levels from 0 to 255."""
    places = torch.from_numpy(taps.pixels + begins[:, None]).to(lines.device).flatten(1).T
    weights = torch.from_numpy(taps.weights).to(lines.device).flatten(1).T
    return embedding_bag(places, lines, per_sample_weights=weights, mode="sum").round_().clamp_(0, 255)


def _exchanged(maps: Tensor) -> Tensor:
    """Return (m, a, b, channels) as (m, b, a, channels): channel by channel, or each copy would be of three numbers."""
    found = maps.new_empty(len(maps), maps.shape[2], maps.shape[1], maps.shape[3])
    for channel in range(maps.shape[3]):
        found[..., channel] = maps[..., channel].transpose(1, 2)
    return found


def _bars(width: Floats, height: Floats, size: int) -> tuple[Integers, Integers]:
    """Return how many places on either side a letterbox leaves free, across and down; see `views.render`."""
    scale = size / np.maximum(width, height)
    across, down = (np.rint((size - side * scale) / 2).astype(np.int32) for side in (width, height))
    return np.minimum(across, (size - 1) // 2), np.minimum(down, (size - 1) // 2)


def _lit(levels: Tensor, gain: Floats, gamma: Floats) -> Tensor:
    """Return views under another light as uint8: each level of each view is looked up."""
    others = np.rint(255 * gain[:, None] * (np.arange(256) / 255) ** gamma[:, None]).clip(0, 255)
    table = torch.from_numpy(others.astype(np.uint8)).to(levels.device)
    return torch.gather(table, 1, levels.flatten(1).long()).view_as(levels)

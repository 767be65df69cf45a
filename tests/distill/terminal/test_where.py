"""Where a defect is: in pixels of the picture, however it was brought to a square."""

import numpy as np
import pytest
import torch

from distill.terminal.graph import Cutting
from distill.terminal.where import Place, on_picture, peak
from embedstore.views import Fit

SIDE = 14


def with_peak(row: int, column: int, side: int = SIDE) -> np.ndarray:
    where = np.random.default_rng(0).normal(size=(side, side)).astype(np.float32)
    where[row, column] = 9
    return where


def test_the_peak_is_told_in_pixels() -> None:
    assert peak(with_peak(3, 10), "squash", (280, 70)) == Place(210, 17.5, 9)
    assert peak(with_peak(5, 10), "letterbox", (280, 140)) == Place(210, 40, 9)
    assert peak(with_peak(3, 10), "letterbox", (70, 70)) == Place(52.5, 17.5, 9)


@pytest.mark.parametrize("fit", ["squash", "letterbox"])
@pytest.mark.parametrize("size", [(200, 200), (300, 90), (61, 240)])
@pytest.mark.parametrize("share", [(0.1, 0.8), (0.5, 0.3), (0.97, 0.03)])
def test_a_spot_is_found_where_it_is_on_the_picture(
    fit: Fit, size: tuple[int, int], share: tuple[float, float]
) -> None:
    """The map is of the very square that the graph cuts: the mean level of each place of it."""
    width, height = size
    x, y = share[0] * width, share[1] * height
    place = (width / SIDE, height / SIDE) if fit == "squash" else (max(size) / SIDE,) * 2
    half = [max(1, round(length / 2)) for length in place]
    picture = np.zeros((height, width, 3), np.uint8)
    picture[max(0, int(y) - half[1]) : int(y) + half[1], max(0, int(x) - half[0]) : int(x) + half[0]] = 255
    cut = Cutting(16 * SIDE, fit)(torch.from_numpy(picture))[0, 0].numpy()
    where = cut.reshape(SIDE, 16, SIDE, 16).mean(axis=(1, 3))
    found = peak(where, fit, size)
    assert abs(found.x - x) <= place[0]
    assert abs(found.y - y) <= place[1]
    laid = on_picture(where, fit, size)
    assert laid.shape == (height, width)
    row, column = np.unravel_index(laid.argmax(), laid.shape)
    assert abs(column - x) <= place[0]
    assert abs(row - y) <= place[1]


def test_bars_beside_the_picture_hold_no_peak() -> None:
    where = with_peak(0, 7)  # in the bar above
    where[6, 2] = 8
    found = peak(where, "letterbox", (200, 100))
    assert (found.x, found.deviations) == (pytest.approx(200 * 2.5 / 14, abs=0.1), 8)
    assert peak(where, "squash", (200, 100)).y < 10


@pytest.mark.parametrize("side", [1, 6, 7])
def test_a_picture_that_is_narrower_than_a_place_has_one_all_the_same(side: int) -> None:
    found = peak(with_peak(0, 0, side), "letterbox", (1000, 3))
    assert 0 <= found.x <= 1000
    assert 0 <= found.y <= 3
    assert on_picture(with_peak(0, 0, side), "letterbox", (1000, 3)).shape == (3, 1000)

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


def test_the_peak_is_told_in_whole_pixels() -> None:
    assert peak(with_peak(3, 10), "squash", (280, 70)) == Place(210, 18, 20, 5, 9)
    assert peak(with_peak(5, 10), "letterbox", (280, 140)) == Place(210, 40, 20, 20, 9)
    assert peak(with_peak(3, 10), "letterbox", (70, 70)) == Place(52, 18, 5, 5, 9)
    found = peak(with_peak(13, 0), "squash", (101, 9))
    assert found == Place(4, 8, 7, 1, 9)  # a place is .64 pixels high
    assert {type(number) for number in (found.x, found.y, found.width, found.height)} == {int}


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
    assert (found.x, found.deviations) == (36, 8)
    assert peak(where, "squash", (200, 100)).y < 10


def place_of_each_pixel(length: int, longest: int, side: int) -> np.ndarray:
    """Return in which place of a letterboxed square each pixel's centre is, along an axis of this length."""
    return np.floor((np.arange(length) + 0.5 + (longest - length) / 2) / longest * side).astype(int)


@pytest.mark.parametrize("side", [1, 6, 7, 14])
@pytest.mark.parametrize("size", [(1000, 3), (2000, 10), (10, 2000), (1, 500), (1200, 100)])
def test_a_picture_that_is_narrower_than_a_place_is_told_where_its_own_pixels_are(
    side: int, size: tuple[int, int]
) -> None:
    columns, rows = (place_of_each_pixel(length, max(size), side) for length in size)
    for row, column in {(row, column) for row in (rows[0], rows[-1]) for column in (columns[0], columns[-1])}:
        where = np.zeros((side, side), np.float32)
        where[0, -1] = 9  # in a bar, or another end of the picture
        where[row, column] = 10
        found = peak(where, "letterbox", size)
        for told, long, places, place in (
            (found.x, found.width, columns, column),
            (found.y, found.height, rows, row),
        ):
            inside = np.flatnonzero(places == place)
            assert abs(told - (inside[0] + inside[-1] + 1) / 2) <= 1
            assert 0 <= told <= len(places) - 1
            assert abs(long - len(inside)) <= 1
            assert 1 <= long <= len(places)
    assert on_picture(where, "letterbox", size).shape == size[::-1]

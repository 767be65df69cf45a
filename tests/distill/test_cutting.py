"""A batch of views is cut as `embedstore.views.render` cuts each of them alone, but for what overshoots beside edges."""

import numpy as np
import pytest
import torch
from helpers import noise_picture, smooth_picture
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from distill.training import cutting
from distill.training.cutting import cut_views
from embedstore.store.kept_pictures import to_keep
from embedstore.views import WHOLE, Fit, Recipe, View, draw_view, render

UNRESIZED = Recipe(student_side=4096)
SIDES = [(200, 150), (64, 64), (31, 90), (300, 70), (5, 4)]


def cut(pictures: list[Image.Image], views: list[View], size: int, fit: Fit) -> np.ndarray:
    return cut_views([to_keep(one, UNRESIZED) for one in pictures], views, size, fit).permute(0, 2, 3, 1).numpy()


def assert_as_rendered(
    pictures: list[Image.Image], views: list[View], size: int, fit: Fit, share: float = 0.01
) -> None:
    """`share` of the pixels may differ by more than 2 of 255 levels."""
    together = cut(pictures, views, size, fit)
    assert together.shape == (len(views), size, size, 3)
    for found, picture, view in zip(together, pictures, views, strict=True):
        away = np.abs(found.astype(int) - render(picture, view, size, fit).astype(int))
        assert away.max(initial=0) <= 24
        assert (away > 2).mean() <= share


@pytest.mark.parametrize("fit", ["squash", "letterbox"])
@pytest.mark.parametrize("size", [16, 64, 97])
def test_views_of_one_batch_are_those_of_each_picture(fit: Fit, size: int) -> None:
    recipe = Recipe(seed=5, fit=fit)
    pictures = [smooth_picture(at, side, "RGB" if at % 2 else "L") for at, side in enumerate(SIDES)]
    for number in range(12):
        views = [draw_view(recipe, f"picture {at}", number) for at in range(len(pictures))]
        assert_as_rendered(pictures, views, size, fit)


def test_pictures_that_do_not_fit_into_memory_together_are_cut_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    pictures = [smooth_picture(at, side) for at, side in enumerate([(60, 40), (8, 900), (50, 45), (900, 8), (61, 39)])]
    views = [draw_view(Recipe(), f"picture {at}", 1) for at in range(len(pictures))]
    together = cut(pictures, views, 32, "squash")
    monkeypatch.setattr(cutting, "MOST_BYTES", 30_000)
    laid: list[int] = []
    columns = cutting._columns

    def watched(*arguments: object) -> np.ndarray:
        found: np.ndarray = columns(*arguments)
        laid.append(found.nbytes)
        return found

    monkeypatch.setattr(cutting, "_columns", watched)
    np.testing.assert_allclose(cut(pictures, views, 32, "squash").astype(int), together.astype(int), atol=1)
    assert len(laid) > 1
    assert max(laid) <= 30_000


@pytest.mark.parametrize("most_bytes", [1, cutting.MOST_BYTES])
def test_views_stand_in_the_order_of_their_pictures_turned_or_not(
    most_bytes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cutting, "MOST_BYTES", most_bytes)
    pictures = [smooth_picture(at, side, "RGB" if at % 2 else "L") for at, side in enumerate(SIDES)]
    views = [View(0.1, 0.2, 0.8, 0.7, turns=turns, gain=1.1) for turns in (1, 0, 3, 2, 1)]
    assert_as_rendered(pictures, views, 40, "squash")
    assert_as_rendered(pictures, [WHOLE] * len(pictures), 40, "letterbox")


def test_only_what_a_crop_needs_is_laid_out(monkeypatch: pytest.MonkeyPatch) -> None:
    laid: list[tuple[int, ...]] = []
    columns = cutting._columns

    def watched(*arguments: object) -> np.ndarray:
        found: np.ndarray = columns(*arguments)
        laid.append(found.shape)
        return found

    monkeypatch.setattr(cutting, "_columns", watched)
    views = [View(0.5, 0.25, 0.25, 0.5), View(0, 0.5, 0.25, 0.5)]
    assert_as_rendered([smooth_picture(at, (200, 160)) for at in range(2)], views, 50, "squash")
    (found,) = laid
    # The filter reaches two pixels from the centre of a place, or of a view's pixels where those are larger: here 1.6 rows.
    columns_at_most, rows_at_most = (50 + 2 + 2) + (50 + 2), 80 + 4 + 4
    assert 50 + 50 <= found[0] <= columns_at_most
    assert 80 <= found[1] <= rows_at_most


@pytest.mark.parametrize("device", [None, torch.device("cpu")])
def test_the_channels_of_a_pixel_stand_together(device: torch.device | None) -> None:
    pixels = [to_keep(smooth_picture(at, side, "RGB"), UNRESIZED) for at, side in enumerate(SIDES)]
    views = [draw_view(Recipe(), f"picture {at}", 1) for at in range(len(SIDES))]
    found = cut_views(pixels, views, 32, "squash", device)
    assert found.is_contiguous(memory_format=torch.channels_last)
    assert found.dtype == torch.uint8
    assert found.device == torch.device("cpu")


@pytest.mark.parametrize("turns", range(4))
@pytest.mark.parametrize("mirrored", [False, True])
def test_turns_and_mirrors_go_the_same_way(turns: int, mirrored: bool) -> None:
    views = [View(0.1, 0.3, 0.6, 0.5, turns=turns, mirrored=mirrored), WHOLE]
    for fit in ("squash", "letterbox"):
        assert_as_rendered([smooth_picture(1, (120, 70)), smooth_picture(2, (70, 120))], views, 48, fit)


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 60), st.integers(1, 60), st.integers(1, 30), st.integers(0, 10_000), st.booleans())
def test_sharp_noise_of_any_size_too(width: int, height: int, size: int, seed: int, letterbox: bool) -> None:
    """Every pixel of noise is an edge, so that much overshoots."""
    random = np.random.default_rng(seed)
    picture = noise_picture(seed, (width, height), "L")
    box = random.uniform(0.05, 1, 2)
    at = random.uniform(0, 1 - box)
    view = View(*at, *box, int(random.integers(4)), bool(random.integers(2)), random.uniform(0.8, 1.2), 1.1)
    assert_as_rendered([picture], [view], size, "letterbox" if letterbox else "squash", share=0.1)

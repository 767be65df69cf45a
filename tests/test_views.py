import math

import numpy as np
import pytest
from helpers import noise_picture, smooth_picture
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from embedstore.errors import SettingsError, StoreError
from embedstore.views import RECIPE_VERSION, WHOLE, Recipe, View, draw_view, render, student_picture

recipes = st.builds(
    Recipe,
    seed=st.integers(0, 2**63),
    smallest_crop=st.floats(0.01, 1),
    turns=st.booleans(),
    flips=st.booleans(),
    light=st.booleans(),
)
drawn = st.tuples(recipes, st.text(max_size=30), st.integers(1, 1000))


# Drawing

GOLDEN = [
    (
        Recipe(),
        "good/a.png",
        1,
        View(
            left=0.09189984308396272,
            top=0.07597048728523964,
            width=0.8073742944842258,
            height=0.9168146766909412,
            turns=3,
            mirrored=True,
            gain=0.9251724145144431,
            gamma=1.0827488537215,
        ),
    ),
    (
        Recipe(seed=7),
        "ひび割れ/写真 1.png",
        5,
        View(
            left=0.031450015937308694,
            top=0.24596374646607413,
            width=0.8857587429693102,
            height=0.7304927926962242,
            turns=2,
            mirrored=False,
            gain=0.8260475891810456,
            gamma=0.8723185415591918,
        ),
    ),
    (
        Recipe(seed=7, smallest_crop=0.9, turns=False, flips=False, light=False),
        "good/a.png",
        300,
        View(left=0.0, top=0.009726693434514964, width=1.0, height=0.9751832815742445),
    ),
]


@pytest.mark.parametrize(("recipe", "sample_id", "number", "expected"), GOLDEN)
def test_views_are_the_same_on_every_machine_and_in_every_release(recipe, sample_id, number, expected):
    """Written down once: if these change, stores that exist no longer fit, and `RECIPE_VERSION` must go up."""
    view = draw_view(recipe, sample_id, number)
    for name, value in vars(expected).items():
        assert getattr(view, name) == pytest.approx(value, rel=1e-12), name


@given(drawn)
def test_view_0_is_the_whole_picture(args):
    recipe, sample_id, _ = args
    assert draw_view(recipe, sample_id, 0) == WHOLE == View(0, 0, 1, 1, 0, False, 1, 1)


@given(drawn)
def test_a_view_can_be_replayed(args):
    assert draw_view(*args) == draw_view(*args)


@given(drawn)
def test_a_view_lies_inside_and_keeps_its_share(args):
    recipe, _, _ = args
    view = draw_view(*args)
    assert 0 <= view.left <= view.left + view.width <= 1 + 1e-12
    assert 0 <= view.top <= view.top + view.height <= 1 + 1e-12
    assert recipe.smallest_crop - 1e-12 <= view.width * view.height <= 1 + 1e-12
    assert 3 / 4 - 1e-12 <= view.width / view.height <= 4 / 3 + 1e-12


@given(drawn)
def test_turns_flips_and_light_are_drawn_only_where_the_recipe_has_them(args):
    recipe, _, _ = args
    view = draw_view(*args)
    assert view.turns in ((0, 1, 2, 3) if recipe.turns else (0,))
    assert recipe.flips or view.mirrored is False
    for value in (view.gain, view.gamma):
        assert 2**-0.3 <= value <= 2**0.3
        assert recipe.light or value == 1


def test_switching_one_thing_off_leaves_the_others_as_they_were():
    full, plain = draw_view(Recipe(), "a", 3), draw_view(Recipe(turns=False, flips=False, light=False), "a", 3)
    assert (full.left, full.top, full.width, full.height) == (plain.left, plain.top, plain.width, plain.height)


def test_seed_id_and_number_each_give_another_view():
    views = [draw_view(Recipe(seed=seed), name, number) for seed in (0, 1) for name in ("a", "b") for number in (1, 2)]
    views += [draw_view(Recipe(seed=1), "1\0a", 1), draw_view(Recipe(seed=11), "a", 1)]
    assert len(set(views)) == len(views)


def test_draws_are_spread_evenly():
    views = [draw_view(Recipe(smallest_crop=0.2), str(number), 1) for number in range(4000)]
    shares = np.array([view.width * view.height for view in views])
    assert shares.mean() == pytest.approx(0.6, abs=0.02)
    np.testing.assert_allclose(np.bincount([view.turns for view in views]) / 4000, 0.25, atol=0.03)
    assert np.mean([view.mirrored for view in views]) == pytest.approx(0.5, abs=0.03)
    assert np.mean([view.left / (1 - view.width) for view in views if view.width < 1]) == pytest.approx(0.5, abs=0.02)
    assert np.mean(np.log2([view.gain for view in views])) == pytest.approx(0, abs=0.02)
    assert np.mean(np.log2([view.gamma for view in views])) == pytest.approx(0, abs=0.02)


# Rendering against an oracle

TINY = np.arange(2 * 2 * 3, dtype=np.uint8).reshape(2, 2, 3) * 20


@pytest.mark.parametrize("turns", range(4))
@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize("fit", ["squash", "letterbox"])
def test_turns_go_counter_clockwise_and_mirroring_comes_last(turns, mirrored, fit):
    found = render(Image.fromarray(TINY), View(turns=turns, mirrored=mirrored), 2, fit)
    expected = TINY
    for _ in range(turns):
        expected = np.array([[expected[0, 1], expected[1, 1]], [expected[0, 0], expected[1, 0]]])
    np.testing.assert_array_equal(found, expected[:, ::-1] if mirrored else expected)


@pytest.mark.parametrize("fit", ["squash", "letterbox"])
def test_a_crop_on_pixel_borders_is_a_slice(fit):
    picture = noise_picture(1, (40, 20))
    view = View(left=8 / 40, top=4 / 20, width=10 / 40, height=10 / 20)
    np.testing.assert_array_equal(render(picture, view, 10, fit), np.asarray(picture)[4:14, 8:18])


def test_light_is_a_gain_after_a_gamma():
    picture = noise_picture(1, (16, 16))
    found = render(picture, View(gain=1.2, gamma=0.8), 16, "squash")
    expected = np.minimum(255, np.rint(255 * 1.2 * (np.asarray(picture) / 255) ** 0.8))
    np.testing.assert_array_equal(found, expected)


@settings(max_examples=30)
@given(
    drawn, st.integers(8, 60), st.integers(8, 60), st.sampled_from([8, 31]), st.sampled_from(["squash", "letterbox"])
)
def test_a_grey_picture_gives_the_pixels_of_its_rgb_copy(args, width, height, size, fit):
    grey = noise_picture(2, (width, height), "L")
    view = draw_view(*args)
    found = render(grey, view, size, fit)
    assert (found.shape, found.dtype) == ((size, size, 3), np.uint8)
    assert found.flags.c_contiguous
    np.testing.assert_array_equal(found, render(grey.convert("RGB"), view, size, fit))


# From the picture to the square input


def test_the_whole_picture_keeps_its_corners_and_edges():
    marked = np.full((100, 300, 3), 50, np.uint8)
    for y in (slice(0, 20), slice(80, 100)):
        for x in (slice(0, 60), slice(240, 300)):
            marked[y, x] = 250
    squashed = render(Image.fromarray(marked), WHOLE, 30, "squash")
    boxed = render(Image.fromarray(marked), WHOLE, 30, "letterbox")[10:20]
    for corner in (squashed[0, 0], squashed[0, -1], squashed[-1, 0], squashed[-1, -1], squashed[1, 1]):
        np.testing.assert_allclose(corner, 250, atol=10)
    for corner in (boxed[0, 0], boxed[0, -1], boxed[-1, 0], boxed[-1, -1], boxed[0, 1]):
        np.testing.assert_allclose(corner, 250, atol=10)
    np.testing.assert_allclose(squashed[15, 15], 50, atol=2)


@pytest.mark.parametrize("size", [(300, 100), (100, 300), (100, 100)])
@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_letterbox_keeps_the_shape_and_pads_with_grey_while_squash_fills(size, mode):
    picture = Image.new(mode, size, 200 if mode == "L" else (200, 200, 200))
    boxed = render(picture, WHOLE, 60, "letterbox")
    expected = np.full((60, 60, 3), 128)
    width, height = (round(60 * side / max(size)) for side in size)
    expected[(60 - height) // 2 : (60 + height) // 2, (60 - width) // 2 : (60 + width) // 2] = 200
    np.testing.assert_array_equal(boxed, expected)
    np.testing.assert_array_equal(render(picture, WHOLE, 60, "squash"), np.full((60, 60, 3), 200))


def test_a_disc_stays_round_in_a_letterbox_and_not_when_squashed():
    y, x = np.mgrid[:200, :600]
    disc = Image.fromarray(np.where((x - 300) ** 2 + (y - 100) ** 2 < 80**2, 255, 0).astype(np.uint8))
    for fit, across in (("letterbox", 16), ("squash", 48)):
        seen = render(disc, WHOLE, 60, fit)[..., 0] > 180
        assert seen.any(0).sum() == pytest.approx(16, abs=1)
        assert seen.any(1).sum() == pytest.approx(across, abs=1)


def test_shrinking_is_anti_aliased():
    stripes = Image.fromarray(np.tile(np.array([0, 255], np.uint8), (512, 256)))
    np.testing.assert_allclose(render(stripes, WHOLE, 32, "squash"), 127.5, atol=3)
    np.testing.assert_allclose(np.asarray(student_picture(stripes, Recipe(student_side=32))), 127.5, atol=3)


def means(pixels: np.ndarray, cells: int = 32) -> np.ndarray:
    """Return the averages over a grid, by which pictures of two sizes can be compared."""
    step = len(pixels) // cells
    return pixels.astype(float).reshape(cells, step, cells, step, 3).mean((1, 3))


@pytest.mark.parametrize("fit", ["squash", "letterbox"])
@pytest.mark.parametrize("size", [(1600, 1200), (900, 1500)])
def test_teacher_at_224_and_student_at_96_see_the_same_crop(fit, size):
    recipe = Recipe(seed=3, fit=fit, student_side=256)
    original = smooth_picture(9, size)
    kept = student_picture(original, recipe)
    for number in range(6):
        view = draw_view(recipe, "part.png", number)
        teacher = means(render(original, view, 224, fit))
        student = means(render(kept, view, 96, fit))
        another = means(render(kept, draw_view(recipe, "part.png", number + 1), 96, fit))
        difference, other_difference = np.abs(teacher - student).mean(), np.abs(teacher - another).mean()
        assert difference < (0.3 if fit == "squash" else 3), number  # bars are whole pixels, at most half of one off
        assert other_difference > 8 * difference, number


# The student's picture


@given(st.integers(1, 400), st.integers(1, 400), st.integers(16, 300))
@settings(max_examples=50)
def test_the_students_picture_hits_the_short_side_and_is_never_enlarged(width, height, side):
    picture = Image.new("L", (width, height))
    kept = student_picture(picture, Recipe(student_side=side))
    assert min(kept.size) == min(side, width, height)
    assert abs(kept.width - width * min(1, side / min(width, height))) <= 0.5 + 1e-9
    assert abs(kept.height - height * min(1, side / min(width, height))) <= 0.5 + 1e-9


def test_a_small_picture_stays_as_it_is():
    picture = noise_picture(4, (40, 30))
    assert student_picture(picture, Recipe(student_side=30)) is picture


# The recipe


@given(recipes)
def test_a_recipe_survives_its_plain_values(recipe):
    assert Recipe.from_dict(recipe.to_dict()) == recipe


def test_a_recipe_says_its_version():
    assert Recipe().to_dict() == {
        "seed": 0,
        "fit": "squash",
        "smallest_crop": 0.35,
        "turns": True,
        "flips": True,
        "light": True,
        "student_side": 256,
        "version": RECIPE_VERSION,
    }


@pytest.mark.parametrize("version", [0, RECIPE_VERSION + 1, None])
def test_another_version_is_refused(version):
    values = Recipe().to_dict() | {"version": version}
    with pytest.raises(
        StoreError, match=rf"by recipe version {version}, this program knows version 1; use the release"
    ):
        Recipe.from_dict(values)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"fit": "crop"}, r"The fit 'crop' is unknown; use one of squash, letterbox\."),
        ({"smallest_crop": 0}, r"The smallest crop is 0; expected a share above 0 and up to 1\."),
        ({"smallest_crop": 1.01}, r"The smallest crop is 1\.01; expected"),
        ({"smallest_crop": math.nan}, r"The smallest crop is nan; expected"),
        ({"student_side": 15}, r"The student's short side is 15 px; expected 16 or more\."),
    ],
)
def test_bad_settings_are_refused(values, message):
    with pytest.raises(SettingsError, match=message):
        Recipe(**values)

import math

import pytest
from drawings import HOSTILE
from hypothesis import given
from hypothesis import strategies as st

from embedstore.pages.svg import Scale, extent, label, shorten, tag, text_width, tick_step, tick_text, ticks


def test_scale_maps_the_ends_and_the_middle():
    scale = Scale(0, 10, start=100, end=300)
    assert [scale(value) for value in (0, 5, 10)] == [100, 200, 300]
    upwards = Scale(0.6, 0.9, start=300, end=0)
    assert upwards(0.8) == pytest.approx(100)


@pytest.mark.parametrize(
    ("low", "high", "most", "step", "expected"),
    [
        (1, 30, 10, 5, [5, 10, 15, 20, 25, 30]),
        (0, 1, 5, 0.2, [0, 0.2, 0.4, 0.6, 0.8, 1.0]),
        (0.62, 0.87, 5, 0.05, [0.65, 0.7, 0.75, 0.8, 0.85]),
        (-0.041, 0.121, 8, 0.05, [0, 0.05, 0.1]),
        (0, 4000, 4, 1000, [0, 1000, 2000, 3000, 4000]),
        (-3, -1, 2, 1, [-3, -2, -1]),
    ],
)
def test_ticks_are_round_numbers(low, high, most, step, expected):
    assert tick_step(low, high, most) == pytest.approx(step)
    assert ticks(low, high, tick_step(low, high, most)) == pytest.approx(expected)


@given(st.floats(-1e6, 1e6), st.floats(1e-3, 1e6), st.integers(2, 12))
def test_ticks_lie_inside_and_are_few_and_not_too_few(low, span, most):
    high = low + span
    step = tick_step(low, high, most)
    found = ticks(low, high, step)
    slack = 1e-6 * max(1, abs(low), abs(high))
    assert all(low - slack <= value <= high + slack for value in found)
    assert len(found) <= most + 1
    assert len(found) + 1 >= span / step - 1e-6


@pytest.mark.parametrize(
    ("value", "step", "form", "expected"),
    [
        (0.65, 0.05, "number", "0.65"),
        (0.6, 0.2, "number", "0.6"),
        (2000, 1000, "number", "2,000"),
        (0.65, 0.05, "percent", "65\u202f%"),
        (0.005, 0.005, "percent", "0.5\u202f%"),
        (-0.1, 0.05, "points", "−10"),
        (0.0, 0.05, "points", "0"),
    ],
)
def test_tick_labels_have_the_decimals_that_the_step_needs(value, step, form, expected):
    assert tick_text(value, step, form) == expected


@pytest.mark.parametrize(
    ("values", "around", "expected"),
    [
        ([3, 1, 2], (), (1, 3)),
        ([math.nan, 1.0, math.inf, 2.0], (), (1, 2)),
        ([2.0, 3.0], (0.0,), (0, 3)),
        ([0.8, 0.8], (), (0.72, 0.88)),
        ([0.0], (), (-0.5, 0.5)),
        ([-5.0], (), (-5.5, -4.5)),
        ([], (), (0, 1)),
        ([math.nan], (), (0, 1)),
    ],
)
def test_extent(values, around, expected):
    assert extent(values, around=around) == pytest.approx(expected)


def test_japanese_letters_are_wide_and_accents_take_no_room():
    assert text_width("検出率") == 3 * 14
    assert text_width("e\u0301") == text_width("e") < text_width("検")


@given(st.text(max_size=60), st.floats(0, 300))
def test_a_shortened_text_fits(text, width):
    short = shorten(text, width)
    assert short == text if text_width(text) <= width else (text_width(short) <= width or short == "…")


def test_a_shortened_name_keeps_its_beginning_and_its_end():
    short = shorten("a_very_long_file_name_of_a_part_0123.png", 160)
    assert short.startswith("a_very")
    assert short.endswith("png")
    assert "…" in short


def test_a_label_that_was_cut_still_tells_the_whole():
    assert label(0, 0, "short", width=100) == '<text x="0" y="0">short</text>'
    assert "<title>a very long name</title>" in label(0, 0, "a very long name", width=60)


def test_elements_are_escaped_in_text_and_in_attributes():
    assert "<script" not in tag("text", HOSTILE)
    written = tag("text", "x", class_=HOSTILE, text_anchor=None, stroke_width=1.50)
    assert written.count('"') == 4
    assert "text-anchor" not in written
    assert 'stroke-width="1.5"' in written

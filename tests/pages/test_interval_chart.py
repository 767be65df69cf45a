import math

import pytest
from drawings import HOSTILE, axis, drawing, of_class, texts

from embedstore.pages import Interval, Text, interval_chart

THREE = [
    Interval("worse", -0.012, -0.041, 0.018),
    Interval("better", 0.083, 0.046, 0.121),
    Interval("gone", None, 0, 1),
]


def chart(intervals=THREE, **options):
    return interval_chart(intervals, **{"title": "Differences", "x_title": "points", **options})


@pytest.mark.parametrize("kind", ["wide", "narrow"])
def test_dots_and_ends_lie_where_the_tick_labels_say(kind):
    drawn = drawing(chart(), kind)
    x = axis(drawn, "middle", "x")
    dots, lines = of_class(drawn, "estimate"), of_class(drawn, "interval")
    assert [float(dot.get("cx")) for dot in dots] == pytest.approx([x(-1.2), x(8.3)], abs=0.05)
    assert [float(one.get("x1")) for one in lines] == pytest.approx([x(-4.1), x(4.6)], abs=0.05)
    assert [float(one.get("x2")) for one in lines] == pytest.approx([x(1.8), x(12.1)], abs=0.05)
    assert [one.get("y1") for one in lines] == [dot.get("cy") for dot in dots]


def test_zero_is_always_there():
    drawn = drawing(chart([Interval("far", 0.5, 0.4, 0.6)]))
    (zero,) = of_class(drawn, "zero")
    labels = {one.text: one.get("x") for one in of_class(drawn, "tick")}
    assert zero.get("x1") == labels["0"]


def test_hand_computed_place():
    """-0.1 to 0.1, 4 % of the range free on both sides: zero is half way, and 0.1 at 104/108 of the width."""
    drawn = drawing(chart([Interval("a", 0.1, -0.1, 0.1)]), "narrow")
    (dot,) = of_class(drawn, "estimate")
    assert float(dot.get("cx")) == pytest.approx(10 + 340 * 1.04 / 1.08, abs=0.01)
    assert float(of_class(drawn, "zero")[0].get("x1")) == pytest.approx(180, abs=0.01)


@pytest.mark.parametrize(
    ("low", "high", "look"),
    [
        (-0.01, 0.02, "unsure"),
        (0.01, 0.02, "sure"),
        (-0.02, -0.01, "sure"),
        (0.0, 0.02, "unsure"),
        (0.0, 0.0, "unsure"),
    ],
)
def test_filled_only_where_the_interval_excludes_zero(low, high, look):
    drawn = drawing(chart([Interval("a", (low + high) / 2, low, high)]))
    assert of_class(drawn, "estimate")[0].get("class") == f"estimate {look}"


@pytest.mark.parametrize("missing", [None, math.nan, math.inf])
def test_an_interval_without_numbers_is_said_to_have_none(missing):
    drawn = drawing(chart([Interval("a", 0.1, missing, 0.2), Interval("b", 0.1, 0.0, 0.2)]))
    assert len(of_class(drawn, "estimate")) == 1
    assert "no data" in texts(drawn, "tick")


@pytest.mark.parametrize("intervals", [[], [Interval("a", None, None, None)]])
def test_nothing_at_all(intervals):
    assert "no data" in texts(drawing(chart(intervals)), "tick")


def test_figures_in_both_languages():
    html = chart()
    assert texts(drawing(html), "value") == ["−1.2 (−4.1 to +1.8)", "+8.3 (+4.6 to +12.1)"]
    assert texts(drawing(html, language="ja"), "value")[0] == "−1.2 (−4.1 ～ +1.8)"
    assert drawing(html).find("desc").text.startswith("worse: −1.2 (−4.1 to +1.8); better:")
    assert texts(drawing(chart(form="number", digits=2)), "value")[1] == "0.08 (0.05 to 0.12)"


def test_directions_are_named():
    drawn = drawing(chart(worse=Text("misses more", "増える"), better="misses less"))
    assert {"← misses more", "misses less →"} <= set(texts(drawn, "tick"))


def test_hostile_names_are_escaped():
    html = chart(
        [Interval(Text(HOSTILE, HOSTILE), 1, 0, 2)], title=HOSTILE, x_title=HOSTILE, worse=HOSTILE, better=HOSTILE
    )
    assert "<script" not in html
    assert "<img" not in html
    assert drawing(html).find("title").text == HOSTILE

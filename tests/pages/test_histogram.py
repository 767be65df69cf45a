"""The histogram: bars as high as values are many, marks where they lie, words that do not cover each other."""

import numpy as np
import pytest
from drawings import HOSTILE, axis, drawing, of_class, texts

from embedstore.pages import Mark, Text, histogram

VALUES = np.r_[np.full(30, 0.2), np.full(10, 0.6), 0.9]


def bars(drawn):
    return [
        {name: float(one.get(name)) for name in ("x", "y", "width", "height")} for one in of_class(drawn, "bar-fill")
    ]


@pytest.mark.parametrize("kind", ["wide", "narrow"])
def test_bars_stand_where_the_values_are_as_high_as_they_are_many(kind):
    drawn = drawing(histogram(VALUES, title="t", around=[0]), kind)
    to_x = axis(drawn, "middle", "x")
    found = bars(drawn)
    assert len(found) == 3
    for value, bar in zip((0.2, 0.6, 0.9), found, strict=True):
        assert bar["x"] - 0.1 <= to_x(value) <= bar["x"] + bar["width"] + 1.1
    assert found[1]["height"] / found[0]["height"] == pytest.approx(10 / 30, abs=0.01)
    assert found[2]["height"] >= 2  # one of many is still seen
    assert len({round(bar["y"] + bar["height"], 1) for bar in found}) == 1


def test_marks_stand_at_their_values_with_their_words():
    drawn = drawing(histogram(VALUES, title="t", marks=[Mark(0.4, "near"), Mark(0.9, "this one", strong=True)]))
    to_x = axis(drawn, "middle", "x")
    lines = of_class(drawn, "mark")
    assert [float(one.get("x1")) for one in lines] == pytest.approx([to_x(0.4), to_x(0.9)], abs=0.1)
    assert [one.get("class") for one in lines] == ["mark", "mark strong"]
    assert texts(drawn, "mark-name") == ["near", "this one"]


def test_words_of_marks_that_are_close_stand_in_rows_of_their_own():
    marks = [Mark(0.50 + at / 100, f"a rather long name {at}") for at in range(4)]
    drawn = drawing(histogram(VALUES, title="t", marks=marks))
    assert len({one.get("y") for one in of_class(drawn, "mark-name")}) == 4
    apart = drawing(histogram(VALUES, title="t", marks=[Mark(0.1, "a"), Mark(0.9, "b")]))
    assert len({one.get("y") for one in of_class(apart, "mark-name")}) == 1


def test_words_at_the_ends_stay_inside():
    drawn = drawing(
        histogram(VALUES, title="t", marks=[Mark(0.2, "a long name"), Mark(0.9, "another long name")]), "narrow"
    )
    for one in of_class(drawn, "mark-name"):
        assert 0 <= float(one.get("x")) <= 360 - 8 * len(one.text) / 2


@pytest.mark.parametrize("values", [[], [np.nan, np.inf], [0.3], [0.3, 0.3]])
def test_hardly_any_values(values):
    drawn = drawing(histogram(values, title="t", marks=[Mark(np.inf, "x")]))
    assert len(bars(drawn)) == min(1, np.isfinite(values).sum())
    assert texts(drawn, "mark-name") == []
    assert ("no data" in texts(drawn, "tick")) == (not np.isfinite(values).any())


def test_it_is_said_in_words_and_in_both_languages():
    html = histogram(VALUES, title="t", marks=[Mark(0.4, Text("near", "近い"))])
    assert "near: 0.40; median: 0.20; values: 41." in html
    assert "近い: 0.40；中央値: 0.20；件数: 41。" in html


def test_hostile_words_are_escaped():
    html = histogram(VALUES, title=HOSTILE, marks=[Mark(0.4, HOSTILE)], note=HOSTILE)
    assert "<script" not in html
    assert "<img" not in html

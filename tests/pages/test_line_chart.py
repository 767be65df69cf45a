import math

import numpy as np
import pytest
from drawings import HOSTILE, axis, drawing, of_class, points, texts

from embedstore.errors import SettingsError
from embedstore.pages import Series, Text, line_chart

NAN = math.nan


def chart(*series, **options):
    return line_chart(series, **{"title": "Curves", "x_title": "epoch", "y_title": "AUROC", **options})


def test_points_lie_where_the_axes_say():
    """Values 0.6, 0.7, 0.9 make an axis of 0.6 to 0.9; the plot is 290 high and begins at 32."""
    drawn = drawing(chart(Series("plain", [0.6, 0.7, 0.9])))
    (curve,) = of_class(drawn, "curve")
    (x0, y0), (x1, y1), (x2, y2) = points(curve)
    assert (y0, y2) == (32 + 290, 32)
    assert y1 == pytest.approx(32 + 290 * 2 / 3, abs=0.01)
    assert x1 == pytest.approx((x0 + x2) / 2, abs=0.01)
    assert 0 < x0 < x2 < 880


@pytest.mark.parametrize("kind", ["wide", "narrow"])
def test_points_agree_with_the_tick_labels(kind):
    at, values = [2, 3, 5, 11], [0.512, 0.633, 0.7, 0.81]
    drawn = drawing(chart(Series("plain", values, at)), kind)
    x, y = axis(drawn, "middle", "x"), axis(drawn, "end", "y")
    (curve,) = drawn.iter("polyline")
    grid = {float(one.get("y1")) for one in of_class(drawn, "grid")}
    for place, (px, py) in zip(zip(at, values, strict=True), points(curve), strict=True):
        assert px == pytest.approx(x(place[0]), abs=0.05)
        assert py == pytest.approx(y(place[1]) - 5, abs=0.05)  # the text stands 5 below its line
    assert y.low[1] - 5 in grid


@pytest.mark.parametrize("kind", ["wide", "narrow"])
def test_everything_is_inside_the_drawing(kind):
    names = ["a" * 70, Text("a rather long name of a policy", "とても長い方式の名前とても長い方式の名前"), "short"]
    series = [Series(name, np.linspace(0.5, 0.51 + 0.001 * at, 200)) for at, name in enumerate(names)]
    for language in ("en", "ja"):
        drawn = drawing(chart(*series), kind, language)
        _, _, width, height = map(float, drawn.get("viewBox").split())
        for one in of_class(drawn, "curve"):
            assert all(0 <= x <= width and 0 <= y <= height for x, y in points(one))
        for one in drawn.iter("text"):
            assert 0 <= float(one.get("x")) <= width
            assert 0 <= float(one.get("y")) <= height


def test_nan_cuts_the_curve_and_a_lone_value_becomes_a_dot():
    drawn = drawing(chart(Series("plain", [0.6, 0.7, NAN, 0.8, NAN, math.inf, 0.9, 0.9])))
    assert [len(points(one)) for one in of_class(drawn, "curve")] == [2, 2]
    assert len(of_class(drawn, "dot")) == 2  # the lone 0.8, and the end of the curve
    assert "nan" not in "".join(str(one.attrib) for one in drawn.iter()).lower()


@pytest.mark.parametrize("series", [[], [Series("none", [])], [Series("none", [NAN, NAN])]])
def test_nothing_to_draw_is_said(series):
    html = chart(*series)
    assert "no data" in texts(drawing(html), "tick")
    assert "データなし" in texts(drawing(html, language="ja"), "tick")


def test_a_constant_curve_is_level_and_a_share_stays_within_its_bounds():
    drawn = drawing(chart(Series("plain", [1.0, 1.0, 1.0]), form="percent"))
    (curve,) = of_class(drawn, "curve")
    assert {y for _, y in points(curve)} == {32}  # at the top: there is nothing above 100 %
    assert texts(drawn, "tick")[0:6:5] == ["90\u202f%", "100\u202f%"]


def test_a_single_epoch_is_a_dot_in_the_middle():
    drawn = drawing(chart(Series("plain", [0.7])))
    (dot,) = of_class(drawn, "dot")
    assert float(dot.get("cx")) == pytest.approx(axis_middle(drawn), abs=0.01)
    assert texts(drawn, "tick")[-1] == "1"


def axis_middle(drawn):
    grid = of_class(drawn, "grid")[0]
    return (float(grid.get("x1")) + float(grid.get("x2"))) / 2


def test_the_band_goes_along_the_top_and_back_along_the_bottom():
    drawn = drawing(chart(Series("own", [0.6, 0.7], low=[0.5, 0.65], high=[0.65, 1.0])))
    (band,) = of_class(drawn, "band")
    (xa, a), (xb, b), (xc, c), (xd, d) = points(band)
    assert (xa, xb) == (xd, xc)
    assert [a, b, c, d] == pytest.approx([32 + 290 * (1 - (v - 0.5) / 0.5) for v in (0.65, 1.0, 0.65, 0.5)], abs=0.01)


def test_names_at_the_ends_do_not_cover_each_other_and_keep_their_order():
    drawn = drawing(chart(*(Series(f"policy {at}", [0.5, 0.8 + at / 1000]) for at in range(8))))
    heights = {one.text: float(one.get("y")) for one in of_class(drawn, "name")}
    ordered = sorted(heights, key=heights.__getitem__)
    assert ordered == [f"policy {at}" for at in range(7, -1, -1)]
    assert np.diff(sorted(heights.values())).min() >= 22 - 0.01


def test_each_series_has_its_own_look_and_a_quiet_one_takes_no_colour():
    drawn = drawing(chart(*(Series(str(at), [0.5, 0.6], quiet=at == 0) for at in range(7))))
    looks = [(one.get("class"), one.get("stroke-dasharray")) for one in of_class(drawn, "curve")]
    assert looks[:2] == [("curve quiet", "6 4"), ("curve series-1", None)]
    assert len(set(looks)) == 7


def test_the_figures_are_told_in_words_in_both_languages():
    html = chart(Series(Text("plain", "通常"), [NAN, 0.61234, 0.8]))
    assert [one.text for one in drawing(html).iter("desc")] == ["plain: from 0.612 at 2 to 0.800 at 3."]
    assert [one.text for one in drawing(html, language="ja").iter("desc")] == ["通常: 2 で 0.612、3 で 0.800。"]


def test_hostile_names_are_escaped():
    html = line_chart(
        [Series(Text(HOSTILE, "x"), [1, 2]), Series(HOSTILE, [2, 3])],
        title=Text(HOSTILE, HOSTILE), x_title=HOSTILE, y_title=Text("x", HOSTILE), note=HOSTILE,
    )  # fmt: skip
    assert "<script" not in html
    assert "<img" not in html
    assert drawing(html).find("title").text == HOSTILE


def test_lengths_that_do_not_fit_are_refused():
    with pytest.raises(SettingsError, match="Series 'own' has 2 values but 3 of 'at'"):
        Series("own", [1, 2], at=[1, 2, 3])
    with pytest.raises(SettingsError, match="1 of 'low'"):
        Series("own", [1, 2], low=[1])
    with pytest.raises(SettingsError, match="from 1 to 1"):
        chart(Series("own", [1, 2]), y_range=(1, 1))


def test_a_given_range_is_kept():
    drawn = drawing(chart(Series("plain", [0.25, 0.5]), y_range=(0, 1)))
    (curve,) = of_class(drawn, "curve")
    assert [y for _, y in points(curve)] == pytest.approx([32 + 290 * 0.75, 32 + 290 * 0.5])

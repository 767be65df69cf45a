import math

import pytest
from drawings import HOSTILE, drawing, texts

from embedstore.errors import SettingsError
from embedstore.pages import Share, Text, share_chart


def bars(drawn):
    """Left end and width of each bar's parts, without the two squares of the legend."""
    found = [one for one in drawn.iter("rect") if one.get("height") == "24"]
    return [(one.get("class"), float(one.get("x")), float(one.get("width"))) for one in found]


def test_a_bar_is_cut_where_its_share_ends():
    """On a phone a bar is 360 long; 41 of 60 end at 246, and a gap of 2 follows."""
    drawn = drawing(share_chart([Share("own", 41, 60)], title="Caught"), "narrow")
    assert bars(drawn) == [("caught", 0, 246), ("missed", 248, 112)]
    assert texts(drawn, "value") == ["41 of 60 · 68\u202f%"]
    assert texts(drawn, "on-fill") == ["19"]


@pytest.mark.parametrize(("part", "expected"), [(0, [("missed", 0, 360)]), (60, [("caught", 0, 360)])])
def test_none_and_all_leave_one_part(part, expected):
    assert bars(drawing(share_chart([Share("own", part, 60)], title="Caught"), "narrow")) == expected


def test_one_in_a_thousand_can_be_seen():
    (caught, missed) = bars(drawing(share_chart([Share("own", 9999, 10000)], title="Caught"), "narrow"))
    assert missed == ("missed", 358, 2)
    assert caught == ("caught", 0, 356)


def test_bars_are_equally_long_whatever_their_whole():
    shares = [Share("a", 4000, 8000), Share("b", 1, 2)]
    assert bars(drawing(share_chart(shares, title="x"), "narrow")) == [("caught", 0, 180), ("missed", 182, 178)] * 2


@pytest.mark.parametrize("share", [Share("a", None, 5), Share("a", math.nan, 5), Share("a", 0, 0)])
def test_no_data(share):
    html = share_chart([share], title="Caught")
    assert bars(drawing(html)) == []
    assert "no data" in texts(drawing(html), "tick")
    assert "データなし" in texts(drawing(html, language="ja"), "tick")


def test_no_rows():
    assert "no data" in texts(drawing(share_chart([], title="Caught")), "tick")


def test_expected_numbers_over_seeds_are_not_rounded_away():
    drawn = drawing(share_chart([Share("own", 37.4, 57), Share("none", 30.0, 57)], title="Caught"))
    assert [text.split(" · ")[0] for text in texts(drawn, "value")] == ["37.4 of 57", "30 of 57"]


def test_groups_are_headed_once():
    shares = [Share("a", 1, 2, "Crack"), Share("b", 1, 2, "Crack"), Share("a", 1, 2, Text("Fray", "ほつれ"))]
    html = share_chart(shares, title="Caught")
    assert texts(drawing(html), "group") == ["Crack", "Fray"]
    assert texts(drawing(html, language="ja"), "group") == ["Crack", "ほつれ"]
    assert drawing(html).find("desc").text == (
        "Crack, a: caught 1 of 2 · 50\u202f%; Crack, b: caught 1 of 2 · 50\u202f%; Fray, a: caught 1 of 2 · 50\u202f%."
    )


@pytest.mark.parametrize("part", [-1, 61])
def test_more_than_all_is_refused(part):
    with pytest.raises(SettingsError, match=f"Row 'own' has {part} of 60"):
        Share("own", part, 60)


def test_hostile_names_are_escaped():
    html = share_chart(
        [Share(HOSTILE, 1, 2, Text(HOSTILE, HOSTILE))], title=HOSTILE, caught=HOSTILE, missed=HOSTILE, note=HOSTILE
    )
    assert "<script" not in html
    assert "<img" not in html
    assert drawing(html).find("title").text == HOSTILE

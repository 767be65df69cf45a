import math
import xml.etree.ElementTree as ET

import numpy as np
import pytest
from drawings import HOSTILE

from embedstore.errors import SettingsError
from embedstore.pages import Cell, Column, Text, table


def cells(html):
    """Text and classes of each body cell, row by row."""
    root = ET.fromstring(f"<root>{html}</root>")  # noqa: S314  our own
    return [[("".join(cell.itertext()), cell.get("class")) for cell in row] for row in root.find(".//tbody")]


def column_marks(column, values):
    rows = cells(table([Column("name"), column], [[str(at), value] for at, value in enumerate(values)], caption="x"))
    return [(row[1][1] or "").replace("numeric", "").strip() for row in rows]


def test_values_are_written_as_their_column_says():
    columns = [
        Column("name"),
        Column("a", "number"),
        Column("b", "number", digits=1),
        Column("c", "percent"),
        Column("d", "points"),
    ]
    html = table(columns, [["own", 0.8765, 2, 0.416, -0.021], ["none", 95, None, math.nan, "pending"]], caption="x")
    own, none = cells(html)
    assert own == [
        ("own", None),
        ("0.876", "numeric"),
        ("2.0", "numeric"),
        ("41.6\u202f%", "numeric"),
        ("−2.1", "numeric"),
    ]
    assert [text for text, _ in none] == ["none", "95", "–", "–", "pending"]


@pytest.mark.parametrize(
    ("better", "values", "expected"),
    [
        ("higher", [0.5, 0.9, 0.7], ["worst", "best", ""]),
        ("lower", [0.5, 0.9, 0.7], ["best", "worst", ""]),
        ("higher", [0.5, 0.90001, 0.90002], ["worst", "best", "best"]),  # shown alike
        ("higher", [0.9, 0.9], ["", ""]),
        ("higher", [0.9, None, math.nan], ["", "", ""]),
        ("higher", [0.5, None, 0.7, "gone"], ["worst", "", "best", ""]),
        ("lower", np.array([0.5, 0.7], np.float32), ["best", "worst"]),
        (None, [0.5, 0.9], ["", ""]),
    ],
)
def test_best_and_worst_are_marked(better, values, expected):
    assert column_marks(Column("x", "number", better=better, mark_worst=True), values) == expected


def test_worst_is_marked_only_when_asked_for():
    assert column_marks(Column("x", "number", better="higher"), [1, 2]) == ["", "best"]


def test_marks_are_told_in_words_too():
    html = table([Column("n"), Column("x", "number", better="higher")], [["a", 1], ["b", 2]], caption="x")
    assert '2<span class="unseen"> (<span lang="en">best</span><span lang="ja">最良</span>)</span>' in html


def test_headers_say_what_they_head():
    html = table(
        [Column(Text("Policy", "方式")), Column("AUROC", "number", note="test")], [["own", 1]], caption="Figures"
    )
    assert html.count('scope="col"') == 2
    assert '<th scope="row">own</th>' in html
    assert "<caption><span>Figures</span></caption>" in html
    assert "<small>test</small>" in html


def test_a_cell_may_carry_its_interval():
    html = table([Column("n"), Column("x", "percent")], [["a", Cell(0.5, "40–60")]], caption="x")
    assert "50.0\u202f% <small>40–60</small>" in html


def test_rows_must_fit():
    with pytest.raises(SettingsError, match="Row 1 of a table has 1 cells, but there are 2 columns"):
        table([Column("a"), Column("b")], [["x", 1], ["y"]], caption="x")


def test_everything_is_escaped():
    text = Text(HOSTILE, HOSTILE)
    html = table(
        [Column(text, note=HOSTILE), Column(HOSTILE, "number")],
        [[HOSTILE, Cell(text, HOSTILE)]],
        caption=text,
        note=text,
    )
    assert "<script" not in html
    assert "<img" not in html


def test_no_rows_is_a_table_still():
    assert cells(table([Column("a")], [], caption="x")) == []

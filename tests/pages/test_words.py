import math

import numpy as np
import pytest
from drawings import HOSTILE
from markupsafe import Markup, escape

from embedstore.errors import SettingsError
from embedstore.pages import Text, number, percent, points
from embedstore.pages.words import figure, for_each_language, in_language


def test_a_text_becomes_both_languages_each_marked():
    assert escape(Text("cost", "費用")) == '<span lang="en">cost</span><span lang="ja">費用</span>'


def test_what_is_the_same_in_both_is_written_once():
    assert escape(Text("AUROC", "AUROC")) == "AUROC"


@pytest.mark.parametrize("text", [Text(HOSTILE, "費用"), Text("cost", HOSTILE), Text(HOSTILE, HOSTILE)])
def test_a_text_is_escaped_in_both_languages(text):
    html = str(escape(text))
    assert "<script" not in html
    assert "<img" not in html
    assert "&lt;script&gt;" in html


def test_in_language():
    assert [in_language(Text("cost", "費用"), language) for language in ("en", "ja")] == ["cost", "費用"]
    assert in_language("id", "ja") == "id"


def test_for_each_language_draws_once_where_nothing_differs():
    assert for_each_language(lambda language: Markup("<b></b>")) == "<b></b>"
    both = for_each_language(lambda language: Markup("<b>{}</b>").format(language))
    assert both == '<div lang="en"><b>en</b></div><div lang="ja"><b>ja</b></div>'


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        (number(0.12345), "0.123"),
        (number(-0.5, 1), "−0.5"),
        (number(1234567, 0), "1,234,567"),
        (number(0.5, 1, signed=True), "+0.5"),
        (number(-0.0004), "0.000"),
        (number(0.0004, signed=True), "0.000"),
        (number(np.float32(2.5), 1), "2.5"),
        (number(None), "–"),
        (number(math.nan), "–"),
        (number(-math.inf), "–"),
        (percent(0.416), "42\u202f%"),
        (percent(0.0825, 1), "8.2\u202f%"),
        (percent(math.nan), "–"),
        (percent(None), "–"),
        (points(0.083), "+8.3"),
        (points(-0.012), "−1.2"),
        (points(None), "–"),
        (figure(0.5, "number"), "0.500"),
        (figure(0.5, "percent"), "50.0\u202f%"),
        (figure(0.5, "points", 0), "+50"),
    ],
)
def test_numbers_as_they_are_read(written, expected):
    assert written == expected


def test_an_unknown_form_is_refused():
    with pytest.raises(SettingsError, match="'share' is not known; choose one of number, percent, points"):
        figure(0.5, "share")  # type: ignore[arg-type]

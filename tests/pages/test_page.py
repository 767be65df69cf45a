import base64
import hashlib
import html as html_module
import re
from html.parser import HTMLParser

import pytest
from drawings import HOSTILE
from helpers import noise_picture

from embedstore.errors import SettingsError
from embedstore.pages import (
    Column,
    Interval,
    OddSample,
    Picture,
    Series,
    Share,
    Text,
    bullets,
    callout,
    fold,
    interval_chart,
    key_figure,
    key_figures,
    line_chart,
    odd_samples,
    paragraph,
    picture_row,
    render_page,
    section,
    share_chart,
    table,
)
from embedstore.pages.markup import asset

VOID = {"meta", "input", "img", "br", "wbr"}


def everything(text):
    """A page with every part there is, all of it saying `text`."""
    words = Text(text, text + "。")
    near = [Picture(text, noise_picture(1), words), Picture(text, None)]
    return render_page(
        words,
        [
            key_figures(key_figure(text, words, words, strong=True), key_figure(words, text)),
            section(
                words,
                text,
                paragraph(words),
                bullets(text, words),
                callout(words, words, text),
                callout(text, text, kind="note"),
                fold(words, text, fold(text, words)),
                table(
                    [Column(words, note=text), Column(text, "number", better="higher")],
                    [[text, 1], [words, 2]],
                    caption=words,
                ),
                line_chart([Series(words, [1, 2], low=[0, 1], high=[2, 3])], title=words, x_title=words, y_title=text),
                interval_chart([Interval(words, 1, 0.5, 2)], title=words, x_title=words, worse=words, better=text),
                share_chart([Share(words, 1, 2, group=text)], title=words, note=text),
                odd_samples([OddSample(near[0], words, words, [(text, words)], words, near, near)]),
                picture_row(words, near),
                lead=words,
            ),
        ],
        kicker=words,
        lead=words,
        footer=words,
    )


class Reader(HTMLParser):
    """Checks that tags close in order, and keeps what a browser would act upon."""

    def __init__(self, document):
        super().__init__()
        self.open, self.tags, self.attributes = [], [], []
        self.feed(document)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [(tag, name, value) for name, value in attrs]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [(tag, name, value) for name, value in attrs]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


@pytest.fixture(scope="module")
def calm():
    return everything("A sentence.")


def test_hostile_text_changes_no_tag(calm):
    """The page with hostile text has the very tags and attributes of the page with calm text."""
    hostile, expected = Reader(everything(HOSTILE)), Reader(calm)
    # a text that was cut short for a chart, or a name that may break, carries one more element
    extra = {"wbr", "title"}
    assert [tag for tag in hostile.tags if tag not in extra] == [tag for tag in expected.tags if tag not in extra]
    names = [[(tag, name) for tag, name, _ in reader.attributes] for reader in (hostile, expected)]
    assert names[0] == names[1]
    assert not any(name.startswith("on") for _, name, _ in hostile.attributes)


@pytest.mark.parametrize("text", [HOSTILE, "{{ 7 * 7 }}{% raw %}", "</style></title></script>", "\x1b[31m\u202e"])
def test_text_is_shown_as_it_is(text):
    page = everything(text)
    Reader(page)
    assert text in html_module.unescape(page)


def test_text_that_no_document_can_hold():
    page = everything("name\udce9\0.png")
    page.encode("utf-8")
    assert "\0" not in page
    assert "name?\ufffd.png" in page


def test_nothing_is_loaded(calm):
    assert not re.search(r"https?:|[\"'(=]\s*//|url\(|@import|<link|<iframe|<base", calm)
    for tag, name, value in Reader(calm).attributes:
        if name in {"src", "href", "srcset", "action", "data", "poster", "xlink:href"}:
            assert (tag, value[:11]) == ("img", "data:image/")


def test_the_policy_forbids_all_that_is_not_inside(calm):
    policy = dict(one.strip().split(" ", 1) for one in re.search(r'Policy" content="([^"]*)"', calm)[1].split(";"))
    assert policy == {
        "default-src": "'none'",
        "img-src": "data:",
        "style-src": "'unsafe-inline'",
        "script-src": policy["script-src"],
        "base-uri": "'none'",
        "form-action": "'none'",
    }
    (script,) = re.findall(r"<script>(.*?)</script>", calm, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert policy["script-src"] == f"'sha256-{digest}'"


def test_both_languages_and_their_switch(calm):
    assert calm.startswith('<!DOCTYPE html>\n<html lang="en"')
    assert 'id="language-en" value="en" checked>' in calm
    assert 'id="language-ja" value="ja">' in calm
    assert '<span lang="en">A sentence.</span><span lang="ja">A sentence.。</span>' in calm
    assert "<title>A sentence.</title>" in calm


def test_the_first_language_is_the_one_without_a_script():
    page = render_page(Text("Cost", "費用"), [], languages=("ja", "en"))
    assert '<html lang="ja"' in page
    assert 'id="language-ja" value="ja" checked>' in page
    assert 'id="language-en" value="en">' in page
    assert "<title>費用</title>" in page


def test_one_language_needs_no_switch():
    page = render_page(Text("Cost", "費用"), [], languages=("ja",))
    assert '<fieldset class="languages" hidden>' in page
    assert "language-en" not in page.split("<body>")[1].split("<script>")[0]


@pytest.mark.parametrize("languages", [(), ("en", "fr")])
def test_other_languages_are_refused(languages):
    with pytest.raises(SettingsError, match="choose one or more of"):
        render_page("Cost", [], languages=languages)


def test_parts_that_are_not_given_leave_nothing_behind():
    page = render_page("Cost", [])
    assert 'class="lead"' not in page
    assert "<footer" not in page.split("<body>")[1]


def luminance(colour):
    channels = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    red, green, blue = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one, other):
    high, low = sorted((luminance(one), luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("scheme", [0, 1], ids=["light", "dark"])
def test_contrast_is_that_of_wcag_aa(scheme):
    """4.5 for text, 3 for what is drawn (WCAG 2.2, 1.4.3 and 1.4.11)."""
    blocks = re.findall(r":root \{(.*?)\}", asset("page.css"), re.DOTALL)
    colours = dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6})", blocks[scheme]))
    for text in ("ink", "muted", "accent", "caution"):
        for ground in ("paper", "wash"):
            assert contrast(colours[text], colours[ground]) >= 4.5, (text, ground)
    assert contrast(colours["on-fill"], colours["missed"]) >= 4.5
    for drawn in ("quiet", "caught", "missed", *(f"series-{at}" for at in range(1, 6))):
        assert contrast(colours[drawn], colours["paper"]) >= 3, drawn
    for named in ("quiet", *(f"series-{at}" for at in range(1, 6))):  # the names of curves, bold
        assert contrast(colours[named], colours["paper"]) >= 3.8, named

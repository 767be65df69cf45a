"""The controls above the map in a real Chromium: one that is in use stays, keeps the focus, and is seen on its ground."""

import os
import re
from collections.abc import Iterator
from pathlib import Path
from threading import Event

import numpy as np
import pytest
from browser import Page, needs_browser
from helpers import store_of, unit_vectors
from inspected import COUNT, name_of, served
from live import KNOWN, NOTE, load

import embedstore
from embedstore_inspector import boards

pytestmark = [
    needs_browser,
    pytest.mark.skipif(os.name == "nt", reason="the browser's pipe has no fixed numbers there"),
]

SLIDER = "document.querySelector('.ramp input')"
FOCUS = "document.activeElement"


@pytest.fixture(scope="module")
def address(line: Path) -> Iterator[str]:
    with served(line / "store") as found:
        yield found


@pytest.fixture
def page(browser: Page, address: str) -> Iterator[Page]:
    load(browser, address)
    yield browser
    browser.dark(False)
    assert browser.complaints == []


def colour_by(page: Page, name: str) -> None:
    page.value(
        f"(list => {{ list.value = '{name}'; list.dispatchEvent(new Event('change')); }})(document.querySelector('#colour'))"
    )


def test_the_slider_is_dragged_to_where_it_is_let_go(page: Page) -> None:
    colour_by(page, "percentile")
    page.until(f"!!{SLIDER}")
    page.value(f"{SLIDER}.mine = true")
    left, width = page.value(f"(b => [b.left, b.width])({SLIDER}.getBoundingClientRect())")
    _, middle = page.middle(".ramp input")
    page.drag([(left + share * width, middle) for share in (0.1, 0.3, 0.5, 0.7)])
    assert 60 < int(page.value(f"{SLIDER}.value")) < 80
    assert page.value(f"{SLIDER}.mine && {FOCUS} === {SLIDER}")
    values = page.value("import('/static/data.js').then(({ data }) => [...data.scales.percentile.values])")
    passing = sum(value >= int(page.value(f"{SLIDER}.value")) for value in values)
    assert 0 < passing < COUNT
    assert page.value("document.querySelector('#map-note').innerText") == f"{passing} of {COUNT} shown"


def test_the_slider_is_moved_by_keys_and_set_back(page: Page) -> None:
    colour_by(page, "percentile")
    page.until(f"!!{SLIDER}")
    page.value(f"{SLIDER}.focus()")
    for _ in range(3):
        page.press("ArrowRight")
    assert page.value(f"{SLIDER}.value") == "3"
    assert page.value(f"{FOCUS} === {SLIDER}")
    page.value("document.querySelector('#filters > button').focus()")
    page.press("Enter")
    page.until(f"{SLIDER}.value === '0'")
    assert page.value(f"{FOCUS}.id") == "filters"  # the button is hidden now


def test_who_chooses_in_legend_and_filters_stays_there(page: Page) -> None:
    page.value("document.querySelector('.legend-item:nth-child(2)').focus()")
    page.press("Enter")
    page.until(f"{NOTE}.includes('pass the filter')")
    assert page.value(f"{FOCUS}.matches('.legend-item:nth-child(2)[aria-pressed=true]')")
    assert page.value("document.querySelector('.legend-item').className") == "legend-item off"
    assert page.value("document.querySelector('#filters select').value") == "2"  # they say the same
    page.press("Enter")
    page.until(f"!{NOTE}.includes('pass the filter')")
    page.value("document.querySelector('#filters select').focus()")
    page.value(f"{FOCUS}.value = '1', {FOCUS}.dispatchEvent(new Event('change'))")
    page.until(f"{NOTE}.includes('pass the filter')")
    assert page.value(f"{FOCUS}.tagName") == "SELECT"
    assert page.value("document.querySelector('.legend-item').getAttribute('aria-pressed')") == "true"


def test_what_is_told_anew_hands_the_focus_over(page: Page) -> None:
    page.value("document.querySelector('#filters select').focus()")
    page.value("document.querySelector('#language-ja').click(), document.querySelector('#filters select').focus()")
    page.value("document.dispatchEvent(new Event('language'))")
    assert page.value(f"{FOCUS}.dataset.control") == "label"
    page.value("document.querySelector('.legend-item').focus()")
    page.press("c")
    page.until("document.querySelector('#colour').value !== 'label'")
    assert page.value(f"{FOCUS}.id") == "legend"


def test_keys_take_the_focus_to_the_view_that_they_show(page: Page) -> None:
    page.press("3")
    page.until(f"{FOCUS}.id === 'prototypes'")
    page.until("!!document.querySelector('.prototype')")
    page.until("(one => one.scrollHeight > one.clientHeight)(document.querySelector('#prototypes'))")
    page.press("ArrowDown")
    page.until("document.querySelector('#prototypes').scrollTop > 0")
    page.press("1")
    page.until(f"{FOCUS}.id === 'overlay'")
    for _ in range(2):  # where it is shown already, too
        page.press("4")
        page.until(f"{FOCUS}.id === 'suggestions'")
        page.value(f"{FOCUS}.blur()")


def contrast(one: tuple[int, ...], other: tuple[int, ...]) -> float:
    """Return the contrast of two colours as WCAG 2.2 defines it, 1 to 21."""

    def luminance(colour: tuple[int, ...]) -> float:
        shares = np.array(colour) / 255
        linear = np.where(shares <= 0.04045, shares / 12.92, ((shares + 0.055) / 1.055) ** 2.4)
        return float(linear @ [0.2126, 0.7152, 0.0722])

    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_every_colour_of_the_map_is_seen_on_its_ground(page: Page, dark: bool) -> None:
    assert contrast((255, 255, 255), (0, 0, 0)) == pytest.approx(21)
    page.dark(dark)
    colours = page.value(
        "import('/static/colours.js').then(({ palette }) => { const { paper, quiet, kinds, ramp } = palette();"
        " return [paper, quiet, ...kinds, ...Array.from({ length: 65 }, (_, at) => ramp(at / 64))]; })"
    )
    ground, *rest = [tuple(one) for one in colours]
    assert ground == ((20, 25, 28) if dark else (255, 255, 255))
    assert len(rest) == 76
    assert min(contrast(one, ground) for one in rest) >= 3


def test_no_two_labels_have_one_colour_but_those_that_are_left_quiet(browser: Page, tmp_path: Path) -> None:
    labels = [f"label {at:02d}" for at in range(13) for _ in range(2)]
    store_of(tmp_path / "s", unit_vectors(1, 26), labels=labels).close()
    with served(tmp_path / "s") as address:
        load(browser, address)
        dots = browser.value("[...document.querySelectorAll('.dot-mark')].map(one => one.style.backgroundColor)")
        quiet = browser.value("getComputedStyle(document.body).getPropertyValue('--point-quiet')").strip()
        browser.open("about:blank")
    expected = "rgb({}, {}, {})".format(*(int(part, 16) for part in re.findall("[0-9a-f]{2}", quiet)))
    assert len(set(dots[:10])) == 10
    assert dots[10:] == [expected] * 3
    assert expected not in dots[:10]


def test_changes_are_told_while_the_comparison_goes_on(
    browser: Page, own_line: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    enough, compare = Event(), boards.Comparison

    def slow(*given: object) -> object:
        assert enough.wait(60)
        return compare(*given)  # type: ignore[arg-type]

    monkeypatch.setattr(boards, "Comparison", slow)
    with served(own_line / "store") as address:
        browser.complaints.clear()
        browser.open(address)
        browser.until("performance.getEntriesByName('points-painted').length > 0")
        with embedstore.open(own_line / "store") as store, store.write() as writing:
            writing.set("label", {name_of(2): "crack"})
        browser.value("document.dispatchEvent(new Event('visibilitychange'))")  # as when a reader comes back to it
        browser.until("document.querySelector('[data-name=old]')?.innerText.includes('2')", 15)
        assert not browser.value(KNOWN)
        enough.set()
        browser.open("about:blank")
    assert browser.complaints == []

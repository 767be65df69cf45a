"""The page in a real Chromium: it loads, selects, searches, speaks Japanese, shows hostile names as names."""

import os
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest
from browser import Page, needs_browser
from inspected import COUNT, HOSTILE_ID, drawn, name_of, served
from live import KNOWN, NOTE, PLOT, TITLE, load, touch

import embedstore

pytestmark = [
    needs_browser,
    pytest.mark.skipif(os.name == "nt", reason="the browser's pipe has no fixed numbers there"),
]


@pytest.fixture(scope="module")
def address(line: Path) -> Iterator[str]:
    with served(line / "store") as found:
        yield found


@pytest.fixture
def page(browser: Page, address: str) -> Iterator[Page]:
    """The page, loaded; at its end no script may have failed and no policy been broken."""
    load(browser, address)
    yield browser
    assert browser.complaints == []


def test_a_policy_that_is_broken_is_heard(browser: Page, address: str) -> None:
    """Else the other tests could not fail."""
    load(browser, address)
    browser.value("document.body.append(Object.assign(document.createElement('script'), {text: 'window.broken = 1'}))")
    browser.until("true")
    browser.value("new Promise(done => setTimeout(done, 200))")
    assert any("Content Security Policy" in one for one in browser.complaints)
    assert browser.value("window.broken") is None


def test_it_loads_with_all_points_and_the_oddest_first(page: Page) -> None:
    assert f"{COUNT} pictures" in page.value("document.querySelector('#about').innerText")
    assert page.value(TITLE) == "The oddest"
    coloured = page.value(
        "(() => { const c = document.querySelector('#points'), d = c.getContext('2d').getImageData(0, 0, c.width, c.height).data;"
        " let n = 0; for (let i = 0; i < d.length; i += 4) n += d[i] !== d[0] || d[i + 1] !== d[1]; return n; })()"
    )
    assert 40 * 30 < coloured < 40 * 400
    first = page.until("document.querySelector('.cell img')?.alt")
    assert first == name_of(COUNT - 1)  # the dark one


def test_a_lasso_around_all_selects_all_and_a_small_one_few(page: Page) -> None:
    left, top, width, height = page.value(PLOT)
    page.click(*page.middle("#lasso"))
    corners = [(0.01, 0.01), (0.99, 0.01), (0.99, 0.99), (0.01, 0.99), (0.01, 0.02)]
    page.drag([(left + x * width, top + y * height) for x, y in corners])
    assert page.until(f"{TITLE} === 'Selection' && {NOTE}") == f"{COUNT} pictures"
    half = [(0.01, 0.01), (0.5, 0.01), (0.5, 0.99), (0.01, 0.99), (0.01, 0.02)]
    page.drag([(left + x * width, top + y * height) for x, y in half])
    page.until(f"{NOTE} !== '{COUNT} pictures'")
    assert 0 < int(page.value(NOTE).split()[0]) < COUNT
    page.click(*page.middle("#list-back"))
    assert page.until(f"{TITLE} === 'The oddest'")


def test_a_picture_is_opened_from_the_gallery_and_left_by_keys(page: Page, line: Path) -> None:
    page.until("!!document.querySelector('.cell img')")
    page.click(*page.middle(".cell"))
    page.until("!!document.querySelector('.sample h3')")
    assert name_of(COUNT - 1) in page.value("document.querySelector('.sample h3').innerText")
    assert page.value("document.body.dataset.view") == "sample"
    page.press("j")
    page.until("document.querySelector('#place').innerText.startsWith('2 /')")
    page.press("k")
    page.until("document.querySelector('#place').innerText.startsWith('1 /')")
    page.press("s")
    page.until(f"{TITLE}.startsWith('Like ')")
    page.press("3")
    page.until("!!document.querySelector('.prototype')")
    page.press("?")
    assert page.value("document.querySelector('#keys').open")
    page.press("Escape")
    page.press("1")
    page.until("document.body.dataset.view === 'map'")


def test_the_map_is_walked_by_keys_alone(page: Page) -> None:
    page.value("document.querySelector('#overlay').focus()")
    page.press("v")
    assert page.until(f"{TITLE} === 'Selection' && {NOTE}") == f"{COUNT} pictures"
    for _ in range(2):
        page.press("+")
    page.press("v")
    page.until(f"{TITLE} === 'Selection' && {NOTE} !== '{COUNT} pictures'")
    page.press("0")
    for key in ("ArrowLeft", "ArrowUp", "ArrowRight", "ArrowDown"):
        page.press(key)
    for _ in range(40):
        if page.value("!document.querySelector('#hover').hidden"):
            break
        page.press("ArrowLeft")
        page.value("new Promise(done => setTimeout(done, 60))")
    page.press("Enter")
    page.until("!!document.querySelector('.sample h3') && document.body.dataset.view === 'sample'")


def test_a_filter_leaves_what_meets_it(page: Page) -> None:
    page.click(*page.middle(".legend-item:nth-child(2)"))  # crack
    page.until(f"{NOTE}.includes('pass the filter')")
    page.until("[...document.querySelectorAll('.cell strong')].every(one => one.innerText === 'crack · hairline')")
    assert page.value("document.querySelector('#map-note').innerText") == f"14 of {COUNT} shown"
    page.value("document.querySelector('#filters > button').click()")
    page.until(f"!{NOTE}.includes('pass the filter')")


def test_words_find_samples(page: Page) -> None:
    page.press("/")
    page.write("night crack")
    page.press("Enter")
    assert page.until(f"{TITLE} === 'Found: night crack' && {NOTE}") == "7 pictures"


def test_a_picture_that_is_dropped_finds_what_is_like_it(page: Page, tmp_path: Path) -> None:
    drawn(9).save(tmp_path / "<b>new.png")
    page.drop("#plot", tmp_path / "<b>new.png")
    page.until(f"{TITLE} === 'Like <b>new.png'")
    assert page.until("document.querySelector('.cell img')?.alt") == name_of(9)
    assert "similarity 1.000" in page.until("document.querySelector('.cell .caption').innerText")


def test_a_file_that_is_no_picture_is_told(page: Page, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("no picture", "utf-8")
    page.drop("#plot", tmp_path / "notes.txt")
    page.until(
        "[...document.querySelectorAll('.notice p')].some(one => one.innerText.includes('is not a picture in a known format'))"
    )
    page.complaints = [one for one in page.complaints if "422" not in one]  # the browser tells of each refusal


def test_japanese_is_chosen_kept_and_whole(page: Page, address: str) -> None:
    page.press("e")
    assert page.value("document.documentElement.lang") == "ja"
    page.value("document.querySelector('.cell').click()")
    page.until("!!document.querySelector('.sample h3')")
    seen = page.value("document.body.innerText")
    assert "最も近い代表例" in seen
    for english in ("Nearest", "Search", "Map", "Previous", "distance", "pictures", "Kind"):
        assert english not in seen
    page.open(address)
    page.until(KNOWN)
    assert page.value("document.documentElement.lang") == "ja"


def test_a_hostile_name_is_shown_as_a_name(page: Page, address: str) -> None:
    page.value(f"location.hash = 'sample={quote(HOSTILE_ID, safe='')}'")
    page.until("!!document.querySelector('.sample h3')")
    assert page.value("document.querySelector('.sample h3 .id').textContent") == HOSTILE_ID
    page.press("/")
    page.write("<img")
    page.press("Enter")
    assert page.until(f"{TITLE} === 'Found: <img' && document.querySelector('.cell img')?.alt") == HOSTILE_ID
    assert page.value("document.querySelectorAll('script:not([src]):not([type=\"application/json\"])').length") == 0


def test_a_store_that_changes_is_noticed(browser: Page, own_line: Path) -> None:
    with served(own_line / "store") as address:
        load(browser, address)
        with embedstore.open(own_line / "store") as store, store.write() as writing:
            writing.set("label", {name_of(2): "crack"})
        browser.value("document.dispatchEvent(new Event('visibilitychange'))")  # as when a reader comes back to it
        browser.until("document.querySelector('[data-name=old]')?.innerText.includes('version 2')", 20)
        browser.value("document.querySelector('[data-name=old] .button').click()")
        browser.until(f"document.querySelector('#about')?.innerText.includes('version 2') && {KNOWN}")
        assert browser.complaints == []
        browser.open("about:blank")


def test_a_tablet_pans_pinches_and_draws_a_lasso_by_touch(browser: Page, address: str) -> None:
    browser.complaints.clear()
    browser.open("about:blank", width=1024, height=768, touch=True)
    browser.open(address, width=1024, height=768, touch=True)
    browser.until(KNOWN)
    browser.value("document.querySelector('#language-en').click()")
    small = browser.value(
        "[...document.querySelectorAll('button, select, .tabs a, .languages label')].filter(one => one.offsetParent)"
        ".map(one => [one.id || one.className || one.innerText, Math.round(one.getBoundingClientRect().height)])"
        ".filter(([, height]) => height < 44)"
    )
    assert small == []
    assert browser.value("document.documentElement.scrollWidth") <= 1024
    browser.value("document.querySelector('#lasso').click()")
    left, top, width, height = browser.value(PLOT)
    path = [(left + x * width, top + y * height) for x, y in [(0.01, 0.01), (0.99, 0.01), (0.99, 0.99), (0.01, 0.99)]]
    touch(browser, "touchStart", path[:1])
    for at in path[1:]:
        touch(browser, "touchMove", [at])
    touch(browser, "touchEnd", [])
    assert browser.until(f"{TITLE} === 'Selection' && {NOTE}") == f"{COUNT} pictures"
    browser.open("about:blank")
    assert browser.complaints == []


def test_the_token_opens_the_page_once_and_leaves_the_address(browser: Page, line: Path) -> None:
    with served(line / "store", host="0.0.0.0") as address:  # noqa: S104
        browser.complaints.clear()
        browser.open(address)
        browser.until(KNOWN)
        assert browser.value("location.search") == ""
        assert browser.value("document.cookie") == ""  # no script can read it
        browser.open(address.split("?")[0])
        browser.until(KNOWN)
        assert browser.complaints == []
        browser.open("about:blank")

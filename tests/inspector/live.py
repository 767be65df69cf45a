"""What a person does at the page, in a real Chromium."""

import json
import time
from collections.abc import Callable
from contextlib import suppress
from urllib.parse import quote

from browser import Page

KNOWN = "performance.getEntriesByName('all-known').length > 0"
PLOT = (
    "(() => { const { left, top, width, height } = document.querySelector('#plot').getBoundingClientRect();"
    " return [left, top, width, height]; })()"
)
TITLE = "document.querySelector('#list-title').innerText"
NOTE = "document.querySelector('#list-note').innerText"
TRAY = "document.querySelector('#tray-count').innerText"
CTRL, SHIFT = 2, 8


def load(browser: Page, address: str) -> None:
    """Show the page, in English, with all that it finds out."""
    browser.complaints.clear()
    browser.open("about:blank")
    browser.open(address)
    browser.until(KNOWN)
    browser.value("document.querySelector('#language-en').click()")


def touch(page: Page, kind: str, points: list[tuple[float, float]]) -> None:
    """Touch the screen at some points."""
    page.send("Input.dispatchTouchEvent", type=kind, touchPoints=[{"x": x, "y": y} for x, y in points])


def tap(page: Page, selector: str) -> None:
    touch(page, "touchStart", [page.middle(selector)])
    touch(page, "touchEnd", [])


def see(page: Page, sample_id: str) -> None:
    page.value(f"location.hash = 'sample={quote(sample_id, safe='')}'")
    page.until(f"document.querySelector('.sample h3 .id')?.textContent === {json.dumps(sample_id)}")
    page.until(f"document.querySelector('#decide-target').innerText === {json.dumps(sample_id)}")


def press(page: Page, key: str, modifiers: int) -> None:
    code = {"Enter": 13}[key]
    for kind in ("rawKeyDown", "keyUp"):
        page.send("Input.dispatchKeyEvent", type=kind, key=key, windowsVirtualKeyCode=code, modifiers=modifiers)


def click(page: Page, selector: str, modifiers: int = 0) -> None:
    x, y = page.middle(selector)
    page.mouse("mouseMoved", x, y)
    for kind in ("mousePressed", "mouseReleased"):
        page.mouse(kind, x, y, button="left", clickCount=1, modifiers=modifiers)


def reload(page: Page) -> None:
    """Load the page again, and answer the browser's question whether to leave; fails where it asks nothing."""
    page.value("window.before = true, setTimeout(() => location.reload())")
    patiently(lambda: page.send("Page.handleJavaScriptDialog", accept=True))
    patiently(lambda: page.until("!window.before", 1))


def patiently(work: Callable[[], object]) -> None:
    """Try for a while: what is sent to a page that is just going is lost."""
    for _ in range(40):
        time.sleep(0.05)
        with suppress(AssertionError):
            work()
            return
    work()


def saved(page: Page, number: int) -> None:
    page.until(f"document.body.dataset.shown === '{number}'")


def tray(page: Page) -> list[str]:
    """Return what the tray lists, the last first."""
    if page.value("document.querySelector('#tray-panel').hidden"):
        page.press("b")
    return list(page.value("[...document.querySelectorAll('#tray-list strong')].map(one => one.innerText)"))

"""Deciding in a real Chromium while something else happens: another person writes, an answer is late, a save is under way."""

import json
import os
from pathlib import Path
from threading import Event
from typing import Any

import pytest
from browser import Page, needs_browser
from deciding import texts
from inspected import COUNT, name_of
from live import CTRL, KNOWN, TRAY, click, press, reload, saved, see, tray

import embedstore
from embedstore.analysis.suggestions import Suggestion, Suggestions
from embedstore.pages import Text
from embedstore.triage import Verdict, triage
from embedstore_inspector import boards

pytestmark = [
    needs_browser,
    pytest.mark.skipif(os.name == "nt", reason="the browser's pipe has no fixed numbers there"),
]

A, B = name_of(2), name_of(4)
TARGET = "document.querySelector('#decide-target p').innerText"
NOTICES = "document.querySelector('#notices').innerText"
KEPT = "JSON.parse(Object.entries(sessionStorage).find(([name]) => name.startsWith('embedstore-tray'))?.[1] ?? '[]')"


def hold(page: Page, path: str, method: str = "GET") -> None:
    """Keep back the first answer of a path until `let_go`; `window.held` tells that it has come."""
    page.value(
        "(ask => { window.fetch = async (address, options) => { const answer = await ask(address, options);"
        f" if (window.letGo || !String(address).startsWith('{path}') || (options?.method ?? 'GET') !== '{method}') return answer;"
        " return new Promise(go => { window.letGo = () => go(answer); }) } })(window.fetch), delete window.letGo"
    )


def let_go(page: Page) -> None:
    page.until("!!window.letGo")
    page.value("window.letGo()")


def show_newest(page: Page) -> None:
    page.value("document.dispatchEvent(new Event('visibilitychange'))")  # a look at once
    page.until("!!document.querySelector('[data-name=old] .button')")
    page.value("document.querySelector('[data-name=old] .button').click()")


def by_another(store: Path, verdicts: dict[str, Verdict]) -> None:
    with embedstore.open(store) as opened:
        triage(opened, verdicts)


def delete(store: Path, *ids: str) -> None:
    with embedstore.open(store) as opened, opened.write("delete") as writing:
        writing.delete(list(ids))


def press_and_go_on(page: Page, key: str) -> None:
    """Press a key at the last moment of the version on the screen."""
    page.until("!!window.letGo")
    page.value(
        f"document.dispatchEvent(new KeyboardEvent('keydown', {{ key: '{key}', bubbles: true }})), window.letGo()"
    )


def test_a_decision_just_before_other_samples_come_is_on_the_picture_of_the_card(deciding: Page, store: Path) -> None:
    sample_id = name_of(20)
    see(deciding, sample_id)
    delete(store, name_of(0), name_of(3))
    hold(deciding, "/api/store")
    show_newest(deciding)
    press_and_go_on(deciding, "d")
    saved(deciding, 2)
    assert deciding.value(KEPT) == [{"id": sample_id, "kind": "dirt", "value": None, "since": 1, "changed": None}]


def test_a_decision_on_a_selection_just_before_other_samples_come_is_told_to_be_none(
    deciding: Page, store: Path
) -> None:
    deciding.press("v")
    deciding.until(f"{TARGET} === '{COUNT} pictures selected'")
    delete(store, name_of(0), name_of(3))
    hold(deciding, "/api/store")
    show_newest(deciding)
    press_and_go_on(deciding, "d")
    deciding.until(f"{NOTICES}.includes('nothing was decided; decide again')")
    assert deciding.value(KEPT) == []
    saved(deciding, 2)
    deciding.complaints.clear()  # the browser tells of each refusal


@pytest.mark.parametrize("how", ["chosen", "selected"])
def test_what_is_chosen_stays_with_the_version_at_which_it_was(deciding: Page, store: Path, how: str) -> None:
    deciding.until("document.querySelectorAll('.cell img').length > 3")
    if how == "chosen":
        click(deciding, ".cell:nth-child(2)", CTRL)
        click(deciding, ".cell:nth-child(3)", CTRL)
    else:
        deciding.press("v")
    deciding.until(f"{TARGET}.endsWith('pictures {how}')")
    sample_id, other = deciding.value("[...document.querySelectorAll('.cell img')].slice(1, 3).map(one => one.alt)")
    by_another(store, {sample_id: Verdict("rare")})
    show_newest(deciding)
    saved(deciding, 2)
    deciding.press("d")
    deciding.until(f"{TRAY}.endsWith('not saved yet')")
    press(deciding, "Enter", CTRL)
    deciding.until(f"{TRAY}.endsWith('1 to look at again')")
    assert texts(store, sample_id, other, field="verdict") == ["rare", None]
    deciding.complaints.clear()


def test_ones_own_save_does_not_stand_in_the_way_of_a_selection(deciding: Page, store: Path) -> None:
    deciding.press("v")
    deciding.until("document.querySelectorAll('.cell img').length > 3")
    click(deciding, ".cell:nth-child(2)", CTRL)
    for number, key in ((2, "d"), (3, "r")):  # that one, then all
        deciding.press(key)
        deciding.until(f"{TRAY}.endsWith('not saved yet')")
        press(deciding, "Enter", CTRL)
        saved(deciding, number)
    with embedstore.open(store) as opened:
        assert opened.field("verdict") == ["rare"] * COUNT


def test_what_is_being_saved_can_not_be_taken_back(deciding: Page, store: Path) -> None:
    see(deciding, A)
    deciding.press("r")
    hold(deciding, "/api/triage", "POST")
    tray(deciding)
    press(deciding, "Enter", CTRL)
    deciding.until("!!window.letGo")
    buttons = "[...document.querySelectorAll('#tray-list button, #take-all-back')].map(one => one.disabled)"
    assert deciding.value(buttons) == [True, True]
    deciding.press("u")
    deciding.value("document.querySelector('#take-all-back').click()")
    assert deciding.value(TRAY) == "1 decision, not saved yet"
    see(deciding, B)
    deciding.press("d")
    deciding.until(f"{TRAY} === '2 decisions, not saved yet'")
    deciding.press("u")  # this one can
    deciding.until(f"{TRAY} === '1 decision, not saved yet'")
    let_go(deciding)
    saved(deciding, 2)
    assert texts(store, A, B, field="verdict") == ["rare", None]
    assert deciding.value(KEPT) == []


def test_an_undo_is_asked_for_once(deciding: Page, store: Path) -> None:
    by_another(store, {A: Verdict("rare")})
    hold(deciding, "/api/undo", "POST")
    deciding.press("h")
    deciding.until("!!document.querySelector('[data-version=\"2\"] .button')")
    click(deciding, '[data-version="2"] .button')
    deciding.until("!!document.querySelector('.plan .strong')")
    click(deciding, ".plan .strong")
    deciding.until("document.querySelector('.plan .strong').innerText === 'Undoing…'")
    assert deciding.value("document.querySelector('.plan .strong').disabled")
    let_go(deciding)
    saved(deciding, 3)
    assert texts(store, A, field="verdict") == [None]


def test_a_second_save_is_shown_while_the_first_is_still_compared(
    deciding: Page, store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    go_on, real = Event(), boards.Comparison

    def slow(opened: Any, *more: Any) -> Any:
        if opened.version == 2:
            go_on.wait(30)
        return real(opened, *more)

    monkeypatch.setattr(boards, "Comparison", slow)
    try:
        deciding.until("document.querySelectorAll('.cell img').length > 3")
        for place, key, number in ((2, "r", 2), (4, "d", 3)):
            click(deciding, f".cell:nth-child({place})", CTRL)
            deciding.press(key)
            deciding.until(f"{TRAY} === '1 decision, not saved yet'")
            press(deciding, "Enter", CTRL)
            deciding.until(f"document.querySelector('#about').innerText.endsWith('version {number}')", 5)
        saved(deciding, 3)
        deciding.until(
            "[...document.querySelectorAll('.cell .badge')].map(one => one.innerText).join() === 'rare,bad photo'"
        )
        go_on.set()
        refused = "/(oddness|comparison)\\?v=2/.test(one.name) && one.responseStatus === 409"
        deciding.until(f"performance.getEntriesByType('resource').filter(one => {refused}).length === 2")
    finally:
        go_on.set()
    deciding.complaints.clear()  # of the comparison that nobody waits for any more


def test_a_decision_that_takes_the_place_of_another_is_told_and_can_be_brought_back(deciding: Page) -> None:
    see(deciding, A)
    deciding.press("w")
    deciding.until("document.activeElement.id === 'label-text'")
    deciding.write("dent")
    deciding.press("Enter")
    deciding.until(f"{TRAY} === '1 decision, not saved yet'")
    deciding.press("r")
    deciding.until("!!document.querySelector('[data-name=replaced]')")
    told = deciding.value("document.querySelector('[data-name=replaced] p').innerText")
    assert told == "This took the place of: Its label is “dent”."
    assert tray(deciding) == ["Rare and real"]
    click(deciding, "[data-name=replaced] .button")
    assert tray(deciding) == ["Its label is “dent”"]


def test_a_suggestion_is_not_answered_by_another_decision_made_elsewhere(
    deciding: Page, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = [Suggestion("wrong-labels", (A,), 1.0, Text("odd", "odd"), {A: Verdict("wrong-label", "crack")})]
    monkeypatch.setattr(
        boards, "suggest", lambda store, **_: Suggestions(store.version, {"wrong-labels": said}, {"wrong-labels": []})
    )
    see(deciding, A)
    deciding.press("r")
    deciding.press("4")
    deciding.until("!!document.querySelector('.suggestion .answers')")
    assert deciding.value("document.querySelector('.suggestion .state')") is None
    deciding.press("d")  # an answer to it
    deciding.until("document.querySelector('.suggestion .state')?.innerText === 'Decided, not saved yet'")


@pytest.mark.parametrize(
    ("typed", "offered"),
    [("ack", ["New label: ack", "crack"]), ("cra", ["crack", "New label: cra"]), ("good", ["good"])],
)
def test_enter_takes_the_label_that_is_marked(deciding: Page, typed: str, offered: list[str]) -> None:
    see(deciding, A)  # a good one
    deciding.press("w")
    deciding.until("document.activeElement.id === 'label-text'")
    deciding.write(typed)
    choices = "[...document.querySelectorAll('.label-choice')]"
    assert deciding.value(f"{choices}.map(one => one.innerText.trim())") == offered
    marked = [offered[0]]
    assert (
        deciding.value(f"{choices}.filter(one => one.matches('.entered')).map(one => one.innerText.trim())") == marked
    )
    deciding.press("Enter")
    deciding.until(f"{TRAY} === '1 decision, not saved yet'")
    assert tray(deciding) == [f"Its label is “{offered[0].removeprefix('New label: ')}”"]


def test_a_late_answer_of_one_question_for_a_twin_does_not_get_into_the_next(deciding: Page) -> None:
    hold(deciding, "/api/like")
    see(deciding, A)
    deciding.press("t")
    deciding.until("!!window.letGo")
    deciding.press("Escape")
    see(deciding, B)
    deciding.press("t")
    deciding.until("document.querySelectorAll('.twin-choice').length > 5")
    names = "[...document.querySelectorAll('.twin-choice img')].map(one => one.alt)"
    before = deciding.value(names)
    let_go(deciding)
    deciding.value("new Promise(done => setTimeout(done, 200))")
    assert deciding.value(names) == before
    assert B not in before
    deciding.press("Escape")


def test_what_was_seen_of_a_version_that_is_no_more_is_kept_to_be_looked_at(deciding: Page) -> None:
    see(deciding, A)
    deciding.press("r")
    deciding.until(f"{TRAY} === '1 decision, not saved yet'")
    ahead = json.dumps([{"id": A, "kind": "rare", "value": None, "since": 9, "changed": None}])
    deciding.value(f"Object.keys(sessionStorage).forEach(name => sessionStorage.setItem(name, {json.dumps(ahead)}))")
    reload(deciding)
    deciding.until(f"{KNOWN} && {TRAY} === '1 to look at again'")
    deciding.press("b")
    told = deciding.value("document.querySelector('#tray-list .refusal span').innerText")
    assert told.startswith("An earlier version")

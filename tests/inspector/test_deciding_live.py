"""Deciding in a real Chromium: by mouse, keyboard and touch, from a picture or a suggestion to the store and back."""

import json
import os
from pathlib import Path

import pytest
from browser import Page, needs_browser
from deciding import HOSTILE_LABEL, texts, version
from inspected import COUNT, name_of, served
from live import CTRL, KNOWN, PLOT, SHIFT, TITLE, TRAY, click, press, reload, saved, see, tap, touch, tray

import embedstore
from embedstore.triage import Verdict, triage

pytestmark = [
    needs_browser,
    pytest.mark.skipif(os.name == "nt", reason="the browser's pipe has no fixed numbers there"),
]

ODDEST = name_of(COUNT - 1)  # the dark one
A, B, C = name_of(2), name_of(4), name_of(6)


def test_by_keyboard_decisions_are_collected_saved_as_one_version_and_undone(deciding: Page, store: Path) -> None:
    deciding.until("!!document.querySelector('.cell img')")
    click(deciding, ".cell")
    deciding.until("!!document.querySelector('.sample h3')")
    deciding.press("d")
    assert deciding.until(f"{TRAY} === '1 decision, not saved yet'")
    see(deciding, A)
    deciding.press("w")
    deciding.until("document.activeElement.id === 'label-text'")
    deciding.write("dent")
    deciding.press("Enter")
    deciding.until(f"{TRAY} === '2 decisions, not saved yet'")
    assert tray(deciding) == ["Its label is “dent”", "Bad picture"]
    assert version(store) == 1
    press(deciding, "Enter", CTRL)
    saved(deciding, 2)
    assert (texts(store, A), texts(store, ODDEST, field="split")) == (["dent"], ["aside"])
    assert "version 2" in deciding.value("document.querySelector('#about').innerText")
    assert deciding.value("document.querySelector('.sample h3').innerText").startswith(
        "dent"
    )  # what was looked at stays
    assert "label was wrong" in deciding.value("document.querySelector('.sample .facts').innerText")
    assert deciding.value("document.querySelector('#tray').hidden")
    assert deciding.until("document.querySelector('[data-name=saved] p').innerText") == "Saved as version 2."
    click(deciding, "[data-name=saved] .button")
    saved(deciding, 3)
    assert (texts(store, A), texts(store, ODDEST, field="verdict")) == (["good"], [None])
    assert (
        deciding.value("document.querySelector('[data-name=saved] p').innerText")
        == "Version 2 was taken back, as version 3."
    )


def test_by_mouse_several_are_chosen_and_one_is_taken_back(deciding: Page, store: Path) -> None:
    deciding.until("document.querySelectorAll('.cell img').length > 5")
    click(deciding, ".cell:nth-child(1)", CTRL)
    click(deciding, ".cell:nth-child(4)", SHIFT)
    click(deciding, ".cell:nth-child(2)", CTRL)  # not this one
    assert deciding.value("document.querySelector('#decide-target p').innerText") == "3 pictures chosen"
    chosen = deciding.value("[...document.querySelectorAll('.cell.chosen img')].map(one => one.alt)")
    assert deciding.value("document.querySelectorAll('[role=option][aria-selected=true]').length") == 3
    click(deciding, "[data-verdict=rare]")
    deciding.until(f"{TRAY} === '3 decisions, not saved yet'")
    assert deciding.value("document.querySelectorAll('.cell .badge.waiting').length") == 3
    assert deciding.value("document.querySelector('#decide-target').hidden")
    click(deciding, "#tray-open")
    click(deciding, "#tray-list li:first-child .button")
    deciding.until(f"{TRAY} === '2 decisions, not saved yet'")
    click(deciding, "#save")
    saved(deciding, 2)
    assert [texts(store, one, field="verdict") for one in chosen] == [["rare"], ["rare"], [None]]
    assert deciding.until("document.querySelectorAll('.cell .badge:not(.waiting)').length") == 2


def test_by_touch_a_long_press_chooses_and_taps_add(browser: Page, store: Path) -> None:
    with served(store) as address:
        browser.complaints.clear()
        browser.open("about:blank", width=1024, height=768, touch=True)
        browser.open(address, width=1024, height=768, touch=True)
        browser.until(f"{KNOWN} && document.querySelectorAll('.cell img').length > 3")
        browser.value("document.querySelector('#language-en').click()")
        names = browser.value("[...document.querySelectorAll('.cell img')].slice(0, 2).map(one => one.alt)")
        touch(browser, "touchStart", [browser.middle(".cell:nth-child(1)")])
        browser.until(f"document.querySelector('#decide-target p').innerText === {json.dumps(names[0])}")
        touch(browser, "touchEnd", [])
        assert browser.value("document.body.dataset.view") == "map"  # it was no tap
        tap(browser, ".cell:nth-child(2)")
        browser.until("document.querySelector('#decide-target p').innerText === '2 pictures chosen'")
        sizes = browser.value(
            "[...document.querySelectorAll('.verdict, #save')].map(one => one.getBoundingClientRect().height)"
        )
        assert min(size for size in sizes if size) >= 44
        tap(browser, "[data-verdict=dirt]")
        browser.until(f"{TRAY} === '2 decisions, not saved yet'")
        assert browser.value("document.documentElement.scrollWidth") <= 1024
        tap(browser, "#save")
        saved(browser, 2)
        assert texts(store, *names, field="verdict") == ["dirt", "dirt"]
        browser.open("about:blank")
    assert browser.complaints == []


def test_a_selection_is_decided_on_as_one(deciding: Page, store: Path) -> None:
    left, top, width, height = deciding.value(PLOT)
    click(deciding, "#lasso")
    corners = [(0.01, 0.01), (0.99, 0.01), (0.99, 0.99), (0.01, 0.99), (0.01, 0.02)]
    deciding.drag([(left + x * width, top + y * height) for x, y in corners])
    deciding.until(f"document.querySelector('#decide-target p').innerText === '{COUNT} pictures selected'")
    deciding.press("r")
    deciding.until(f"{TRAY} === '{COUNT} decisions, not saved yet'")
    press(deciding, "Enter", CTRL)
    saved(deciding, 2)
    with embedstore.open(store) as opened:
        assert set(opened.field("verdict")) == {"rare"}
    assert deciding.value(TITLE) == "Selection"  # what was looked at stays


def test_samples_are_filtered_by_their_verdict(deciding: Page, store: Path) -> None:
    see(deciding, A)
    deciding.press("r")
    press(deciding, "Enter", CTRL)
    saved(deciding, 2)
    deciding.press("1")
    pick = "(list => { list.selectedIndex = 1; list.dispatchEvent(new Event('change')); return list.options[1].text })"
    chosen = deciding.value(f"{pick}(document.querySelector('#filters label:last-of-type select'))")
    assert chosen == "rare and real (1)"
    deciding.until("document.querySelector('#list-note').innerText.startsWith('1 of')")
    deciding.until(f"document.querySelector('.cell img')?.alt === {json.dumps(A)}")
    assert deciding.value("document.querySelector('.cell .badge').innerText") == "rare"


def test_a_twin_is_chosen_from_what_is_near_or_by_its_name(deciding: Page, store: Path) -> None:
    see(deciding, A)
    deciding.press("t")
    deciding.until("document.querySelectorAll('.twin-choice').length > 5")
    assert deciding.value("document.querySelector('.twin-choice img').alt") != A
    deciding.value("document.querySelector('#twin-text').focus()")
    deciding.write("nowhere")
    deciding.press("Enter")
    deciding.until("document.querySelector('#twin-refusal').innerText.includes(\"no sample 'nowhere'\")")
    deciding.complaints.clear()  # the browser tells of each refusal
    deciding.value("document.querySelector('#twin-text').value = ''")
    deciding.write(B)
    deciding.press("Enter")
    deciding.until(f"{TRAY} === '1 decision, not saved yet'")
    see(deciding, C)
    deciding.press("t")
    near = deciding.until("document.querySelector('.twin-choice img')?.alt")
    click(deciding, ".twin-choice")
    deciding.until(f"{TRAY} === '2 decisions, not saved yet'")
    press(deciding, "Enter", CTRL)
    saved(deciding, 2)
    assert len(set(texts(store, A, B, field="group"))) == 1
    assert len(set(texts(store, C, near, field="group"))) == 1


# What a key that follows at once is heard by, before the browser draws again: once the tray has changed, the page itself.
HEARD = """new Promise((resolve) => {
  const input = document.getElementById(%s), press = (at, ctrlKey) => {
    const event = new KeyboardEvent("keydown", { key: "Enter", ctrlKey, bubbles: true, cancelable: true });
    at.dispatchEvent(event);
  };
  document.addEventListener("keydown", ({ ctrlKey }) => ctrlKey && resolve("page"));
  document.addEventListener("tray", () => { press(document.activeElement, true); resolve("nobody"); }, { once: true });
  press(input, false);
})"""


@pytest.mark.parametrize(("verdict", "text"), [("w", "dent"), ("t", B)])
def test_a_dialog_that_was_answered_keeps_no_keys(verdict: str, text: str, deciding: Page) -> None:
    field = {"w": "label-text", "t": "twin-text"}[verdict]
    see(deciding, A)
    deciding.press(verdict)
    deciding.until(f"!!document.getElementById('{field}').closest('dialog[open]')")
    deciding.value(f"document.getElementById('{field}').focus()")
    deciding.write(text)
    assert deciding.value(HEARD % json.dumps(field)) == "page"
    saved(deciding, 2)


def test_the_tray_outlives_a_reload_and_leaving_is_warned_of(deciding: Page, store: Path) -> None:
    see(deciding, A)
    deciding.press("r")
    see(deciding, B)
    deciding.press("d")
    deciding.until(f"{TRAY} === '2 decisions, not saved yet'")
    deciding.press("u")  # the last is taken back
    deciding.until(f"{TRAY} === '1 decision, not saved yet'")
    with embedstore.open(store) as opened:
        triage(opened, {C: Verdict("rare")})
    reload(deciding)
    deciding.until(f"{KNOWN} && document.querySelector('#about').innerText.includes('version 2')")
    deciding.until(f"{TRAY} === '1 decision, not saved yet'")
    assert tray(deciding) == ["Rare and real"]
    assert "seen at version 1" in deciding.value("document.querySelector('#tray-list').innerText")
    press(deciding, "Enter", CTRL)
    saved(deciding, 3)
    assert texts(store, A, C, field="verdict") == ["rare", "rare"]


def test_a_conflict_tells_what_changed_keeps_the_rest_and_lets_look_again(deciding: Page, store: Path) -> None:
    for sample_id in (A, B):
        see(deciding, sample_id)
        deciding.press("r")
    with embedstore.open(store) as opened:
        triage(opened, {A: Verdict("wrong-label", HOSTILE_LABEL)})
    press(deciding, "Enter", CTRL)
    deciding.until(f"{TRAY} === '1 decision, not saved yet · 1 to look at again'")
    deciding.complaints.clear()  # the browser tells of each refusal
    told = deciding.value("document.querySelector('#tray-list .changed .refusal').innerText")
    assert told.startswith(f"The label was changed from 'good' to '{HOSTILE_LABEL}' by version 2 (decisions,")
    deciding.press("e")
    told = deciding.value("document.querySelector('#tray-list .changed .refusal').innerText")
    assert told.startswith(f"ラベルが「good」から「{HOSTILE_LABEL}」に変更されました（バージョン 2、判定、")
    deciding.press("e")
    click(deciding, "#save")
    saved(deciding, 3)
    assert texts(store, A, B, field="verdict") == ["wrong-label", "rare"]
    deciding.until(f"{TRAY} === '1 to look at again'")
    assert deciding.value("document.querySelector('#save').disabled")
    deciding.press("b")
    click(deciding, "#tray-list .changed .button")
    deciding.until(f"document.querySelector('.sample h3')?.innerText.startsWith({json.dumps(HOSTILE_LABEL)})")
    deciding.until(f"document.querySelector('#decide-target').innerText === {json.dumps(A)}")
    deciding.press("d")
    deciding.until(f"{TRAY} === '1 decision, not saved yet'")
    press(deciding, "Enter", CTRL)
    saved(deciding, 4)
    assert texts(store, A, field="verdict") == ["dirt"]

"""Suggestions, history and hostile names in a real Chromium, in English and in Japanese."""

import json
import os
from pathlib import Path

import pytest
from browser import Page, needs_browser
from deciding import HOSTILE_LABEL, texts
from inspected import HOSTILE_ID, name_of
from live import CTRL, TRAY, click, press, saved, see, tray

import embedstore
from embedstore.analysis.suggestions import Suggestion, Suggestions
from embedstore.pages import Text
from embedstore.pages.odd_page import VERDICTS
from embedstore.triage import Verdict, triage
from embedstore_inspector import boards

pytestmark = [
    needs_browser,
    pytest.mark.skipif(os.name == "nt", reason="the browser's pipe has no fixed numbers there"),
]

A, B, C = name_of(2), name_of(4), name_of(6)


@pytest.fixture
def suggested(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three suggestions, whatever the store holds."""
    said = [
        Suggestion("wrong-labels", (one, A), 1.0, Text(f"<b>{one}", f"<i>{one}"), {one: Verdict("wrong-label", label)})
        for one, label in ((HOSTILE_ID, HOSTILE_LABEL), (B, "crack"), (C, "good"))
    ]
    monkeypatch.setattr(
        boards, "suggest", lambda store, **_: Suggestions(store.version, {"wrong-labels": said}, {"wrong-labels": []})
    )


def test_suggestions_go_to_the_tray_and_to_the_store_by_keyboard(suggested: None, deciding: Page, store: Path) -> None:
    deciding.press("4")
    reason = "document.querySelector('.suggestion .reason')?.innerText"
    deciding.until(f"{reason} === {json.dumps('<b>' + HOSTILE_ID)}")
    assert deciding.value("document.querySelector('.proposal').innerText") == f"Its label is “{HOSTILE_LABEL}”"
    deciding.press("y")
    deciding.until(f"{reason} === {json.dumps('<b>' + B)}")
    deciding.press("o")  # its label stays
    deciding.until(f"{reason} === {json.dumps('<b>' + C)}")
    deciding.press("d")  # another verdict
    deciding.until(f"{TRAY} === '3 decisions, not saved yet'")
    assert tray(deciding) == ["Bad picture", "Its label is “good”", f"Its label is “{HOSTILE_LABEL}”"]
    press(deciding, "Enter", CTRL)
    saved(deciding, 2)
    assert texts(store, HOSTILE_ID, B, C) == [HOSTILE_LABEL, "good", "crack"]
    assert texts(store, HOSTILE_ID, B, C, field="verdict") == ["wrong-label", "wrong-label", "dirt"]
    deciding.until("document.querySelector('.suggestion .badge')?.innerText === 'label'")
    deciding.press("n")
    deciding.until(f"{reason} === {json.dumps('<b>' + B)}")
    deciding.press("k")
    deciding.until("document.querySelector('.suggestion .state')?.innerText === 'Skipped'")


def test_in_japanese_all_of_it_is_japanese(suggested: None, deciding: Page, store: Path) -> None:
    deciding.press("e")
    see(deciding, A)
    deciding.press("r")
    deciding.until(f"{TRAY} === '未保存の判定 1 件'")
    deciding.press("b")
    deciding.press("4")
    deciding.until("!!document.querySelector('.suggestion')")
    seen = deciding.value("document.body.innerText")
    for english in (
        "Rare",
        "Wrong",
        "Dirt",
        "Twin",
        "decision",
        "Save",
        "Take",
        "Looks",
        "Skip",
        "Proposed",
        "Likely",
        "version",
    ):
        assert english not in seen
    press(deciding, "Enter", CTRL)
    saved(deciding, 2)
    assert (
        deciding.value("document.querySelector('[data-name=saved] p').innerText") == "バージョン 2 として保存しました。"
    )
    deciding.press("h")
    deciding.until("!!document.querySelector('[data-version=\"2\"]')")
    click(deciding, "[data-version='2'] > .button")
    deciding.until("!!document.querySelector('.plan li')")
    seen = deciding.value("document.querySelector('#history').innerText")
    assert f"判定：{VERDICTS['rare'].ja} 1" in seen
    assert "判定 1 枚を元に戻します（画像は合計 1 枚）。" in seen
    for english in ("Undo", "Version", "Decisions", "verdict", "none"):
        assert english not in seen
    deciding.press("Escape")


def test_a_hostile_label_is_shown_as_a_label_wherever_one_is_chosen(deciding: Page, store: Path) -> None:
    with embedstore.open(store) as opened:
        triage(opened, {HOSTILE_ID: Verdict("wrong-label", HOSTILE_LABEL)})
    deciding.value("document.dispatchEvent(new Event('visibilitychange'))")  # as when a reader comes back to it
    deciding.until("!!document.querySelector('[data-name=old] .button')")
    click(deciding, "[data-name=old] .button")
    saved(deciding, 2)
    see(deciding, A)
    deciding.press("w")
    deciding.until("document.querySelectorAll('.label-choice').length === 2")
    assert HOSTILE_LABEL in deciding.value(
        "[...document.querySelectorAll('.label-choice')].map(one => one.textContent)"
    )
    deciding.write("<IMG")
    deciding.press("Enter")
    deciding.until(f"{TRAY} === '1 decision, not saved yet'")
    assert tray(deciding) == [f"Its label is “{HOSTILE_LABEL}”"]
    see(deciding, B)
    deciding.press("t")
    deciding.value("document.querySelector('#twin-text').focus()")
    deciding.write(HOSTILE_ID)
    deciding.press("Enter")
    deciding.until(f"{TRAY} === '2 decisions, not saved yet'")
    assert deciding.value("document.querySelector('#tray-list strong').textContent").startswith(f"Twin of {HOSTILE_ID}")
    press(deciding, "Enter", CTRL)
    saved(deciding, 3)
    assert texts(store, A) == [HOSTILE_LABEL]
    assert (
        deciding.value(
            "document.querySelectorAll('img[src=x], script:not([src]):not([type=\"application/json\"])').length"
        )
        == 0
    )


def test_history_tells_what_an_undo_would_do_and_why_one_can_not_be(deciding: Page, store: Path) -> None:
    with embedstore.open(store) as opened:
        triage(opened, {HOSTILE_ID: Verdict("wrong-label", HOSTILE_LABEL)})
        with opened.write("<script>alert(1)</script>") as writing:
            writing.set("label", {HOSTILE_ID: "pore"})
    deciding.press("h")
    deciding.until("document.querySelectorAll('.versions > li').length === 4")
    assert deciding.value("document.querySelector('.versions > li p').innerText").startswith(
        "<script>alert(1)</script>"
    )
    assert (
        deciding.value("document.querySelectorAll('.versions > li > .button').length") == 2
    )  # neither the build nor the beginning
    click(deciding, "[data-version='2'] > .button")
    refused = deciding.until("document.querySelector('.plan .refusal')?.innerText")
    assert "was changed again, to 'pore', by version 3" in refused
    deciding.complaints.clear()  # the browser tells of each refusal
    click(deciding, "[data-version='3'] > .button")
    deciding.until("!!document.querySelector('.plan li')")
    said = deciding.value("document.querySelector('.plan').innerText")
    assert "Sets back the label of 1 (1 picture in all)." in said
    assert f"label: 'pore' → '{HOSTILE_LABEL}'" in said
    assert deciding.value("document.querySelector('.plan bdi').textContent") == HOSTILE_ID
    deciding.press("Enter")  # the focus is on it
    saved(deciding, 4)
    assert texts(store, HOSTILE_ID) == [HOSTILE_LABEL]

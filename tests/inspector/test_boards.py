"""One version of one store at a time: which is served, that what is out of date stops, and what is not made twice."""

import os
import shutil
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event

import pytest
from browser import Page, needs_browser
from deciding import decision
from helpers import store_of, unit_vectors
from inspected import ADDRESS, client_of, served
from live import load
from starlette.testclient import TestClient
from test_security import sentence, write_token

import embedstore
from embedstore.errors import SummaryError
from embedstore_inspector import boards, maps
from embedstore_inspector.boards import Boards
from embedstore_inspector.later import Later
from embedstore_inspector.refusals import RefusedError


@pytest.fixture
def store(tmp_path: Path) -> Path:
    return made(tmp_path / "store", 40)


def made(path: Path, count: int) -> Path:
    labels = ["good", "crack"] * (count // 2)
    store_of(path, unit_vectors(1, count), labels=labels).close()
    return path


def rebuilt(path: Path) -> None:
    """Put another store of the same version in the place of one; a store begins in a second of its own."""
    shutil.rmtree(path)
    time.sleep(1.1)
    made(path, 14)


def relabelled(path: Path) -> None:
    with embedstore.open(path) as opened, opened.write() as writing:
        writing.set("label", {opened.ids[0]: "other"})


@pytest.fixture
def client(store: Path) -> Iterator[TestClient]:
    with client_of(store) as asked:
        yield asked


def test_a_store_that_was_made_anew_is_not_taken_for_the_one_before(client: TestClient, store: Path) -> None:
    before = client.get("/api/store").json()
    assert (before["version"], before["count"]) == (1, 40)
    assert client.get("/api/state").json()["key"] == before["key"]
    rebuilt(store)
    state = client.get("/api/state").json()
    assert state["newest"] == 1
    assert state["key"] != before["key"]
    now = client.get("/api/store").json()
    assert (now["version"], now["count"], now["key"]) == (1, 14, state["key"])
    old, new = ({"v": 1, "field": "label", "key": one["key"]} for one in (before, now))
    response = client.get("/api/codes", params=old)
    assert (response.status_code, response.json()["old"]) == (409, True)
    assert "load the page again" in sentence(response)["en"]
    assert len(client.get("/api/codes", params=new).content) == 14 * 4


@pytest.mark.parametrize("path", ["/api/triage", "/api/undo"])
@pytest.mark.parametrize("named", ["", "another", None])
def test_nothing_is_written_into_another_store_than_the_one_that_was_looked_at(
    client: TestClient, store: Path, path: str, named: str | None
) -> None:
    headers = {"Origin": ADDRESS, "X-Embedstore-Token": write_token(client)}
    key = client.get("/api/store").json()["key"] if named is None else named
    if named is None:
        rebuilt(store)
    else:
        relabelled(store)
    with embedstore.open(store) as opened:
        sample_id, before = opened.ids[2], opened.version
    body = {"number": 2, "verdicts": [decision(sample_id, "rare")]}
    response = client.post(path, params={"key": key} if key else {}, json=body, headers=headers)
    assert (response.status_code, response.json()["old"]) == (409, True)
    with embedstore.open(store) as opened:
        assert opened.version == before


def test_a_comparison_that_nobody_waits_for_any_more_stops(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    begun = Event()

    def slow(store: object, against: object, progress: object) -> None:
        for done in range(1000):
            progress(done)  # type: ignore[operator]
            begun.set()
            time.sleep(0.01)
        raise AssertionError("compared to the end")

    monkeypatch.setattr(boards, "Comparison", slow)
    kept = Boards(store)
    with ThreadPoolExecutor() as pool:
        waiting = pool.submit(kept.current.comparison)
        assert begun.wait(20)
        relabelled(store)
        assert kept.newest().version == 2
        with pytest.raises(RefusedError, match="load the page again"):
            waiting.result()


def test_prototypes_that_are_not_what_a_summary_keeps_are_refused_before_anything_is_served(store: Path) -> None:
    with embedstore.open(store) as opened:
        opened.summarize("compressed-own", name="few")
    with pytest.raises(SummaryError, match="keeps a code of each picture's own vector"):
        Boards(store, "few")


def test_a_map_is_made_again_only_where_the_vectors_are_others(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[int] = []
    principal = maps.principal_map
    monkeypatch.setattr(maps, "principal_map", lambda of: calls.append(of.version) or principal(of))
    kept = Boards(store)
    first = kept.current.map(maps.PCA)
    relabelled(store)
    assert kept.newest().map(maps.PCA) == first
    assert calls == [1]
    with embedstore.open(store) as opened, opened.write() as writing:
        writing.delete([opened.ids[0]])
    assert kept.newest().map(maps.PCA) != first
    assert calls == [1, 3]
    rebuilt(store)
    with embedstore.open(store) as opened:
        expected = maps.packed(principal(opened))
    assert kept.newest().map(maps.PCA) == expected


def test_what_failed_is_tried_again_and_what_worked_is_not() -> None:
    answers: Iterator[int] = iter([0, 2, 4])
    later = Later(lambda: 8 // next(answers))
    with pytest.raises(ZeroDivisionError):
        later.result()
    assert [later.result(), later.result()] == [4, 4]


def test_the_key_is_that_of_a_store_and_not_of_its_version(store: Path, tmp_path: Path) -> None:
    keys = []
    for _ in range(3):
        relabelled(store)
        with embedstore.open(store) as opened:
            keys.append(boards.key_of(opened))
    assert len(set(keys)) == 1
    with embedstore.open(made(tmp_path / "other", 40)) as opened:  # of the same second, perhaps, elsewhere
        assert boards.key_of(opened) not in keys


@needs_browser
@pytest.mark.skipif(os.name == "nt", reason="the browser's pipe has no fixed numbers there")
def test_a_page_of_the_store_before_is_told_so_and_moves_on(browser: Page, own_line: Path) -> None:
    store, few = own_line / "store", own_line / "few.csv"
    few.write_text("\n".join((own_line / "photos.csv").read_text("utf-8").split("\n")[:15]), "utf-8")
    with served(store) as address:
        load(browser, address)
        shutil.rmtree(store)
        embedstore.build(store, own_line / "photos", manifest=few, teacher="pixels", views=0)
        browser.value("document.dispatchEvent(new Event('visibilitychange'))")
        browser.until("document.querySelector('[data-name=old] .button') !== null", 20)
        browser.value("document.querySelector('[data-name=old] .button').click()")
        browser.until("document.querySelector('#about')?.innerText.includes('14 pictures')", 20)
        browser.open("about:blank")

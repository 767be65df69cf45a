"""Suggestions as the page is told them: what the library suggests, of the version that is shown, computed once."""

from pathlib import Path

import pytest
from deciding import HOSTILE_LABEL, decision, save
from helpers import store_of, unit_vectors
from inspected import HOSTILE_ID, client_of
from starlette.testclient import TestClient
from test_security import sentence

import embedstore
from embedstore.analysis.suggestions import KINDS, Suggestion, Suggestions, suggest
from embedstore.pages import Text
from embedstore.triage import Verdict
from embedstore_inspector import boards


def test_they_are_what_the_library_suggests(client: TestClient, line: Path) -> None:
    told = client.get("/api/suggestions", params={"v": 1}).json()
    with embedstore.open(line / "store") as store:
        found, ids = suggest(store), store.ids
    assert told["version"] == 1
    assert [one["kind"] for one in told["kinds"]] == list(KINDS)
    for one in told["kinds"]:
        expected = found.by_kind[one["kind"]]
        assert [tuple(ids[at] for at in each["at"]) for each in one["suggestions"]] == [each.ids for each in expected]
        assert [each["reason"] for each in one["suggestions"]] == [
            {"en": e.reason.en, "ja": e.reason.ja} for e in expected
        ]
        assert one["remarks"] == [{"en": remark.en, "ja": remark.ja} for remark in found.remarks[one["kind"]]]


def suggested(monkeypatch: pytest.MonkeyPatch, *found: Suggestion) -> list[int]:
    """Let the library suggest this; returns how often it was asked."""
    asked: list[int] = []

    def answer(store: embedstore.EmbeddingStore, **_: object) -> Suggestions:
        asked.append(store.version)
        return Suggestions(store.version, {"wrong-labels": list(found)}, {"wrong-labels": []})

    monkeypatch.setattr(boards, "suggest", answer)
    return asked


def test_each_version_has_its_own_and_they_are_computed_once(own_line: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said = Suggestion(
        "wrong-labels", (HOSTILE_ID,), 1.0, Text("<b>", "<i>"), {HOSTILE_ID: Verdict("wrong-label", HOSTILE_LABEL)}
    )
    asked = suggested(monkeypatch, said)
    with client_of(own_line / "store") as client:
        for _ in range(2):
            told = client.get("/api/suggestions", params={"v": 1}).json()
        assert asked == [1]
        (one,) = told["kinds"][0]["suggestions"]
        assert one["reason"] == {"en": "<b>", "ja": "<i>"}
        assert one["verdicts"] == [{"id": HOSTILE_ID, "kind": "wrong-label", "value": HOSTILE_LABEL}]
        given = one["verdicts"][0] | {"since": told["version"]}
        assert save(client, given, decision("good/部品 02.png", "rare")).json()["made"] == 2
        client.get("/api/store")
        answer = client.get("/api/suggestions", params={"v": 1})
        assert answer.status_code == 409
        sentence(answer)
        assert client.get("/api/suggestions", params={"v": 2}).json()["version"] == 2
        assert asked == [1, 2]


def test_where_there_is_nothing_to_go_by_the_remarks_say_so(tmp_path: Path) -> None:
    store_of(tmp_path / "s", unit_vectors(1, 4), labels=[None] * 4).close()
    with client_of(tmp_path / "s") as client:
        kinds = {one["kind"]: one for one in client.get("/api/suggestions", params={"v": 1}).json()["kinds"]}
    assert all(one["suggestions"] == [] for one in kinds.values())
    assert kinds["wrong-labels"]["remarks"][0]["en"].endswith(".")


def test_a_failure_is_told_to_each_who_asks(line: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> Suggestions:
        raise embedstore.EmbedstoreError("It can't be said; do this.")

    monkeypatch.setattr(boards, "suggest", fail)
    with client_of(line / "store") as client:
        for _ in range(2):
            answer = client.get("/api/suggestions", params={"v": 1})
            assert answer.status_code == 400
            assert sentence(answer)["en"] == "It can't be said; do this."

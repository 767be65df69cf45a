"""Triage and undo as the server takes them: one version or nothing, never on what a person has not seen, whatever is sent."""

import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from deciding import HOSTILE_LABEL, decision, own_token, save, sent, texts, version
from helpers import write_pictures
from inspected import ADDRESS, HOSTILE_ID, client_of, make_line, name_of
from starlette.testclient import TestClient
from test_security import sentence, write_token

import embedstore
from embedstore.errors import EmbedstoreError
from embedstore.triage import Verdict, triage
from embedstore_inspector import decisions, history
from embedstore_inspector.security import WRITE_HEADER

A, B, C = name_of(2), name_of(4), name_of(6)


@pytest.fixture
def own(store: Path) -> Iterator[TestClient]:
    with client_of(store) as client:
        yield client


def by_another(store: Path, verdicts: dict[str, Verdict]) -> None:
    with embedstore.open(store) as opened:
        triage(opened, verdicts)


# Saving


def test_decisions_of_all_kinds_become_one_version(own: TestClient, store: Path) -> None:
    answer = save(
        own,
        decision(A, "rare"),
        decision(B, "wrong-label", "dent"),
        decision(C, "dirt"),
        decision(HOSTILE_ID, "twin", A),
    )
    assert answer.json() == {"version": 2, "made": 2, "samples": 5}  # the fifth: the other of the twin's part
    assert texts(store, A, B, C, HOSTILE_ID, field="verdict") == ["rare", "wrong-label", "dirt", "twin"]
    assert texts(store, B) == ["dent"]
    assert texts(store, C, field="split") == ["aside"]
    assert len(set(texts(store, A, HOSTILE_ID, field="group"))) == 1
    with embedstore.open(store) as opened:
        assert dict(opened.log()[-1].details) == {"rare": 1, "wrong-label": 1, "dirt": 1, "twin": 1}


def test_the_page_goes_on_with_the_new_version_and_what_was_decided_is_told(own: TestClient) -> None:
    save(own, decision(A, "rare"))
    assert own.get("/api/sample", params={"v": 1, "id": A}).status_code == 200  # as it was, until the page asks
    told = own.get("/api/store").json()
    assert (told["version"], told["fields"]["verdict"]) == (2, {"values": ["rare"], "counts": [39, 1]})
    assert own.get("/api/sample", params={"v": 2, "id": A}).json()["verdict"] == "rare"
    assert "rare and real" in own.get("/card", params={"v": 2, "id": A}).text


def test_what_was_said_before_makes_no_version(own: TestClient, store: Path) -> None:
    save(own, decision(A, "rare"))
    assert save(own, decision(A, "rare", since=2)).json() == {"version": 2, "made": None, "samples": 0}
    assert version(store) == 2


def test_a_hostile_label_is_stored_as_it_is(own: TestClient, store: Path) -> None:
    assert save(own, decision(HOSTILE_ID, "wrong-label", HOSTILE_LABEL)).status_code == 200
    assert texts(store, HOSTILE_ID) == [HOSTILE_LABEL]
    html = own.get("/card", params={"v": own.get("/api/store").json()["version"], "id": HOSTILE_ID}).text
    assert "<img src=x" not in html
    assert "&lt;img src=x onerror" in html


# What may be sent


def test_of_bytes_and_of_decisions_there_are_only_so_many(
    own: TestClient, store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for path in ("/api/triage", "/api/undo"):
        answer = sent(own, path, b" " * (decisions.MOST_BYTES + 1))
        assert answer.status_code == 413
        assert "more than 1 MiB" in sentence(answer)["en"]
    monkeypatch.setattr(decisions, "MOST", 2)
    answer = save(own, *(decision(name_of(at), "rare") for at in (2, 4, 6)))
    assert answer.status_code == 413
    assert "3 decisions were sent, more than 2" in sentence(answer)["en"]
    assert version(store) == 1


GOOD = decision(A, "rare")


@pytest.mark.parametrize(
    "body",
    [
        b"", b"{", b"[]", b"1", b"\xff\xfe", b"[" * 100_000, b'{"verdicts": ' + b"[" * 100_000,
        {}, {"verdicts": None}, {"verdicts": []}, {"verdicts": {}}, {"verdicts": "rare"}, {"verdicts": [None]},
        {"verdicts": [[]]},
        {"verdicts": [{"id": A, "kind": "rare"}]},
        {"verdicts": [GOOD | {"more": 1}]},
        {"verdicts": [GOOD | {"id": 7}]},
        {"verdicts": [GOOD | {"id": "\ud800"}]},
        {"verdicts": [GOOD | {"kind": ["rare"]}]},
        {"verdicts": [GOOD | {"value": 1}]},
        {"verdicts": [decision(A, "wrong-label", "\udfff")]},
        *({"verdicts": [GOOD | {"since": since}]} for since in (None, True, "1", 1.0, -1)),
        {"verdicts": [GOOD, GOOD]},
    ],
)  # fmt: skip
def test_what_is_no_list_of_decisions_is_refused(own: TestClient, store: Path, body: object) -> None:
    answer = sent(own, "/api/triage", body)
    assert answer.status_code == 400
    assert "no list of decisions" in sentence(answer)["en"]
    assert version(store) == 1


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (decision(A, "<b>"), "The verdict '<b>' is unknown"),
        (decision(A, "rare", "x"), "takes no value"),
        (decision(A, "wrong-label"), "needs the new label"),
        (decision(A, "wrong-label", "  "), "needs the new label"),
        (decision(A, "wrong-label", "x" * 201), "has 201 letters, more than 200"),
        (decision(A, "twin", A), "its own twin"),
    ],
)
def test_a_verdict_that_can_not_be_is_told_and_nothing_is_written(
    own: TestClient, store: Path, given: dict[str, Any], told: str
) -> None:
    answer = save(own, decision(B, "rare"), given)
    assert answer.status_code == 400
    assert told in sentence(answer)["en"]
    assert version(store) == 1


@pytest.mark.parametrize("path", ["/api/triage", "/api/undo"])
@pytest.mark.parametrize("without", ["Origin", WRITE_HEADER])
def test_nothing_is_written_without_origin_and_token(own: TestClient, store: Path, path: str, without: str) -> None:
    headers = {"Origin": ADDRESS, WRITE_HEADER: write_token(own)}
    del headers[without]
    by_another(store, {A: Verdict("rare")})
    body = json.dumps({"verdicts": [decision(B, "rare")], "number": 2})
    assert own.post(path, content=body, headers=headers).status_code == 403
    assert own.post(path, content=body, headers=headers | {"Origin": "http://evil.example"}).status_code == 403
    assert own.get("/api/triage").status_code == 405  # no write by a link
    assert version(store) == 2


# Two people at once


def test_a_conflict_names_the_samples_that_changed_and_the_rest_can_be_saved(own: TestClient, store: Path) -> None:
    by_another(store, {A: Verdict("wrong-label", "dent"), B: Verdict("rare")})
    given = [decision(name_of(at), "dirt") for at in (2, 5, 7, 8, 10)]
    answer = save(own, *given)
    assert answer.status_code == 409
    assert "nothing was saved" in sentence(answer)["en"]
    told = answer.json()
    assert told["version"] == 2
    (conflict,) = told["conflicts"]
    assert conflict["id"] == A
    assert conflict["en"].startswith("The label was changed from 'good' to 'dent' by version 2 (decisions, ")
    assert "the verdict was changed from none to 'label was wrong' by version 2" in conflict["en"]
    assert conflict["ja"].startswith("ラベルが「good」から「dent」に変更されました（バージョン 2、判定、")
    assert texts(store, name_of(5), field="verdict") == [None]
    assert save(own, *given[1:]).json()["made"] == 3
    assert save(own, decision(A, "dirt", since=2)).json()["made"] == 4  # who has looked again decides anew


def test_each_decision_counts_from_the_version_that_was_on_the_screen(own: TestClient, store: Path) -> None:
    by_another(store, {A: Verdict("rare")})
    answer = save(own, decision(A, "dirt", since=2), decision(B, "dirt", since=1))
    assert answer.json()["made"] == 3  # B has not changed since 1, nor A since 2
    answer = save(own, decision(A, "rare", since=2), decision(B, "rare", since=3))
    assert [one["id"] for one in answer.json()["conflicts"]] == [A]


def test_a_sample_that_is_gone_is_a_conflict_of_its_own(own: TestClient, store: Path) -> None:
    with embedstore.open(store) as opened, opened.write("delete") as writing:
        writing.delete([A])
    answer = save(own, decision(A, "rare"), decision(B, "rare"), decision(C, "twin", A))
    assert {one["id"]: "not in the store any more" in one["en"] for one in answer.json()["conflicts"]} == {
        A: True,
        C: True,
    }
    assert save(own, decision(B, "rare")).json()["made"] == 3


def test_of_the_other_twin_the_part_counts(own: TestClient, store: Path) -> None:
    with embedstore.open(store) as opened, opened.write("by another") as writing:
        writing.set("group", {B: "<i>P"})
    (conflict,) = save(own, decision(A, "twin", B), decision(C, "rare")).json()["conflicts"]
    assert conflict["id"] == A
    assert f"the part of '{B}' was changed from 'part 2' to '<i>P' by version 2 (by another, " in conflict[
        "en"
    ].lower().replace("<i>p", "<i>P")


def test_who_saves_again_after_a_lost_answer_is_told_that_all_was_saved(own: TestClient, store: Path) -> None:
    given = [
        decision(A, "rare"),
        decision(B, "wrong-label", "dent"),
        decision(C, "twin", A),
        decision(HOSTILE_ID, "dirt"),
    ]
    assert save(own, *given).json()["made"] == 2
    assert save(own, *given).json() == {"version": 2, "made": None, "samples": 0}
    assert save(own, *given, decision(name_of(8), "rare")).json()["made"] == 3
    answer = save(own, decision(B, "wrong-label", "pore"), decision(C, "twin", B))  # other than what was saved
    assert {one["id"] for one in answer.json()["conflicts"]} == {B, C}


def test_what_was_seen_of_a_version_that_is_no_more_is_looked_at_again(own: TestClient, store: Path) -> None:
    for ahead in (2, 10**30):  # as where an earlier copy of the store was put back
        answer = save(own, decision(A, "rare", since=ahead), decision(B, "rare"))
        assert answer.status_code == 409
        assert {one["id"]: "An earlier version" in one["en"] for one in answer.json()["conflicts"]} == {A: True}
    assert version(store) == 1


@pytest.mark.parametrize(
    ("path", "body"), [("/api/triage", {"verdicts": [decision(B, "dirt")]}), ("/api/undo", {"number": 2})]
)
def test_another_store_that_is_put_in_place_while_a_save_waits_gets_nothing(
    own: TestClient, store: Path, tmp_path: Path, path: str, body: dict[str, Any]
) -> None:
    by_another(store, {A: Verdict("rare")})
    other = make_line(tmp_path / "other")
    by_another(other, {A: Verdict("rare")})
    own_token(own)
    key = own.get("/api/state").json()["key"]
    with ThreadPoolExecutor(1) as people:
        with embedstore.open(store) as opened, suppress(EmbedstoreError), opened.write("build"):
            waiting = people.submit(sent, own, path, body)
            time.sleep(0.5)  # until it waits for the lock
            store.rename(store.with_name("gone"))
            other.rename(store)
        answer = waiting.result()
    assert own.get("/api/state").json()["key"] != key
    assert answer.status_code == 409
    assert "another store" in sentence(answer)["en"]
    assert version(store) == 2


def test_a_long_label_is_refused_by_its_picture_unless_the_store_has_it(own: TestClient, store: Path) -> None:
    with embedstore.open(store) as opened, opened.write("write") as writing:
        writing.set("label", {A: "x" * 201})
    answer = save(own, decision(B, "wrong-label", "y" * 201))
    assert sentence(answer)["en"].startswith(f"The label for '{B}' has 201 letters")
    assert save(own, decision(B, "wrong-label", "x" * 201)).json()["made"] == 3


def test_after_a_compaction_nothing_is_guessed(own: TestClient, store: Path) -> None:
    by_another(store, {B: Verdict("rare")})
    with embedstore.open(store) as opened:
        opened.compact()
    answer = save(own, decision(A, "rare"))
    assert "removed by a compaction" in answer.json()["conflicts"][0]["en"]
    assert save(own, decision(A, "rare", since=2)).json()["made"] == 3


def test_who_saves_at_the_same_time_waits_and_nothing_is_lost(own: TestClient, store: Path) -> None:
    parts = [[decision(name_of(at), "rare") for at in range(start, 40, 4) if at != 1] for start in range(4)]
    with ThreadPoolExecutor(4) as people:
        answers = list(people.map(lambda some: save(own, *some).json(), parts))
    assert sorted(answer["made"] for answer in answers) == [2, 3, 4, 5]
    assert texts(store, *(name_of(at) for at in range(40) if at != 1), field="verdict") == ["rare"] * 39


# Undo, and the log


def test_the_log_tells_each_version_and_what_may_be_undone(own: TestClient, store: Path) -> None:
    save(own, decision(A, "rare"), decision(B, "dirt"))
    told = own.get("/api/log").json()
    assert (told["version"], told["last"], told["count"]) == (2, 2, 3)
    assert [(one["number"], one["what"]["en"], one["amount"]["en"], one["undoable"]) for one in told["versions"]] == [
        (2, "Decisions", "1 rare and real, 1 dirty lens or bad picture", True),
        (1, "Built from the pictures", "40 new", False),
        (0, "Begun", "", False),
    ]
    assert told["versions"][0]["amount"]["ja"] == "まれだが実在するもの 1、撮影不良（レンズの汚れ、ピンぼけなど） 1"
    assert told["versions"][0]["time"].endswith("+00:00")
    sent(own, "/api/undo", {"number": 2})
    told = own.get("/api/log").json()
    assert (told["last"], told["versions"][0]["what"]) == (
        None,
        {"en": "Undo of version 2", "ja": "バージョン 2 の取り消し"},
    )


def test_what_made_a_version_is_told_in_words_whatever_made_it(tmp_path: Path) -> None:
    """No step and no version is told as an amount of pictures."""
    write_pictures(tmp_path / "photos", ["good/0.png", "good/1.png"])
    path = tmp_path / "s"
    embedstore.build(path, tmp_path / "photos", teacher="pixels", views=0)
    with embedstore.open(path) as store:
        store.summarize("class-mean", name="means")
    write_pictures(tmp_path / "photos", ["good/2.png"], seed=1)
    embedstore.refresh(path)
    embedstore.rollback(path, 1)
    with embedstore.open(path) as store:
        versions = store.log()
    said = [history.told(one, None) for one in versions[2:]]
    assert [(one["what"]["en"], one["amount"]["en"]) for one in said] == [
        ("Refresh: the pictures (step 1/2)", "1 new"),
        ("Refresh: the summaries (step 2/2)", "1 summaries"),
        ("Went back to version 1", "1 gone again"),
    ]
    assert [(one["what"]["ja"], one["amount"]["ja"]) for one in said] == [
        ("更新：画像（手順 1/2）", "新規 1"),
        ("更新：要約（手順 2/2）", "要約 1"),
        ("バージョン 1 に戻す操作", "外した画像 1"),
    ]
    switched = replace(versions[1], action="migrate to <b>", details={"switched": 3})
    assert history.told(switched, None)["what"] == {"en": "Switched to the teacher <b>", "ja": "教師を <b> に切り替え"}
    dropped = replace(versions[1], details={"verdicts dropped": 1})
    assert history.told(dropped, None)["amount"] == {"en": "1 verdicts dropped", "ja": "消えた判定 1"}


def test_the_log_of_a_hostile_program_is_told_as_it_stands(own: TestClient, store: Path) -> None:
    with embedstore.open(store) as opened:
        with opened.write("<script>") as writing:
            writing.set("label", {A: HOSTILE_LABEL})
        opened.tag("<b>t")
    told = own.get("/api/log").json()["versions"][0]
    assert (told["what"]["en"], told["tags"]) == ("<script>", ["<b>t"])
    plan = own.get("/api/undo", params={"number": 2}).json()
    assert plan["examples"][0]["en"] == f"label: '{HOSTILE_LABEL}' → 'good'"


def test_a_plan_tells_what_an_undo_would_do_and_does_nothing(own: TestClient, store: Path) -> None:
    save(own, decision(A, "wrong-label", "dent"), decision(B, "dirt"))
    plan = own.get("/api/undo", params={"number": 2}).json()
    assert plan["sentence"] == {
        "en": "Sets back the label of 1, the verdict of 2, the side of 1 (2 pictures in all).",
        "ja": "ラベル 1 枚、判定 2 枚、用途 1 枚を元に戻します（画像は合計 2 枚）。",
    }
    assert {(one["id"], one["en"]) for one in plan["examples"]} == {
        (A, "label: 'dent' → 'good'"),
        (A, "verdict: 'label was wrong' → none"),
        (B, "verdict: 'dirty lens or bad picture' → none"),
        (B, "side: 'aside' → none"),
    }
    assert (plan["version"], plan["undoes"], plan["samples"], version(store)) == (2, 2, 2, 2)


def test_an_undo_sets_back_as_a_version_that_can_be_undone_again(own: TestClient, store: Path) -> None:
    save(own, decision(A, "wrong-label", "dent"))
    assert sent(own, "/api/undo", {"number": 2}).json() == {"version": 3, "made": 3, "samples": 1}
    assert texts(store, A) == ["good"]
    assert sent(own, "/api/undo", {"number": 3}).json()["made"] == 4
    assert texts(store, A) == ["dent"]


def test_an_undo_that_was_done_already_says_so(own: TestClient, store: Path) -> None:
    save(own, decision(A, "wrong-label", "dent"))
    sent(own, "/api/undo", {"number": 2})
    answer = sent(own, "/api/undo", {"number": 2})
    assert (answer.status_code, version(store)) == (409, 3)
    assert "Version 2 was undone already, by version 3 (undo)" in sentence(answer)["en"]


def test_an_undo_that_can_not_be_is_told_and_writes_nothing(own: TestClient, store: Path) -> None:
    save(own, decision(A, "wrong-label", "dent"))
    save(own, decision(A, "wrong-label", "pore", since=2))
    for answer in (own.get("/api/undo", params={"number": 2}), sent(own, "/api/undo", {"number": 2})):
        assert answer.status_code == 409
        assert "was changed again, to 'pore', by version 3 (triage); undo that first" in sentence(answer)["en"]
    for number, told in ((1, "added or removed samples"), (0, "no version 0"), (9, "no version 9")):
        answer = sent(own, "/api/undo", {"number": number})
        assert answer.status_code == 400
        assert told in sentence(answer)["en"]
    assert version(store) == 3


@pytest.mark.parametrize(
    "body", [b"", b"[]", {}, *({"number": one} for one in (None, "2", True, 2.0, -1, 10**30, [2]))]
)
def test_an_undo_of_no_version_is_refused(own: TestClient, body: object) -> None:
    answer = sent(own, "/api/undo", body)
    assert answer.status_code == 400
    sentence(answer)


@pytest.mark.parametrize("number", ["", "x", "-1", "1.0", "9" * 30, "٣"])
def test_a_plan_of_no_version_is_refused(own: TestClient, number: str) -> None:
    answer = own.get("/api/undo", params={"number": number})
    assert answer.status_code == 400
    sentence(answer)

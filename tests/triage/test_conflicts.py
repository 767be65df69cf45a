"""Two people at once lose nothing: what changed meanwhile is told, writers wait for each other, a kill leaves all or none."""

import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from helpers import Killed, killed_after, python_environment, snapshot
from toy_triage import IDS, make, rows

import embedstore
from embedstore import EmbeddingStore
from embedstore.errors import ConflictError, SettingsError, StoreError, StoreLockedError
from embedstore.store import reading
from embedstore.store.changes import StoreWriter
from embedstore.store.snapshot import Snapshot
from embedstore.triage import Verdict, decisions, plan_triage, triage, undo

RARE, DIRT = Verdict("rare"), Verdict("dirt")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[EmbeddingStore]:
    with make(tmp_path / "s") as opened:
        yield opened


def changed(store: EmbeddingStore, field: str, text: str | None, sample_id: str = "a.png") -> None:
    with store.write("by another") as writing:
        writing.set(field, {sample_id: text})


def refused(store: EmbeddingStore, verdicts: dict[str, Verdict], since: int | dict[str, int]) -> str:
    """Return why a triage is refused; the store must be as it was."""
    before = snapshot(store)
    said = []
    for attempt in (plan_triage, triage):
        with pytest.raises(ConflictError) as caught:
            attempt(store, verdicts, since=since)
        said.append(str(caught.value))
    store.refresh()
    assert snapshot(store) == before
    assert said[0] == said[1]
    return said[0]


# What changed since


@pytest.mark.parametrize(
    ("field", "text", "told"),
    [
        ("label", "pore", "has the label 'pore' now"),
        ("label", None, "has no label any more"),
        ("split", "test", "has the split 'test' now"),
        ("group", "Z", "has the group 'Z' now"),
        ("verdict", "twin", "has the verdict 'twin' now"),
    ],
)
def test_what_another_has_changed_since_is_told_and_nothing_is_written(
    store: EmbeddingStore, field: str, text: str | None, told: str
) -> None:
    changed(store, field, text)
    changed(store, "label", "later", "e.png")
    assert refused(store, {"b.png": RARE, "a.png": DIRT}, since=1) == (
        f"The sample 'a.png' {told}, by version 2 (by another), and you looked at version 1; nothing was written. Look at it "
        "again, and decide anew."
    )
    triage(store, {"b.png": RARE, "a.png": DIRT}, since=2)
    assert store.field("verdict")[:2] == ["dirt", "rare"]


def test_the_last_of_several_changes_is_named_and_one_that_was_taken_back_is_none(store: EmbeddingStore) -> None:
    for text in ("x", "y", "x"):
        changed(store, "label", text)
    changed(store, "label", "z", "b.png")
    assert "has the label 'x' now, by version 4 (by another)" in refused(store, {"a.png": RARE}, since=1)
    assert "has the label 'x' now, by version 4 (by another)" in refused(store, {"a.png": RARE}, since=3)
    changed(store, "label", "good")
    triage(store, {"a.png": RARE}, since=1)


def test_other_samples_and_other_fields_are_no_conflict(store: EmbeddingStore) -> None:
    changed(store, "mode", "deep")
    changed(store, "line", "3")
    changed(store, "label", "pore", "b.png")
    changed(store, "label", "pore", "f.png")  # of a twin only the group counts
    triage(store, {"a.png": Verdict("twin", "f.png")}, since=1)
    assert store.sample("a.png").group == "R"


def test_each_sample_is_held_to_the_version_at_which_it_was_looked_at(store: EmbeddingStore) -> None:
    changed(store, "label", "pore", "a.png")  # 2
    changed(store, "label", "pore", "b.png")  # 3
    both = {"a.png": RARE, "b.png": DIRT}
    assert refused(store, both, {"a.png": 1, "b.png": 3}).startswith("The sample 'a.png' has the label 'pore' now")
    assert refused(store, both, {"a.png": 2, "b.png": 2}).startswith("The sample 'b.png' has the label 'pore' now")
    with pytest.raises(SettingsError, match=r"The version at which 'b\.png' was looked at is missing"):
        triage(store, both, since={"a.png": 2})
    assert triage(store, both, since={"a.png": 2, "b.png": 3}).version == 4
    changed(store, "group", "Z", "f.png")  # 5
    twin = {"a.png": Verdict("twin", "f.png"), "b.png": RARE}
    assert "'f.png' has the group 'Z' now" in refused(store, twin, {"a.png": 4, "b.png": 5})
    assert triage(store, twin, since={"a.png": 5, "b.png": 4}).version == 6


def test_one_that_is_gone_is_a_conflict_and_one_that_never_was_is_unknown(store: EmbeddingStore) -> None:
    with store.write("delete") as writing:
        writing.delete(["a.png"])
    for said in ({"a.png": RARE}, {"b.png": Verdict("twin", "a.png")}):
        assert refused(store, said, 1).startswith(
            "The sample 'a.png' is not in the store any more, and you looked at version 1"
        )
    with pytest.raises(StoreError, match="never") as caught:
        triage(store, {"never": RARE}, since=1)
    assert not isinstance(caught.value, ConflictError)


def test_of_the_other_twin_the_group_counts(store: EmbeddingStore) -> None:
    changed(store, "group", "Z", "f.png")
    assert refused(store, {"a.png": Verdict("twin", "f.png")}, since=1).startswith(
        "The sample 'f.png' has the group 'Z' now, by version 2"
    )


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda w, v: w.add(["a.png"], v, replace=True), "The sample 'a.png' got another picture, by version 2"),
        (lambda w, v: w.add(["new"], v), "The sample 'new' was added, by version 2"),
    ],
)
def test_a_picture_that_nobody_has_looked_at_is_told(
    store: EmbeddingStore, change: Callable[[StoreWriter, Any], None], told: str
) -> None:
    with store.write() as writing:
        change(writing, store.vectors(["b.png"]))
    assert refused(store, {told.split("'")[1]: RARE}, since=1).startswith(told)


def test_after_a_compaction_nothing_is_guessed(store: EmbeddingStore) -> None:
    changed(store, "label", "x")
    store.tag("kept")
    changed(store, "label", "y")
    changed(store, "label", "z", "b.png")
    store.compact()
    assert refused(store, {"c.png": RARE}, since=1).startswith(
        "Version 1 was removed by a compaction, so nothing tells"
    )
    assert "has the label 'y' now, by version 4 or one before it that a compaction removed, and" in refused(
        store, {"a.png": RARE}, since=2
    )
    triage(store, {"c.png": RARE}, since=2)


def test_a_plan_of_a_store_opened_before_a_compaction_sees_no_other_pictures(store: EmbeddingStore) -> None:
    with store.write("delete") as writing:
        writing.delete(["a.png"])
    store.tag("kept")
    changed(store, "label", "x", "b.png")
    with embedstore.open(store.path) as behind:
        store.compact()  # rows have other numbers now
        assert plan_triage(behind, {"c.png": RARE}, since=2).fields == {"verdict": {"c.png": (None, "rare")}}
        with pytest.raises(ConflictError, match="has the label 'x' now, by version 3"):
            plan_triage(behind, {"b.png": RARE}, since=2)


def test_a_version_that_never_was_is_refused(store: EmbeddingStore) -> None:
    with pytest.raises(StoreError, match="has no version 7; it has 0 to 1"):
        triage(store, {"a.png": RARE}, since=7)


def test_a_reader_that_is_behind_decides_on_the_newest_version(store: EmbeddingStore) -> None:
    with embedstore.open(store.path) as behind:
        triage(store, {"a.png": RARE})
        with pytest.raises(ConflictError, match=r"has the verdict 'rare' now, by version 2 \(triage\)"):
            triage(behind, {"a.png": DIRT}, since=behind.version)
        triage(behind, {"b.png": DIRT}, since=1)
    store.refresh()
    assert store.field("verdict")[:2] == ["rare", "dirt"]


# Writers wait for each other

WORK = """
import sys
import embedstore
from embedstore.triage import Verdict, triage
with embedstore.open(sys.argv[1]) as store:
    print("ready", flush=True)
    sys.stdin.readline()
    for sample_id in sys.argv[2:]:
        triage(store, {sample_id: Verdict("rare")})
"""
HOLD = """
import sys
import embedstore
with embedstore.open(sys.argv[1]) as store, store.write("held") as writing:
    writing.set("label", {"a.png": "held"})
    print("ready", flush=True)
    sys.stdin.readline()
"""


@contextmanager
def at_work(code: str, *arguments: object) -> Iterator["subprocess.Popen[str]"]:
    """Start a process, and wait until it is ready; at the end it goes on and must end well."""
    with subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)],
        env=python_environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        yield process
        process.communicate("go\n")
    assert process.returncode == 0


def go_on(process: "subprocess.Popen[str]") -> None:
    assert process.stdin is not None
    process.stdin.write("go\n")
    process.stdin.flush()


def test_two_processes_at_once_lose_no_verdict(store: EmbeddingStore) -> None:
    with at_work(WORK, store.path, *IDS[:5]) as first, at_work(WORK, store.path, *IDS[5:]) as second:
        go_on(first)
        go_on(second)
    store.refresh()
    assert store.field("verdict") == ["rare"] * 10
    assert [entry.action for entry in store.log()[2:]] == ["triage"] * 10


def test_who_waited_long_enough_writes_after_the_other(store: EmbeddingStore) -> None:
    with at_work(HOLD, store.path) as holder:
        timer = threading.Timer(0.3, go_on, [holder])
        timer.start()
        assert triage(store, {"a.png": RARE}).version == 3
        timer.join()
    assert (store.sample("a.png").label, store.field("verdict")[0]) == ("held", "rare")


@pytest.mark.parametrize("attempt", [lambda store: triage(store, {"a.png": RARE}), lambda store: undo(store, 2)])
def test_who_waits_in_vain_is_told_for_how_long(
    store: EmbeddingStore, attempt: Callable[[EmbeddingStore], object], monkeypatch: pytest.MonkeyPatch
) -> None:
    triage(store, {"b.png": RARE})
    monkeypatch.setattr(decisions, "WAIT_SECONDS", 0.2)
    monkeypatch.setattr("embedstore.triage.undoing.WAIT_SECONDS", 0.2)
    with at_work(HOLD, store.path) as holder:
        with pytest.raises(StoreLockedError) as caught:
            attempt(store)
        assert str(caught.value) == (
            f"Another process (id {holder.pid}) is writing to '{store.path}', and still was after 0.2 s; wait until it is done, "
            "or stop it."
        )
    store.refresh()
    assert [entry.action for entry in store.log()[2:]] == ["triage", "held"]


def test_threads_of_one_process_wait_for_each_other(store: EmbeddingStore) -> None:
    failed: list[BaseException] = []

    def work(sample_id: str) -> None:
        try:
            triage(store, {sample_id: RARE})
        except BaseException as error:  # noqa: BLE001
            failed.append(error)

    threads = [threading.Thread(target=work, args=(one,)) for one in IDS]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    store.refresh()
    assert (store.field("verdict"), store.version) == (["rare"] * 10, 11)


# Killed in the middle


def test_a_kill_at_any_transaction_leaves_all_verdicts_or_none(tmp_path: Path) -> None:
    verdicts = {"a.png": Verdict("wrong-label", "x"), "b.png": DIRT, "d.png": Verdict("twin", "c.png"), "e.png": RARE}
    outcomes = []
    for writes in range(20):
        with make(tmp_path / str(writes)) as store:
            before = rows(store)
            try:
                with killed_after(writes):
                    triage(store, verdicts)
                outcomes.append(True)
            except Killed:
                outcomes.append(False)
        with embedstore.open(tmp_path / str(writes)) as store:
            found = rows(store)
            assert (found == before) is not outcomes[-1]
            triage(store, verdicts)  # cleans up after the dead writer and goes on
            expected = {
                one: row | {"a.png": {"label": "x"}, "b.png": {"split": "aside"}, "d.png": {"group": "Q"}}.get(one, {})
                for one, row in before.items()
            }
            assert rows(store) == {
                one: row | ({"verdict": verdicts[one].kind} if one in verdicts else {}) for one, row in expected.items()
            }
            assert store.version == 2
            if outcomes[-1]:
                assert rows(store) == found
                break
    assert outcomes.count(False) >= 4
    assert outcomes[-1]


def test_a_slow_look_of_one_thread_never_moves_back_past_what_another_wrote(
    store: EmbeddingStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A change that began from there would take the number of one that is written already."""
    looked, slow = threading.Event(), threading.Thread(target=store.refresh)

    class Slow(Snapshot):
        def __init__(self, *arguments: Any):
            super().__init__(*arguments)
            if threading.current_thread() is slow:
                looked.set()
                time.sleep(0.3)

    monkeypatch.setattr(reading, "Snapshot", Slow)
    slow.start()
    assert looked.wait(10)
    triage(store, {"a.png": RARE})
    slow.join()
    assert store.version == 2
    triage(store, {"b.png": RARE})
    assert (store.version, [one.number for one in store.log()]) == (3, [0, 1, 2, 3])

"""Compaction: what kept versions need stays to the last bit, all else goes, and whatever stops it leaves the store whole."""

import errno
import os
import shutil
import subprocess
import sys
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lmdb
import numpy as np
import pytest
from damaged_stores import entries_of
from helpers import (
    CountingTeacher,
    Killed,
    python_environment,
    run_python,
    snapshot,
    store_of,
    unit_vectors,
    write_pictures,
)
from killing import killed_at

import embedstore
from embedstore import EmbeddingStore
from embedstore.engines import local
from embedstore.errors import CorruptStoreError, StoreError, StoreLockedError, SummaryError
from embedstore.store import compaction, environment, layout, row_stream
from embedstore.store.compaction import CompactionWarning
from embedstore.store.environment import Environment
from embedstore.store.index_file import building
from embedstore.store.layout import BLOCK
from embedstore.store.tables import Tables
from embedstore.store.writing import writer

COUNT = 2 * BLOCK + 88
IDS = [f"sample {number:05d}" for number in range(COUNT)]


@pytest.fixture(scope="module")
def history(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store of 600 samples and 2 views with six versions; version 2 has a tag, of version 4 a summary was made."""
    path = tmp_path_factory.mktemp("history") / "store"
    vectors = np.stack([unit_vectors(seed, COUNT) for seed in range(3)])
    labels = [("good", "crack")[number % 2] for number in range(COUNT)]
    with store_of(path, vectors, labels=labels, groups=[f"part {n // 3}" for n in range(COUNT)]) as store:
        with store.write("delete") as changes:
            changes.delete(IDS[100:200])
        store.tag("before", 2)
        with store.write("relabel") as changes:
            changes.set("label", {IDS[0]: "pore", IDS[-1]: None})
            changes.set("欠陥", {IDS[1]: "<b>"})
        with store.write("replace") as changes:
            changes.add(IDS[:50], np.stack([unit_vectors(seed, 50) for seed in (7, 8, 9)]), replace=True)
        store.summarize("class-mean", name="means")
        with store.write("delete") as changes:
            changes.delete(IDS[300:450])
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(row_stream, "_MOST_BYTES", 1)
            with pytest.raises(RuntimeError), store.write() as changes:  # noqa: PT012  a row that no version will see
                changes.add(["never"], np.ones((3, 1, 12)))
                raise RuntimeError
        with store.write("add") as changes:
            changes.add(["fresh"], np.ones((3, 1, 12), np.float16), labels=["good"])
    return path


@pytest.fixture
def path(history: Path, tmp_path: Path) -> Path:
    shutil.copytree(history, tmp_path / "store")
    return tmp_path / "store"


def seen(path: Path, version: int | str | None = None) -> dict[str, Any]:
    with embedstore.open(path, version) as store:
        return snapshot(store) | {"order": store.ids, "summaries": store.all_summary_names, "tags": store.tags}


def generations(path: Path) -> list[str]:
    return sorted(one.name for one in (path / "generations").iterdir())


def versions_of(store: EmbeddingStore, number: int, block: int) -> list[int]:
    prefix = layout.field_key(number, block, 0)[:10]
    return [layout.version_of(key) for key in store._read(lambda tables: tables.keys(layout.FIELDS, prefix))]


# What stays and what goes


def test_kept_versions_stay_to_the_last_bit_and_the_others_are_told(path: Path) -> None:
    before = {version: seen(path, version) for version in range(7)}
    with embedstore.open(path) as store:
        log, summary = store.log(), store.summary("means")
        report = store.compact()
        assert report.kept == (2, 4, 6)
        assert report.removed == 4  # 0, 1, 3, 5
        assert (report.rows_before, report.rows) == (COUNT + 52, COUNT - 100 + 51)
        assert report.bytes_before > report.bytes == (store.generation / "data.mdb").stat().st_size
        assert snapshot(store) == {name: before[6][name] for name in snapshot(store)}
        assert store.summary("means").to_bytes() == summary.to_bytes()
        assert [(one.number, one.time, one.action, one.details) for one in store.log()] == [
            (one.number, one.time, one.action, one.details) for one in log
        ]
        assert [one.number for one in store.log() if one.readable] == [2, 4, 6]
    for version in (2, 4, 6, "before"):
        assert seen(path, version) == before[2 if version == "before" else version]
    for version in (0, 1, 3, 5):
        with pytest.raises(
            StoreError,
            match=rf"Version {version} was removed by a compaction; of the versions before 6 are left: 2, 4, 6\. A tag keeps",
        ):
            embedstore.open(path, version)
        with embedstore.open(path) as store, pytest.raises(StoreError, match="was removed by a compaction"):
            store.changed_since(version)
    assert generations(path) == ["0002"]


def test_a_version_goes_once_its_tag_and_its_summary_are_deleted(path: Path) -> None:
    with embedstore.open(path) as store:
        store.compact()
        store.delete_tag("before")
        store.delete_summary("means")
        assert seen(path, 2)["version"] == 2  # until the next compaction
        report = store.compact()
        assert (report.kept, report.removed, report.rows) == ((6,), 6, len(store))
        assert report.rows == store.row_total == COUNT - 100 - 150 + 1
    for version in (2, 4):
        with pytest.raises(StoreError, match=f"Version {version} was removed"):
            embedstore.open(path, version)


def test_it_is_the_same_in_small_steps(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(path, tmp_path / "other")
    written: list[int] = []
    write = Environment.write

    def counting(self: Environment, work: Any) -> Any:
        written[-1] += 1
        return write(self, work)

    monkeypatch.setattr(Environment, "write", counting)
    for place, most in ((path, 512), (tmp_path / "other", 1)):
        monkeypatch.setattr(compaction, "_SMALL_BLOCKS_AT_ONCE", most)
        written.append(0)
        with embedstore.open(place) as store:
            store.compact()
    assert entries_of(path) == entries_of(tmp_path / "other")
    assert written[1] >= written[0] + 2 * 4  # three blocks of rows and of some fields, one by one


def test_a_second_compaction_changes_nothing(path: Path) -> None:
    with embedstore.open(path) as store:
        first = store.compact()
        before = {version: seen(path, version) for version in (2, 4, 6)}
        second = store.compact()
        assert (second.kept, second.rows, second.bytes) == (first.kept, first.rows, first.bytes)
        assert {version: seen(path, version) for version in (2, 4, 6)} == before
    assert generations(path) == ["0003"]


def test_a_compacted_store_takes_changes_and_more_compactions(path: Path) -> None:
    with embedstore.open(path) as store:
        for number in range(3):
            store.compact()
            with store.write() as changes:
                changes.add([f"later {number}"], np.full((3, 1, 12), number + 1.0), attributes={"round": [str(number)]})
                changes.set("label", {IDS[2]: f"round {number}"})
            assert store.version == 7 + number
            assert store.sample(IDS[2]).label == f"round {number}"
            np.testing.assert_array_equal(store.vectors([f"later {number}"], view=2), np.full((1, 12), number + 1.0))
            assert store.search(unit_vectors(0, COUNT)[220].astype(np.float32), top=1)[0][0].id == IDS[220]
        assert store.field("round")[-3:] == ["0", "1", "2"]
        assert seen(path, "before")["version"] == 2


@pytest.mark.parametrize("emptied", [False, True])
def test_a_store_without_samples_can_be_compacted(tmp_path: Path, emptied: bool) -> None:
    with embedstore.create(tmp_path / "s", teacher="model", dim=2) as store:
        if emptied:
            with store.write() as changes:
                changes.add(["a"], np.ones((1, 2)))
            with store.write() as changes:
                changes.delete(["a"])
        report = store.compact()
        assert (len(store), store.version, report.rows, store.row_total) == (0, 2 * emptied, 0, 0)
        with store.write() as changes:
            changes.add(["a"], np.ones((1, 2)))
        assert store.ids == ["a"]


def test_progress_is_told_up_to_the_end(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compaction, "_BLOCKS_AT_ONCE", 1)
    told: list[tuple[int, int]] = []
    with embedstore.open(path) as store:
        store.compact(lambda done, total: told.append((done, total)))
    assert told == [(done, 9) for done in range(1, 10)]  # 3 blocks in each of 3 views


def test_what_an_interrupted_build_left_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local, "_CROPS_AT_ONCE", 4)
    images = tmp_path / "images"
    write_pictures(images, [f"good/{number}.png" for number in range(10)])
    (images / "good" / "bad.png").write_bytes(b"no picture")

    def build(**options: Any) -> embedstore.BuildReport:
        return embedstore.build(tmp_path / "s", images, **options)

    build(teacher=CountingTeacher(), views=1)
    write_pictures(images, [f"crack/{number}.png" for number in range(6)], seed=1)
    with pytest.raises(KeyboardInterrupt):  # of new pictures
        build(teacher=CountingTeacher(stop_after=8))
    with embedstore.open(tmp_path / "s") as store:
        before = snapshot(store)
        assert [entry["path"] for entry in store.set_aside] == ["good/bad.png"]
        store.compact()
        assert snapshot(store) == before
        assert store.unfinished() == 4
    report = build(teacher=CountingTeacher())
    assert (report.resumed, report.embedded, report.new) == (4, 4, 6)
    with pytest.raises(KeyboardInterrupt):  # of more views
        build(teacher=CountingTeacher(stop_after=12), views=3)
    with embedstore.open(tmp_path / "s") as store:
        store.compact()
    teacher = CountingTeacher()
    build(teacher=teacher, views=3)
    assert teacher.seen == 2 * 16 - 12
    undisturbed = tmp_path / "undisturbed"
    embedstore.build(undisturbed, images, teacher=CountingTeacher(), views=3)
    assert seen(tmp_path / "s")["vectors"] == seen(undisturbed)["vectors"]


def test_summaries_are_copied_one_at_a_time(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All together they may be larger than memory, which also holds what one transaction writes."""
    with embedstore.open(path) as store:
        with writer(path) as session:
            data = session.read(lambda tables: tables.summary("means")) or b""
            for number in range(9):  # as large as those of many prototypes; nobody reads these
                large = data + number.to_bytes(2**22, "little")
                session.write(lambda tables, name=f"large-{number}", large=large: tables.put_summary(name, large))
        names = store.look(lambda tables: tables.summary_names())
        before = store.look(lambda tables: {name: tables.summary(name) for name in names})
        monkeypatch.setattr(compaction, "kept_versions", lambda *_, **__: (2, 4, 6))
        transactions: list[int] = []
        put = Tables.put_summary

        def counted(self: Tables, name: str, data: bytes) -> None:
            transactions.append(self._transaction.id())
            put(self, name, data)

        monkeypatch.setattr(Tables, "put_summary", counted)
        tracemalloc.start()
        try:
            store.compact()
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        assert len(set(transactions)) == len(transactions) == len(names) == 10
        assert peak < 4 * 2**22
        assert before == store.look(lambda tables: {name: tables.summary(name) for name in names})


def test_what_small_tables_hold_is_kept(path: Path) -> None:
    lost = [{"id": "部品", "label": "crack"}, {"id": "x", "said:label": "good"}]
    with writer(path) as session:
        session.write(lambda tables: [tables.put_lost(fields) for fields in lost])
        session.write(lambda tables: tables.replace_aside({"a.png": "torn", "<b>": "\x1b"}))
        earlier = {"teacher": "earlier", "outputs": {"embedding": 3}, "input_size": 0}
        session.write(lambda tables: tables.put_space("0" * 32, earlier))

    def small(store: EmbeddingStore) -> Any:
        return store._read(
            lambda tables: [
                tables.lost(),
                tables.aside(),
                tables.spaces(),
                tables.settings(),
                tables.log(),
                tables.tags(),
                tables.head(),
                *map(tables.summary, tables.summary_names()),
            ]
        )

    with embedstore.open(path) as store:
        before = small(store)
        assert sorted(before[0], key=lambda fields: len(fields["id"])) == lost[::-1]
        store.compact()
        assert small(store) == before


# By itself


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a store of a dozen rows be worth a compaction."""
    monkeypatch.setattr(compaction, "_SMALLEST", 10)


def twelve(path: Path) -> EmbeddingStore:
    store = embedstore.create(path, teacher="model", dim=12)
    with store.write() as changes:
        changes.add(IDS[:12], unit_vectors(0, 12))
    return store


def next_change(store: EmbeddingStore) -> None:
    """Make a small change: the version before a large one is kept until then."""
    with store.write() as changes:
        changes.set("label", {store.ids[0]: f"of version {store.version}"})


@pytest.mark.usefixtures("small")
def test_a_change_compacts_once_more_than_half_of_the_rows_are_of_no_use(tmp_path: Path) -> None:
    with twelve(tmp_path / "s") as store:
        with store.write() as changes:
            changes.delete(IDS[:6])
        assert (generations(store.path), store.row_total) == (["0001"], 12)  # half is not more than half
        assert len(seen(store.path, 1)["samples"]) == 12
        with store.write() as changes:
            changes.delete(IDS[6:7])
        assert (generations(store.path), store.row_total, len(store)) == (["0001"], 12, 5)  # the way back is kept
        next_change(store)
        assert (generations(store.path), store.row_total, len(store)) == (["0002"], 5, 5)
        np.testing.assert_array_equal(store.vectors(), unit_vectors(0, 12)[7:].astype(np.float32))
        assert len(seen(store.path, 3)["samples"]) == 5  # nor can the last change be gone back on
        with pytest.raises(StoreError, match="Version 1 was removed"):
            seen(store.path, 1)


@pytest.mark.usefixtures("small")
def test_a_mistaken_deletion_of_nearly_all_can_be_rolled_back(tmp_path: Path) -> None:
    with twelve(tmp_path / "s") as store:
        before = seen(store.path)
        with store.write() as changes:
            changes.delete(IDS[:11])
        embedstore.rollback(store.path, 1)
        assert seen(store.path)["samples"] == before["samples"]
        assert seen(store.path)["vectors"] == before["vectors"]


@pytest.mark.usefixtures("small")
def test_a_tagged_version_is_of_use(tmp_path: Path) -> None:
    with twelve(tmp_path / "s") as store:
        store.tag("all")
        with store.write() as changes:
            changes.delete(IDS[:11])
        assert generations(store.path) == ["0001"]
        store.delete_tag("all")
        assert generations(store.path) == ["0001"]
        with store.write() as changes:
            changes.set("label", {IDS[11]: "last"})
        assert (generations(store.path), store.row_total, store.labels) == (["0002"], 1, ["last"])


def test_a_small_store_is_left_alone(tmp_path: Path) -> None:
    with twelve(tmp_path / "s") as store:
        with store.write() as changes:
            changes.delete(IDS[:11])
        assert (generations(store.path), store.row_total) == (["0001"], 12)


@pytest.mark.usefixtures("small")
def test_a_build_compacts_too(tmp_path: Path) -> None:
    images = tmp_path / "images"
    names = [f"good/{number}.png" for number in range(12)]
    write_pictures(images, names)
    embedstore.build(tmp_path / "s", images, teacher=CountingTeacher(), views=1)
    write_pictures(images, names, seed=1)
    embedstore.build(tmp_path / "s", images, teacher=CountingTeacher())
    write_pictures(images, names, seed=3)
    embedstore.build(tmp_path / "s", images, teacher=CountingTeacher())
    assert generations(tmp_path / "s") == ["0001"]  # of three versions, one is of no use
    write_pictures(images, names[:1], seed=2)
    shutil.move(images, tmp_path / "moved")  # the new place of the folder is kept too
    report = embedstore.build(tmp_path / "s", tmp_path / "moved", teacher=CountingTeacher())
    assert (report.version, report.samples, report.changed) == (4, 12, 1)
    assert generations(tmp_path / "s") == [
        "0002"
    ]  # by then version 1 was of no use, and half of the rows is less than this one
    undisturbed = tmp_path / "undisturbed"
    embedstore.build(undisturbed, tmp_path / "moved", teacher=CountingTeacher(), views=1)
    assert seen(tmp_path / "s")["vectors"] == seen(undisturbed)["vectors"]
    with embedstore.open(tmp_path / "s") as store:
        assert (store.image_root, store.row_total) == (tmp_path / "moved", 13)  # one of the version before


@pytest.mark.usefixtures("small")
def test_many_rounds_of_changes_leave_one_small_generation(tmp_path: Path) -> None:
    with twelve(tmp_path / "s") as store:
        for number in range(40):
            with store.write() as changes:
                changes.add(IDS[:12], unit_vectors(number, 12), replace=True)
            assert store.row_total <= 48  # of two versions, and as many that are of no use
            np.testing.assert_array_equal(store.vectors(), unit_vectors(number, 12).astype(np.float32))
        assert len(generations(store.path)) == 1
        assert sum(one.stat().st_size for one in store.path.rglob("*") if one.is_file()) < 1_000_000
        assert store.version == 41


def test_fields_compact_once_most_of_what_they_take_is_superseded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with twelve(tmp_path / "s") as store:

        def relabel(times: int) -> None:
            for number in range(times):
                with store.write() as changes:
                    changes.set("label", {IDS[0]: f"{store.version} {number}"})

        relabel(8)
        assert generations(store.path) == ["0001"]  # most, but not much
        monkeypatch.setattr(compaction, "_SUPERSEDED_BYTES", 0)
        for version in range(2, 9):
            store.tag(f"of {version}", version)
        relabel(1)
        assert generations(store.path) == ["0001"]  # much, but of use
        for version in range(2, 9):
            store.delete_tag(f"of {version}")
        relabel(1)
        assert (generations(store.path), store.labels[0]) == (["0002"], "10 0")
        relabel(2)
        assert generations(store.path) == ["0002"]


@pytest.mark.parametrize("kept", [(), (6,), (0, 2, 4), (3, 5), tuple(range(7))])
def test_the_blocks_that_versions_read_are_counted(path: Path, kept: tuple[int, ...]) -> None:
    with embedstore.open(path) as store:
        read = {
            (number, block, max(own))
            for version in kept
            for number in range(len(store.field_names))
            for block in range(3)
            if (own := [v for v in versions_of(store, number, block) if v <= version])
        }
        assert store._read(lambda tables: tables.needed_field_blocks(kept)) == len(read)


# What stops it


def test_a_kill_at_any_step_leaves_a_whole_store_and_the_next_writer_cleans_up(path: Path, tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    shutil.copytree(path, kept)
    before = {version: seen(path, version) for version in (2, 4, 6)}
    endings = []
    for step in range(100):
        shutil.rmtree(path)
        shutil.copytree(kept, path)
        try:
            with killed_at(step) as done, embedstore.open(path) as store:
                store.compact()
            break
        except Killed:
            pass
        assert {version: seen(path, version) for version in (2, 4, 6)} == before, f"at step {step}"
        endings.append((done[step], len(generations(path))))
        with writer(path):
            pass
        assert len(generations(path)) == 1
        assert seen(path) == before[6]
        with embedstore.open(path) as store:
            assert store.compact().kept == (2, 4, 6)
        assert {version: seen(path, version) for version in (2, 4, 6)} == before
        assert len(generations(path)) == 1
    assert step > 10
    assert endings[-2:] == [("move", 2), ("remove", 2)]  # both generations were there, and the right one was in use


FULL: dict[str, Callable[..., Any]] = {
    "lmdb": lambda *_: (_ for _ in ()).throw(lmdb.DiskError("No space left on device")),
    "system": lambda *_: (_ for _ in ()).throw(OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))),
}


def test_a_full_disk_leaves_the_store_as_it_was(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = {version: seen(path, version) for version in range(7)}
    write = Environment.write
    for let_through in (0, 1, 5, 10):
        writes = 0

        def full(self: Environment, work: Any, let_through: int = let_through) -> Any:
            nonlocal writes
            writes += 1
            return write(self, FULL["lmdb"] if writes > let_through else work)

        with embedstore.open(path) as store, monkeypatch.context() as patch:
            patch.setattr(Environment, "write", full)
            with pytest.raises(
                StoreError, match=r"Writing .* failed \(No space left on device\).*Free some disk space"
            ):
                store.compact()
            assert snapshot(store)["vectors"] == before[6]["vectors"]
        assert generations(path) == ["0001"]
        assert {version: seen(path, version) for version in range(7)} == before
    for broken in ("write_current", "sync_directory"):
        with embedstore.open(path) as store, monkeypatch.context() as patch:
            patch.setattr(layout, broken, FULL["system"])
            with pytest.raises(StoreError, match=r"can't be compacted: No space left on device; it stays as it was\.$"):
                store.compact()
        assert generations(path) == ["0001"]
        assert {version: seen(path, version) for version in range(7)} == before


def test_a_disk_too_full_to_begin_is_told_in_one_sentence(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with embedstore.open(path) as store:
        for error in (lmdb.Error("No space left on device"), OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))):
            with monkeypatch.context() as patch:

                def full(*_: Any, error: Exception = error, **__: Any) -> None:
                    raise error

                patch.setattr(lmdb, "open", full)
                with pytest.raises(StoreError, match="No space left on device"):
                    store.compact()
            assert generations(path) == ["0001"]
        assert store.compact().kept == (2, 4, 6)


@pytest.mark.usefixtures("small")
def test_a_change_is_kept_where_the_compaction_after_it_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with twelve(tmp_path / "s") as store:
        with store.write() as changes:
            changes.delete(IDS[:11])
        with monkeypatch.context() as patch:
            patch.setattr(layout, "write_current", FULL["system"])
            with (
                pytest.warns(CompactionWarning, match=r"is stored, .*No space left on device"),
                store.write() as changes,
            ):
                changes.set("label", {IDS[11]: "x"})
        assert (store.version, store.ids, generations(store.path)) == (3, IDS[11:12], ["0001"])
        next_change(store)  # tries again
        assert (store.version, store.labels, generations(store.path)) == (4, ["of version 3"], ["0002"])


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize(
    ("database", "key", "value"),
    [
        (layout.VECTORS, b"", b"damaged"),
        (layout.VECTORS, b"x" * 16 + b"\xff\xfe\0" + bytes(10), None),
        (layout.SUMMARIES, b"means", None),
    ],
    ids=["a damaged block", "a key that is no text", "a summary that is none"],
)
def test_damage_fails_no_change_and_is_told_once(
    tmp_path: Path, database: bytes, key: bytes, value: bytes | None
) -> None:
    with twelve(tmp_path / "s") as store:

        def damage(transaction: lmdb.Transaction) -> None:
            own = key or layout.vector_key(store.head.columns[0], 0)
            transaction.put(own, value or layout.seal(own, bytes(544)), db=store.environment.database(database))

        with store.write() as changes:
            changes.delete(IDS[:10])
        store.environment.write(damage)
        with pytest.warns(CompactionWarning, match="embedstore verify") as told:
            next_change(store)
        assert len(told) == 1
        with store.write() as changes:  # not tried again, and so not told: warnings are errors here
            changes.delete(IDS[10:11])
        assert (store.version, store.ids, generations(store.path)) == (4, IDS[11:12], ["0001"])
        with pytest.raises((CorruptStoreError, SummaryError)):
            store.compact()
        assert generations(store.path) == ["0001"]


@pytest.mark.usefixtures("small")
def test_no_error_whatever_of_a_compaction_fails_a_change(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise MemoryError

    monkeypatch.setattr(compaction, "compact", fail)
    with twelve(tmp_path / "s") as store:
        with store.write() as changes:
            changes.delete(IDS[:11])
        with pytest.warns(CompactionWarning, match=r"failed \(MemoryError\)"):
            next_change(store)
        assert (store.ids, store.version) == (IDS[11:12], 3)


@pytest.mark.usefixtures("small")
def test_a_compaction_takes_no_index_away_that_is_being_made(tmp_path: Path) -> None:
    with twelve(tmp_path / "s") as store:
        with building(store.generation) as directory:
            (directory / "new").touch()
            with store.write() as changes:
                changes.delete(IDS[:11])
            with pytest.raises(StoreLockedError, match="is making an index"):
                store.compact()
            assert (directory / "new").exists()
            assert generations(store.path) == ["0001"]
        with store.write() as changes:
            changes.set("label", {IDS[11]: "x"})
        assert (generations(store.path), store.labels) == (["0002"], ["x"])
        assert not store.compact().index_removed


def test_a_second_writer_waits_for_no_compaction(path: Path) -> None:
    with (
        writer(path),
        embedstore.open(path) as store,
        pytest.raises(StoreLockedError, match=r"process \(id .*\) is (already changing|writing)"),
    ):
        store.compact()
    assert generations(path) == ["0001"]


# Readers


def test_an_open_reader_goes_on_and_moves_over_when_it_looks_anew(path: Path) -> None:
    with embedstore.open(path) as reader, embedstore.open(path, 1) as early, embedstore.open(path) as other:
        before, first = snapshot(reader), snapshot(early)
        scanned = reader.scan(view=1)
        _, vectors = next(scanned)
        with other.write() as changes:
            changes.delete(IDS[200:260])
        other.compact()
        assert generations(path) == ["0002"]
        assert snapshot(reader) == before
        assert snapshot(early) == first
        parts = [vectors, *(values for _, values in scanned)]
        np.testing.assert_array_equal(np.concatenate(parts), reader.vectors(view=1))
        reader.refresh()
        assert (reader.version, len(reader)) == (7, len(before["samples"]) - 60)
        assert reader.generation.name == "0002"
        with pytest.raises(StoreError, match="Version 1 was removed by a compaction"):
            early.refresh()


@pytest.mark.parametrize("moment", ["before it looks", "before LMDB opens", "while files are removed"])
def test_a_reader_that_opens_while_a_compaction_ends_gets_the_new_generation(
    path: Path, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    name = "refuse_truncated" if moment == "before LMDB opens" else "open_environment"
    original = getattr(environment, name)
    before = seen(path)

    def late(generation: Path) -> Any:
        monkeypatch.setattr(environment, name, original)
        # In another process, for this one holds a lock while it opens a store.
        assert run_python("import sys, embedstore; embedstore.open(sys.argv[1]).compact()", path).returncode == 0
        if moment == "while files are removed":  # the directory is still there, and LMDB makes a new file in it
            generation.mkdir()
            (generation / "data.mdb").touch()
        return original(generation)

    monkeypatch.setattr(environment, name, late)
    assert seen(path) == before
    with writer(path):
        assert generations(path) == ["0002"]


READ = """
import sys
import embedstore
from helpers import forget, snapshot

with embedstore.open(sys.argv[1]) as store:
    before = snapshot(store)
    print("open", store.generation.name, flush=True)
    sys.stdin.readline()
    forget(store)
    print(snapshot(store) == before, store.generation.name, flush=True)
    store.refresh()
    print(snapshot(store) == before, store.generation.name, flush=True)
"""


def test_a_reader_in_another_process_goes_on_and_moves_over(path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", READ, str(path)],
        env=python_environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as reader:
        assert reader.stdin is not None
        assert reader.stdout is not None
        assert reader.stdout.readline() == "open 0001\n"
        with embedstore.open(path) as store:
            store.compact()
        assert generations(path) == ["0002"]
        reader.stdin.write("go\n")
        reader.stdin.flush()
        assert reader.stdout.read() == "True 0001\nTrue 0002\n"
    assert reader.returncode == 0

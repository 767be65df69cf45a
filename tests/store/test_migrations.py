"""Upgrades of stores that earlier releases wrote: all is kept, and whatever stops one leaves the old store whole."""

import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import filelock
import lmdb
import msgpack
import pytest
from helpers import run_python
from old_stores import SPACE, OldStore, assert_all_is_there, files

import embedstore
from embedstore.errors import CorruptStoreError, NotAStoreError, StoreError, StoreLockedError
from embedstore.store import layout, migrations
from embedstore.store.environment import Environment
from embedstore.store.migrations import MIGRATIONS, UpgradeReport, format_1, upgrade
from embedstore.store.writing import Writer, writer


@pytest.fixture(autouse=True)
def one_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Spare the process that sees whether LMDB lives through a walk over the file; a test of damaged files has it back."""
    monkeypatch.setattr(format_1, "can_be_walked", lambda directory: True)


@pytest.fixture
def small_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(migrations, "_RECORDS_AT_ONCE", 50)
    monkeypatch.setattr(migrations, "_BYTES_AT_ONCE", 3000)


# What is kept


@pytest.mark.parametrize("killed", [False, True], ids=["published", "killed while it published"])
@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.usefixtures("small_steps")
def test_every_version_reads_as_it_did_and_all_else_is_kept(tmp_path: Path, seed: int, killed: bool) -> None:
    old = OldStore(tmp_path / "old", seed=seed, killed=killed)
    assert len(old.rows) > 256  # blocks
    with pytest.raises(
        StoreError,
        match=r"written by an earlier release \(format 1\); bring it to format 2 with: embedstore upgrade '.*old'$",
    ):
        embedstore.open(old.path)
    told: list[tuple[int, int]] = []
    report = upgrade(old.path, lambda done, total: told.append((done, total)))
    assert report == UpgradeReport(before=1, format=2, version=5, samples=len(old.versions[-1]))
    assert_all_is_there(old)
    assert sorted(path.name for path in (old.path / "generations").iterdir()) == ["0002"]
    assert told == sorted(told)
    assert len(told) > 8
    assert told[-1][0] == told[-1][1] == told[0][1]


def test_a_store_that_was_upgraded_can_be_changed_compacted_and_tagged(tmp_path: Path) -> None:
    old = OldStore(tmp_path / "old")
    upgrade(old.path)
    name = next(iter(old.versions[-1]))
    with writer(old.path) as session:
        session.write(lambda tables: tables.drop_summary("平均"))  # it is none, as its bytes tell
    with embedstore.open(old.path) as store:
        store.tag("then", 2)
        with store.write("relabel") as writing:
            writing.set("label", {name: "新"})
        assert (store.version, store.sample(name).label) == (6, "新")
        assert store.compact().kept == (2, 6)
        assert store.unfinished() == len(old.staged)
    with embedstore.open(old.path, version="then") as store:
        assert {record.id: asdict(record) | {"row": 0} for record in store.records()} == {
            key: asdict(record) | {"row": 0} for key, record in old.versions[2].items()
        }


def test_an_empty_store_is_upgraded(tmp_path: Path) -> None:
    old = OldStore(tmp_path / "old", newest=0)
    old.staged.clear()
    with old.values() as put:
        put("meta", b"rows", msgpack.packb(0))
        put("meta", b"head", msgpack.packb({"version": 0, "space": SPACE, "columns": []}))
    assert upgrade(old.path) == UpgradeReport(1, 2, 0, 0)
    with embedstore.open(old.path) as store:
        assert (len(store), store.head.columns, len(store.log())) == (0, (), 1)


# Nothing half done


def test_a_store_of_this_format_stays_as_it_is(tmp_path: Path) -> None:
    old = OldStore(tmp_path / "old")
    upgrade(old.path)
    before = files(old.path)
    assert upgrade(old.path) == UpgradeReport(2, 2, 5, len(old.versions[-1]))
    assert files(old.path) == before


@pytest.mark.usefixtures("small_steps")
def test_an_upgrade_that_stops_at_any_write_leaves_the_old_store_and_succeeds_when_it_is_run_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = OldStore(tmp_path / "old", newest=2)
    before, original, left = files(old.path), Environment.write, -1

    def write(self: Environment, work: Callable[..., Any]) -> Any:
        nonlocal left
        left -= 1
        if left == 0:
            raise KeyboardInterrupt
        return original(self, work)

    monkeypatch.setattr(Environment, "write", write)
    for writes in range(1, 100):
        left = writes
        try:
            upgrade(old.path)
        except KeyboardInterrupt:
            assert files(old.path) == before
        else:
            break
    assert writes > 8
    assert_all_is_there(old)


@pytest.mark.parametrize("moved", [False, True])
def test_a_kill_beside_the_step_in_which_current_moves_leaves_either_store_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moved: bool
) -> None:
    old = OldStore(tmp_path / "old", newest=2)
    before, original = files(old.path), layout.write_current

    def write_current(*arguments: Any) -> None:
        if moved:
            original(*arguments)
        raise KeyboardInterrupt

    monkeypatch.setattr(layout, "write_current", write_current)
    with pytest.raises(KeyboardInterrupt):
        upgrade(old.path)
    assert (files(old.path) == before) is not moved
    monkeypatch.undo()
    monkeypatch.setattr(format_1, "can_be_walked", lambda directory: True)
    assert upgrade(old.path).before == (2 if moved else 1)
    with writer(old.path):
        assert sorted(path.name for path in (old.path / "generations").iterdir()) == ["0002"]
    assert_all_is_there(old)


_STOPPED = """
import os, resource, sys
from pathlib import Path
from embedstore.errors import StoreError
from embedstore.store import migrations
from embedstore.store.environment import Environment
how, path = sys.argv[1], Path(sys.argv[2])
if how == "killed":
    original, writes = Environment.write, []
    def write(self, work):
        writes.append(1)
        if len(writes) == 6:
            os._exit(9)
        return original(self, work)
    Environment.write = write
else:
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, resource.RLIM_INFINITY))
try:
    migrations.upgrade(path)
except StoreError as error:
    print(error)
"""


def test_a_killed_process_and_a_full_disk_leave_the_old_store(tmp_path: Path) -> None:
    old = OldStore(tmp_path / "old")
    before = files(old.path)
    assert run_python(_STOPPED, "killed", old.path).returncode == 9
    after = files(old.path)
    assert {name: after.pop(name) for name in before} == before
    assert [name for name in after if "writer" not in name] == ["generations/0002/data.mdb"]
    pytest.importorskip("resource")
    said = run_python(_STOPPED, "full", old.path).stdout
    assert "what was committed before is safe. Free some disk space" in said
    assert files(old.path) == before
    upgrade(old.path)
    assert_all_is_there(old)


def test_a_store_that_another_process_writes_is_refused(tmp_path: Path) -> None:
    old = OldStore(tmp_path / "old", newest=1)
    (old.path / "writer.pid").write_text("123")
    with (
        filelock.FileLock(old.path / "writer.lock"),
        pytest.raises(StoreLockedError, match=r"Another process \(id 123\) is writing to"),
    ):
        upgrade(old.path)
    assert upgrade(old.path).before == 1


def test_what_is_no_store_or_of_an_unknown_format_is_refused(tmp_path: Path) -> None:
    with pytest.raises(NotAStoreError, match="is not a store; make one with"):
        upgrade(tmp_path)
    for found in (0, 3, True, "1"):
        (tmp_path / "CURRENT").write_text(json.dumps({"format": found, "generation": "0001"}))
        with pytest.raises(
            StoreError, match=f"has format version {found}, this program reads version 2; use the release"
        ):
            upgrade(tmp_path)
    (tmp_path / "CURRENT").write_text(json.dumps({"format": 1, "generation": "../0001"}))
    with pytest.raises(CorruptStoreError, match="names no generation"):
        upgrade(tmp_path)


# The chain


def test_there_is_a_step_from_every_earlier_format_and_each_is_named() -> None:
    assert sorted(MIGRATIONS) == list(range(layout.OLDEST_FORMAT, layout.FORMAT))
    for number, step in MIGRATIONS.items():
        assert (step.__doc__ or "").startswith(f"{number} -> {number + 1}: ")


def test_steps_follow_each_other_each_with_its_own_generation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As it will be with a format 3: here its step copies every value, and only then fails or not."""
    old = OldStore(tmp_path / "old", newest=2)
    fails = True

    def second(generation: Path, target: Writer, progress: migrations.Progress) -> None:
        assert json.loads((old.path / "CURRENT").read_text()) == {"format": 2, "generation": "0002"}
        with lmdb.open(str(generation), readonly=True, max_dbs=20) as environment, environment.begin() as transaction:
            for name in layout.DATABASES:
                entries = list(transaction.cursor(environment.open_db(name, transaction, create=False)))
                migrations._copy(target, name, entries)
        if fails:
            raise CorruptStoreError("not today")

    monkeypatch.setattr(layout, "FORMAT", 3)
    monkeypatch.setitem(MIGRATIONS, 2, second)
    with pytest.raises(CorruptStoreError, match="not today"):
        upgrade(old.path)
    fails = False
    assert upgrade(old.path) == UpgradeReport(2, 3, 2, len(old.versions[-1]))
    assert json.loads((old.path / "CURRENT").read_text()) == {"format": 3, "generation": "0003"}
    assert sorted(path.name for path in (old.path / "generations").iterdir()) == ["0003"]
    assert_all_is_there(old)

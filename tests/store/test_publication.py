"""Interruption: whatever stops a build or a split, readers see the old version or the new one, and nothing is lost."""

import csv
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers import CountingTeacher, Killed, forget, killed_after, python_environment, snapshot, write_pictures

import embedstore
from embedstore.engines import local
from embedstore.errors import CorruptStoreError, StoreError, StoreLockedError
from embedstore.store import embedding_pass, environment, ingest, layout, writing
from embedstore.store.layout import NEVER
from embedstore.store.rows import staged, visible
from embedstore.store.writing import locked, next_head, writer

NAMES = [f"{label}/{number}.png" for label in ("good", "crack") for number in range(6)]


@pytest.fixture(autouse=True)
def small_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a dozen pictures take several batches, commits and transactions."""
    monkeypatch.setattr(local, "_CROPS_AT_ONCE", 4)
    monkeypatch.setattr(embedding_pass, "_COMMIT_ROWS", 3)
    monkeypatch.setattr(writing, "_AT_ONCE", 5)


@pytest.fixture
def images(tmp_path: Path) -> Path:
    write_pictures(tmp_path / "images", NAMES)
    return tmp_path / "images"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "store"


def view(path: Path) -> dict[str, Any]:
    """Return what a reader sees that opens the store now; nothing where there is none."""
    if not path.exists():
        return {}
    with embedstore.open(path) as store:
        further = {
            (output, number): store.vectors(view=number, output=output).tobytes()
            for output in [name for name in store.outputs if name != "embedding"]
            for number in range(store.views + 1)
        }
        return snapshot(store) | ({"further": further} if further else {})


# Ctrl-C and faults of the teacher


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError, MemoryError])
@pytest.mark.parametrize("stop_after", [0, 4, 12, 20, 23])
def test_after_an_interruption_the_next_build_embeds_only_the_rest(
    path: Path, images: Path, tmp_path: Path, stop_after: int, error: type[BaseException]
) -> None:
    stopped = CountingTeacher(stop_after=stop_after, stop_with=error)
    with pytest.raises(error):
        embedstore.build(path, images, teacher=stopped, views=1)
    assert stopped.seen == stop_after // 4 * 4
    with embedstore.open(path) as store:
        assert (store.version, len(store), store.views) == (0, 0, 0)
        assert store.unfinished() == stopped.seen // 2
        with pytest.raises(embedstore.EmbedstoreError, match="no complete views yet"):
            store.vectors()
    resumed = CountingTeacher()
    report = embedstore.build(path, images, teacher=resumed, views=1)
    assert resumed.seen == report.embedded == 24 - stopped.seen
    assert report.resumed == stopped.seen // 2
    assert (report.version, report.new) == (1, 12)
    embedstore.build(tmp_path / "undisturbed", images, teacher=CountingTeacher(), views=1)
    assert view(path) == view(tmp_path / "undisturbed")


def test_an_interrupted_update_shows_the_old_version_until_it_is_complete(path: Path, images: Path) -> None:
    embedstore.build(path, images, teacher=CountingTeacher(), views=1)
    before = view(path)
    write_pictures(images, ["good/1.png", "crack/1.png", "good/7.png", "good/8.png"], seed=1)
    with pytest.raises(KeyboardInterrupt):
        embedstore.build(path, images, teacher=CountingTeacher(stop_after=4), views=1)
    assert view(path) == before
    with embedstore.open(path) as store:
        assert store.unfinished() == 2
        splits = store.split().splits  # another writer comes between
        assert store.version == 2
        assert store.unfinished() == 2
    report = embedstore.build(path, images, teacher=CountingTeacher())
    assert (report.version, report.changed, report.new, report.embedded, report.resumed) == (3, 2, 2, 4, 2)
    after = view(path)
    assert {name: after["samples"][name].split for name in NAMES} == splits
    undisturbed = path.parent / "undisturbed"
    embedstore.build(undisturbed, images, teacher=CountingTeacher(), views=1)
    assert after["vectors"] == view(undisturbed)["vectors"]


def test_an_interruption_while_views_are_added_loses_none_of_them(path: Path, images: Path) -> None:
    embedstore.build(path, images, teacher=CountingTeacher(), views=1)
    before = view(path)
    with pytest.raises(KeyboardInterrupt):
        embedstore.build(path, images, teacher=CountingTeacher(stop_after=8), views=3)
    assert view(path) == before
    report = embedstore.build(path, images, teacher=CountingTeacher(), views=3)
    assert (report.embedded, report.views) == (16, 3)
    undisturbed = path.parent / "undisturbed"
    embedstore.build(undisturbed, images, teacher=CountingTeacher(), views=3)
    assert view(path) == view(undisturbed)


def test_a_resumed_build_may_ask_for_more_views(path: Path, images: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        embedstore.build(path, images, teacher=CountingTeacher(stop_after=12), views=1)
    report = embedstore.build(path, images, teacher=CountingTeacher(), views=3)
    assert report.embedded == 12 * 4 - 12
    undisturbed = path.parent / "undisturbed"
    embedstore.build(undisturbed, images, teacher=CountingTeacher(), views=3)
    assert view(path) == view(undisturbed)


def test_rows_of_an_interrupted_build_that_nobody_wants_any_more_are_swept(path: Path, images: Path) -> None:
    embedstore.build(path, images, teacher=CountingTeacher(), views=0)
    before = view(path)
    added = [f"good/{number}.png" for number in range(7, 13)]
    write_pictures(images, added, seed=1)
    with pytest.raises(KeyboardInterrupt):
        embedstore.build(path, images, teacher=CountingTeacher(stop_after=4), views=0)
    with embedstore.open(path) as store:
        assert store.unfinished() == 4
    for name in added:
        os.remove(images / name)
    report = embedstore.build(path, images, teacher=CountingTeacher())
    assert (report.version, report.embedded, report.resumed) == (1, 0, 0)
    assert view(path) == before
    with embedstore.open(path) as store:
        assert store.unfinished() == 0
        rows = store._read(lambda tables: tables.rows())
    assert len(rows) == 16
    assert not any(visible(rows, version)[12:].any() for version in range(4))
    write_pictures(images, added, seed=1)
    assert embedstore.build(path, images, teacher=CountingTeacher()).embedded == 6
    assert len(view(path)["samples"]) == 18


def test_a_picture_that_changed_again_after_the_interruption_is_embedded_as_it_is_now(path: Path, images: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        embedstore.build(path, images, teacher=CountingTeacher(stop_after=8), views=1)
    write_pictures(images, ["crack/0.png"], seed=5)  # the first that was embedded
    report = embedstore.build(path, images, teacher=CountingTeacher(), views=1)
    assert (report.resumed, report.embedded) == (3, 18)
    undisturbed = path.parent / "undisturbed"
    embedstore.build(undisturbed, images, teacher=CountingTeacher(), views=1)
    assert view(path) == view(undisturbed)


# A kill at each transaction


@dataclass(frozen=True)
class Scenario:
    """A store as it was, and what is then done to it."""

    prepare: Callable[[Path, Path], None]
    act: Callable[[Path, Path], Any]


def write_manifest(images: Path, **labels: str) -> Path:
    manifest = images.parent / "manifest.csv"
    names = sorted(str(found.relative_to(images)) for found in images.rglob("*.png"))
    with manifest.open("w", newline="") as file:
        out = csv.writer(file)
        out.writerows([("path", "label"), *((name, labels.get(name, name.split("/")[0])) for name in names)])
    return manifest


def build(path: Path, images: Path, **options: Any) -> Any:
    manifest = images.parent / "manifest.csv"
    return embedstore.build(
        path, images, manifest=manifest if manifest.exists() else None, teacher=CountingTeacher(), **options
    )


def full(path: Path, images: Path) -> None:
    """A store that holds what no source could give back: splits, and a label that a technician put right."""
    build(path, images, views=1)
    with embedstore.open(path) as store:
        store.split()
        with writer(path) as session:
            put_right = [replace(record, label="pore") for record in store.records() if record.id == "crack/5.png"]
            session.publish(next_head(store.head), "test", records=put_right)


def full_and_changed(path: Path, images: Path) -> None:
    (images / "good" / "4.png").write_bytes(b"no picture")
    full(path, images)
    write_pictures(images, ["good/0.png", "crack/3.png", "scratch/0.png", "scratch/1.png"], seed=2)
    os.remove(images / "good" / "1.png")
    write_pictures(images, ["good/4.png"], seed=3)
    (images / "good" / "5.png").write_bytes(b"")
    write_manifest(images, **{"crack/0.png": "scratch"})


def full_and_damaged(path: Path, images: Path) -> None:
    full(path, images)
    (images / "good" / "5.png").write_bytes(b"")
    (images / "good" / "4.png").write_bytes(b"")


def full_and_staged(path: Path, images: Path) -> None:
    full(path, images)
    added = [f"good/{number}.png" for number in range(7, 15)]
    write_pictures(images, added, seed=1)
    with pytest.raises(KeyboardInterrupt):
        embedstore.build(path, images, teacher=CountingTeacher(stop_after=14), views=1)
    for name in added:
        os.remove(images / name)


def full_and_staged_and_new(path: Path, images: Path) -> None:
    full_and_staged(path, images)
    write_pictures(images, ["good/20.png"], seed=4)


def nothing(path: Path, images: Path) -> None:
    pass


def split(path: Path, images: Path) -> None:
    with embedstore.open(path) as store:
        store.split(seed=9)


def add_output(path: Path, images: Path) -> None:
    embedstore.build(path, images, teacher=CountingTeacher(early=True), outputs=["early"])


SCENARIOS = {
    "first build": Scenario(nothing, lambda path, images: build(path, images, views=1)),
    "changed, new, gone, relabelled, repaired": Scenario(
        full_and_changed, lambda path, images: build(path, images, prune=True)
    ),
    "more views": Scenario(full, lambda path, images: build(path, images, views=2)),
    "another output": Scenario(full, add_output),
    "set aside": Scenario(full_and_damaged, build),
    "sweep": Scenario(full_and_staged, build),
    "sweep and new": Scenario(full_and_staged_and_new, build),
    "split": Scenario(full, split),
}


def whole(path: Path, before: dict[str, Any]) -> dict[str, Any]:
    """Return what a reader sees, where a store at version 0 counts as none, as it was before."""
    found = view(path)
    return found if before or found.get("version") else {}


@pytest.mark.parametrize("name", SCENARIOS)
def test_a_kill_at_any_transaction_leaves_the_old_version_or_the_new_one(
    path: Path, images: Path, tmp_path: Path, name: str
) -> None:
    scenario = SCENARIOS[name]
    scenario.prepare(path, images)
    before = view(path)
    kept = tmp_path / "kept"
    if before:
        shutil.copytree(path, kept)
    scenario.act(path, images)
    after = view(path)
    assert after != before or name == "sweep"

    for writes in range(100):
        shutil.rmtree(path, ignore_errors=True)
        if before:
            shutil.copytree(kept, path)
        old = embedstore.open(path) if before else None
        try:
            with killed_after(writes):
                scenario.act(path, images)
            assert writes >= 1
            break
        except Killed:
            assert whole(path, before) == before, f"after {writes} transactions"
            if old is not None:
                forget(old)
                assert snapshot(old) | {"aside": None} == before | {"aside": None}
        finally:
            if old is not None:
                old.close()
        if path.exists():
            shutil.rmtree(tmp_path / "between", ignore_errors=True)
            shutil.copytree(path, tmp_path / "between")
        scenario.act(path, images)
        assert view(path) == after, f"after {writes} transactions"
        assert_clean(path)
        if name == "split" or not (tmp_path / "between").exists():
            continue
        # The same where another writer comes between: it cleans up, and loses nothing.
        with embedstore.open(tmp_path / "between") as store:
            known = set(store.ids)
            splits = store.split(seed=4).splits
        assert set(splits) == known
        scenario.act(tmp_path / "between", images)
        found = view(tmp_path / "between")
        assert found["vectors"] == after["vectors"]
        assert found.get("further") == after.get("further")
        assert found["aside"] == after["aside"]
        expected = {
            sample_id: replace(sample, split=splits.get(sample_id, sample.split))
            for sample_id, sample in after["samples"].items()
        }
        assert found["samples"] == expected, f"after {writes} transactions"
        assert_clean(tmp_path / "between")
    else:
        pytest.fail("the change never ends")


def assert_clean(path: Path) -> None:
    with embedstore.open(path) as store:
        assert store._read(lambda tables: tables.publishing()) is None
        rows = store._read(lambda tables: tables.rows())
        assert not staged(rows).any()
        assert not (rows["born"] == np.uint64(NEVER)).any()
        assert rows["born"].max() <= store.version


def test_a_kill_while_cleaning_up_is_cleaned_up(path: Path, images: Path, tmp_path: Path) -> None:
    full_and_changed(path, images)
    before = view(path)
    shutil.copytree(path, tmp_path / "kept")
    build(path, images, prune=True)
    after = view(path)
    shutil.rmtree(path)
    shutil.copytree(tmp_path / "kept", path)
    writes = next(n for n in range(1, 100) if transactions_before_the_head_moves(tmp_path, images, n))
    with killed_after(writes), pytest.raises(Killed):
        build(path, images, prune=True)
    for undone in range(100):
        try:
            with killed_after(undone), embedstore.open(path), writer(path):
                break
        except Killed:
            assert view(path) == before
    assert undone > 2
    assert view(path) == before
    build(path, images, prune=True)
    assert view(path) == after


def transactions_before_the_head_moves(tmp_path: Path, images: Path, writes: int) -> bool:
    """Tell whether the build ends with the transaction after `writes` of them."""
    trial = tmp_path / "trial"
    shutil.rmtree(trial, ignore_errors=True)
    shutil.copytree(tmp_path / "kept", trial)
    try:
        with killed_after(writes + 1):
            build(trial, images, prune=True)
    except Killed:
        return False
    return True


# What a writer finds in a store: nothing is lost by sweeping, and no link is followed


needs_links = pytest.mark.skipif(os.name == "nt", reason="links need a privilege here")


@pytest.fixture
def filled(path: Path) -> Path:
    with embedstore.create(path, teacher="model", dim=2) as store, store.write() as writing:
        writing.add(["a"], np.ones((1, 2), np.float16))
    return path


def test_nothing_is_swept_before_the_generation_in_use_was_read(filled: Path) -> None:
    current = (filled / layout.CURRENT).read_text("utf-8")
    layout.write_current(filled, "0009")
    with pytest.raises(CorruptStoreError), writer(filled):
        pass
    (filled / "generations" / "0009").mkdir()  # half removed, or never filled
    with pytest.raises(CorruptStoreError), writer(filled):
        pass
    writing.sweep_generations(filled, filled / "generations" / "0009")
    (filled / layout.CURRENT).write_text(current, "utf-8")
    assert list(view(filled)["samples"]) == ["a"]


@needs_links
def test_a_sweep_removes_generations_and_nothing_else(filled: Path, tmp_path: Path) -> None:
    generations = filled / "generations"
    shutil.copytree(generations / "0001", tmp_path / "elsewhere")
    (generations / "0003").symlink_to(tmp_path / "elsewhere", target_is_directory=True)
    shutil.copytree(generations / "0001", generations / "0004")
    (generations / "0005" / "index").mkdir(parents=True)  # its removal was cut short
    (generations / "2023").mkdir()
    (generations / "2023" / "photo.jpg").touch()
    for name in ("0006", "0007"):
        shutil.copytree(generations / "0001", generations / name)
        (generations / name / layout.DAMAGED).touch()
    (generations / "0006.damaged").mkdir()
    with writer(filled):
        pass
    assert sorted(os.listdir(generations)) == [
        "0001", "0003", "0006.damaged", "0006.damaged2", "0007.damaged", "2023",
    ]  # fmt: skip
    assert (tmp_path / "elsewhere" / "data.mdb").exists()
    generations.rename(tmp_path / "moved")
    generations.symlink_to(tmp_path / "moved", target_is_directory=True)
    shutil.copytree(tmp_path / "moved" / "0001", tmp_path / "moved" / "0008")
    with writer(filled):
        pass
    assert (tmp_path / "moved" / "0008").exists()


@needs_links
def test_no_link_that_lies_in_a_store_is_written_through(filled: Path, tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("precious", "utf-8")
    (filled / layout.PID).symlink_to(tmp_path / "precious")
    with writer(filled):
        assert (filled / layout.PID).read_text("utf-8") == str(os.getpid())
    assert not os.path.lexists(filled / layout.PID)
    (filled / layout.LOCK).unlink()
    (filled / layout.LOCK).symlink_to(tmp_path / "precious")
    with pytest.raises(StoreError, match=r"writer\.lock' is a link, which no store has; remove it"), writer(filled):
        pass
    assert (tmp_path / "precious").read_text("utf-8") == "precious"


def test_a_process_that_writes_already_is_told_so(filled: Path) -> None:
    for _ in range(2):
        with (
            writer(filled),
            pytest.raises(StoreLockedError, match=rf"^This process \(id {os.getpid()}\) is already changing the store"),
            writer(filled),
        ):
            pass


def test_a_file_with_the_id_that_cant_be_removed_keeps_no_lock(filled: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    unlink = Path.unlink

    def in_use(path: Path, missing_ok: bool = False) -> None:
        if path.name == layout.PID:
            raise PermissionError(13, "in use")
        unlink(path, missing_ok)

    with monkeypatch.context() as patch, writer(filled):
        patch.setattr(Path, "unlink", in_use)
    for _ in range(2):
        with writer(filled):
            pass
    assert not (filled / layout.PID).exists()


def test_only_the_process_that_wrote_its_id_removes_it(filled: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with locked(filled):
        (filled / layout.PID).write_text("4711", "utf-8")
    assert (filled / layout.PID).read_text("utf-8") == "4711"
    with monkeypatch.context() as patch, locked(filled):
        patch.setattr(writing.os, "getpid", lambda: -1)  # as in a forked child that leaves
    assert (filled / layout.PID).read_text("utf-8") == str(os.getpid())


# Making and removing a store


def test_a_new_store_is_on_the_disk_before_it_is_named(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[str] = []
    write_current = layout.write_current
    for module in (layout, environment):
        monkeypatch.setattr(module, "sync_directory", lambda directory: done.append(directory.name))
    monkeypatch.setattr(layout, "write_current", lambda *given: [done.append("CURRENT"), write_current(*given)])
    embedstore.create(path, teacher="model", dim=2).close()
    assert done[:3] == ["0001", "generations", "CURRENT"]
    assert done[-1] == path.parent.name


def test_what_a_dead_process_of_the_same_id_left_is_in_nobodys_way(path: Path) -> None:
    left = path.parent / f".{path.name}.new-{os.getpid()}-0" / "generations" / "0001"
    left.mkdir(parents=True)
    embedstore.create(path, teacher="model", dim=2).close()
    assert view(path)["version"] == 0
    assert sorted(os.listdir(path.parent)) == [left.parent.parent.name, path.name]


def test_a_store_is_removed_only_where_nobody_had_the_use_of_it(filled: Path, tmp_path: Path, images: Path) -> None:
    ingest.remove_empty(filled)
    assert list(view(filled)["samples"]) == ["a"]
    with pytest.raises(KeyboardInterrupt):
        embedstore.build(tmp_path / "begun", images, teacher=CountingTeacher(stop_after=8), views=1)
    ingest.remove_empty(tmp_path / "begun")
    assert (tmp_path / "begun").exists()
    embedstore.create(tmp_path / "empty", teacher="model", dim=2).close()
    with writer(tmp_path / "empty"):
        ingest.remove_empty(tmp_path / "empty")
    assert (tmp_path / "empty").exists()
    ingest.remove_empty(tmp_path / "empty")
    assert not (tmp_path / "empty").exists()


# kill -9


BUILD = """
import sys, time
import embedstore
from embedstore.engines import local
from embedstore.store import embedding_pass, writing
from embedstore.store.environment import Environment
from helpers import CountingTeacher

local._CROPS_AT_ONCE, embedding_pass._COMMIT_ROWS, writing._AT_ONCE = 6, 10, 10
write = Environment.write

def told(self, work):
    print("begins", flush=True)
    result = write(self, work)
    print("ends", flush=True)
    return result

Environment.write = told

class SlowTeacher(CountingTeacher):
    def embed(self, pictures):
        print("embeds", flush=True)
        time.sleep(0.003)
        return super().embed(pictures)

embedstore.build(sys.argv[1], sys.argv[2], teacher=SlowTeacher(), views=1)
"""


def build_and_kill(path: Path, images: Path, at_event: int | None) -> int:
    """Build in another process and kill it at its so manieth event; return how many there were."""
    with subprocess.Popen(
        [sys.executable, "-c", BUILD, str(path), str(images)],
        env=python_environment(),
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        events = 0
        for _ in process.stdout:
            events += 1
            if events == at_event:
                os.kill(process.pid, signal.SIGKILL)
                break
    assert process.returncode == (0 if at_event is None else -signal.SIGKILL)
    return events


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="there is no kill -9 here")
def test_a_killed_build_leaves_a_whole_version_and_goes_on(path: Path, tmp_path: Path) -> None:
    images = tmp_path / "images"
    write_pictures(images, [f"{label}/{number}.png" for label in ("good", "crack") for number in range(20)])
    events = build_and_kill(tmp_path / "first", images, None)
    first = view(tmp_path / "first")
    assert len(first["samples"]) == 40
    for share in (0.02, 0.3, 0.6, 0.9):
        trial = tmp_path / f"first {share}"
        build_and_kill(trial, images, max(1, round(share * events)))
        assert whole(trial, {}) in ({}, first)
        report = embedstore.build(trial, images, teacher=CountingTeacher(), views=1)
        assert report.samples == 40
        assert view(trial) == first

    shutil.copytree(tmp_path / "first", path)
    with embedstore.open(path) as store:
        splits = store.split().splits
    before = view(path)
    write_pictures(images, [f"good/{number}.png" for number in range(10, 30)], seed=1)
    shutil.copytree(path, tmp_path / "second")
    events = build_and_kill(tmp_path / "second", images, None)
    second = view(tmp_path / "second")
    assert (second["version"], len(second["samples"])) == (3, 50)
    for share in (0.3, 0.6, 0.8, 0.95):
        trial = tmp_path / f"second {share}"
        shutil.copytree(path, trial)
        build_and_kill(trial, images, round(share * events))
        assert view(trial) in (before, second)
        embedstore.build(trial, images, teacher=CountingTeacher())
        assert view(trial) == second
        assert {name: second["samples"][name].split for name in splits} == splits

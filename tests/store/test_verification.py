"""Verification: whatever is changed in a store is found and told, and nothing that is sound."""

import os
import pickle
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lmdb
import numpy as np
import pytest
from damaged_stores import (
    COUNT,
    IDS,
    NEWEST,
    change,
    data_file,
    entries_of,
    examined,
    flip_value,
    kinds,
    make,
    trials,
)
from helpers import python_environment, unit_vectors

import embedstore
from embedstore.errors import NotAStoreError, StoreError
from embedstore.store import layout
from embedstore.store.health import entries, isolation, verification
from embedstore.store.health.verification import verify, work
from embedstore.store.layout import BLOCK, NEVER, Column, Head
from embedstore.store.tables import Tables
from embedstore.teachers.protocol import EMBEDDING


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make(tmp_path_factory.mktemp("verified") / "store")


@pytest.fixture
def path(original: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(original, tmp_path / "store"))


def files_of(path: Path) -> dict[str, bytes]:
    return {str(file): file.read_bytes() for file in path.rglob("*") if file.is_file() and file.name != "lock.mdb"}


# What is sound


def test_of_a_sound_store_all_is_read_and_nothing_is_told_or_changed(path: Path) -> None:
    before, told = files_of(path), []
    report = verify(path, lambda done, total: told.append((done, total)))
    assert (report.findings, report.clean) == ((), True)
    assert [(note.kind, note.count) for note in report.notes] == [("waiting", 1)]  # of a repair
    assert (report.version, report.samples, report.generation) == (NEWEST, COUNT - 2, "0001")
    assert report.entries == len(entries_of(path))
    assert report.bytes == data_file(path).stat().st_size
    assert told[-1] == (report.entries, report.entries)
    assert files_of(path) == before


WRITE = """
import sys, embedstore
from embedstore.store.writing import writer
with embedstore.open(sys.argv[1]) as store, writer(store.path) as session:
    version = session.begin()
    session.change_rows([0], died=version)
    def work(tables):
        print("held", flush=True)
        sys.stdin.read()
    session.write(work)
"""


def test_a_verification_neither_waits_for_a_writer_nor_takes_its_work_for_damage(path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", WRITE, str(path)],
        env=python_environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"  # in the middle of a transaction, and of a publication
        report = verify(path)
        process.communicate("")
    assert report.clean
    assert ("publication", "version 5") in {(note.kind, note.where) for note in report.notes}


MANY = """
import sys, embedstore
with embedstore.open(sys.argv[1]) as store:
    print("ready", flush=True)
    for number in range(100_000):
        with store.write() as writing:
            writing.set("label", {store.ids[number % 500]: str(number)})
"""


def test_a_verification_beside_many_changes_finds_nothing(path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", MANY, str(path)], env=python_environment(), stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        reports = [examined(path) for _ in range(12)]
        end = time.monotonic() + 60
        while reports[-1].version == reports[0].version and time.monotonic() < end:  # a busy disk holds a change up
            reports.append(examined(path))
        process.kill()
    assert all(report.clean for report in reports), [report.findings for report in reports]
    assert reports[-1].version != reports[0].version


def test_a_generation_that_a_compaction_removes_meanwhile_is_no_damage(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def late(task: str, store: str) -> list[dict[str, Any]]:
        monkeypatch.setattr(verification, "current_generation", compacted)
        events: list[dict[str, Any]] = []
        work(store, events.append)
        return events

    def compacted(store: Path) -> Any:
        found = current(store)
        if found[0] == store / "generations" / "0001":
            with embedstore.open(store) as opened:
                opened.compact()
        return found

    current = verification.current_generation
    monkeypatch.setattr(isolation, "run", late)
    report = verify(path)
    assert (report.findings, report.generation, report.samples) == ((), "0002", COUNT - 2)


def test_how_far_it_is_is_told_as_it_goes(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(isolation, "TELL_SECONDS", 0)
    flip_value(path, max(entries_of(path).items())[1])  # of the last table
    events: list[dict[str, Any]] = []
    work(str(path), events.append)
    count = len(entries_of(path))
    assert [event["progress"] for event in events if "progress" in event] == list(range(1, count + 1))
    problem = next(number for number, event in enumerate(events) if event.get("problem") == "entry")
    assert events[problem - 1]["total"] == count


# Every changed bit


def test_every_flipped_byte_of_every_entry_is_found(original: Path) -> None:
    """Key, payload and checksum of a CRC32: one burst of up to 32 bits is always found; all bytes of the small ones are tried."""
    for (database, key), value in entries_of(original).items():
        assert entries.problem(database, key, memoryview(value)) is None
        step = 1 if len(value) < 700 else 61
        for at in range(0, len(value), step):
            changed = bytearray(value)
            changed[at] ^= 1 + at % 255
            assert entries.problem(database, key, memoryview(changed)) == "fails its checksum"
        for at in range(len(key)):
            other = key[:at] + bytes([key[at] ^ 1 << at % 8]) + key[at + 1 :]
            assert entries.problem(database, other, memoryview(value)) == "fails its checksum"
            assert entries.true_key(database, other, memoryview(value)) == key


PLACES = {
    layout.META: "the table 'meta'",
    layout.ROWS: "the table 'rows'",
    layout.FIELDS: "the field 'group'",
    layout.VECTORS: "view 1 of 'embedding'",
    layout.LOG: "the table 'log'",
    layout.TAGS: "the table 'tags'",
    layout.LOST: "the table 'lost'",
    layout.ASIDE: "the table 'aside'",
    layout.SUMMARIES: "the table 'summaries'",
}


@pytest.mark.parametrize("database", layout.DATABASES)
def test_a_flipped_bit_is_told_with_its_place_and_what_to_do(path: Path, database: bytes) -> None:
    found = {key: value for (of, key), value in entries_of(path).items() if of == database}
    key = max(key for key in found if database != layout.FIELDS or layout.number_of(key) == 2)
    flip_value(path, found[key])
    report = examined(path)
    told = [finding for finding in report.findings if finding.kind == "entry"]
    assert [(finding.what, finding.count) for finding in told] == [
        ("Parts of the data are not what was written: a fault of the disk or the memory, or somebody changed them.", 1)
    ]
    assert told[0].where.startswith(PLACES[database])
    assert told[0].examples[0].endswith("fails its checksum")
    assert told[0].mend == f"Run: embedstore repair '{path}'"


TRIALS = """
import json, sys
from pathlib import Path
import damaged_stores
from damaged_stores import everything, examined, flip_bit, seeded_flips
from embedstore.errors import EmbedstoreError

original, place, first, count = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
before = everything(original)
for number, (at, bit) in enumerate(seeded_flips(original, 5, count)):
    if number >= first:
        print(json.dumps({"begin": number}), flush=True)
        path = flip_bit(original, place, at, bit)
        found = not examined(path).clean
        try:
            same = everything(path) == before
        except EmbedstoreError:
            same = False
        print(json.dumps({"found": found, "same": same}), flush=True)
"""


def test_a_flipped_bit_anywhere_in_the_data_file_is_found_or_changes_nothing(original: Path, tmp_path: Path) -> None:
    results = trials(TRIALS, original, tmp_path / "store", 60)
    assert all(result is None or result["found"] or result["same"] for result in results), results
    found = sum(result is None or result["found"] for result in results)
    assert 10 < found < 60  # what is flipped in a page that nobody uses is none of our business


# What LMDB can't stand, in a process of its own


@pytest.mark.parametrize("share", [0, 0.001, 0.04, 0.5, 0.9])
def test_a_cut_off_data_file_is_told(path: Path, share: float) -> None:
    size = data_file(path).stat().st_size
    os.truncate(data_file(path), int(size * share))
    report = verify(path)
    assert {finding.kind for finding in report.findings} & {"unreadable", "stopped"}
    assert all("copy" in finding.mend for finding in report.findings if finding.kind in {"unreadable", "stopped"})


def test_a_foreign_or_missing_data_file_is_told(path: Path) -> None:
    data_file(path).write_bytes(b"no database" * 5000)
    assert {finding.kind for finding in verify(path).findings} == {"unreadable"}
    data_file(path).unlink()
    assert {finding.kind for finding in examined(path).findings} == {"unreadable"}


@pytest.mark.parametrize(
    ("code", "how"),
    [
        ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", "the system stopped it (SIGSEGV)"),
        ("raise ValueError('of what was read')", "it ended with code 1 (ValueError: of what was read)"),
        ("import time; time.sleep(60)", "it gave no sign of life for 0.5 s"),
        ('print(\'{"progress": 7, "total"\')', "it ended with code 0 (without a word)"),
    ],
)
def test_the_death_or_silence_of_the_reading_process_is_a_finding(
    path: Path, monkeypatch: pytest.MonkeyPatch, code: str, how: str
) -> None:
    monkeypatch.setattr(isolation, "_CODE", code)
    if "sleep" in code:
        monkeypatch.setattr(isolation, "SILENCE_SECONDS", 0.5)
    (finding,) = verify(path).findings
    assert (finding.kind, finding.where, finding.examples) == ("stopped", "before the first entry", (how,))
    assert finding.mend.endswith("where it can't, restore the store from a copy.")


# CURRENT


@pytest.mark.parametrize("content", [None, b"", b"\x80\x04K\x01.", b"{}", b'{"format": 2, "generation": "../x"}'])
def test_a_damaged_current_is_told_and_the_data_is_read_all_the_same(path: Path, content: bytes | None) -> None:
    (path / "CURRENT").unlink()
    if content is not None:
        (path / "CURRENT").write_bytes(content)
    report = examined(path)
    assert kinds(report) == {("current", "'CURRENT'", 1)}
    assert report.samples == COUNT - 2


def test_a_current_that_names_what_is_not_there_is_told(path: Path) -> None:
    layout.write_current(path, "0007")
    assert examined(path).findings[0].examples == ("it names 0007, which is not there",)


def test_what_is_no_store_or_of_another_format_is_refused(path: Path, tmp_path: Path) -> None:
    with pytest.raises(NotAStoreError):
        verify(tmp_path / "nothing")
    (tmp_path / "empty").mkdir()
    with pytest.raises(NotAStoreError):
        verify(tmp_path / "empty")
    (path / "CURRENT").write_text('{"format": 99, "generation": "0001"}')
    with pytest.raises(StoreError, match="format version 99"):
        verify(path)


# What does not fit together, though every entry is as it was written


def column(store: Path, view: int = 0) -> Column:
    with embedstore.open(store) as opened:
        return Column(opened.fingerprint, EMBEDDING, view)


def row(tables: Tables, number: int, **values: Any) -> None:
    rows = tables.row_block(number // BLOCK)
    for name, value in values.items():
        rows[name][number % BLOCK] = value
    tables.put_row_block(number // BLOCK, rows)


def not_finite(path: Path) -> Callable[[Tables], None]:
    vectors = unit_vectors(0, 2)
    vectors[1, 3] = np.nan
    return lambda tables: tables.put_vectors(column(path), np.array([0, 1]), vectors)


def foreign_summary(path: Path) -> Callable[[Tables], None]:
    from dataclasses import replace

    with embedstore.open(path) as store:
        data = replace(store.summary("means"), fingerprint="f" * 32).to_bytes()
    return lambda tables: tables.put_summary("foreign", data)


NEWEST_VERSION, EARLIER = "the newest version", "earlier versions"
BY_HAND: dict[str, tuple[Callable[[Path], Callable[[Tables], Any]], set[tuple[str, str, int]]]] = {
    "a block of rows is missing": (
        lambda path: lambda tables: tables.drop_entry(layout.ROWS, layout.row_key(1)),
        {("row block", "the rows", 256)},
    ),
    "a block of vectors is missing": (
        lambda path: lambda tables: tables.drop_entry(layout.VECTORS, layout.vector_key(column(path, 1), 0)),
        {("hole", NEWEST_VERSION, 255), ("hole", EARLIER, 1)},
    ),
    "a vector is not finite": (not_finite, {("infinite", NEWEST_VERSION, 1)}),
    "ids are gone": (
        lambda path: lambda tables: tables.put_fields(np.array([0, 300]), {"id": [None, None]}, NEWEST),
        {("nameless", NEWEST_VERSION, 1)},  # the other was deleted in that version
    ),
    "ids were never there": (
        lambda path: lambda tables: tables.drop_entry(layout.FIELDS, layout.field_key(0, 2, 1)),
        {("nameless", NEWEST_VERSION, COUNT - 512)},
    ),
    "a sample has the id of another": (
        lambda path: lambda tables: tables.put_fields(np.array([7]), {"id": [IDS[8]]}, 2),
        {("misnamed", NEWEST_VERSION, 1)},
    ),
    "a sample is there twice": (
        lambda path: lambda tables: row(tables, 9, key=np.frombuffer(layout.id_key(IDS[8]), np.uint8)),
        {("duplicate", NEWEST_VERSION, 1), ("misnamed", NEWEST_VERSION, 1)},
    ),
    "a sample was there twice": (
        lambda path: lambda tables: row(tables, 5, key=np.frombuffer(layout.id_key(IDS[8]), np.uint8)),
        {("duplicate", EARLIER, 1), ("misnamed", EARLIER, 1)},
    ),
    "a row is of a version that nobody made": (
        lambda path: lambda tables: row(tables, 599, died=NEWEST + 3),
        {("above", "the rows", 1)},
    ),
    "a row died before it was born": (
        lambda path: lambda tables: row(tables, 599, born=3, died=2),
        {("row", "the rows", 1)},
    ),
    "a field is of a version that nobody made": (
        lambda path: lambda tables: tables.put_fields(np.array([0]), {"label": ["odd"]}, NEWEST + 1),
        {("above", "the fields", 256)},
    ),
    "a version is missing in the log": (
        lambda path: lambda tables: tables.drop_entry(layout.LOG, layout.version_key(2)),
        {("log", "the log", 1)},
    ),
    "the log contradicts the head": (
        lambda path: lambda tables: tables.put_head(Head(NEWEST, column(path).space, (column(path),), COUNT - 2)),
        {("log", "the log", 1)},
    ),
    "a version says that it has more samples than are there": (
        lambda path: lambda tables: tables.put_log_entry(2, {**tables.log_entry(2), "samples": COUNT + 1}),
        {("count", "the versions", 1)},
    ),
    "samples lie behind the last row": (
        lambda path: lambda tables: tables.put_row_count(COUNT - 10),
        {("row", "the rows", 10)},
    ),
    "a tag names a version that is not there": (
        lambda path: lambda tables: tables.put_tag("later", 17),
        {("tag", "the tags", 1)},
    ),
    "vectors of a teacher that nobody knows": (
        lambda path: (
            lambda tables: tables.put_vectors(
                Column("e" * 32, EMBEDDING, 0), np.array([0]), np.ones((1, 12), np.float16)
            )
        ),
        {("strange", "the vectors", 1)},
    ),
    "vectors of another dimension": (
        lambda path: (
            lambda tables: tables.put_entry(layout.VECTORS, layout.vector_key(column(path), 7), bytes(32 + 512 * 3))
        ),
        {("entry", "VIEW 0", 1)},
    ),
    "a summary of another teacher": (foreign_summary, {("summary", "the summaries", 1)}),
    "an entry with a key that can't be": (
        lambda path: lambda tables: tables.put_entry(layout.ROWS, b"x" * 9, b"what"),
        {("entry", "the table 'rows'", 1)},
    ),
    "the settings are missing": (
        lambda path: lambda tables: tables.drop_entry(layout.META, b"store"),
        {("setting", "the table 'meta'", 1)},
    ),
}


@pytest.mark.parametrize("what", BY_HAND)
def test_what_does_not_fit_together_is_told(path: Path, what: str) -> None:
    make_change, expected = BY_HAND[what]
    change(path, make_change(path))
    report = examined(path)
    view = f"view 0 of 'embedding' (teacher {column(path).space[:12]})" if "VIEW" in str(expected) else ""
    assert kinds(report) == {(kind, view or where, count) for kind, where, count in expected}
    assert all(str(path) in finding.mend for finding in report.findings)


class Trap:
    """Writes a file where a pickle of it is loaded."""

    def __init__(self, path: Path):
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.write_text, (self.path, "sprung")


def test_a_hostile_entry_is_told_and_runs_no_code(path: Path, tmp_path: Path) -> None:
    trap = pickle.dumps(Trap(tmp_path / "sprung"))
    pickle.loads(trap)  # noqa: S301  the trap works
    (tmp_path / "sprung").unlink()

    def set_traps(tables: Tables) -> None:
        tables.put_summary("trap", trap)
        tables.put_entry(layout.META, b"settings", trap)
        tables.put_entry(layout.ASIDE, bytes(16), trap)
        tables.put_entry(layout.FIELDS, layout.field_key(1, 0, 3), bytes(512) + trap)
        tables.put_entry(layout.TAGS, b"deep", b"\x91" * 100_000)

    change(path, set_traps)
    found = {(kind, count) for kind, where, count in kinds(examined(path)) if kind == "entry"}
    assert found == {("entry", 1)}
    assert len(examined(path).findings) == 5
    assert not (tmp_path / "sprung").exists()


def test_a_missing_table_is_told(path: Path) -> None:
    with (
        lmdb.open(str(data_file(path).parent), max_dbs=16) as environment,
        environment.begin(write=True) as transaction,
    ):
        transaction.drop(environment.open_db(b"tags", transaction))
    assert kinds(examined(path)) == {("table", "'tags'", 1)}


# Notes


def test_what_is_unfinished_or_left_behind_is_a_note_and_no_error(path: Path) -> None:
    for name in ("0002", "0003.new", "0000.damaged"):
        (path / "generations" / name).mkdir()

    def begin(tables: Tables) -> None:
        tables.put_publishing(NEWEST + 1)
        row(tables, 3, died=NEWEST + 1)
        row(tables, 600, born=NEVER, died=NEVER, key=1)

    change(path, begin)
    report = examined(path)
    assert report.clean
    assert {(note.kind, note.where, note.count) for note in report.notes} == {
        ("left", "'generations/0002'", 1),
        ("left", "'generations/0003.new'", 1),
        ("kept aside", "'generations/0000.damaged'", 1),
        ("publication", "version 5", 1),
        ("staged", "the rows", 1),
        ("waiting", "the samples that were lost", 1),
    }


# The index


def test_an_index_that_does_not_fit_is_told(path: Path) -> None:
    with embedstore.open(path) as store:
        store.build_index("Flat")
    assert examined(path).clean
    file = next(path.rglob("*.faiss"))
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)
    (finding,) = examined(path).findings
    assert (finding.kind, finding.mend) == ("index", f"Make it again by: embedstore index '{path}'")
    assert "fails its SHA-256" in finding.examples[0]


def test_many_problems_of_one_kind_are_one_finding_with_a_few_examples(path: Path) -> None:
    for (database, _), value in entries_of(path).items():
        if database == layout.ROWS:
            flip_value(path, value)
    (finding,) = [one for one in examined(path).findings if one.kind == "entry"]
    assert finding.count == 3
    assert finding.examples == tuple(f"block {number} fails its checksum" for number in range(3))

"""A store with some of everything in it, ways to damage it, and what may be left of it after a repair."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lmdb
import numpy as np
from helpers import python_environment, store_of, unit_vectors

import embedstore
from embedstore.store.environment import open_environment
from embedstore.store.health import mending
from embedstore.store.health.verification import VerificationReport, report_of, work
from embedstore.store.layout import DATABASES, read_current
from embedstore.store.tables import Tables
from embedstore.store.writing import writer

COUNT = 600  # three blocks
IDS = [f"sample {number:05d}" for number in range(COUNT)]
NEWEST = 4


def make(path: Path) -> Path:
    """Make a store of five versions, two views, a tag, a summary, a picture set aside and a sample whose vectors were lost."""
    store = store_of(
        path,
        np.stack([unit_vectors(view, COUNT) for view in range(2)]),
        ids=IDS,
        labels=["good", "bad"] * (COUNT // 2),
        groups=[f"part {number // 3}" for number in range(COUNT)],
        attributes=[{"shift": str(number % 2)} for number in range(COUNT)],
    )
    store.split()
    store.tag("first", 1)
    with store.write("relabel") as writing:
        writing.set("label", {IDS[3]: "odd", IDS[400]: "odd"})
    with store.write("delete") as writing:
        writing.delete([IDS[5], IDS[300]])
    store.summarize("class-mean", name="means")

    def more(tables: Tables) -> None:
        tables.put_lost({"id": "gone", "label": "bad"})
        tables.replace_aside({"a.png": "is no picture"})

    with writer(path) as session:
        session.write(more)
    store.close()
    return path


def examined(path: Path) -> VerificationReport:
    """Verify in this process, which is fast, but dies where LMDB does."""
    events: list[dict[str, Any]] = []
    work(str(path), events.append)
    return report_of(path, events)


def mended(task: str, path: str) -> list[dict[str, Any]]:
    """Take the place of `isolation.run` and work in this process."""
    events: list[dict[str, Any]] = []
    {"repair": mending.work}[task](path, events.append)
    return events


def kinds(report: VerificationReport) -> set[tuple[str, str, int]]:
    """Return the kinds, places and counts of all findings."""
    return {(finding.kind, finding.where, finding.count) for finding in report.findings}


def change(path: Path, work: Callable[[Tables], Any]) -> None:
    """Change a store past all rules."""
    environment = open_environment(read_current(path))
    try:
        environment.write(lambda transaction: work(Tables(environment, transaction)))
    finally:
        environment.release()


def entries_of(path: Path) -> dict[tuple[bytes, bytes], bytes]:
    """Return all entries of a store as LMDB gives them: (database, key) -> value with its checksum."""
    with (
        lmdb.open(str(read_current(path)), max_dbs=len(DATABASES)) as environment,
        environment.begin() as transaction,
    ):
        return {
            (name, key): value
            for name in DATABASES
            for key, value in transaction.cursor(environment.open_db(name, transaction, create=False))
        }


def data_file(path: Path) -> Path:
    """Return the data file of the generation in use."""
    return read_current(path) / "data.mdb"


def flip_value(path: Path, value: bytes, at: int = -5, bit: int = 2) -> None:
    """Flip a bit of a value wherever it stands in the data file; LMDB may hold an older copy of a page beside it."""
    data = bytearray(data_file(path).read_bytes())
    found = data.find(value)
    assert found >= 0
    while found >= 0:
        data[found + at % len(value)] ^= 1 << bit
        found = data.find(value, found + 1)
    data_file(path).write_bytes(data)


def flip_bit(original: Path, place: Path, at: int, bit: int) -> Path:
    """Copy a store with one bit of its data file flipped."""
    shutil.rmtree(place, ignore_errors=True)
    shutil.copytree(original, place)
    data = bytearray(data_file(original).read_bytes())
    data[at] ^= 1 << bit
    data_file(place).write_bytes(data)
    return place


def seeded_flips(path: Path, seed: int, count: int) -> list[tuple[int, int]]:
    """Draw places and bits of the data file: half anywhere, half where pages keep their own affairs, which matter most."""
    rng = np.random.default_rng(seed)
    size = data_file(path).stat().st_size
    anywhere = rng.integers(0, size, count)
    at_edges = rng.integers(0, size // 4096, count) * 4096 + np.where(
        rng.random(count) < 0.6, rng.integers(0, 150, count), rng.integers(3300, 4096, count)
    )
    places = np.where(np.arange(count) % 2, anywhere, at_edges)
    return list(zip(places.tolist(), rng.integers(0, 8, count).tolist(), strict=True))


def everything(path: Path) -> dict[Any, Any]:
    """Return all that can be read of a store: every version by its number, and what belongs to none."""
    with embedstore.open(path) as store:
        seen: dict[Any, Any] = {
            "log": store.log(),
            "tags": store.tags,
            "aside": store.set_aside,
            "summaries": [(name, store.summary(name).to_bytes()) for name in store.all_summary_names],
            "about": (store.settings, store.space, store.head, store.unfinished(), store.row_total),
            "lost": store._read(lambda tables: tables.lost()),
        }
    for version in [entry.number for entry in seen["log"] if entry.readable]:
        with embedstore.open(path, version=version) as store:
            views = range(store.views + 1 if store.head.columns else 0)
            vectors = {view: dict(zip(store.ids, map(bytes, store.vectors(view=view)), strict=True)) for view in views}
            seen[version] = {record.id: record for record in store.records()}, vectors
    return seen


def dishonest(before: dict[Any, Any], after: dict[Any, Any]) -> list[object]:
    """Return what a repaired store says that the one before its damage did not.

    A version that is still there must be as it was. In the version that the repair made samples may be missing and fields
    empty; nothing else may differ.
    """
    versions = [version for version in range(NEWEST + 1) if version in after]
    wrong: list[object] = [("version", version) for version in versions if after[version] != before[version]]
    if NEWEST + 1 in after:
        (records, vectors), (true_records, true_vectors) = after[NEWEST + 1], before[NEWEST]
        for name, record in records.items():
            for field in ("uri", "label", "mode", "group", "split", "content"):
                said = getattr(record, field)
                if said is not None and said != getattr(true_records[name], field):
                    wrong.append((name, field, said))
            for view, own in vectors.items():
                if own[name] != true_vectors[view][name]:
                    wrong.append((name, view))
    return wrong


def trials(code: str, original: Path, place: Path, count: int) -> list[dict[str, Any] | None]:
    """Run trials in a process of their own; None stands for one in which LMDB ended it, and another went on behind it."""
    results: list[dict[str, Any] | None] = []
    while len(results) < count:
        done = subprocess.run(
            [sys.executable, "-c", code, *map(str, (original, place, len(results), count))],
            env=python_environment(
                PYTHONPATH=os.pathsep.join([python_environment()["PYTHONPATH"], str(Path(__file__).parent)])
            ),
            capture_output=True,
            text=True,
            check=False,
        )
        lines = [json.loads(line) for line in done.stdout.splitlines()]
        results += [line for line in lines if "begin" not in line]
        if done.returncode != 0:
            assert done.returncode < 0, done.stderr  # a signal, not an error of ours
            results.append(None)
    return results

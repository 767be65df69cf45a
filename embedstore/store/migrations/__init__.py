"""Migrations: steps that bring a store of an earlier format to the one that this program reads, each to the next.

A step writes a new generation beside the old one, which it only reads; then CURRENT moves, with the new format. To raise the
format, keep what the last step needs of its own as `format_1` does, and add a step here.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby, islice
from pathlib import Path

import numpy as np
import numpy.typing as npt

from embedstore.store import layout
from embedstore.store.generations import next_generation
from embedstore.store.layout import ASIDE, BLOCK, META, SUMMARIES, VECTORS, Column, Head
from embedstore.store.migrations.format_1 import OldGeneration
from embedstore.store.reading import StoreReader
from embedstore.store.rows import Rows
from embedstore.store.tables import Tables
from embedstore.store.writing import Writer, locked, log_entry, sweep_generations

Progress = Callable[[int, int], None]  # entries done, entries in all

BEFORE = "before the upgrade"  # what the log says of versions that a format without a log made

_RECORDS_AT_ONCE = 20_000  # in one transaction, which holds its dirty pages in memory
_BYTES_AT_ONCE = 1 << 26
_WRITTEN_ANEW = (b"head", b"rows", b"publishing")  # all else in `meta` is kept byte for byte


@dataclass(frozen=True)
class UpgradeReport:
    """What an upgrade found and left.

    Attributes:
        before: the format version that the store had.
        format: that it has now.
        version: its newest version, as it was.
        samples: of that version.
    """

    before: int
    format: int
    version: int
    samples: int


def upgrade(path: str | os.PathLike[str], progress: Progress | None = None) -> UpgradeReport:
    """Bring a store to the format that this program reads; one that has it stays as it is.

    Samples, fields, vectors, summaries, staged rows of an interrupted build and all versions are kept. A kill at any moment
    leaves the store in its old format or in a newer one, whole.

    Args:
        path: the store.
        progress: called with (entries done, entries in all).

    Raises:
        NotAStoreError: there is no store at `path`.
        StoreError: its format is unknown, or it can't be written; it stays as it was.
        CorruptStoreError: it is damaged; it stays as it was.
        StoreLockedError: another process writes.
    """
    store = Path(path)
    before, _ = layout.read_format(store)
    if layout.is_older(before):
        with locked(store):
            _take_steps(store, progress or (lambda done, total: None))
    with StoreReader(store) as reader:
        return UpgradeReport(before, layout.FORMAT, reader.version, len(reader))


def _take_steps(store: Path, progress: Progress) -> None:
    while True:
        found, name = layout.read_format(store)
        if not layout.is_older(found):
            return
        old = layout.generation_path(store, name)
        sweep_generations(store, old)  # what a killed upgrade left
        with next_generation(store, old, "upgraded", found + 1) as target:
            MIGRATIONS[found](old, target, progress)


def records_to_fields(old: Path, target: Writer, progress: Progress) -> None:
    """1 -> 2: one record per sample and version becomes one block of texts per field, 256 rows and version; a log begins."""
    with OldGeneration(old) as source:
        rows = source.rows()
        places = source.places(rows)
        total = len(places) + source.count(VECTORS)
        target.write(lambda tables: _put_rows(tables, rows))
        done = 0
        for version, of_version in groupby(places, key=lambda place: place[0]):
            for chunk in _chunks(of_version):
                target.put_records([source.record(key) for _, _, key in chunk], version)
                done += len(chunk)
                progress(done, total)
        presence = {column: np.zeros(len(rows), bool) for column in source.head.columns}
        for entries in _parts(_noting_presence(source, presence)):
            _copy(target, VECTORS, entries)
            done += len(entries)
            progress(done, total)
        heads = _heads(source, rows, presence)
        _copy(target, META, [entry for entry in source.entries(META) if entry[0] not in _WRITTEN_ANEW])
        for database in (ASIDE, SUMMARIES):
            _copy(target, database, source.entries(database))

        def finish(tables: Tables) -> None:
            tables.settings(), tables.space(source.head.space)  # a store without them could not be opened
            for head in heads:
                tables.put_log_entry(head.version, log_entry(head, BEFORE, {}))
            tables.put_head(heads[-1])

        target.write(finish)


MIGRATIONS: dict[int, Callable[[Path, Writer, Progress], None]] = {1: records_to_fields}


def _put_rows(tables: Tables, rows: Rows) -> None:
    for block in range(-(-len(rows) // BLOCK)):
        filled = layout.empty_rows()
        own = rows[block * BLOCK : (block + 1) * BLOCK]
        filled[: len(own)] = own
        tables.put_row_block(block, filled)
    tables.put_row_count(len(rows))
    tables.put_names([])


def _copy(target: Writer, database: bytes, entries: Iterable[tuple[bytes, memoryview]]) -> None:
    """Write entries, whose checksums hold in both formats, byte for byte."""
    chosen, handle = list(entries), target.environment.database(database)
    target.environment.write(lambda t: [t.put(key, value, db=handle) for key, value in chosen])


def _noting_presence(
    source: OldGeneration, presence: dict[Column, npt.NDArray[np.bool_]]
) -> Iterator[tuple[bytes, memoryview]]:
    """Yield all entries of vectors, and set in `presence` which rows have one in a column.

    Raises:
        CorruptStoreError: vectors of a column have another length than the teacher's.
    """
    columns = {layout.column_prefix(column): column for column in presence}
    for key, value in source.entries(VECTORS):
        column, block = columns.get(key[:-8]), int.from_bytes(key[-8:], "big")
        if column is not None:
            if len(value) != BLOCK // 8 + 2 * BLOCK * source.outputs[column.output] + 4:
                raise source.damaged(f"the block {block} of view {column.view} of '{column.output}' has a wrong length")
            known = presence[column][block * BLOCK : (block + 1) * BLOCK]
            known[:] = layout.presence_of(value)[: len(known)]
        yield key, value


def _heads(source: OldGeneration, rows: Rows, presence: dict[Column, npt.NDArray[np.bool_]]) -> list[Head]:
    """Return the head of each version: of the newest's columns, those that were complete for its rows.

    Raises:
        CorruptStoreError: a sample of the newest version lacks a vector.
    """
    newest = source.head.version
    seen = rows["born"] < rows["died"]
    lacking = {column: _seen_by(rows[seen & ~present], newest) for column, present in presence.items()}
    for column, versions in lacking.items():
        if versions[newest]:
            raise source.damaged(f"samples of it lack their vector in view {column.view} of '{column.output}'")
    samples = _seen_by(rows[seen], newest)
    return [
        Head(
            version,
            source.head.space,
            tuple(
                column
                for column in presence
                if not lacking[column][version] and (samples[version] or version == newest)
            ),
            int(samples[version]),
        )
        for version in range(newest + 1)
    ]


def _seen_by(rows: Rows, newest: int) -> npt.NDArray[np.int64]:
    """Return of each version up to the newest how many of some rows it sees."""
    change = np.zeros(newest + 2, np.int64)
    for bound, step in ((rows["born"], 1), (rows["died"], -1)):
        np.add.at(change, np.minimum(bound, np.uint64(newest + 1)).astype(np.int64), step)
    return np.cumsum(change)[:-1]


def _chunks(places: Iterator[tuple[int, int, bytes]]) -> Iterator[list[tuple[int, int, bytes]]]:
    while chunk := list(islice(places, _RECORDS_AT_ONCE)):
        yield chunk


def _parts(entries: Iterable[tuple[bytes, memoryview]]) -> Iterator[list[tuple[bytes, memoryview]]]:
    """Yield entries some megabytes at a time."""
    part: list[tuple[bytes, memoryview]] = []
    size = 0
    for key, value in entries:
        part.append((key, value))
        size += len(value)
        if size >= _BYTES_AT_ONCE:
            yield part
            part, size = [], 0
    if part:
        yield part

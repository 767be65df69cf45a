"""Compaction: a new generation without the rows that no kept version can see, then CURRENT is moved to it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from embedstore.errors import EmbedstoreError
from embedstore.store import layout
from embedstore.store.generations import next_generation
from embedstore.store.index_file import INDEX
from embedstore.store.layout import BLOCK, Column, Head
from embedstore.store.rows import Rows, by_block, staged, visible
from embedstore.store.tables import Compacted, Tables
from embedstore.store.writing import Writer

Progress = Callable[[int, int], None]  # blocks done, blocks in all

WASTE = 0.5  # share of rows that no kept version sees, above which a change compacts by itself
_SUPERSEDED = 1000  # versions of each block of each field, on average, above which it does too
_SMALLEST = 4 * BLOCK  # rows below which that is not worth the while
_BLOCKS_AT_ONCE = 64  # of vectors in one transaction, which holds its dirty pages in memory


@dataclass(frozen=True)
class CompactionReport:
    """What a compaction did.

    Attributes:
        kept: the versions that can still be read: the newest, those with a tag, and those that saved summaries were made of.
        removed: how many versions can't be read any more.
        rows_before, rows: how many rows there were and are.
        bytes_before, bytes: how large the data file was and is.
        index_removed: whether there was an index, which knows the old rows and has to be made again.
    """

    kept: tuple[int, ...]
    removed: int
    rows_before: int
    rows: int
    bytes_before: int
    bytes: int
    index_removed: bool


def kept_versions(tables: Tables) -> tuple[int, ...]:
    """Return the versions that a compaction leaves: the newest, those with a tag, and those of saved summaries."""
    from embedstore.summaries import Summary

    summaries = (tables.summary(name) for name in tables.summary_names())
    made_of = {Summary.from_bytes(data).store_version for data in summaries if data is not None}
    left = {version for version in made_of if tables.compacted().left(version)}
    return tuple(sorted({tables.head().version, *tables.tags().values(), *left}))


def needed_rows(rows: Rows, kept: Iterable[int]) -> npt.NDArray[np.bool_]:
    """Return which rows (n,) some kept version sees, or an unfinished build has written."""
    needed = staged(rows)
    for version in kept:
        needed |= visible(rows, version)
    return needed


def compact_if_wasteful(path: Path, session: Writer) -> CompactionReport | None:
    """Compact after a change where most of what is stored is of no use to any kept version.

    The change is published by then, so what goes wrong here does not fail it: `compact` tells it when asked for.
    """
    with contextlib.suppress(EmbedstoreError):
        if session.read(_is_wasteful):
            return compact(path, session)
    return None


def _is_wasteful(tables: Tables) -> bool:
    rows = tables.rows()
    blocks = tables.row_count() // BLOCK + 1
    superseded = tables.entries(layout.FIELDS) / (blocks * max(1, len(tables.names())))
    seen = visible(rows, tables.head().version) | staged(rows)
    if superseded <= _SUPERSEDED and (len(rows) < _SMALLEST or 1 - seen.mean() <= WASTE):
        return False  # the usual case, told without a look at tags and summaries
    kept = kept_versions(tables)
    return superseded > _SUPERSEDED * len(kept) or 1 - needed_rows(rows, kept).mean() > WASTE


def compact(path: Path, session: Writer, progress: Progress | None = None) -> CompactionReport:
    """Write all that a kept version needs into a new generation, and remove the old one; a kill leaves either whole.

    Readers that have the old generation open go on reading it until they look anew.
    """
    old = session.environment.directory
    had_index = (old / INDEX).exists()
    size_before, rows_before = _size(old), session.read(lambda tables: tables.row_count())
    kept, versions = session.read(lambda tables: (kept_versions(tables), len(tables.log())))
    with next_generation(path, old, "compacted") as target:
        new = target.environment.directory
        rows = _Compaction(session, target, kept, progress or (lambda done, total: None)).run()
    return CompactionReport(kept, versions - len(kept), rows_before, rows, size_before, _size(new), had_index)


class _Compaction:
    """One run: all databases from one generation into another."""

    def __init__(self, source: Writer, target: Writer, kept: tuple[int, ...], progress: Progress):
        self._source, self._target, self._kept, self._progress = source, target, kept, progress
        table = source.read(lambda tables: tables.rows())
        self._rows = np.flatnonzero(needed_rows(table, kept))  # their numbers; their places are the new numbers
        self._table = table[self._rows]

    def run(self) -> int:
        """Copy, and return how many rows there are now."""
        self._copy_rows()
        for name in self._source.read(lambda tables: tables.names()):
            self._copy_field(name)
        columns = self._source.read(lambda tables: tables.columns())
        blocks = -(-len(self._rows) // BLOCK)
        for number, column in enumerate(columns):
            for start in range(0, blocks, _BLOCKS_AT_ONCE):
                self._copy_vectors(column, range(start, min(blocks, start + _BLOCKS_AT_ONCE)))
                self._progress(number * blocks + min(blocks, start + _BLOCKS_AT_ONCE), len(columns) * blocks)
        self._copy_rest()
        return len(self._rows)

    def _copy_rows(self) -> None:
        def write(tables: Tables) -> None:
            for block in range(-(-len(self._table) // BLOCK)):
                rows = layout.empty_rows()
                own = self._table[block * BLOCK : (block + 1) * BLOCK]
                rows[: len(own)] = own
                tables.put_row_block(block, rows)
            tables.put_row_count(len(self._table))
            tables.put_names([])

        self._target.write(write)

    def _copy_field(self, name: str) -> None:
        """Write a field as each kept version has it; a block that stays as it was is not written twice."""
        for version in self._kept:

            def read(tables: Tables, version: int = version) -> list[str | None]:
                return tables.field(name, version)[self._rows].to_list()

            texts = self._source.read(read)

            def write(tables: Tables, texts: list[str | None] = texts, version: int = version) -> None:
                tables.put_fields(np.arange(len(texts)), {name: texts}, version)

            self._target.write(write)

    def _copy_vectors(self, column: Column, blocks: Iterable[int]) -> None:
        """Copy some blocks; presence moves with the vectors."""

        def read(tables: Tables) -> list[tuple[npt.NDArray[np.int64], npt.NDArray[np.float16]]]:
            return [found for block in blocks if (found := self._gather(tables, column, block)) is not None]

        gathered = self._source.read(read)

        def write(tables: Tables) -> None:
            for rows, vectors in gathered:
                tables.put_vectors(column, rows, vectors)

        self._target.write(write)

    def _gather(
        self, tables: Tables, column: Column, block: int
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float16]] | None:
        """Return the new numbers and the vectors of the rows of a new block that have one."""
        numbers = np.arange(block * BLOCK, min((block + 1) * BLOCK, len(self._rows)))
        old = self._rows[numbers]
        places: list[npt.NDArray[np.int64]] = []
        parts: list[npt.NDArray[np.float16]] = []
        for source, inside in by_block(old):
            found = tables.vector_block(column, source)
            if found is not None:
                mine = inside[found[0][old[inside] % BLOCK]]
                places.append(numbers[mine])
                parts.append(found[1][old[mine] % BLOCK])
        return (np.concatenate(places), np.concatenate(parts)) if sum(map(len, places)) else None

    def _copy_rest(self) -> None:
        """Copy what is small; the head comes last."""

        def read(tables: Tables) -> dict[str, Any]:
            return {
                "head": tables.head(),
                "settings": tables.settings(),
                "spaces": tables.spaces(),
                "log": tables.log(),
                "tags": tables.tags(),
                "lost": tables.lost(),
                "aside": {entry["path"]: entry["reason"] for entry in tables.aside()},
                "summaries": {name: tables.summary(name) for name in tables.summary_names()},
            }

        rest = self._source.read(read)
        head: Head = rest["head"]

        def write(tables: Tables) -> None:
            tables.put_settings(rest["settings"])
            for space, description in rest["spaces"].items():
                tables.put_space(space, description)
            for entry in rest["log"]:
                tables.put_log_entry(entry["version"], entry)
            for name, version in rest["tags"].items():
                tables.put_tag(name, version)
            for fields in rest["lost"]:
                tables.put_lost(fields)
            tables.replace_aside(rest["aside"])
            for name, data in rest["summaries"].items():
                tables.put_summary(name, data)
            tables.put_compacted(Compacted(head.version, self._kept))
            tables.put_head(head)

        self._target.write(write)


def _size(generation: Path) -> int:
    return (generation / "data.mdb").stat().st_size

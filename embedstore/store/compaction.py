"""Compaction: a new generation without the rows that no kept version can see, then CURRENT is moved to it."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from embedstore.errors import CorruptStoreError, StoreLockedError, SummaryError
from embedstore.store import layout
from embedstore.store.generations import next_generation
from embedstore.store.index_file import INDEX, MARKER, building
from embedstore.store.layout import BLOCK, Column, Head
from embedstore.store.rows import Rows, by_block, staged, visible
from embedstore.store.tables import Compacted, Tables
from embedstore.store.writing import Writer

Progress = Callable[[int, int], None]  # blocks done, blocks in all

WASTE = 0.5  # share of rows that no kept version sees, above which a change compacts by itself
_SUPERSEDED_BYTES = 1 << 26  # of fields that no kept version reads, above which it does too, if they are most of all
_SMALLEST = 4 * BLOCK  # rows below which that is not worth the while
_BLOCKS_AT_ONCE = 64  # of vectors in one transaction, which holds its dirty pages in memory
_SMALL_BLOCKS_AT_ONCE = 512  # of rows, or of a field in one version

_damaged: set[tuple[int, int]] = set()  # data files that can't be compacted, so that not every change tries again


class CompactionWarning(UserWarning):
    """A change was stored, but the compaction that it would have brought with it failed."""


@dataclass(frozen=True)
class CompactionReport:
    """What a compaction did.

    Attributes:
        kept: the versions that can still be read, see `kept_versions`.
        removed: how many versions can't be read any more.
        rows_before, rows: how many rows there were and are.
        bytes_before, bytes: how large the data file was and is.
        index_removed: whether there was an index, which knows the old rows and has to be made again.
        tags_removed: tags of versions that can't be read any more; only where those of other teachers went.
    """

    kept: tuple[int, ...]
    removed: int
    rows_before: int
    rows: int
    bytes_before: int
    bytes: int
    index_removed: bool
    tags_removed: tuple[str, ...] = ()


def kept_versions(tables: Tables, only: str | None = None, *, before: bool = False) -> tuple[int, ...]:
    """Return the versions that a compaction leaves: the newest, those with a tag, and those of saved summaries.

    Args:
        tables: of the store.
        only: the fingerprint of a teacher: in place of these, all that are left and are read with its vectors.
        before: the version before the newest as well, where it is left.
    """
    from embedstore.summaries import Summary

    if only is not None:
        compacted, log = tables.compacted(), tables.log()
        return tuple(entry["version"] for entry in log if entry["space"] == only and compacted.left(entry["version"]))
    summaries = (tables.summary(name) for name in tables.summary_names())
    made_of = {Summary.from_bytes(data).store_version for data in summaries if data is not None}
    left = {version for version in made_of if tables.compacted().left(version)}
    newest = tables.head().version
    versions = {newest, *tables.tags().values(), *left}
    if before and newest > 0 and tables.compacted().left(newest - 1):
        versions.add(newest - 1)
    return tuple(sorted(versions))


def needed_rows(rows: Rows, kept: Iterable[int]) -> npt.NDArray[np.bool_]:
    """Return which rows (n,) some kept version sees, or an unfinished build has written."""
    needed = staged(rows)
    for version in kept:
        needed |= visible(rows, version)
    return needed


def compact_if_wasteful(path: Path, session: Writer) -> CompactionReport | None:
    """Compact after a change where most of what is stored is of no use to any kept version, nor to the one before the change.

    That one is kept so that a mistaken change, such as a deletion of most samples, can be rolled back: nobody asked for this
    compaction. The next change makes it go.

    The change is published by then, so nothing that goes wrong here fails it; it is a `CompactionWarning`, once for a store
    that is damaged. While an index of the store is made, it waits for the next change.
    """
    identity = session.environment.identity
    try:
        if identity not in _damaged and session.read(_is_wasteful):
            return compact(path, session, before=True)
    except StoreLockedError:
        return None
    except Exception as error:  # noqa: BLE001  whatever it is, the change is stored
        if isinstance(error, CorruptStoreError | SummaryError):
            _damaged.add(identity)
        why = str(error).rstrip(".") or type(error).__name__
        warnings.warn(
            f"The change is stored, but compacting '{path}' after it failed ({why}); run `embedstore verify`, then "
            "`embedstore compact`, to see why and to make the store smaller.",
            CompactionWarning,
            stacklevel=2,
        )
    return None


def _is_wasteful(tables: Tables) -> bool:
    rows = tables.rows()
    blocks = -(-len(rows) // BLOCK)
    seen = visible(rows, tables.head().version) | staged(rows)
    many_rows = len(rows) >= _SMALLEST and 1 - seen.mean() > WASTE
    if not many_rows and not _superseded(tables, blocks * len(tables.names())):
        return False  # the usual case, told without a look at tags and summaries
    kept = kept_versions(tables, before=True)
    if many_rows and 1 - needed_rows(rows, kept).mean() > WASTE:
        return True
    return _superseded(tables, tables.needed_field_blocks(kept))


def _superseded(tables: Tables, needed: int) -> bool:
    """Return whether most of what fields take is of no use, and much, where so many of their blocks are needed."""
    size, there = tables.size(layout.FIELDS), tables.entries(layout.FIELDS)
    useless = size * (1 - min(1, needed / max(1, there)))
    return useless > max(_SUPERSEDED_BYTES, size / 2)


def compact(
    path: Path,
    session: Writer,
    progress: Progress | None = None,
    *,
    only: str | None = None,
    before: bool = False,
) -> CompactionReport:
    """Write all that a kept version needs into a new generation, and remove the old one; a kill leaves either whole.

    Readers that have the old generation open go on reading it until they look anew.

    Args:
        path: the store.
        session: its writer.
        progress: called with (blocks done, blocks in all).
        only: the fingerprint of the teacher in use, to leave out the vectors of all others, and the versions that need them.
        before: keep the version before the newest, too.

    Raises:
        StoreLockedError: another process is making an index, which would be lost.
        CorruptStoreError: something that is needed is damaged.
        StoreError: the system does not let the new generation be written.
    """
    old = session.environment.directory
    had_index = (old / INDEX / MARKER).exists()
    size_before, rows_before = _size(old), session.read(lambda tables: tables.row_count())
    kept, versions = session.read(lambda tables: (kept_versions(tables, only, before=before), len(tables.log())))
    tags = session.read(lambda tables: tuple(name for name, version in tables.tags().items() if version not in kept))
    with (
        building(old),
        next_generation(path, old, "compacted") as target,
    ):  # an index that is made meanwhile would be lost
        new = target.environment.directory
        rows = _Compaction(session, target, kept, progress or (lambda done, total: None), only).run()
    return CompactionReport(kept, versions - len(kept), rows_before, rows, size_before, _size(new), had_index, tags)


class _Compaction:
    """One run: all databases from one generation into another."""

    def __init__(
        self, source: Writer, target: Writer, kept: tuple[int, ...], progress: Progress, only: str | None = None
    ):
        self._source, self._target, self._kept, self._progress = source, target, kept, progress
        self._only = only
        table = source.read(lambda tables: tables.rows())
        self._rows = np.flatnonzero(needed_rows(table, kept))  # their numbers; their places are the new numbers
        self._table = table[self._rows]

    def run(self) -> int:
        """Copy, and return how many rows there are now."""
        self._target.write(lambda tables: tables.put_names([]))
        blocks = -(-len(self._rows) // BLOCK)
        for part in _parts(blocks, _SMALL_BLOCKS_AT_ONCE):
            self._copy_rows(part)
        self._target.write(lambda tables: tables.put_row_count(len(self._rows)))
        for name in self._source.read(lambda tables: tables.names()):
            for part in _parts(blocks, max(1, _SMALL_BLOCKS_AT_ONCE // len(self._kept))):
                self._copy_field(name, part)
        columns = self._source.read(lambda tables: tables.columns())
        columns = [column for column in columns if self._only in (None, column.space)]
        for number, column in enumerate(columns):
            for part in _parts(blocks, _BLOCKS_AT_ONCE):
                self._copy_vectors(column, part)
                self._progress(number * blocks + part.stop, len(columns) * blocks)
        for name in self._source.read(lambda tables: tables.summary_names()):
            self._copy_summary(name)
        self._copy_rest()
        return len(self._rows)

    def _copy_rows(self, blocks: range) -> None:
        def write(tables: Tables) -> None:
            for block in blocks:
                rows = layout.empty_rows()
                own = self._table[block * BLOCK : (block + 1) * BLOCK]
                rows[: len(own)] = own
                tables.put_row_block(block, rows)

        self._target.write(write)

    def _copy_field(self, name: str, blocks: range) -> None:
        """Write some blocks of a field as each kept version has them; one that stays as it was is not written twice."""
        old = self._rows[blocks.start * BLOCK : blocks.stop * BLOCK]
        numbers = np.arange(len(old)) + blocks.start * BLOCK
        versions = self._source.read(
            lambda tables: [(version, tables.texts(name, old, version)) for version in self._kept]
        )

        def write(tables: Tables) -> None:
            for version, texts in versions:
                tables.put_fields(numbers, {name: texts}, version)

        self._target.write(write)

    def _copy_vectors(self, column: Column, blocks: range) -> None:
        """Copy some blocks; presence moves with the vectors."""

        def read(tables: Tables) -> list[tuple[npt.NDArray[np.int64], npt.NDArray[np.float16]]]:
            dim = tables.dimension(column)
            return [found for block in blocks if (found := self._gather(tables, column, dim, block)) is not None]

        gathered = self._source.read(read)

        def write(tables: Tables) -> None:
            for rows, vectors in gathered:
                tables.put_vectors(column, rows, vectors)

        self._target.write(write)

    def _gather(
        self, tables: Tables, column: Column, dim: int, block: int
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float16]] | None:
        """Return the new numbers and the vectors of the rows of a new block that have one."""
        numbers = np.arange(block * BLOCK, min((block + 1) * BLOCK, len(self._rows)))
        old = self._rows[numbers]
        places: list[npt.NDArray[np.int64]] = []
        parts: list[npt.NDArray[np.float16]] = []
        for source, inside in by_block(old):
            found = tables.vector_block(column, source, dim)
            if found is not None:
                mine = inside[found[0][old[inside] % BLOCK]]
                places.append(numbers[mine])
                parts.append(found[1][old[mine] % BLOCK])
        return (np.concatenate(places), np.concatenate(parts)) if sum(map(len, places)) else None

    def _copy_summary(self, name: str) -> None:
        """Copy a summary by itself: together they may be larger than memory."""
        data = self._source.read(lambda tables: tables.summary(name))
        if data is not None:
            self._target.write(lambda tables: tables.put_summary(name, data))

    def _copy_rest(self) -> None:
        """Copy what is small; the head comes last."""

        def read(tables: Tables) -> dict[str, Any]:
            return {
                "head": tables.head(),
                "settings": tables.settings(),
                "spaces": tables.spaces(),
                "log": tables.log(),
                "tags": {name: version for name, version in tables.tags().items() if version in self._kept},
                "lost": tables.lost(),
                "aside": {entry["path"]: entry["reason"] for entry in tables.aside()},
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
            tables.put_compacted(Compacted(head.version, self._kept))
            tables.put_head(head)

        self._target.write(write)


def _parts(count: int, most: int) -> Iterator[range]:
    """Yield the numbers below `count`, `most` at a time."""
    return (range(start, min(count, start + most)) for start in range(0, count, most))


def _size(generation: Path) -> int:
    return (generation / "data.mdb").stat().st_size

"""Rollback: a new version that looks exactly like an earlier one.

Rows are append-only, so what has died since comes back as copies: new rows with the same vectors, byte for byte. What was
born since dies. Of the rows that both versions see, only the texts that differ are written.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from embedstore.errors import StoreError
from embedstore.store import layout
from embedstore.store.embedding_store import EmbeddingStore
from embedstore.store.kept_summaries import later_summaries, older_summaries, set_back
from embedstore.store.layout import BLOCK, NEVER, Head
from embedstore.store.rows import Rows, by_block, staged, visible
from embedstore.store.tables import Tables
from embedstore.store.versions import TARGET, head_at
from embedstore.store.writing import Writer, writer

ACTION = "rollback"  # in the log

_Numbers = npt.NDArray[np.int64]  # of rows
_AT_ONCE = 16 * BLOCK  # rows in one transaction, which holds its dirty pages in memory
_MOST_BYTES = 1 << 25  # of vectors in one, likewise


@dataclass(frozen=True)
class RollbackReport:
    """What a rollback did.

    Attributes:
        version: that was made; the newest where nothing differed.
        target: the version that it looks like.
        back: samples that are there again, or have their earlier picture again.
        gone: samples, or pictures of them, that had come since and are out.
        updated: samples that stayed and got texts back.
        summaries: name -> the version that the one now of this name was made of, of those that were set back.
        later_summaries: of those that stay although their versions go out of sight; see `kept_summaries.later_summaries`.
        other_vectors: the vectors in use are others again: of another teacher, or of more or fewer outputs or views.
        dry_run: nothing was written.
    """

    version: int
    target: int
    back: int
    gone: int
    updated: int
    summaries: dict[str, int]
    later_summaries: dict[str, int]
    other_vectors: bool = False
    dry_run: bool = False

    @property
    def nothing(self) -> bool:
        """Whether the store looked so already."""
        return not (self.back or self.gone or self.updated or self.summaries or self.other_vectors)


def rollback(path: str | os.PathLike[str], version: int | str, *, dry_run: bool = False) -> RollbackReport:
    """Make a new version with the samples, records, vectors and views of an earlier one; that can be rolled back as well.

    Summaries that were made of later versions make room for those that they took the place of, where a refresh kept them. Later
    versions stay readable. Pictures set aside and the image folder are told as they are now.

    Args:
        path: the store.
        version: its number, or a tag.
        dry_run: tell what would change, and change nothing.

    Raises:
        StoreError: there is no such version or tag, a compaction has removed it, or vectors that it had are gone.
        StoreLockedError: another process writes.
    """
    with EmbeddingStore(path) as store:
        if dry_run:
            return store.look(lambda tables: _Return(tables, version)).report(store.version, dry_run=True)
        with writer(store.path) as session:
            wanted = session.read(lambda tables: _Return(tables, version))
            report = wanted.report(wanted.now.version + 1)
            if report.nothing:
                return replace(report, version=wanted.now.version)
            wanted.write(session)  # no compaction here: who went back by mistake can return to the version before
            return report


class _Return:
    """What is to be done for a store to look like an earlier version.

    Attributes:
        now, head: the newest head, and the one that is to follow but for its version.
        target: the version that is gone back to.
        born: rows (n,) of that version that have died since, ascending, but for those that have a copy now.
        died: rows that were born since, but for such copies.
        texts: field -> row -> its text then, of rows that both see, and of copies.
        summaries, later: see `kept_summaries.older_summaries` and `later_summaries`.
    """

    def __init__(self, tables: Tables, asked: int | str):
        self.now = tables.head()
        then = head_at(tables, asked)
        self.target = then.version
        self.head = replace(then, version=self.now.version)
        rows = tables.rows()
        before, after = visible(rows, self.target), visible(rows, self.now.version)
        _refuse_holes(tables, then, before)
        self.table = rows
        self.born, self.died, copies = _without_copies(
            tables, rows, np.flatnonzero(before & ~after), np.flatnonzero(after & ~before)
        )
        self.texts: dict[str, dict[int, str | None]] = {}
        both = np.flatnonzero(before & after)
        then_at, now_at = (np.append(both, rows_of) for rows_of in copies)
        for name in tables.names():
            old, new = tables.field(name, self.target)[then_at], tables.field(name, self.now.version)[now_at]
            pairs = zip(now_at.tolist(), old.to_list(), new.to_list(), strict=True)
            found = {row: was for row, was, has in pairs if was != has}
            if found:
                self.texts[name] = found
        self.summaries = older_summaries(tables, self.target)
        self.later = later_summaries(tables, self.target)

    def report(self, version: int, *, dry_run: bool = False) -> RollbackReport:
        """Return what is done, or would be."""
        updated = len({row for texts in self.texts.values() for row in texts})
        back, gone = len(self.born), len(self.died)
        other_vectors = (self.head.space, self.head.columns) != (self.now.space, self.now.columns)
        return RollbackReport(
            version, self.target, back, gone, updated, self.summaries, self.later, other_vectors, dry_run
        )

    def write(self, session: Writer) -> None:
        """Write it as one version; a kill at any moment leaves the version before it or this one."""
        head = replace(self.head, version=session.begin())
        for start in range(0, len(self.born), _AT_ONCE):
            self._copy_rows(session, self.born[start : start + _AT_ONCE], head)
        for name, texts in self.texts.items():
            self._set(session, name, texts, head.version)
        report = self.report(head.version)
        details = {TARGET: self.target, "back": report.back, "gone": report.gone, "updated": report.updated}
        session.publish(
            head,
            ACTION,
            details={name: count for name, count in details.items() if count or name == TARGET},
            died=self.died.tolist(),
            swept=self._left_by_others().tolist(),
            also=lambda tables: set_back(tables, self.summaries),
        )

    def _left_by_others(self) -> _Numbers:
        """Return rows that an interrupted build, or rollback, has written of the same pictures: they are there now."""
        waiting = np.flatnonzero(staged(self.table))
        back = {_identity(row) for row in self.table[self.born]}
        return waiting[[_identity(row) in back for row in self.table[waiting]]]

    @staticmethod
    def _set(session: Writer, name: str, texts: Mapping[int, str | None], version: int) -> None:
        rows = np.array(list(texts), np.int64)
        for start in range(0, len(rows), _AT_ONCE):
            part = rows[start : start + _AT_ONCE]
            wanted = [texts[int(row)] for row in part]

            def put(tables: Tables, part: _Numbers = part, wanted: list[str | None] = wanted) -> None:
                tables.put_fields(part, {name: wanted}, version)

            session.write(put, under=version)

    def _copy_rows(self, session: Writer, old: _Numbers, head: Head) -> None:
        """Append copies of some rows with their fields, then their vectors of every teacher, output and view."""

        def append(tables: Tables) -> int:
            first = tables.row_count()
            fresh = np.arange(first, first + len(old))
            for block, inside in by_block(fresh):
                rows, at = tables.row_block(block), fresh[inside] % BLOCK
                for name in ("key", "content"):
                    rows[name][at] = self.table[name][old[inside]]
                rows["born"][at], rows["died"][at] = head.version, NEVER
                tables.put_row_block(block, rows)
            fields = {name: tables.texts(name, old, self.target) for name in tables.names()}
            tables.put_fields(fresh, fields, head.version)
            tables.put_row_count(first + len(old))
            return first

        first = session.write(append, under=head.version)
        for column in session.read(lambda tables: tables.columns()):
            dim = session.read(lambda tables, column=column: tables.dimension(column))  # type: ignore[misc]
            step = _rows_at_once(dim)
            for start in range(0, len(old), step):
                part = old[start : start + step]

                def copy(
                    tables: Tables,
                    column: layout.Column = column,
                    part: _Numbers = part,
                    at: int = first + start,
                ) -> None:
                    _copy_vectors(tables, column, part, at)

                session.write(copy, under=head.version)


def _refuse_holes(tables: Tables, head: Head, seen: npt.NDArray[np.bool_]) -> None:
    """Raise where vectors that a version had are there no more, as after another teacher has taken the place of its own."""
    for column in head.columns:
        lacking = int(np.count_nonzero(seen & ~tables.presence(column, len(seen))))
        if lacking:
            raise StoreError(
                f"Version {head.version} can't come back, for {lacking} of its samples have no vectors of view {column.view} of "
                f"the output '{column.output}' any more; build the store again, or go back to another: embedstore log STORE"
            )


def _without_copies(
    tables: Tables, table: Rows, born: _Numbers, died: _Numbers
) -> tuple[_Numbers, _Numbers, tuple[_Numbers, _Numbers]]:
    """Return rows that died and rows that were born since without those of the same sample, picture and vectors; and these.

    Such pairs are left by an earlier rollback, or where a picture was changed and changed back.
    """
    place = {_identity(table[row]): row for row in died.tolist()}
    old = np.array([row for row in born.tolist() if _identity(table[row]) in place], np.int64)
    new = np.array([place[_identity(table[row])] for row in old.tolist()], np.int64)
    same = np.ones(len(old), bool)
    for column in tables.columns():
        step = _rows_at_once(tables.dimension(column))
        for start in range(0, len(old), step):
            part = slice(start, start + step)
            (had, was), (has, now) = (_taken(tables, column, rows[part]) for rows in (old, new))
            same[part] &= (had == has) & (was == now).all(axis=1)
    old, new = old[same], new[same]
    return np.setdiff1d(born, old), np.setdiff1d(died, new), (old, new)


def _rows_at_once(dim: int) -> int:
    return max(BLOCK, _MOST_BYTES // (2 * dim))


def _taken(
    tables: Tables, column: layout.Column, rows: _Numbers
) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.uint16]]:
    """Return which of some rows (n,) have a vector in a column, and the bits of these (n, d); 0 where there is none."""
    present, bits = np.zeros(len(rows), bool), np.zeros((len(rows), tables.dimension(column)), np.uint16)
    for block, inside in by_block(rows):
        found = tables.vector_block(column, block)
        if found is not None:
            mine = inside[found[0][rows[inside] % BLOCK]]
            present[mine], bits[mine] = True, found[1][rows[mine] % BLOCK].view(np.uint16)
    return present, bits


def _copy_vectors(tables: Tables, column: layout.Column, old: _Numbers, first: int) -> None:
    """Copy the vectors that some rows have in a column to as many rows from `first` on."""
    for block, inside in by_block(old):
        found = tables.vector_block(column, block)
        if found is not None:
            mine = inside[found[0][old[inside] % BLOCK]]
            if len(mine):
                tables.put_vectors(column, mine + first, found[1][old[mine] % BLOCK])


def _identity(row: Rows) -> bytes:
    return row["key"].tobytes() + row["content"].tobytes()

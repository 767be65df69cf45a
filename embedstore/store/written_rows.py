"""The rows of a store as a build finds and fills them, under the writer's lock; no version shows what it writes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from embedstore.engines.engine import Embedded
from embedstore.store import layout
from embedstore.store.embedding_store import EmbeddingStore
from embedstore.store.fields import ID, Record, record_of
from embedstore.store.layout import BLOCK, Column
from embedstore.store.rows import staged
from embedstore.store.tables import Tables
from embedstore.store.writing import Writer


class WrittenRows:
    """What rows there are, what each of them lacks, and the way to write more.

    Args:
        store: read under the lock.
        session: the writer.
        space: what the store is to say of its teacher; it is written with the first vectors.
        views: augmented views that every sample is to have.

    Attributes:
        known: sample id -> its record in the version that is replaced.
        lost: sample id -> what is known of it, where a repair had to give up its vectors.
        staged: rows that an interrupted build left, published by none.
        columns: that every sample is to have.
        present: column -> which rows had their vector when this began.
    """

    def __init__(self, store: EmbeddingStore, session: Writer, space: dict[str, Any], views: int):
        self._store, self._session, self._space = store, session, space
        self.columns = [
            Column(store.head.space, output, view) for output in space["outputs"] for view in range(views + 1)
        ]

        def survey(tables: Tables) -> tuple[Any, list[dict[str, str]], dict[Column, npt.NDArray[np.bool_]]]:
            rows = tables.rows()
            return rows, tables.lost(), {column: tables.presence(column, len(rows)) for column in self.columns}

        rows, lost, self.present = session.read(survey)
        self.known: dict[str, Record] = {record.id: record for record in store.records()}
        self.lost = {fields[ID]: record_of(-1, b"", fields) for fields in lost}
        self._waiting: dict[bytes, dict[bytes, int]] = {}  # id key -> content -> row, of what no version shows
        self.staged: set[int] = set()
        for row in np.flatnonzero(staged(rows)).tolist():
            self._waiting.setdefault(rows["key"][row].tobytes(), {})[rows["content"][row].tobytes()] = row
            self.staged.add(row)
        self._count = len(rows)
        has = np.ones((len(rows), views + 1), bool)
        for column, present in self.present.items():
            has[:, column.view] &= present
        self._lacks = ~has
        self._complete: npt.NDArray[np.bool_] = np.asarray(has.all(axis=1))

    def lacking(self, sample_id: str) -> dict[bytes, tuple[int, ...]]:
        """Return content hash -> the views that its row lacks, of all pictures of a sample that have a row."""
        found = {content: self._views(row) for content, row in self._waiting.get(_key(sample_id), {}).items()}
        if (record := self.known.get(sample_id)) is not None:
            found[record.content] = self._views(record.row)
        return found

    def row(self, sample_id: str, content: bytes) -> int | None:
        """Return the row of one picture of a sample; None where it has none yet."""
        record = self.known.get(sample_id)
        if record is not None and record.content == content:
            return record.row
        return self._waiting.get(_key(sample_id), {}).get(content)

    def staged_of(self, ids: Iterable[str]) -> set[int]:
        """Return the rows that an interrupted build left of some samples, whatever their pictures were then."""
        return {row for one in ids for row in self._waiting.get(_key(one), {}).values() if row in self.staged}

    def write(self, pictures: Sequence[Embedded]) -> list[int]:
        """Write the vectors of some pictures in one transaction; return the row of each.

        What was written is not looked up again: a picture that comes twice has two rows, one of which is swept in the end.
        """
        count = self._count
        rows: list[int] = []
        fresh: list[tuple[int, bytes, bytes]] = []
        for picture in pictures:
            assert picture.content is not None  # noqa: S101  else it has no vectors
            row = self.row(picture.id, picture.content)
            if row is None:
                row = count
                fresh.append((row, _key(picture.id), picture.content))
                count += 1
            rows.append(row)
        self._session.write(lambda tables: self._put(tables, pictures, rows, fresh, count))
        self._count = count
        return rows

    def _put(
        self,
        tables: Tables,
        pictures: Sequence[Embedded],
        rows: Sequence[int],
        fresh: Sequence[tuple[int, bytes, bytes]],
        count: int,
    ) -> None:
        if self._space != self._store.space:  # outputs that the store has not kept so far
            tables.put_space(self._store.head.space, self._space)
        for block in sorted({row // BLOCK for row, _, _ in fresh}):
            own = tables.row_block(block)
            for row, key, content in fresh:
                if row // BLOCK == block:
                    own["key"][row % BLOCK] = np.frombuffer(key, np.uint8)
                    own["content"][row % BLOCK] = np.frombuffer(content, np.uint8)
            tables.put_row_block(block, own)
        for column in self.columns:
            having = [
                (row, picture.vectors[column.output][picture.views.index(column.view)])
                for row, picture in zip(rows, pictures, strict=True)
                if column.view in picture.views and not self._has(row, column)  # what readers may see never changes
            ]
            if having:
                rows_at = np.array([row for row, _ in having], np.int64)
                tables.put_vectors(column, rows_at, np.stack([vector for _, vector in having]))
        tables.put_row_count(count)

    def _has(self, row: int, column: Column) -> bool:
        """Return whether a row had its vector in a column when this began."""
        present = self.present[column]
        return row < len(present) and bool(present[row])

    def _views(self, row: int) -> tuple[int, ...]:
        """Return the views that a row lacked when this began."""
        if self._complete[row]:
            return ()
        return tuple(np.flatnonzero(self._lacks[row]).tolist())


def _key(sample_id: str) -> bytes:
    return layout.id_key(sample_id)

"""Typed access to the databases inside one transaction; the only code that turns keys and values into objects."""

from collections.abc import Iterator
from typing import Any

import lmdb
import numpy as np
import numpy.typing as npt

from embedstore.errors import CorruptStoreError
from embedstore.store import layout
from embedstore.store.environment import Environment
from embedstore.store.layout import BLOCK, NEVER, Column, Head, Record

Rows = npt.NDArray[np.void]


class Tables:
    """The databases of a store as one transaction sees them."""

    def __init__(self, environment: Environment, transaction: lmdb.Transaction):
        self._environment = environment
        self._transaction = transaction

    # Meta

    def head(self) -> Head:
        """Return what readers see."""
        values = self._meta(b"head")
        return Head(values["version"], values["space"], tuple(Column(*column) for column in values["columns"]))

    def put_head(self, head: Head) -> None:
        """Move what readers see."""
        columns = [[column.space, column.output, column.view] for column in head.columns]
        self._put_meta(b"head", {"version": head.version, "space": head.space, "columns": columns})

    def settings(self) -> dict[str, Any]:
        """Return the view recipe, which never changes, and the image root of the last build."""
        settings: dict[str, Any] = self._meta(b"store")
        return settings

    def put_settings(self, settings: dict[str, Any]) -> None:
        """Write the store's settings."""
        self._put_meta(b"store", settings)

    def space(self, space: str) -> dict[str, Any]:
        """Return what is known of a teacher: the name it was loaded by, its outputs, its input size."""
        description: dict[str, Any] = self._meta(f"space:{space}".encode())
        return description

    def put_space(self, space: str, description: dict[str, Any]) -> None:
        """Describe a teacher."""
        self._put_meta(f"space:{space}".encode(), description)

    def row_count(self) -> int:
        """Return how many rows were ever allocated, published or not."""
        count: int = self._meta(b"rows")
        return count

    def put_row_count(self, count: int) -> None:
        """Allocate rows up to `count`."""
        self._put_meta(b"rows", count)

    def publishing(self) -> int | None:
        """Return the version whose publication began and did not end, if any."""
        version: int | None = self._meta(b"publishing", None)
        return version

    def put_publishing(self, version: int | None) -> None:
        """Mark a publication as begun, or as ended."""
        self._put_meta(b"publishing", version)

    # Records

    def records(self, version: int) -> Iterator[Record]:
        """Yield every sample's newest record at or before a version, in the order of their keys."""
        newest: tuple[bytes, bytes | memoryview] | None = None
        for name, value in self._cursor(layout.RECORDS):
            key = bytes(name)
            if int.from_bytes(key[16:], "big") > version:
                continue
            if newest is not None and newest[0][:16] != key[:16]:
                yield layout.unpack_record(layout.unseal(layout.RECORDS, *newest))
            newest = (key, value)
        if newest is not None:
            yield layout.unpack_record(layout.unseal(layout.RECORDS, *newest))

    def put_record(self, record: Record, version: int) -> None:
        """Write a sample's record as of a version."""
        self._put(layout.RECORDS, layout.record_key(layout.id_key(record.id), version), layout.pack_record(record))

    def drop_records(self, version: int, most: int) -> int:
        """Delete up to `most` records of exactly this version; return how many."""
        doomed = []
        for name, _ in self._cursor(layout.RECORDS):
            if int.from_bytes(bytes(name)[16:], "big") == version:
                doomed.append(bytes(name))
                if len(doomed) == most:
                    break
        for key in doomed:
            self._transaction.delete(key, db=self._environment.database(layout.RECORDS))
        return len(doomed)

    # Rows

    def rows(self) -> Rows:
        """Return all allocated rows as one (n,) array of `layout.ROW`."""
        count = self.row_count()
        blocks = [self.row_block(block) for block in range(-(-count // BLOCK))]
        return np.concatenate(blocks)[:count] if blocks else np.zeros(0, layout.ROW)

    def row_block(self, block: int) -> Rows:
        """Return a copy of a block of rows; one that was never written is empty."""
        payload = self._get(layout.ROWS, layout.row_key(block))
        return layout.empty_rows() if payload is None else np.frombuffer(payload, layout.ROW).copy()

    def put_row_block(self, block: int, rows: Rows) -> None:
        """Write a block of rows."""
        self._put(layout.ROWS, layout.row_key(block), rows.tobytes())

    # Vectors

    def vector_block(
        self, column: Column, block: int, *, check: bool = True
    ) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.float16]] | None:
        """Return presence and vectors of a block, valid inside the transaction; None where nothing was written."""
        payload = self._get(layout.VECTORS, layout.vector_key(column, block), check=check)
        return None if payload is None else layout.unpack_vectors(payload)

    def put_vectors(self, column: Column, rows: npt.NDArray[np.int64], vectors: npt.NDArray[np.float16]) -> None:
        """Write the vectors (n, d) of some rows into their blocks."""
        for block in np.unique(rows // BLOCK):
            inside = rows // BLOCK == block
            at = rows[inside] % BLOCK
            known = self.vector_block(column, int(block))
            present = np.zeros(BLOCK, bool) if known is None else known[0].copy()
            values = np.zeros((BLOCK, vectors.shape[1]), np.float16) if known is None else known[1].copy()
            present[at] = True
            values[at] = vectors[inside]
            self._put(layout.VECTORS, layout.vector_key(column, int(block)), layout.pack_vectors(present, values))

    def presence(self, column: Column, count: int) -> npt.NDArray[np.bool_]:
        """Return which of the first `count` rows have a vector in a column."""
        present = np.zeros(-(-count // BLOCK) * BLOCK, bool)
        for block in range(len(present) // BLOCK):
            found = self.vector_block(column, block)
            if found is not None:
                present[block * BLOCK : (block + 1) * BLOCK] = found[0]
        return present[:count]

    # Pictures set aside

    def aside(self) -> list[dict[str, str]]:
        """Return the pictures set aside: path and reason, sorted by path."""
        found = [layout.unpack(layout.unseal(layout.ASIDE, bytes(k), v)) for k, v in self._cursor(layout.ASIDE)]
        return sorted(found, key=lambda entry: entry["path"])

    def replace_aside(self, entries: dict[str, str]) -> None:
        """Write the pictures set aside (path -> reason) in place of those before."""
        self._transaction.drop(self._environment.database(layout.ASIDE), delete=False)
        for path, reason in entries.items():
            self._put(layout.ASIDE, layout.id_key(path), layout.pack({"path": path, "reason": reason}))

    # Summaries

    def summary(self, name: str) -> bytes | None:
        """Return a saved summary's bytes."""
        payload = self._get(layout.SUMMARIES, name.encode())
        return None if payload is None else bytes(payload)

    def put_summary(self, name: str, data: bytes) -> None:
        """Save a summary's bytes."""
        self._put(layout.SUMMARIES, name.encode(), data)

    def drop_summary(self, name: str) -> bool:
        """Delete a saved summary; return whether there was one."""
        return bool(self._transaction.delete(name.encode(), db=self._environment.database(layout.SUMMARIES)))

    def summary_names(self) -> list[str]:
        """Return the names of the saved summaries, sorted."""
        return [bytes(name).decode() for name, _ in self._cursor(layout.SUMMARIES)]

    # Below

    def _cursor(self, database: bytes) -> lmdb.Cursor:
        return self._transaction.cursor(self._environment.database(database))

    def _get(self, database: bytes, key: bytes, *, check: bool = True) -> memoryview | None:
        value = self._transaction.get(key, db=self._environment.database(database))
        return None if value is None else layout.unseal(database, key, value, check=check)

    def _put(self, database: bytes, key: bytes, payload: bytes) -> None:
        self._transaction.put(key, layout.seal(key, payload), db=self._environment.database(database))

    def _meta(self, name: bytes, *default: Any) -> Any:
        payload = self._get(layout.META, name)
        if payload is not None:
            return layout.unpack(payload)
        if default:
            return default[0]
        raise CorruptStoreError(f"The store has no '{name.decode()}' entry; restore it from a copy, or build it again.")

    def _put_meta(self, name: bytes, values: Any) -> None:
        self._put(layout.META, name, layout.pack(values))


def visible(rows: Rows, version: int) -> npt.NDArray[np.bool_]:
    """Return which rows are part of a version."""
    return np.asarray((rows["born"] <= np.uint64(version)) & (np.uint64(version) < rows["died"]))


def staged(rows: Rows) -> npt.NDArray[np.bool_]:
    """Return which rows were written and neither published nor swept."""
    return np.asarray((rows["born"] == np.uint64(NEVER)) & (rows["died"] == np.uint64(NEVER)) & rows["key"].any(axis=1))

"""Typed access to the databases inside one transaction; the only code that turns keys and values into objects."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice, takewhile
from typing import Any

import lmdb
import numpy as np
import numpy.typing as npt

from embedstore.errors import CorruptStoreError
from embedstore.store import layout
from embedstore.store.environment import Environment
from embedstore.store.fields import ID, Field, join_blocks
from embedstore.store.layout import BLOCK, Column, Head
from embedstore.store.rows import Rows, by_block


@dataclass(frozen=True)
class Compacted:
    """What the last compaction left: of the versions before `version` only those in `kept` can be read."""

    version: int
    kept: tuple[int, ...]

    def left(self, version: int) -> bool:
        """Return whether a version can be read."""
        return version >= self.version or version in self.kept


class Tables:
    """The databases of a store as one transaction sees them."""

    def __init__(self, environment: Environment, transaction: lmdb.Transaction):
        self._environment = environment
        self._transaction = transaction

    # Meta

    def head(self) -> Head:
        """Return what readers see."""
        return head_of(self._meta(b"head"))

    def put_head(self, head: Head) -> None:
        """Move what readers see."""
        self._put_meta(b"head", head_entry(head))

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

    def spaces(self) -> dict[str, dict[str, Any]]:
        """Return what is known of every teacher that ever filled a column, by fingerprint."""
        names = [key.decode() for key in self._keys(layout.META) if key.startswith(b"space:")]
        return {name.removeprefix("space:"): self._meta(name.encode()) for name in names}

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

    def names(self) -> list[str]:
        """Return the names of all fields that were ever used; a field's number is its place among them."""
        names: list[str] = self._meta(b"names")
        return names

    def put_names(self, names: list[str]) -> None:
        """Write the names of all fields, in the order of their numbers."""
        self._put_meta(b"names", names)

    def compacted(self) -> Compacted:
        """Return which versions the last compaction left."""
        values = self._meta(b"compacted", None)
        return Compacted(0, ()) if values is None else Compacted(values["version"], tuple(values["kept"]))

    def put_compacted(self, compacted: Compacted) -> None:
        """Say which versions are left."""
        self._put_meta(b"compacted", {"version": compacted.version, "kept": list(compacted.kept)})

    # Fields

    def field(self, name: str, version: int) -> Field:
        """Return what all allocated rows have in a field, as of a version."""
        names, count = self.names(), self.row_count()
        if name not in names:
            return Field([], np.full(count, -1, np.int32))
        newest = self._newest_blocks(names.index(name), version)
        blocks = ((block, *layout.unpack_field(payload)) for block, payload in newest)
        return join_blocks(blocks, count, BLOCK)

    def field_block(self, name: str, block: int, version: int) -> tuple[list[str], npt.NDArray[np.int32]]:
        """Return the texts of a block of a field as of a version, and the place of each row's own among them, -1 for none."""
        names = self.names()
        return self._field_block(names.index(name), block, version) if name in names else _no_texts()

    def field_blocks(self, block: int, version: int) -> dict[str, tuple[list[str], npt.NDArray[np.int32]]]:
        """Return `field_block` of every field."""
        return {name: self._field_block(number, block, version) for number, name in enumerate(self.names())}

    def _field_block(self, number: int, block: int, version: int) -> tuple[list[str], npt.NDArray[np.int32]]:
        payload = self._newest_block(number, block, version)
        return _no_texts() if payload is None else layout.unpack_field(payload)

    def put_fields(self, rows: npt.NDArray[np.int64], fields: Mapping[str, Sequence[str | None]], version: int) -> None:
        """Write what some rows (n,) have in some fields, as of a version; a block that stays as it was is not written."""
        names = self.names()
        fresh = [
            name for name, texts in fields.items() if name not in names and any(text is not None for text in texts)
        ]
        if fresh:
            names += fresh
            self.put_names(names)
        blocks = list(by_block(rows))
        for name in [name for name in fields if name in names]:
            number, texts = names.index(name), fields[name]
            for block, inside in blocks:
                known, codes = self._field_block(number, block, version)
                values: list[str | None] = [*known, None]
                before = [values[code] for code in codes.tolist()] if known else [None] * BLOCK
                after = list(before)
                first, last = int(inside[0]), int(inside[-1])
                if (np.diff(inside) == 1).all() and (np.diff(rows[first : last + 1]) == 1).all():  # as in a bulk write
                    after[rows[first] % BLOCK : rows[last] % BLOCK + 1] = texts[first : last + 1]
                else:
                    for at, row in zip(inside.tolist(), (rows[inside] % BLOCK).tolist(), strict=True):
                        after[row] = texts[at]
                if after != before:
                    self._put(layout.FIELDS, layout.field_key(number, block, version), layout.pack_field(after))

    def drop_fields(self, version: int, most: int) -> int:
        """Delete up to `most` blocks of fields of exactly this version; return how many."""
        return self._drop_keys(
            layout.FIELDS, (key for key in self._keys(layout.FIELDS) if layout.version_of(key) == version), most
        )

    # Versions

    def log(self) -> list[dict[str, Any]]:
        """Return what made each version, oldest first."""
        return [layout.unpack(layout.unseal(layout.LOG, bytes(k), v)) for k, v in self._cursor(layout.LOG)]

    def log_entry(self, version: int) -> dict[str, Any] | None:
        """Return what made a version; None where there is no such."""
        payload = self._get(layout.LOG, layout.version_key(version))
        return None if payload is None else dict(layout.unpack(payload))

    def put_log_entry(self, version: int, entry: dict[str, Any]) -> None:
        """Say what made a version."""
        self._put(layout.LOG, layout.version_key(version), layout.pack(entry))

    def tags(self) -> dict[str, int]:
        """Return the version that each tag names."""
        return {
            bytes(k).decode(): layout.unpack(layout.unseal(layout.TAGS, bytes(k), v))
            for k, v in self._cursor(layout.TAGS)
        }

    def put_tag(self, name: str, version: int) -> None:
        """Name a version."""
        self._put(layout.TAGS, name.encode(), layout.pack(version))

    def drop_tag(self, name: str) -> bool:
        """Take a name from its version; return whether there was one."""
        return bool(self._transaction.delete(name.encode(), db=self._environment.database(layout.TAGS)))

    # Rows

    def rows(self) -> Rows:
        """Return all allocated rows as one (n,) array of `layout.ROW`."""
        count = self.row_count()
        blocks = np.tile(layout.empty_rows(), (-(-count // BLOCK), 1))
        for key, value in self._cursor(layout.ROWS):  # in order; a get for each would take twice as long
            block = int.from_bytes(key, "big")
            if block < len(blocks):
                blocks[block] = np.frombuffer(layout.unseal(layout.ROWS, bytes(key), value), layout.ROW)
        return blocks.reshape(-1)[:count]

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

    def take_vectors(
        self, column: Column, rows: npt.NDArray[np.int64], out: npt.NDArray[np.float16], checked: set[int]
    ) -> int | None:
        """Copy the vectors of some rows (n,), ascending, into `out` (n, d).

        Args:
            column: which of their vectors.
            rows: their numbers, some of them perhaps more than once.
            out: where to.
            checked: blocks whose checksum need not be checked again; those that are met are added.

        Returns:
            The block that is not there, if any; `out` is then incomplete.
        """
        prefix, database = layout.column_prefix(column), self._environment.database(layout.VECTORS)
        blocks, starts = np.unique(rows // BLOCK, return_index=True)
        at = rows % BLOCK
        gaps = np.cumsum(np.diff(rows, prepend=rows[:1]) != 1).tolist()  # before each row, so that runs are told
        for block, start, end in zip(blocks.tolist(), starts.tolist(), [*starts[1:].tolist(), len(rows)], strict=False):
            key = prefix + layout.row_key(block)
            value = self._transaction.get(key, db=database)
            if value is None:
                return int(block)
            payload = layout.unseal(layout.VECTORS, key, value, check=block not in checked)
            checked.add(block)
            vectors = layout.vectors_of(payload)
            if gaps[end - 1] == gaps[start]:  # a run, as in a scan
                out[start:end] = vectors[at[start] : at[end - 1] + 1]
            else:
                np.take(vectors, at[start:end], axis=0, out=out[start:end], mode="clip")
        return None

    def put_vectors(self, column: Column, rows: npt.NDArray[np.int64], vectors: npt.NDArray[np.float16]) -> None:
        """Write the vectors (n, d) of some rows into their blocks."""
        for block, inside in by_block(rows):
            key, at = layout.vector_key(column, block), rows[inside] % BLOCK
            part = vectors[inside[0] : inside[-1] + 1] if (np.diff(inside) == 1).all() else vectors[inside]
            present = np.ones(BLOCK, bool)
            if len(at) < BLOCK or (np.diff(at) != 1).any():
                known = self.vector_block(column, block)
                present = np.zeros(BLOCK, bool) if known is None else known[0].copy()
                values = np.zeros((BLOCK, vectors.shape[1]), np.float16) if known is None else known[1].copy()
                present[at], values[at] = True, part
                part = values
            sealed = layout.pack_vectors(key, present, part)
            self._transaction.put(key, sealed, db=self._environment.database(layout.VECTORS))

    def columns(self) -> list[Column]:
        """Return all columns that hold anything, complete or not."""
        return list(dict.fromkeys(layout.column_of(key) for key in self._keys(layout.VECTORS)))

    def presence(self, column: Column, count: int) -> npt.NDArray[np.bool_]:
        """Return which of the first `count` rows have a vector in a column."""
        present = np.zeros(-(-count // BLOCK) * BLOCK, bool)
        for block in range(len(present) // BLOCK):
            payload = self._get(layout.VECTORS, layout.vector_key(column, block))
            if payload is not None:
                present[block * BLOCK : (block + 1) * BLOCK] = layout.presence_of(payload)
        return present[:count]

    # Samples whose vectors were lost

    def lost(self) -> list[dict[str, str]]:
        """Return what is known of samples whose vectors were lost, each as the texts of its fields."""
        return [layout.unpack(layout.unseal(layout.LOST, bytes(k), v)) for k, v in self._cursor(layout.LOST)]

    def put_lost(self, fields: dict[str, str]) -> None:
        """Keep what is known of a sample until it is embedded again."""
        self._put(layout.LOST, layout.id_key(fields[ID]), layout.pack(fields))

    def drop_lost(self, ids: Iterable[str]) -> None:
        """Forget about samples that were lost: they are embedded again, or no longer wanted."""
        for sample_id in ids:
            self._transaction.delete(layout.id_key(sample_id), db=self._environment.database(layout.LOST))

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

    # Entries as such, for a repair

    def keys(self, database: bytes, prefix: bytes = b"") -> list[bytes]:
        """Return the keys of a database's entries that begin with `prefix`, ascending."""
        cursor = self._cursor(database)
        if not cursor.set_range(prefix):
            return []
        keys = (bytes(key) for key in cursor.iternext(keys=True, values=False))
        return list(takewhile(lambda key: key.startswith(prefix), keys))

    def entry(self, database: bytes, key: bytes) -> memoryview | None:
        """Return the payload of an entry, valid inside the transaction; None where there is no such."""
        return self._get(database, key)

    def put_entry(self, database: bytes, key: bytes, payload: bytes | memoryview) -> None:
        """Write an entry as it is."""
        self._put(database, key, payload)

    def drop_entry(self, database: bytes, key: bytes) -> None:
        """Delete an entry."""
        self._transaction.delete(key, db=self._environment.database(database))

    # Below

    def entries(self, database: bytes) -> int:
        """Return how many values a database holds."""
        return int(self._transaction.stat(self._environment.database(database))["entries"])

    def _newest_blocks(self, number: int, version: int) -> Iterator[tuple[int, memoryview]]:
        """Yield the block numbers and payloads of a field, of each block the newest at or before a version."""
        cursor = self._cursor(layout.FIELDS)
        newest: tuple[bytes, Any] | None = None
        found = cursor.set_range(layout.field_key(number, 0, 0))
        while found:
            key = bytes(cursor.key())
            if layout.number_of(key) != number:
                break
            if layout.version_of(key) <= version:
                if newest is not None and layout.block_of(newest[0]) != layout.block_of(key):
                    yield layout.block_of(newest[0]), layout.unseal(layout.FIELDS, *newest)
                newest = key, cursor.value()
            found = cursor.next()
        if newest is not None:
            yield layout.block_of(newest[0]), layout.unseal(layout.FIELDS, *newest)

    def _newest_block(self, number: int, block: int, version: int) -> memoryview | None:
        cursor = self._cursor(layout.FIELDS)
        beyond = cursor.set_range(layout.field_key(number, block, version + 1))
        if not (cursor.prev() if beyond else cursor.last()):
            return None
        key = bytes(cursor.key())
        if layout.number_of(key) != number or layout.block_of(key) != block:
            return None
        return layout.unseal(layout.FIELDS, key, cursor.value())

    def _keys(self, database: bytes) -> Iterator[bytes]:
        return (bytes(key) for key in self._cursor(database).iternext(keys=True, values=False))

    def _drop_keys(self, database: bytes, keys: Iterable[bytes], most: int) -> int:
        doomed = list(islice(keys, most))
        for key in doomed:
            self._transaction.delete(key, db=self._environment.database(database))
        return len(doomed)

    def _cursor(self, database: bytes) -> lmdb.Cursor:
        return self._transaction.cursor(self._environment.database(database))

    def _get(self, database: bytes, key: bytes, *, check: bool = True) -> memoryview | None:
        value = self._transaction.get(key, db=self._environment.database(database))
        return None if value is None else layout.unseal(database, key, value, check=check)

    def _put(self, database: bytes, key: bytes, *payload: bytes | memoryview) -> None:
        self._transaction.put(key, layout.seal(key, *payload), db=self._environment.database(database))

    def _meta(self, name: bytes, *default: Any) -> Any:
        payload = self._get(layout.META, name)
        if payload is not None:
            return layout.unpack(payload)
        if default:
            return default[0]
        raise CorruptStoreError(f"The store has no '{name.decode()}' entry; restore it from a copy, or build it again.")

    def _put_meta(self, name: bytes, values: Any) -> None:
        self._put(layout.META, name, layout.pack(values))


def _no_texts() -> tuple[list[str], npt.NDArray[np.int32]]:
    return [], np.full(BLOCK, -1, np.int32)


def head_entry(head: Head) -> dict[str, Any]:
    """Return a head as plain values."""
    columns = [[column.space, column.output, column.view] for column in head.columns]
    return {"version": head.version, "space": head.space, "columns": columns}


def head_of(entry: Mapping[str, Any]) -> Head:
    """Return the head that `head_entry` gave, or that a version of the log made."""
    return Head(entry["version"], entry["space"], tuple(Column(*column) for column in entry["columns"]))

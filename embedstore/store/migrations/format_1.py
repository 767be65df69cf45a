"""A generation of format 1, only read: what was other in that format stands here.

    database    key                                        value
    meta        head | store | space:HEX | rows |          msgpack
                publishing
    records     id key (16) + version (8)                  msgpack: one sample as that version describes it, and its row
    rows, vectors, aside, summaries                        as in format 2

There was no log, and of columns only the head told. The record that counts was the newest at or before a version.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import lmdb
import numpy as np

from embedstore.errors import CorruptStoreError
from embedstore.images import FIELDS
from embedstore.store import layout
from embedstore.store.data_file import DATA, can_be_walked
from embedstore.store.environment import FIRST_MAP_BYTES
from embedstore.store.fields import Record
from embedstore.store.layout import ASIDE, BLOCK, META, NEVER, ROWS, SUMMARIES, VECTORS, Head
from embedstore.store.rows import Rows
from embedstore.store.tables import head_of

RECORDS = b"records"
DATABASES = (META, RECORDS, ROWS, VECTORS, ASIDE, SUMMARIES)

_TEXTS = ("id", "uri", *FIELDS)
_NESTED = ("attributes", "source")


class OldGeneration:
    """What a generation holds, every value checked when it is read; what was begun and not published counts for nothing.

    Nothing may write to it meanwhile: hold the store's lock.

    Attributes:
        head: the newest version.
        outputs: of its teacher, and the length of their vectors.

    Raises:
        CorruptStoreError: the data file can't be read, or holds what the releases of format 1 never wrote.
    """

    def __init__(self, directory: Path):
        self._directory = directory
        if not (directory / DATA).is_file() or not can_be_walked(directory):
            raise self.damaged("its data.mdb is missing, cut off, or no data file of such a store")
        with self._errors():
            self._env = lmdb.open(
                str(directory),
                map_size=FIRST_MAP_BYTES,
                max_dbs=len(DATABASES),
                readonly=True,
                lock=False,
                create=False,
            )
        try:
            with self._errors():
                self._databases = {name: self._env.open_db(name, create=False) for name in DATABASES}
                self._transaction = self._env.begin(buffers=True)
            self.head = self._head()
            self.outputs = self._outputs()
        except BaseException:
            self._env.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._transaction.abort()
        self._env.close()

    def count(self, database: bytes) -> int:
        """Return how many values a database holds."""
        with self._errors():
            return int(self._transaction.stat(self._databases[database])["entries"])

    def entries(self, database: bytes) -> Iterator[tuple[bytes, memoryview]]:
        """Yield keys and values of a database, checksums included; they are valid while this is open."""
        met = 0
        with self._errors():
            for found, value in self._transaction.cursor(self._databases[database]):
                key, met = bytes(found), met + 1
                self._unsealed(database, key, value)
                yield key, value
        if met != self.count(database):
            raise self.damaged(
                f"of its table '{database.decode()}' only {met} of {self.count(database)} values are there"
            )

    def rows(self) -> Rows:
        """Return all rows (n,) as format 2 keeps them: rows that no version will show have `born == died == 0`."""
        count = self._meta(b"rows")
        blocks = {int.from_bytes(key, "big"): value[:-4] for key, value in self.entries(ROWS)}
        if type(count) is not int or not 0 <= count <= BLOCK * (max(blocks, default=-1) + 1):
            raise self.damaged(f"it has {len(blocks)} blocks of rows, and says that {count} rows are in use")
        if any(len(payload) != BLOCK * layout.ROW.itemsize for payload in blocks.values()):
            raise self.damaged("blocks of its rows have a wrong length")
        empty = layout.empty_rows().tobytes()
        rows = np.frombuffer(b"".join(blocks.get(block, empty) for block in range(-(-count // BLOCK))), layout.ROW)
        rows = rows[:count].copy()
        begun = np.uint64(self.head.version + 1)
        rows["died"][rows["died"] == begun] = NEVER
        rows["born"][rows["born"] == begun] = NEVER
        swept = (rows["born"] == rows["died"]) & (rows["born"] != np.uint64(NEVER))
        rows["born"][swept] = rows["died"][swept] = 0
        for bound in (rows["born"], rows["died"]):
            if (
                (bound > np.uint64(self.head.version)) & (bound != np.uint64(NEVER)) | (rows["born"] > rows["died"])
            ).any():
                raise self.damaged("rows of it say that they are of versions that can't be")
        return rows

    def places(self, rows: Rows) -> list[tuple[int, int, bytes]]:
        """Return version, row and key of every record, in this order.

        Raises:
            CorruptStoreError: records and rows do not fit together.
        """
        places = []
        named = np.zeros(len(rows), bool)
        for key, value in self.entries(RECORDS):
            version, record = int.from_bytes(key[16:], "big"), self._record(value[:-4])
            if version == self.head.version + 1:
                continue  # begun, never published
            row = rows[record.row] if record.row < len(rows) else None
            if (
                row is None
                or len(key) != 24
                or layout.id_key(record.id) != key[:16]
                or row["key"].tobytes() != key[:16]
                or row["content"].tobytes() != record.content
                or not row["born"] <= version < row["died"]
            ):
                raise self.damaged(
                    f"what it says of the sample '{record.id}' at version {version} does not fit its row"
                )
            named[record.row] |= row["born"] == version
            places.append((version, record.row, key))
        shown = rows["born"] < np.minimum(rows["died"], np.uint64(NEVER))
        if (shown & ~named).any():
            raise self.damaged(f"{int((shown & ~named).sum())} rows of it are of samples that nothing is known of")
        if self.head.version > len(places) + len(rows):  # a version has a record of its own, or a row that dies
            raise self.damaged(f"it says that its newest version is {self.head.version}, and holds less than that")
        self._refuse_twice(rows[shown])
        return sorted(places)

    def record(self, key: bytes) -> Record:
        """Return a record by its key."""
        with self._errors():
            value = self._transaction.get(key, b"", db=self._databases[RECORDS])
        return self._record(self._unsealed(RECORDS, key, value))

    def _unsealed(self, database: bytes, key: bytes, value: bytes | memoryview) -> memoryview:
        try:
            return layout.unseal(database, key, value)
        except CorruptStoreError as error:  # `verify`, which it names, reads no store of this format
            raise self.damaged(f"a value of its table '{database.decode()}' fails its checksum") from error

    def damaged(self, why: str) -> CorruptStoreError:
        """Return the error that says what is wrong with it."""
        return CorruptStoreError(
            f"'{self._directory}' is damaged: {why}; it stays as it was. Restore the store from a copy, or build it again."
        )

    def _refuse_twice(self, shown: Rows) -> None:
        """Raise where a version would show two rows of one sample."""
        keys = np.ascontiguousarray(shown["key"]).view("S16").reshape(-1)
        order = np.lexsort((shown["born"], keys))
        rows, keys = shown[order], keys[order]
        if ((keys[1:] == keys[:-1]) & (rows["born"][1:] < rows["died"][:-1])).any():
            raise self.damaged("samples of it are there twice")

    def _head(self) -> Head:
        values, begun = self._meta(b"head"), self._meta(b"publishing", None)
        try:
            head = head_of({**values, "samples": 0})  # nobody counted
            sound = all(len(bytes.fromhex(column.space)) == 16 and column.output for column in head.columns)
            sound = (
                sound and type(head.version) is int and 0 <= head.version < NEVER - 1 and isinstance(head.space, str)
            )
        except (KeyError, TypeError, ValueError):
            sound = False
        if not sound or begun not in (None, head.version + 1):
            raise self.damaged("what it says of its newest version can't be")
        return head

    def _outputs(self) -> dict[str, int]:
        values = self._meta(f"space:{self.head.space}".encode())
        outputs = values.get("outputs") if isinstance(values, dict) else None
        if (
            not isinstance(outputs, dict)
            or not all(type(length) is int and length > 0 for length in outputs.values())
            or any(column.space != self.head.space or column.output not in outputs for column in self.head.columns)
        ):
            raise self.damaged("what it says of its teacher can't be")
        return outputs

    def _record(self, payload: memoryview) -> Record:
        values = layout.unpack(payload)
        try:
            record = Record(**values)
        except TypeError:
            raise self.damaged("a record of it is none of a sample") from None
        texts = [getattr(record, name) for name in _TEXTS if name in values]
        for nested in [getattr(record, name) for name in _NESTED if name in values]:
            texts += [*nested, *nested.values()] if isinstance(nested, dict) else [nested]
        sound = type(record.row) is int and record.row >= 0 and isinstance(record.content, bytes)
        if not sound or not all(isinstance(text, str) for text in texts):
            raise self.damaged("a record of it is none of a sample")
        return record

    def _meta(self, name: bytes, *default: Any) -> Any:
        with self._errors():
            value = self._transaction.get(name, db=self._databases[META])
        if value is not None:
            return layout.unpack(self._unsealed(META, name, value))
        if default:
            return default[0]
        raise self.damaged(f"it has no entry '{name.decode()}'")

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except lmdb.Error as error:
            raise self.damaged(f"LMDB can't read it ({error})") from error

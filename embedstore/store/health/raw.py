"""A generation as it lies on the disk: opened only to be looked at, whatever state it is in.

Opening makes nothing, and neither waits for a writer nor stops one. What LMDB meets in a damaged file may end the process:
look in a process of its own; see `isolation`.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import lmdb

from embedstore.errors import CorruptStoreError
from embedstore.store import layout
from embedstore.store.data_file import PLACEHOLDER
from embedstore.store.environment import FIRST_MAP_BYTES
from embedstore.store.health import entries
from embedstore.store.layout import DATABASES, META, Head
from embedstore.store.tables import head_of

_AT_ONCE, _BYTES_AT_ONCE = 256, 1 << 24  # entries and bytes in one transaction: a pinned reader makes the file grow


class RawStore:
    """The databases of a generation, as entries.

    Attributes:
        missing: databases that are not there.
        torn: database -> the last key before and the first behind the place where it can't be walked, b"" for none.
        limit: the highest version that rows and fields may bear, as of what the last walk gave; None: that can't be told.
        head: as of then.
        row_count: how many rows there were then; None: that can't be told.
    """

    limit: int | None = None
    head: Head | None = None
    row_count: int | None = None

    def __init__(self, generation: Path):
        lock = os.access(generation, os.W_OK)
        try:
            self._env = lmdb.open(
                str(generation),
                map_size=FIRST_MAP_BYTES,
                max_dbs=len(DATABASES),
                readonly=True,
                lock=lock,
                create=False,
            )
        except lmdb.Error as error:
            raise CorruptStoreError(f"LMDB can't open '{generation / 'data.mdb'}' ({error}).") from error
        self._databases: dict[bytes, lmdb._Database] = {}
        self.torn: dict[bytes, tuple[bytes, bytes]] = {}
        for name in DATABASES:
            try:
                self._databases[name] = self._env.open_db(name, create=False)
            except lmdb.Error:
                continue
        self.missing = [name for name in DATABASES if name not in self._databases]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._env.close()

    def count(self, database: bytes) -> int:
        """Return how many entries LMDB says a database has; 0 where even that can't be told."""
        if database in self.missing:
            return 0
        try:
            with self._env.begin() as transaction:
                return int(transaction.stat(self._databases[database])["entries"])
        except lmdb.Error:
            return 0

    def get(self, database: bytes, key: bytes) -> bytes | None:
        """Return the payload of an entry; None where it is missing or not sound."""
        try:
            with self._env.begin(buffers=True) as transaction:
                return self._get(transaction, database, key)
        except lmdb.Error:
            return None

    def meta(self, name: bytes) -> Any:
        """Return what an entry of the database `meta` holds; None where it is missing or not sound."""
        try:
            with self._env.begin(buffers=True) as transaction:
                return self._meta(transaction, name)
        except lmdb.Error:
            return None

    def walk(self, database: bytes) -> Iterator[tuple[bytes, memoryview]]:
        """Yield the keys and values of a database in order, a value being valid until the next is asked for.

        Where LMDB can't go on, or keys do not rise, `torn` says between which keys. What lies behind that place is then
        walked from the other end, and comes in falling order; one or two entries may come twice.
        """
        self.torn.pop(database, None)
        yield from self._from(database, forward=True)
        if database in self.torn:
            last, first = self.torn[database][0], b""
            for key, value in self._from(database, forward=False):
                if key == last:
                    break
                yield key, value
                if key < last:
                    break
                first = key
            self.torn[database] = last, first

    def structure(self, database: bytes) -> Iterator[tuple[str, bytes]]:
        """Yield what is wrong with the order of a database, in a few words, each with a key near the place."""
        try:
            with self._env.begin(buffers=True) as transaction:
                handle = self._databases[database]
                expected, met, last = transaction.stat(handle)["entries"], 0, b""
                for found in transaction.cursor(handle).iternext(keys=True, values=False):
                    key = bytes(found)
                    if met and key <= last:
                        yield "keys are out of order", key
                        return
                    if transaction.get(key, db=handle) is None:
                        yield "an entry is there, but can't be looked up", key
                    met, last = met + 1, key
                if met != expected:
                    yield f"{met} entries are there in place of {expected}", last
        except lmdb.Error as error:
            yield f"LMDB can't walk to the end ({error})", b""

    def _from(self, database: bytes, *, forward: bool) -> Iterator[tuple[bytes, memoryview]]:
        last: bytes | None = None
        before = b""  # the key before the last: where keys do not rise, either of two may be the wrong one
        while True:
            taken = size = 0
            try:
                with self._env.begin(buffers=True) as transaction:
                    self._look_around(transaction)
                    cursor = transaction.cursor(self._databases[database])
                    found = self._place(cursor, last, forward=forward)
                    while found and taken < _AT_ONCE and size < _BYTES_AT_ONCE:
                        key, value = bytes(cursor.key()), cursor.value()
                        if key == PLACEHOLDER:
                            found = cursor.next() if forward else cursor.prev()
                            continue
                        if last is not None and (key <= last if forward else key >= last):
                            self.torn[database] = before, b""
                            return
                        yield key, value
                        before = last or b""
                        last, taken, size = key, taken + 1, size + len(value)
                        found = cursor.next() if forward else cursor.prev()
            except lmdb.Error:
                self.torn[database] = last or b"", b""
                return
            if not found:
                return

    @staticmethod
    def _place(cursor: lmdb.Cursor, last: bytes | None, *, forward: bool) -> bool:
        if last is None:
            return cursor.first() if forward else cursor.last()
        at_or_behind = cursor.set_range(last)
        if forward:
            return cursor.next() if at_or_behind and bytes(cursor.key()) == last else at_or_behind
        return cursor.prev() if at_or_behind else cursor.last()

    def _look_around(self, transaction: lmdb.Transaction) -> None:
        head, publishing, rows = (self._meta(transaction, name) for name in (b"head", b"publishing", b"rows"))
        self.head = None if head is None else head_of(head)
        self.limit = publishing if publishing is not None or head is None else head["version"]
        self.row_count = rows

    def _meta(self, transaction: lmdb.Transaction, name: bytes) -> Any:
        payload = self._get(transaction, META, name)
        return None if payload is None else layout.unpack(memoryview(payload))

    def _get(self, transaction: lmdb.Transaction, database: bytes, key: bytes) -> bytes | None:
        handle = self._databases.get(database)
        value = None if handle is None else transaction.get(key, db=handle)
        if value is None or entries.problem(database, key, memoryview(value)) is not None:
            return None
        return bytes(memoryview(value)[:-4])

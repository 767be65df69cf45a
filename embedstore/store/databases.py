"""The databases inside one transaction, as entries: keys, and payloads whose checksums were checked."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice, takewhile
from typing import Any

import lmdb

from embedstore.errors import CorruptStoreError
from embedstore.store import layout
from embedstore.store.decoding import decode, sound_key
from embedstore.store.environment import Environment


class Databases:
    """The databases of a store as one transaction sees them."""

    def __init__(self, environment: Environment, transaction: lmdb.Transaction):
        self._environment = environment
        self._transaction = transaction

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

    def entries(self, database: bytes) -> int:
        """Return how many values a database holds."""
        return int(self._transaction.stat(self._environment.database(database))["entries"])

    def size(self, database: bytes) -> int:
        """Return how many bytes a database takes, in whole pages."""
        stat = self._transaction.stat(self._environment.database(database))
        return int(stat["psize"] * (stat["branch_pages"] + stat["leaf_pages"] + stat["overflow_pages"]))

    # Below

    def _keys(self, database: bytes) -> Iterator[bytes]:
        return (bytes(key) for key in self._cursor(database).iternext(keys=True, values=False))

    def _sound_keys(self, database: bytes) -> Iterator[bytes]:
        """Yield the keys of a database.

        Raises:
            CorruptStoreError: one has not the form that they have.
        """
        for key in self._keys(database):
            if not sound_key(database, key):
                raise CorruptStoreError(
                    f"The store's table '{database.decode()}' has a key that can't be; see what else is damaged with: "
                    "embedstore verify STORE"
                )
            yield key

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

    def _value(self, database: bytes, key: bytes) -> Any:
        """Return what an entry holds, checked; None where there is no such."""
        payload = self._get(database, key)
        return None if payload is None else decode(database, key, payload)

    def _values(self, database: bytes) -> Iterator[tuple[bytes, Any]]:
        """Yield all keys of a database in order, with what each entry holds, checked."""
        for found, value in self._cursor(database):
            key = bytes(found)
            yield key, decode(database, key, layout.unseal(database, key, value))

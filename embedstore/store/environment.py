"""The LMDB handle: one per store and process, never across a fork, growing where the map is the file's size."""

import os
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import lmdb

from embedstore.errors import CorruptStoreError, StoreError
from embedstore.store.layout import DATABASES

T = TypeVar("T")

# On 64-bit Linux and macOS the file is sparse: map more than will ever be needed and never resize. On Windows the map
# is the file's size, so it grows as needed.
FIRST_MAP_BYTES = 1 << 40 if sys.maxsize > 1 << 32 and os.name != "nt" else 1 << 28

_open: dict[Path, "Environment"] = {}
_guard = threading.Lock()


class Environment:
    """A shared LMDB environment; get one with `open_environment`, give it back with `release`."""

    def __init__(self, directory: Path):
        self.directory = directory
        self._pid = os.getpid()
        self._users = 0
        read_only = not os.access(directory, os.W_OK)
        try:
            self._env = lmdb.open(
                str(directory),
                map_size=FIRST_MAP_BYTES,
                max_dbs=len(DATABASES),
                max_readers=1024,
                readonly=read_only,
                lock=not read_only,
            )
            self._databases = {name: self._env.open_db(name, create=not read_only) for name in DATABASES}
        except lmdb.Error as error:
            raise CorruptStoreError(f"'{directory}' can't be opened as LMDB ({error}); restore the store from a copy.") from error

    def database(self, name: bytes) -> "lmdb._Database":
        """Return the handle of a database."""
        return self._databases[name]

    @contextmanager
    def read(self) -> Iterator[lmdb.Transaction]:
        """Open a read transaction; values are memory views, valid inside only."""
        self._refuse_fork()
        with self._env.begin(buffers=True) as transaction:
            yield transaction

    def write(self, work: Callable[[lmdb.Transaction], T]) -> T:
        """Run `work` in a write transaction and sync it to disk; `work` runs again where the map had to grow.

        Raises:
            StoreError: the disk is full, or the store is read-only.
        """
        self._refuse_fork()
        while True:
            try:
                with self._env.begin(write=True, buffers=True) as transaction:
                    return work(transaction)
            except lmdb.MapFullError:
                self._env.set_mapsize(self._env.info()["map_size"] * 2)
            except lmdb.ReadonlyError as error:
                raise StoreError(f"The store in '{self.directory}' is read-only; copy it to where you may write.") from error
            except (lmdb.DiskError, lmdb.Error) as error:
                raise StoreError(
                    f"Writing to '{self.directory}' failed ({error}); what was committed before is safe. Free some disk space "
                    "or check the permissions, then run the command again."
                ) from error

    def clear_stale_readers(self) -> None:
        """Free the slots of readers that died: a pinned reader makes the file grow."""
        self._env.reader_check()

    def release(self) -> None:
        """Give the handle back; the last user closes it."""
        with _guard:
            self._users -= 1
            if self._users <= 0 and self._pid == os.getpid() and _open.get(self.directory) is self:
                del _open[self.directory]
                self._env.close()

    def _refuse_fork(self) -> None:
        if self._pid != os.getpid():
            raise StoreError(
                "A forked process can't use a store that its parent opened; start workers with the 'spawn' method and open "
                "the store in the worker."
            )


def open_environment(directory: Path) -> Environment:
    """Return the process's handle on a generation directory.

    Raises:
        CorruptStoreError: LMDB can't open it.
        StoreError: the process inherited the handle by a fork.
    """
    real = directory.resolve()
    with _guard:
        environment = _open.get(real)
        if environment is None:
            if not (real / "data.mdb").is_file():
                raise CorruptStoreError(f"'{real}' has no data.mdb; restore the store from a copy.")
            environment = _open[real] = Environment(real)
        environment._refuse_fork()
        environment._users += 1
        return environment

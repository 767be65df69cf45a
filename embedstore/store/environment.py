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
from embedstore.store.data_file import DATA, refuse_truncated
from embedstore.store.layout import DATABASES, read_current

T = TypeVar("T")

# On 64-bit Linux and macOS the file is sparse: map more than will ever be needed and never resize. On Windows the map
# is the file's size, so it grows as needed.
FIRST_MAP_BYTES = 1 << 40 if sys.maxsize > 1 << 32 and os.name != "nt" else 1 << 28

_DAMAGED = (lmdb.CorruptedError, lmdb.InvalidError, lmdb.PageNotFoundError, lmdb.PanicError, lmdb.VersionMismatchError)
_PATIENCE_SECONDS = 60

_open: dict[Path, "Environment"] = {}
_guard = threading.Lock()


class Environment:
    """A shared LMDB environment; get one with `open_environment`, give it back with `release`."""

    def __init__(self, directory: Path):
        self.directory = directory
        self.identity = _identity(directory)
        self._pid = os.getpid()
        self._users = 0
        self._active = 0  # transactions of this process
        self._turn = threading.Condition()
        refuse_truncated(directory)
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
        except lmdb.Error as error:
            raise self._failed("Opening", error) from error
        try:
            self._databases = {name: self._env.open_db(name, create=not read_only) for name in DATABASES}
        except lmdb.Error as error:
            self._env.close()
            raise self._failed("Opening", error) from error

    def database(self, name: bytes) -> "lmdb._Database":
        """Return the handle of a database."""
        return self._databases[name]

    @contextmanager
    def read(self) -> Iterator[lmdb.Transaction]:
        """Open a read transaction; values are memory views, valid inside only.

        Raises:
            CorruptStoreError: LMDB meets a page that can't be one of its own.
        """
        self._refuse_fork()
        self._refuse_closed()
        try:
            with self._transaction(write=False) as transaction:
                yield transaction
        except lmdb.Error as error:
            raise self._failed("Reading", error) from error

    def write(self, work: Callable[[lmdb.Transaction], T]) -> T:
        """Run `work` in a write transaction and sync it to disk; `work` runs again where the map had to grow.

        Raises:
            StoreError: the disk is full, or the store is read-only.
            CorruptStoreError: LMDB meets a page that can't be one of its own.
        """
        self._refuse_fork()
        self._refuse_closed()
        while True:
            try:
                with self._transaction(write=True) as transaction:
                    return work(transaction)
            except lmdb.MapFullError:
                self._resize(self._env.info()["map_size"] * 2)
            except lmdb.ReadonlyError as error:
                raise StoreError(
                    f"The store in '{self.directory}' is read-only; copy it to where you may write."
                ) from error
            except lmdb.Error as error:
                raise self._failed("Writing", error) from error

    def clear_stale_readers(self) -> None:
        """Free the slots of readers that died: a pinned reader makes the file grow."""
        self._env.reader_check()

    def release(self) -> None:
        """Give the handle back; the last user closes it."""
        with _guard:
            self._users -= 1
            if self._users <= 0 and self._pid == os.getpid():
                if _open.get(self.directory) is self:
                    del _open[self.directory]
                self._env.close()

    @contextmanager
    def _transaction(self, *, write: bool) -> Iterator[lmdb.Transaction]:
        with self._turn:
            try:
                begun = self._env.begin(write=write, buffers=True)
            except lmdb.MapResizedError:
                self._resize(0)  # another process made the map grow: take its size
                begun = self._env.begin(write=write, buffers=True)
            self._active += 1
        try:
            with begun as transaction:
                yield transaction
        finally:
            with self._turn:
                self._active -= 1
                self._turn.notify_all()

    def _resize(self, size: int) -> None:
        """Map the file anew once no other thread looks at the old map: a view of it would be a segmentation fault."""
        with self._turn:
            if not self._turn.wait_for(lambda: self._active == 0, _PATIENCE_SECONDS):
                raise StoreError(
                    f"The store in '{self.directory}' has to grow, but this process has been reading it for "
                    f"{_PATIENCE_SECONDS} s without a pause; stop reading, then run the command again."
                )
            self._env.set_mapsize(size)

    def _failed(self, doing: str, error: lmdb.Error) -> StoreError:
        if isinstance(error, _DAMAGED):
            return CorruptStoreError(
                f"{doing} '{self.directory}' failed, for its data.mdb is damaged ({error}); restore the store from a "
                "copy, or build it again."
            )
        return StoreError(
            f"{doing} '{self.directory}' failed ({error}); what was committed before is safe. Free some disk space or "
            "check the permissions, then run the command again."
        )

    def _refuse_closed(self) -> None:
        if self._users <= 0:
            raise StoreError(f"The store in '{self.directory}' was closed; open it again with embedstore.open.")

    def _refuse_fork(self) -> None:
        if self._pid != os.getpid():
            raise StoreError(
                "A forked process can't use a store that its parent opened; start workers with the 'spawn' method and "
                "open the store in the worker."
            )


def open_environment(directory: Path) -> Environment:
    """Return the process's handle on a generation directory.

    Raises:
        CorruptStoreError: LMDB can't open it.
        StoreError: the process inherited the handle by a fork.
    """
    real = directory.resolve()
    with _guard:
        identity = _identity(real)
        environment = _open.get(real)
        # A store that was deleted and built again at its old place is another one, even while somebody holds the old.
        if environment is None or environment.identity != identity:
            environment = _open[real] = Environment(real)
        environment._refuse_fork()
        environment._users += 1
        return environment


def open_current(store: Path) -> Environment:
    """Return the process's handle on the generation that a store uses.

    Raises:
        NotAStoreError, StoreError, CorruptStoreError: see `layout.read_current` and `open_environment`.
    """
    while True:
        generation = read_current(store)
        try:
            environment = open_environment(generation)
        except StoreError:
            if read_current(store) == generation:
                raise
            continue
        if read_current(store) == generation:
            return environment
        # A compaction replaced it meanwhile. It may have been half removed by then, and LMDB makes anew what it misses.
        environment.release()


def _identity(directory: Path) -> tuple[int, int]:
    """Return what tells this data file from another at the same place."""
    try:
        found = (directory / DATA).stat()
    except OSError as error:
        raise CorruptStoreError(f"'{directory}' has no {DATA}; restore the store from a copy.") from error
    return found.st_dev, found.st_ino

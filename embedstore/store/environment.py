"""The LMDB handle: one per directory and process, never across a fork, growing where the map is the file's size."""

import contextlib
import errno
import os
import sys
import threading
import weakref
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import lmdb

from embedstore.errors import CorruptStoreError, StoreError
from embedstore.store.data_file import DATA, refuse_truncated
from embedstore.store.layout import DATABASES, read_current, sync_directory

T = TypeVar("T")

# On 64-bit Linux and macOS the file is sparse: map more than will ever be needed and never resize. On Windows the map
# is the file's size, so it grows as needed.
FIRST_MAP_BYTES = 1 << 40 if sys.maxsize > 1 << 32 and os.name != "nt" else 1 << 28

_DAMAGED = (lmdb.CorruptedError, lmdb.InvalidError, lmdb.PageNotFoundError, lmdb.PanicError, lmdb.VersionMismatchError)
_PATIENCE_SECONDS = 60
_READERS = 1024
_LOCK_BYTES = 72 * _READERS  # 64 for each reader, and some for all
_LOCK_MODE = 0o755  # as LMDB's Python binding makes it

_open: dict[Path, "Environment"] = {}
_dropped: deque["Environment"] = deque()  # given back by a garbage collection, which may run anywhere, under any lock
_guard = threading.RLock()  # a signal handler may fork while its thread holds it


class Environment:
    """A shared LMDB environment; get one with `open_environment`, give it back with `release`.

    It is opened to read, and anew to write by the first write. For in an environment that can write, LMDB's Python binding
    opens databases only by a write transaction, and whoever reads must not wait for a writer.
    """

    def __init__(self, directory: Path, databases: Sequence[bytes], *, create: bool = False):
        self.directory = directory
        self._names = databases
        self._pid = os.getpid()
        self._users = 0
        self._active = 0  # transactions of this process, begun or about to
        self._turn = threading.Condition()  # nobody waits for LMDB while they hold it, unless they are alone
        if create:
            self._open(write=True, create=True)
            self.identity = _identity(directory)
            return
        self.identity = _identity(directory)
        try:
            self._open(write=False)
        except lmdb.Error as error:
            raise self._failed("Opening", error) from error

    def database(self, name: bytes) -> "lmdb._Database":
        """Return the handle of a database, for the transaction that one is in."""
        return self._databases[name]

    @contextmanager
    def read(self) -> Iterator[lmdb.Transaction]:
        """Open a read transaction, which waits for no writer; values are memory views, valid inside only.

        Raises:
            CorruptStoreError: LMDB meets a page that can't be one of its own.
        """
        self._refuse_fork()
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
        while True:
            try:
                if not self._writable:
                    self._make_writable()
                with self._transaction(write=True) as transaction:
                    return work(transaction)
            except lmdb.MapFullError:
                self._resize(self._env.info()["map_size"] * 2)
            except lmdb.Error as error:
                raise self._failed("Writing", error) from error

    def clear_stale_readers(self) -> None:
        """Free the slots of readers that died: a pinned reader makes the file grow."""
        with self._held():
            self._env.reader_check()

    def release(self) -> None:
        """Give the handle back; the last user closes it, or the last transaction that is under way by then."""
        with _guard:
            self._users -= 1
        self._close_if_unused()

    @contextmanager
    def _held(self) -> Iterator[None]:
        """Keep the environment open and its map in place while inside."""
        with self._turn:
            self._refuse_closed()
            self._active += 1
        try:
            yield
        finally:
            with self._turn:
                self._active -= 1
                self._turn.notify_all()
            if self._users <= 0:
                self._close_if_unused()

    def _close_if_unused(self) -> None:
        if self._pid != os.getpid():
            return  # its locks were inherited by the fork, too, perhaps held by a thread that is not here
        with _guard, self._turn:
            if self._users <= 0 and self._active == 0:
                if _open.get(self.directory) is self:
                    del _open[self.directory]
                self._env.close()

    @contextmanager
    def _transaction(self, *, write: bool) -> Iterator[lmdb.Transaction]:
        while True:
            with self._held():
                try:
                    begun = self._env.begin(write=write, buffers=True)
                except lmdb.MapResizedError:
                    pass
                else:
                    with begun as transaction:
                        yield transaction
                    return
            self._resize(0)  # another process made the map grow: take its size

    def _resize(self, size: int) -> None:
        with self._alone():
            self._env.set_mapsize(size)

    def _make_writable(self) -> None:
        self._refuse_closed()
        if not os.access(self.directory / DATA, os.W_OK) or not os.access(self.directory, os.W_OK):
            raise StoreError(f"The store in '{self.directory}' is read-only; copy it to where you may write.")
        with self._alone():
            if not self._writable:
                self._env.close()
                try:
                    self._open(write=True)
                except lmdb.Error:
                    self._open(write=False)
                    raise

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Wait until no thread looks at the map: a view of an old one would be a segmentation fault."""
        with self._turn:
            if not self._turn.wait_for(lambda: self._active == 0, _PATIENCE_SECONDS):
                raise StoreError(
                    f"The store in '{self.directory}' has to grow, but this process has been reading it for "
                    f"{_PATIENCE_SECONDS} s without a pause; stop reading, then run the command again."
                )
            self._refuse_closed()
            yield

    def _open(self, *, write: bool, create: bool = False) -> None:
        file = self.directory / DATA
        lock = self.directory / "lock.mdb"
        self._writable = write
        locks = write or os.access(lock if lock.exists() else self.directory, os.W_OK)
        if locks:
            _lay_out(lock, write=write)
        self._env = lmdb.open(
            str(self.directory),
            # Where the map is the file's size, that of a reader ends there, and LMDB has to know.
            map_size=FIRST_MAP_BYTES if write or os.name != "nt" else file.stat().st_size,
            max_dbs=len(self._names),
            max_readers=_READERS,
            readonly=not write,
            lock=locks,
            create=create,
        )
        try:
            if write:
                with self._env.begin(write=True) as transaction:
                    self._databases = {
                        name: self._env.open_db(name, transaction, create=create) for name in self._names
                    }
            else:
                self._databases = {name: self._env.open_db(name, create=False) for name in self._names}
        except BaseException:
            self._env.close()
            raise

    def _failed(self, doing: str, error: lmdb.Error) -> StoreError:
        if isinstance(error, lmdb.NotFoundError):
            return CorruptStoreError(
                f"'{self.directory / DATA}' lacks a table ({error}); run: embedstore repair '{self.directory.parent.parent}'"
            )
        if isinstance(error, _DAMAGED):
            return CorruptStoreError(
                f"{doing} '{self.directory}' failed, for its data.mdb is damaged ({error}); see what mends it with: "
                f"embedstore verify '{self.directory.parent.parent}'"
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


def _lay_out(lock: Path, *, write: bool) -> None:
    """Give the lock file its blocks: LMDB writes to a sparse one through its map, where a full disk is a signal that kills.

    Not while this process has the environment open, for to close a descriptor of the file gives up its locks there. A reader
    needs no more than the first block, with the slots of 60 readers.

    Raises:
        lmdb.DiskError: there is no room for it.
    """
    if not hasattr(os, "posix_fallocate"):
        return
    begun = False
    with contextlib.suppress(FileNotFoundError):
        found = lock.stat()
        if found.st_size and 512 * found.st_blocks >= found.st_size:
            return
        begun = found.st_blocks > 0
    try:
        handle = os.open(lock, os.O_RDWR | os.O_CREAT, _LOCK_MODE)
    except OSError:  # LMDB says what is wrong
        return
    try:
        os.posix_fallocate(handle, 0, max(os.fstat(handle).st_size, _LOCK_BYTES))
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT) and (write or not begun):
            raise lmdb.DiskError(os.strerror(error.errno)) from error
    finally:
        os.close(handle)


def open_environment(directory: Path, databases: Sequence[bytes] = DATABASES) -> Environment:
    """Return the process's handle on a directory that has these databases; a generation's where not given.

    Raises:
        CorruptStoreError: LMDB can't open it.
        StoreError: the process inherited the handle by a fork.
    """
    release_dropped()
    real = directory.resolve()
    with _guard:
        if (environment := _shared(real)) is not None:
            return environment
    refuse_truncated(real)  # before the lock is taken: to walk a big file takes minutes
    with _guard:
        environment = _shared(real)
        if environment is None:
            environment = _open[real] = Environment(real, databases)
            environment._users = 1
        return environment


def make_environment(directory: Path, databases: Sequence[bytes] = DATABASES) -> Environment:
    """Make a directory with these databases, empty, bring it to the disk, and return the process's handle on it.

    Raises:
        OSError, lmdb.Error: the system does not let it be made.
    """
    directory.mkdir(parents=True)
    real = directory.resolve()
    with _guard:
        environment = _open[real] = Environment(real, databases, create=True)
        environment._users = 1
    try:
        sync_directory(real)
        sync_directory(real.parent)
    except BaseException:
        environment.release()
        raise
    return environment


def _shared(real: Path) -> Environment | None:
    """Return the handle that this process has on a directory, for one user more."""
    identity = _identity(real)
    environment = _open.get(real)
    # A store that was deleted and built again at its old place is another one, even while somebody holds the old.
    if environment is None or environment.identity != identity:
        return None
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


def release_with(owner: object, environment: Environment) -> "weakref.finalize[..., object]":
    """Give a handle back after nobody has `owner` any more, when this process next asks for a handle; detach to do so by hand."""
    finalizer = weakref.finalize(owner, _dropped.append, environment)
    finalizer.atexit = False
    return finalizer


def release_dropped() -> None:
    """Give back the handles whose owners are gone."""
    with contextlib.suppress(IndexError):  # another thread may do the same
        while True:
            _dropped.popleft().release()


def _identity(directory: Path) -> tuple[int, int]:
    """Return what tells this data file from another at the same place."""
    try:
        found = (directory / DATA).stat()
    except OSError as error:
        raise CorruptStoreError(f"'{directory}' has no {DATA}; restore the store from a copy.") from error
    if not found.st_size:
        raise CorruptStoreError(f"'{directory / DATA}' is empty; restore the store from a copy.")
    return found.st_dev, found.st_ino


# A fork waits until no other thread holds the lock, else the child inherits it held for ever. Hooks before a fork run in
# reverse order of registration: that of `distill.handles`, which gives handles back by this lock, is registered later and has
# run by then.
if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_guard.acquire, after_in_parent=_guard.release, after_in_child=_guard.release)

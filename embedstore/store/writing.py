"""The one writer's lock, and publication: how a big change becomes visible in one step."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

import filelock
import lmdb
import numpy as np
import numpy.typing as npt

from embedstore.errors import StoreError, StoreLockedError
from embedstore.store import layout
from embedstore.store.data_file import DATA, fill_up
from embedstore.store.environment import Environment, open_environment
from embedstore.store.fields import Record, fields_of
from embedstore.store.layout import BLOCK, NEVER, Head
from embedstore.store.rows import by_block
from embedstore.store.tables import Tables, head_entry

T = TypeVar("T")

_AT_ONCE = 20_000  # rows or records in one transaction: it holds its dirty pages in memory
_LEFT_BEHIND = {"lock.mdb", "index", layout.DAMAGED}  # in a generation whose removal was cut short

_held: dict[Path, int] = {}  # store -> the process that holds its lock: a forked child inherits this, not the lock


def is_written(path: Path) -> bool:
    """Return whether another process is changing a store now; False where that can't be known."""
    if _held.get(path.resolve()) == os.getpid():
        return False
    try:
        with locked(path):
            return False
    except StoreLockedError:
        return True
    except StoreError:  # only a process that may write can ask
        return False


@contextlib.contextmanager
def locked(path: Path, *, wait: float = 0) -> Iterator[None]:
    """Keep other writers from a store while inside; wait so many seconds for one that is there.

    Raises:
        StoreLockedError: after that, another process writes, which the message names, or this one does.
        StoreError: the system does not let the lock be taken.
    """
    if (path / layout.LOCK).is_symlink():  # whoever opens it would empty the file that it leads to
        raise StoreError(
            f"'{path / layout.LOCK}' is a link, which no store has; remove it, then run the command again."
        )
    real, own, pid_file = path.resolve(), os.getpid(), path / layout.PID
    lock = filelock.FileLock(path / layout.LOCK, timeout=wait)
    try:
        lock.acquire()
    except filelock.Timeout as error:
        waited = f", and still was after {wait:g} s" if wait else ""
        if _held.get(real) == own:
            raise StoreLockedError(
                f"This process (id {own}) is already changing the store '{path}'{waited}; end that change first."
            ) from error
        owner = "unknown"
        with contextlib.suppress(OSError, UnicodeDecodeError):
            owner = pid_file.read_text("utf-8").strip() or owner
        raise StoreLockedError(
            f"Another process (id {owner}) is writing to '{path}'{waited}; wait until it is done, or stop it."
        ) from error
    except OSError as error:
        raise StoreError(
            f"The store '{path}' can't be written: {error.strerror}; copy it to where you may write."
        ) from error
    try:
        _held[real] = own
        with contextlib.suppress(OSError):  # a full disk: the lock is what counts
            _write_pid(pid_file, own)
        yield
    finally:
        try:
            with contextlib.suppress(OSError, UnicodeDecodeError):  # Windows keeps what somebody reads
                if os.getpid() == own and pid_file.read_text("utf-8") == str(own):  # else a forked child leaves
                    pid_file.unlink()
        finally:
            if _held.get(real) == os.getpid():
                del _held[real]
            lock.release()


def _write_pid(file: Path, pid: int) -> None:
    """Write a process id into a file of its own: what lies there may be a link to something else."""
    file.unlink(missing_ok=True)
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0), 0o644)
    with os.fdopen(descriptor, "w", encoding="utf-8") as opened:
        opened.write(str(pid))


@contextlib.contextmanager
def writer(path: Path, *, wait: float = 0) -> Iterator[Writer]:
    """Be the store's one writer while inside; clean up after a writer that died.

    What was changed inside and not published is taken back, whatever ends it.

    Args:
        path: the store.
        wait: for another writer, so many seconds.

    Raises:
        StoreLockedError: another process writes, which the message names, or this one does.
        StoreError, CorruptStoreError: the store can't be opened; nothing of it was removed.
    """
    with locked(path, wait=wait):
        generation = layout.read_current(path)  # under the lock, for a compaction may have replaced it
        environment = open_environment(generation)
        try:
            environment.clear_stale_readers()
            session = Writer(environment)
            session.read(lambda tables: tables.head())  # else what is swept next may be the only copy
            sweep_generations(path, generation)
            session.undo()
            try:
                yield session
            except BaseException:
                session.close()
                with contextlib.suppress(StoreError):  # on a full disk the next writer does it
                    Writer(environment).undo()
                raise
            finally:
                session.close()
        finally:
            with contextlib.suppress(OSError):  # a full disk: then whoever opens the store looks closer
                fill_up(environment.directory)
            environment.release()


def sweep_generations(path: Path, used: Path) -> None:
    """Remove the generations that a compaction left; one that another process still reads on Windows waits for the next.

    One that a repair marked as damaged is kept, under another name. What is no generation, or a link, is left alone, and all
    is where the one in use is not there.
    """
    if (path / layout.GENERATIONS).is_symlink() or not (used / DATA).is_file():
        return
    for generation in layout.generations(path):
        if generation.name == used.name or not _is_generation(generation):
            continue
        if (generation / layout.DAMAGED).exists():
            names = (f"{generation.name}.damaged{number}" for number in ("", *range(2, 1000)))
            aside = next(path for name in names if not os.path.lexists(path := generation.with_name(name)))
            with contextlib.suppress(OSError):
                generation.rename(aside)
        else:
            shutil.rmtree(generation, ignore_errors=True)


def _is_generation(directory: Path) -> bool:
    """Return whether this is a directory that holds a data file, or what is left of one after a removal."""
    if directory.is_symlink() or not directory.is_dir():
        return False
    return (directory / DATA).is_file() or {found.name for found in directory.iterdir()} <= _LEFT_BEHIND


class Writer:
    """What the one writer can do. Nothing it writes is seen before `publish` has moved the head.

    Attributes:
        environment: of the generation that is written.
    """

    def __init__(self, environment: Environment):
        self.environment = environment
        self._closed = False

    def close(self) -> None:
        """Refuse all transactions from now on: what a thread or a caller still has in hand comes too late."""
        self._closed = True

    def read(self, work: Callable[[Tables], T]) -> T:
        """Run `work(tables)` in one read transaction; it must not give back a view of the memory map."""
        with self.environment.read() as transaction:
            return work(Tables(self.environment, transaction))

    def write(self, work: Callable[[Tables], T], *, under: int | None = None) -> T:
        """Run `work(tables)` in one synced transaction.

        Args:
            work: what to do.
            under: the version that it is part of, and that must still be marked as being written; None: of none.

        Raises:
            StoreError: the change that it is part of is over, or the disk is full.
        """

        def fenced(transaction: lmdb.Transaction) -> T:
            tables = Tables(self.environment, transaction)
            if self._closed or (under is not None and tables.publishing() != under):
                raise StoreError("The change is over and takes nothing any more; begin another with store.write().")
            return work(tables)

        return self.environment.write(fenced)

    def begin(self) -> int:
        """Mark the next version as being written, and return it: until `publish`, `undo` takes back all that bears it."""
        version = self.read(lambda tables: tables.head()).version + 1
        if self.read(lambda tables: tables.publishing()) != version:
            self.write(lambda tables: tables.put_publishing(version))
        return version

    def publish(
        self,
        head: Head,
        action: str,
        *,
        details: Mapping[str, int] | None = None,
        records: Iterable[Record] = (),
        born: Iterable[int] = (),
        died: Iterable[int] = (),
        swept: Iterable[int] = (),
        aside: dict[str, str] | None = None,
        found: Iterable[str] = (),
        also: Callable[[Tables], None] | None = None,
    ) -> None:
        """Make a change visible as `head`; a kill at any moment leaves the version before it or this one.

        Args:
            head: the new head, one version above the last where fields or rows change; its samples are counted here.
            action: what made the version, for the log.
            details: how much of what, for the log.
            records: new records of samples.
            born: rows that begin with this version.
            died: rows that end with it.
            swept: rows that were staged and will never be seen.
            aside: pictures set aside, in place of those before; None leaves them.
            found: ids of samples that were lost and are embedded again.
            also: what else is to change in the transaction that moves the head, such as tags and summaries.
        """
        version, under = head.version, None
        if version > self.read(lambda tables: tables.head()).version:
            # Only a new version may be marked: undoing takes back all that bears its number.
            under = self.begin()
        self.change_rows(born, born=version, died=NEVER, under=under)
        self.change_rows(swept, born=0, died=0, under=under)
        self.change_rows(died, died=version, under=under)
        remaining = iter(records)
        while chunk := list(islice(remaining, _AT_ONCE)):
            self.put_records(chunk, version, under=under)

        def move(tables: Tables) -> None:
            if aside is not None:
                tables.replace_aside(aside)
            tables.drop_lost(found)
            tables.put_publishing(None)
            counted = replace(head, samples=tables.count_visible(version))
            tables.put_head(counted)
            entry = tables.log_entry(version) or log_entry(counted, action, details or {})
            tables.put_log_entry(version, entry | head_entry(counted))
            if also is not None:
                also(tables)

        self.write(move, under=under)

    def undo(self) -> None:
        """Take back what was begun and did not move the head.

        Rows with a picture's content stay staged, for the next build goes on from them; others are swept.
        """
        version, newest = self.read(lambda tables: (tables.publishing(), tables.head().version))
        if version is None:
            return
        if newest < version < NEVER:
            while (
                self.read(lambda tables: tables.publishing()) == version
            ):  # again, where a thread has written meanwhile
                self._take_back(version)
        else:  # no change can have made such a mark
            self.write(lambda tables: tables.put_publishing(None))

    def _take_back(self, version: int) -> None:
        """Take back all that bears a version, and its mark with the last of it: without one, nobody can write more."""
        rows = self.read(lambda tables: tables.rows())
        begun, known = rows["born"] == np.uint64(version), rows["content"].any(axis=1)
        self.change_rows(np.flatnonzero(rows["died"] == np.uint64(version)), died=NEVER)
        self.change_rows(np.flatnonzero(begun & known), born=NEVER, died=NEVER)
        self.change_rows(np.flatnonzero(begun & ~known), born=0, died=0)
        while self.write(lambda tables: tables.drop_fields(version, _AT_ONCE)):
            pass

        def unmark(tables: Tables) -> None:
            rows = tables.rows()
            left = (rows["born"] == np.uint64(version)) | (rows["died"] == np.uint64(version))
            if not left.any() and not tables.drop_fields(version, _AT_ONCE):
                tables.put_publishing(None)

        self.write(unmark)

    def put_records(self, records: list[Record], version: int, *, under: int | None = None) -> None:
        """Write the fields of some samples as of a version; what a record lacks is taken from its row. See `write`."""
        fields = [fields_of(record) for record in records]
        rows = np.array([record.row for record in records], np.int64)

        def put(tables: Tables) -> None:
            names = dict.fromkeys([*tables.names(), *(name for own in fields for name in own)])
            tables.put_fields(rows, {name: [own.get(name) for own in fields] for name in names}, version)

        self.write(put, under=under)

    def change_rows(self, rows: Iterable[int], *, died: int, born: int | None = None, under: int | None = None) -> None:
        """Set when some rows die, and were born, in bounded transactions; see `write`."""
        ordered = np.sort(np.fromiter(rows, np.int64))
        for start in range(0, len(ordered), _AT_ONCE):
            chunk = ordered[start : start + _AT_ONCE]

            def apply(tables: Tables, chunk: npt.NDArray[np.int64] = chunk) -> None:
                for block, inside in by_block(chunk):
                    rows = tables.row_block(block)
                    rows["died"][chunk[inside] % BLOCK] = died
                    if born is not None:
                        rows["born"][chunk[inside] % BLOCK] = born
                    tables.put_row_block(block, rows)

            self.write(apply, under=under)


def next_head(head: Head) -> Head:
    """Return the head one version later."""
    return replace(head, version=head.version + 1)


def log_entry(head: Head, action: str, details: Mapping[str, int]) -> dict[str, Any]:
    """Return what the log says of a version: when (UTC), by what, how much, and the head it made."""
    now = datetime.now(UTC).isoformat(timespec="seconds")
    return {"time": now, "action": action, "details": dict(details), **head_entry(head)}

"""Making a store, the one writer's lock, and publication: how a big change becomes visible in one step."""

import contextlib
import os
import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

import filelock
import lmdb
import numpy as np

from embedstore.errors import StoreError, StoreLockedError
from embedstore.store import layout
from embedstore.store.environment import Environment, open_environment
from embedstore.store.layout import BLOCK, NEVER, Head, Record
from embedstore.store.tables import Tables

T = TypeVar("T")

_AT_ONCE = 20_000  # rows or records in one transaction: it holds its dirty pages in memory


def create_store(path: Path, settings: dict[str, Any], space: str, description: dict[str, Any]) -> None:
    """Make an empty store, at version 0; it appears by a rename, complete or not at all.

    Raises:
        StoreError: something else is at `path`.
    """
    refuse_other_content(path)
    fresh = path.parent / f".{path.name}.new-{os.getpid()}"
    generation = fresh / layout.GENERATIONS / layout.FIRST_GENERATION
    try:
        generation.mkdir(parents=True)
        lmdb.open(str(generation), map_size=1 << 20).close()
        environment = open_environment(generation)

        def fill(transaction: lmdb.Transaction) -> None:
            tables = Tables(environment, transaction)
            tables.put_settings(settings)
            tables.put_space(space, description)
            tables.put_row_count(0)
            tables.put_head(Head(0, space, ()))

        try:
            environment.write(fill)
        finally:
            environment.release()
        layout.write_current(fresh, layout.FIRST_GENERATION)
        if os.path.isdir(path):
            path.rmdir()  # empty, see above; Windows renames onto nothing that exists
        fresh.rename(path)
    except (OSError, lmdb.Error) as error:
        why = getattr(error, "strerror", None) or error
        raise StoreError(f"The store '{path}' can't be made: {why}; choose a path where you may write.") from error
    finally:
        shutil.rmtree(fresh, ignore_errors=True)


def refuse_other_content(path: Path) -> None:
    """Raise where a new store would overwrite or mix with something else."""
    if os.path.isdir(path) and any(path.iterdir()):
        raise StoreError(f"'{path}' holds other files and is no store; choose a new or empty directory.")
    if os.path.exists(path) and not os.path.isdir(path):
        raise StoreError(f"'{path}' is a file; choose a new or empty directory for the store.")
    if not os.path.isdir(path.parent):
        raise StoreError(f"The directory '{path.parent}' does not exist; make it first, or choose another path.")


@contextmanager
def writer(path: Path, environment: Environment) -> Iterator["Writer"]:
    """Be the store's one writer while inside; clean up after a writer that died.

    Raises:
        StoreLockedError: another process writes; the message names its process id.
    """
    lock = filelock.FileLock(path / layout.LOCK, timeout=0)
    pid_file = path / layout.PID
    try:
        lock.acquire()
    except filelock.Timeout as error:
        owner = "unknown"
        with contextlib.suppress(OSError):
            owner = pid_file.read_text("utf-8").strip() or owner
        raise StoreLockedError(
            f"Another process (id {owner}) is writing to '{path}'; wait until it is done, or stop it."
        ) from error
    except OSError as error:
        raise StoreError(
            f"The store '{path}' can't be written: {error.strerror}; copy it to where you may write."
        ) from error
    try:
        with contextlib.suppress(OSError):  # a full disk: the lock is what counts
            pid_file.write_text(str(os.getpid()), "utf-8")
        environment.clear_stale_readers()
        session = Writer(environment)
        session.undo_unfinished()
        yield session
    finally:
        pid_file.unlink(missing_ok=True)
        lock.release()


class Writer:
    """What the one writer can do. Nothing it writes is seen before `publish` has moved the head."""

    def __init__(self, environment: Environment):
        self._environment = environment

    def read(self, work: Callable[[Tables], T]) -> T:
        """Run `work(tables)` in one read transaction; it must not give back a view of the memory map."""
        with self._environment.read() as transaction:
            return work(Tables(self._environment, transaction))

    def write(self, work: Callable[[Tables], T]) -> T:
        """Run `work(tables)` in one synced transaction."""
        return self._environment.write(lambda transaction: work(Tables(self._environment, transaction)))

    def publish(
        self,
        head: Head,
        *,
        records: Iterable[Record] = (),
        born: Iterable[int] = (),
        died: Iterable[int] = (),
        swept: Iterable[int] = (),
        aside: dict[str, str] | None = None,
    ) -> None:
        """Make a change visible as `head`; a kill at any moment leaves the version before it or this one.

        Args:
            head: the new head; its version is one above the last where records or rows change, else the last.
            records: new records of samples.
            born: rows that begin with this version.
            died: rows that end with it.
            swept: rows that were staged and will never be seen.
            aside: pictures set aside, in place of those before; None leaves them.
        """
        version = head.version
        changes: dict[int, tuple[int | None, int | None]] = dict.fromkeys(born, (version, NEVER))
        changes |= dict.fromkeys(swept, (version, version))
        changes |= dict.fromkeys(died, (None, version))
        if version > self.read(lambda tables: tables.head()).version:
            # Only a new version may be marked: undoing takes back all that bears its number.
            self.write(lambda tables: tables.put_publishing(version))
        self._change_rows(changes)
        remaining = iter(records)
        while chunk := list(islice(remaining, _AT_ONCE)):

            def put(tables: Tables, chunk: list[Record] = chunk) -> None:
                for record in chunk:
                    tables.put_record(record, version)

            self.write(put)

        def move(tables: Tables) -> None:
            if aside is not None:
                tables.replace_aside(aside)
            tables.put_publishing(None)
            tables.put_head(head)

        self.write(move)

    def undo_unfinished(self) -> None:
        """Take back a publication that was killed before it moved the head; its vectors stay staged."""
        version = self.read(lambda tables: tables.publishing())
        if version is None:
            return
        rows = self.read(lambda tables: tables.rows())
        changes: dict[int, tuple[int | None, int | None]] = {}
        for row in np.flatnonzero(rows["died"] == np.uint64(version)):
            changes[int(row)] = (None, NEVER)
        for row in np.flatnonzero(rows["born"] == np.uint64(version)):
            changes[int(row)] = (NEVER, NEVER)
        self._change_rows(changes)
        while self.write(lambda tables: tables.drop_records(version, _AT_ONCE)):
            pass
        self.write(lambda tables: tables.put_publishing(None))

    def _change_rows(self, changes: dict[int, tuple[int | None, int | None]]) -> None:
        """Set born and died of rows, block by block in bounded transactions; None leaves a value."""
        ordered = iter(sorted(changes.items()))
        while chunk := list(islice(ordered, _AT_ONCE)):

            def apply(tables: Tables, chunk: list[tuple[int, tuple[int | None, int | None]]] = chunk) -> None:
                blocks: dict[int, Any] = {}
                for row, (born, died) in chunk:
                    if row // BLOCK not in blocks:
                        blocks[row // BLOCK] = tables.row_block(row // BLOCK)
                    rows = blocks[row // BLOCK]
                    if born is not None:
                        rows["born"][row % BLOCK] = born
                    if died is not None:
                        rows["died"][row % BLOCK] = died
                for block, rows in blocks.items():
                    tables.put_row_block(block, rows)

            self.write(apply)


def next_head(head: Head) -> Head:
    """Return the head one version later."""
    return replace(head, version=head.version + 1)

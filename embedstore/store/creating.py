"""Making a store: a directory beside that gets the name of the store when it is complete."""

from __future__ import annotations

import contextlib
import glob
import os
import shutil
import time
from itertools import count
from pathlib import Path
from typing import Any

import lmdb

from embedstore.errors import StoreError
from embedstore.store import layout
from embedstore.store.environment import make_environment
from embedstore.store.layout import Head
from embedstore.store.tables import Tables
from embedstore.store.writing import log_entry

_UNFINISHED_SECONDS = 3600


def create_store(path: Path, settings: dict[str, Any], space: str, description: dict[str, Any]) -> None:
    """Make an empty store, at version 0; it appears by a rename, complete or not at all.

    Raises:
        StoreError: something else is at `path`.
    """
    refuse_other_content(path)
    sweep_unfinished_stores(path)
    fresh = None
    try:
        fresh = fresh_directory(path)
        generation = fresh / layout.GENERATIONS / layout.FIRST_GENERATION
        environment = make_environment(generation)

        def fill(transaction: lmdb.Transaction) -> None:
            tables = Tables(environment, transaction)
            tables.put_settings(settings)
            tables.put_space(space, description)
            tables.put_row_count(0)
            tables.put_names([])
            head = Head(0, space, (), 0)
            tables.put_head(head)
            tables.put_log_entry(0, log_entry(head, "create", {}))

        try:
            environment.write(fill)
        finally:
            environment.release()
        layout.write_current(fresh, layout.FIRST_GENERATION)
        if os.path.isdir(path):
            path.rmdir()  # empty, see above; Windows renames onto nothing that exists
        fresh.rename(path)
        layout.sync_directory(path.parent)
    except (OSError, lmdb.Error) as error:
        if not os.path.exists(path / layout.CURRENT):  # else another process was faster
            why = getattr(error, "strerror", None) or error
            raise StoreError(f"The store '{path}' can't be made: {why}; choose a path where you may write.") from error
    finally:
        if fresh is not None:
            shutil.rmtree(fresh, ignore_errors=True)


def fresh_directory(path: Path) -> Path:
    """Make a directory for a store that is to be renamed to `path`; in a container a dead process had the same id."""
    for number in count():
        fresh = path.parent / f".{path.name}.new-{os.getpid()}-{number}"
        with contextlib.suppress(FileExistsError):
            fresh.mkdir()
            break
    return fresh


def sweep_unfinished_stores(path: Path) -> None:
    """Remove what processes left that were killed while they made this store; a living one needs less than an hour."""
    for left in path.parent.glob(f".{glob.escape(path.name)}.new-*"):
        with contextlib.suppress(OSError):
            if time.time() - left.stat().st_mtime > _UNFINISHED_SECONDS:
                shutil.rmtree(left)


def refuse_other_content(path: Path) -> None:
    """Raise where a new store would overwrite or mix with something else."""
    if os.path.isdir(path) and any(path.iterdir()):
        raise StoreError(f"'{path}' holds other files and is no store; choose a new or empty directory.")
    if os.path.exists(path) and not os.path.isdir(path):
        raise StoreError(f"'{path}' is a file; choose a new or empty directory for the store.")
    if not os.path.isdir(path.parent):
        raise StoreError(f"The directory '{path.parent}' does not exist; make it first, or choose another path.")

"""A generation beside the one in use: filled whole, then CURRENT moves to it in one step."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import lmdb

from embedstore.errors import EmbedstoreError, StoreError
from embedstore.store import layout
from embedstore.store.environment import make_environment
from embedstore.store.writing import Writer


@contextmanager
def next_generation(path: Path, old: Path, done: str, version: int = layout.FORMAT) -> Iterator[Writer]:
    """Fill a new generation; where that ends well, CURRENT moves to it and the old one is removed, else all stays as it was.

    Readers that have the old generation open go on reading it until they look anew. A kill leaves either whole, and the next
    writer sweeps the other.

    Args:
        path: the store, whose lock is held.
        old: the generation in use.
        done: what is being done to the store, such as `compacted`, for errors.
        version: of the format that the new generation has.

    Raises:
        StoreError: the system does not let it be written.
    """
    new = path / layout.GENERATIONS / f"{int(old.name) + 1:04d}"
    try:
        environment = make_environment(new)
        try:
            yield Writer(environment)
        finally:
            environment.release()
        layout.sync_directory(new)
        layout.sync_directory(new.parent)
        layout.write_current(path, new.name, version)
    except BaseException as error:
        if layout.read_format(path)[1] != new.name:
            shutil.rmtree(new, ignore_errors=True)
        if isinstance(error, OSError | lmdb.Error) and not isinstance(error, EmbedstoreError):
            why = getattr(error, "strerror", None) or error
            raise StoreError(f"The store '{path}' can't be {done}: {why}; it stays as it was.") from error
        raise
    shutil.rmtree(old, ignore_errors=True)  # where another process has it open on Windows, the next writer does it

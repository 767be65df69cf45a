"""What leaves a store as a file. One format a file; the file's ending decides which.

To add a format, write a file with a `write(store, path, *, summary)` and add its ending to `EXPORTS`.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from embedstore.errors import SettingsError
from embedstore.exports import summary_file
from embedstore.exports.summary_file import SummaryFile

if TYPE_CHECKING:
    from embedstore.store.embedding_store import EmbeddingStore

EXPORTS: dict[str, Callable[..., None]] = {".safetensors": summary_file.write}

__all__ = ["EXPORTS", "SummaryFile", "export"]


def export(
    store: EmbeddingStore, path: str | os.PathLike[str], *, summary: str | None = None, overwrite: bool = False
) -> None:
    """Write a part of a store to a file, complete or not at all.

    Args:
        store: to read.
        path: of the file; `.safetensors` holds a summary, from which students can be trained without the store.
        summary: the name of the summary, where the format holds one.
        overwrite: replace a file that is there.

    Raises:
        SettingsError: the ending is unknown, what the format needs is missing, or the file is there already.
        SummaryError: the store has no such summary, or one that is older than its views.
    """
    target = Path(path)
    if target.suffix not in EXPORTS:
        raise SettingsError(f"The ending of '{target}' names no format; use one of {', '.join(EXPORTS)}.")
    if target.exists() and not overwrite:
        raise SettingsError(f"'{target}' exists; choose another name, or replace it with --overwrite.")
    if not target.parent.is_dir():
        raise SettingsError(f"The directory '{target.parent}' does not exist; make it first.")
    fresh = target.with_name(f".{target.name}.new-{os.getpid()}")
    try:
        EXPORTS[target.suffix](store, fresh, summary=summary)
        with fresh.open("r+b") as file:
            os.fsync(file.fileno())
        fresh.replace(target)
    finally:
        fresh.unlink(missing_ok=True)

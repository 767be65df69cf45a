"""What leaves a store as files. One format a file; the file's ending decides which.

To add a format, write a file with a `write(selection, path)` and add its ending to `EXPORTS`; where it writes a second file
beside the first, add that one's ending to `BESIDE`.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from embedstore.errors import SettingsError
from embedstore.exports import npy_file, parquet_file, summary_file, vectors_file
from embedstore.exports.selection import Selection
from embedstore.exports.summary_file import SummaryFile

if TYPE_CHECKING:
    from embedstore.store.embedding_store import EmbeddingStore

EXPORTS: dict[str, Callable[[Selection, Path], None]] = {
    ".npy": npy_file.write,
    ".parquet": parquet_file.write,
    ".safetensors": vectors_file.write,
}
SUMMARIES: dict[str, Callable[..., None]] = {".safetensors": summary_file.write}
BESIDE = {".npy": ".csv"}

__all__ = ["BESIDE", "EXPORTS", "SUMMARIES", "Selection", "SummaryFile", "export"]


def export(
    store: EmbeddingStore,
    path: str | os.PathLike[str],
    *,
    summary: str | None = None,
    where: Mapping[str, str | None] | None = None,
    view: int = 0,
    overwrite: bool = False,
) -> None:
    """Write the vectors of a store with their fields to a file, or a summary; complete or not at all.

    Args:
        store: to read.
        path: of the file. `.parquet`, `.npy` (with a `.csv` of the same name beside it) and `.safetensors` hold vectors and
            fields, and `embedstore.imports.import_vectors` reads each of them again. With `summary`, `.safetensors` holds that
            summary, from which students can be trained without the store.
        summary: its name.
        where: conditions on label, mode, group, split or attributes, as of `store.where`; all samples where there are none.
        view: whose vectors; 0 is the plain picture.
        overwrite: replace a file that is there.

    Raises:
        SettingsError: the ending is unknown, no sample meets the conditions, a summary is asked for in part, or the file is
            there already.
        StoreError: the store has no such field or view.
        SummaryError: the store has no such summary, or one that is older than its views.
        MissingPackageError: the format needs a package that is not installed.
    """
    target = Path(path)
    endings: Mapping[str, object] = EXPORTS if summary is None else SUMMARIES
    if target.suffix not in endings:
        what = "" if summary is None else " for a summary"
        raise SettingsError(f"The ending of '{target}' names no format{what}; use one of {', '.join(endings)}.")
    if summary is not None and (where or view):
        raise SettingsError("A summary is exported whole; leave the conditions and the view out, or the summary.")
    beside = BESIDE.get(target.suffix)
    targets = [*([target.with_suffix(beside)] if beside else []), target]  # the file that was named comes last
    for one in targets:
        if one.exists() and not overwrite:
            raise SettingsError(f"'{one}' exists; choose another name, or replace it with --overwrite.")
    if not target.parent.is_dir():
        raise SettingsError(f"The directory '{target.parent}' does not exist; make it first.")
    aside = Path(tempfile.mkdtemp(prefix=".export-", dir=target.parent))
    try:
        if summary is None:
            EXPORTS[target.suffix](Selection(store, where=where, view=view), aside / target.name)
        else:
            SUMMARIES[target.suffix](store, aside / target.name, summary=summary)
        for one in targets:
            with (aside / one.name).open("r+b") as file:
                os.fsync(file.fileno())
        if len(targets) > 1:
            target.unlink(missing_ok=True)  # so that a kill in between leaves no pair that does not belong together
        for one in targets:
            (aside / one.name).replace(one)
    finally:
        shutil.rmtree(aside, ignore_errors=True)

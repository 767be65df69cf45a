"""What leaves a store as files. One format a file; the file's ending decides which.

To add a format, write a file with a `write(selection, path)` and add its ending to `EXPORTS`; where it writes a second file
beside the first, add that one's ending to `BESIDE`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from embedstore.errors import SettingsError
from embedstore.exports import light_file, npy_file, parquet_file, prototypes_file, summary_file, vectors_file
from embedstore.exports.light_file import LightFile, LightForm, is_light_file, read_light_file
from embedstore.exports.prototypes_file import read_prototypes
from embedstore.exports.selection import Selection
from embedstore.exports.summary_file import SummaryFile
from embedstore.files import folder_beside, put_in_place, sweep

if TYPE_CHECKING:
    from embedstore.store.embedding_store import EmbeddingStore

EXPORTS: dict[str, Callable[[Selection, Path], None]] = {
    ".npy": npy_file.write,
    ".parquet": parquet_file.write,
    ".safetensors": vectors_file.write,
}
BESIDE = {".npy": ".csv"}

__all__ = [
    "BESIDE", "EXPORTS", "LightFile", "LightForm", "Selection", "SummaryFile", "export", "is_light_file", "read_light_file",
    "read_prototypes",
]  # fmt: skip


def export(
    store: EmbeddingStore,
    path: str | os.PathLike[str],
    *,
    summary: str | None = None,
    prototypes_only: bool = False,
    where: Mapping[str, str | None] | None = None,
    view: int = 0,
    light: LightForm | None = None,
    overwrite: bool = False,
) -> None:
    """Write the vectors of a store with their fields to a file, or a summary, or a light file; complete or not at all.

    Args:
        store: to read.
        path: of the file. `.parquet`, `.npy` (with a `.csv` of the same name beside it) and `.safetensors` hold vectors and
            fields, and `embedstore.imports.import_vectors` reads each of them again. With `summary`, `.safetensors` holds that
            summary, from which students can be trained without the store.
        summary: its name.
        prototypes_only: of the summary, in a file that a terminal compares pictures with and no student is trained from; read
            by `read_prototypes`.
        where: conditions on label, mode, group, split or attributes, as of `store.where`; all samples where there are none.
        view: whose vectors; 0 is the plain picture.
        light: write directions in this form, to look for nearest neighbours where the store is not: `.safetensors`, read by
            `read_light_file` and not imported. `analysis.neighbour_loss.light_loss` measures what that loses.
        overwrite: replace a file that is there.

    Raises:
        SettingsError: the ending is unknown, no sample meets the conditions, a summary is asked for in part, or the file is
            there already.
        StoreError: the store has no such field or view.
        SummaryError: the store has no such summary, or one that is older than its views.
        MissingPackageError: the format needs a package that is not installed.
    """
    target = Path(path)
    if prototypes_only and summary is None:
        raise SettingsError("Prototypes are those of a summary; name it with --summary NAME.")
    if summary is not None and (where or view):
        raise SettingsError("A summary is exported whole; leave the conditions and the view out, or the summary.")
    if light is not None and (summary is not None or view):
        raise SettingsError(
            "A light file has the plain view and as many others as --views says; leave --view and --summary out, or --light."
        )
    _refuse_unknown_ending(target, summary, light)
    sweep(target.parent)  # first, since files that a killed export has replaced in part come back
    targets = _targets(target, overwrite)
    with folder_beside(target) as aside:
        if summary is not None:
            (prototypes_file if prototypes_only else summary_file).write(store, aside / target.name, summary=summary)
        else:
            selection = Selection(store, where=where, view=view)
            if light is None:
                EXPORTS[target.suffix](selection, aside / target.name)
            else:
                light_file.write(selection, store, aside / target.name, light)
        for one in targets:
            with (aside / one.name).open("r+b") as file:
                os.fsync(file.fileno())
        put_in_place(targets, aside)


def _targets(target: Path, overwrite: bool) -> list[Path]:
    """Return the files to write, of which none may be there unless it is to be replaced; the one that was named comes last."""
    beside = BESIDE.get(target.suffix)
    targets = [*([target.with_suffix(beside)] if beside else []), target]
    for one in targets:
        if one.exists() and not one.is_file():
            raise SettingsError(f"'{one}' is no file but a folder or a device; choose another name.")
        if one.exists() and not overwrite:
            raise SettingsError(f"'{one}' exists; choose another name, or replace it with --overwrite.")
    if not target.parent.is_dir():
        raise SettingsError(f"The directory '{target.parent}' does not exist; make it first.")
    return targets


def _refuse_unknown_ending(target: Path, summary: str | None, light: LightForm | None) -> None:
    endings = list(EXPORTS) if summary is None and light is None else [".safetensors"]
    if target.suffix not in endings:
        what = " for a summary" if summary is not None else "" if light is None else " for a light file"
        raise SettingsError(f"The ending of '{target}' names no format{what}; use one of {', '.join(endings)}.")

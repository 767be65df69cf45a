"""What comes into a store as vectors that were made elsewhere. One format a file; the source's ending decides which.

To add a format, write a file with a class like `source.Source`, made from a path and `source.Options`, and add its ending to
`IMPORTS`.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import numpy as np

from embedstore.errors import SettingsError, SourceError, StoreError, TeacherMismatchError
from embedstore.imports.clip_retrieval import ClipRetrievalSource
from embedstore.imports.npy import NpySource
from embedstore.imports.parquet import ParquetSource
from embedstore.imports.source import Batch, Options, Origin, Source
from embedstore.imports.vectors_file import VectorsFileSource
from embedstore.store.changes import StoreWriter
from embedstore.store.creating import create_store
from embedstore.store.embedding_store import EmbeddingStore, create, open_store
from embedstore.store.fields import as_stored
from embedstore.store.layout import id_key
from embedstore.store.writing import writer
from embedstore.teachers.protocol import EMBEDDING
from embedstore.teachers.reduction import KIND, is_reduced

FOLDER = "folder"
IMPORTS: dict[str, Callable[[Path, Options], Source]] = {
    ".npy": NpySource,
    ".parquet": ParquetSource,
    ".safetensors": VectorsFileSource,
    FOLDER: ClipRetrievalSource,
}

__all__ = ["IMPORTS", "Batch", "ImportReport", "Options", "Origin", "Source", "import_vectors", "open_source"]


@dataclass(frozen=True)
class ImportReport:
    """What an import did.

    Attributes:
        count: rows that were read.
        replaced: how many of them took the place of samples that were there.
        unknown_pictures: how many of those are other vectors than the teacher's of a picture that was known; nothing says any
            more which picture they are of, so a refresh embeds their pictures anew.
        dim: of the vectors.
        teacher: of the store.
        samples, version: of the store afterwards.
        attributes: columns that were taken as attributes.
        left_out: columns of the source that are neither texts, numbers nor dates.
        seconds: that it took.
    """

    count: int
    replaced: int
    unknown_pictures: int
    dim: int
    teacher: str
    samples: int
    version: int
    attributes: tuple[str, ...]
    left_out: tuple[str, ...]
    seconds: float


def open_source(path: str | os.PathLike[str], options: Options | None = None) -> Source:
    """Return the reader of a file or folder; its rows are read by `batches`.

    Raises:
        SourceError: there is no such file, its ending is unknown, or it can't be used.
    """
    source = Path(path)
    if not os.path.exists(source):
        raise SourceError(f"'{source}' does not exist; give a file, or a folder that clip-retrieval wrote.")
    ending = FOLDER if source.is_dir() else source.suffix
    if ending not in IMPORTS:
        raise SourceError(f"The ending of '{source}' names no format; use one of {', '.join(IMPORTS)}.")
    return IMPORTS[ending](source, options or Options())


def import_vectors(
    path: str | os.PathLike[str],
    source: str | os.PathLike[str],
    *,
    teacher: str | None = None,
    fields: str | os.PathLike[str] | None = None,
    column: str | None = None,
    images: str | os.PathLike[str] | None = None,
    strip: str | None = None,
    replace: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> ImportReport:
    """Bring vectors that were made elsewhere into a store, as one new version, or not at all.

    Vectors keep their length and are rounded to float16. No more than one batch of rows is in memory.

    Args:
        path: of the store; made where there is none.
        source: a `.npy`, `.parquet` or exported `.safetensors` file, or a folder that clip-retrieval wrote.
        teacher: the name of what made the vectors. It is declared: nobody checks it, and the store takes no vectors of another
            name, nor does a store that a build filled take declared ones. An exported `.parquet` or `.safetensors` file names
            it itself; where that store was filled by the teacher, a new store is as one that a build filled: the teacher's
            fingerprint decides, and more can be built.
        fields: a CSV file with the fields of a `.npy` file's vectors; where none is given, the one of the same name beside it.
        column: the Parquet column that holds the vectors, or `text_emb` for the captions of a clip-retrieval folder.
        images: the folder of the pictures: paths that lead into it become relative to it. A new store remembers it; where none is
            given, it takes the folder that it lies in, which no build goes on with where the pictures lie in a folder of that.
        strip: what every path begins with, such as the folder on another machine; it is taken off.
        replace: samples that are there already get these vectors and the fields that the source has; else they are refused.
            Where the vector is the one that is there, it stays known which picture it is of.
        progress: called with (rows done, rows in all).

    Raises:
        SourceError: the source, or a row of it, can't be used; the sentence names it.
        TeacherMismatchError: the store is another teacher's, or its vectors are of another length.
        StoreError: an id is in the store already, or the store can't be written.
        MissingPackageError: the format needs a package that is not installed.
    """
    begun = time.monotonic()
    told = progress or (lambda done, total: None)
    folder = None if images is None else Path(images)
    if folder is not None and not folder.is_dir():
        raise SourceError(f"The folder '{folder}' of the pictures does not exist; leave it out where there is none.")
    found = open_source(source, Options(None if fields is None else Path(fields), column, folder, strip))
    named = _teacher_of(found, teacher)
    target = Path(path)
    fresh = not os.path.exists(target) or (target.is_dir() and not any(target.iterdir()))
    store = _created(target, named, found, folder) if fresh else open_store(target)
    try:
        with store:
            _check_teacher(store, named, found)
            before = len(store)
            with store.write("import") as changes:
                attributes = _add_all(changes, found, told, replace=replace)
            samples, version = len(store), store.version
    except BaseException:
        if fresh:
            _remove_empty(target)
        raise
    return ImportReport(
        count=found.count,
        replaced=before + found.count - samples,
        unknown_pictures=changes.unknown_pictures,
        dim=found.dim,
        teacher=named,
        samples=samples,
        version=version,
        attributes=attributes,
        left_out=found.left_out,
        seconds=time.monotonic() - begun,
    )


def _remove_empty(path: Path) -> None:
    """Remove the store that was made for an import which then failed, unless another process has the use of it."""
    with contextlib.suppress(StoreError), writer(path) as session:
        if session.read(lambda tables: tables.head()).version == 0:
            shutil.rmtree(path, ignore_errors=True)


def _teacher_of(source: Source, teacher: str | None) -> str:
    """Return the name of what made the vectors, from the caller or the file."""
    said = None if source.origin is None else source.origin.teacher
    if teacher is None and said is None:
        raise SettingsError(f"'{source.path}' does not say what made its vectors; name it: --teacher NAME")
    if teacher is not None and not teacher.strip():
        raise SettingsError("The teacher has no name; say what made the vectors, such as open_clip:ViT-B-32/openai.")
    if None not in (teacher, said) and teacher != said:
        raise TeacherMismatchError(
            f"'{source.path}' says that its vectors are of the teacher '{said}', not of '{teacher}'; leave the teacher out."
        )
    named = teacher or said or ""
    return named if named.endswith(source.kind) else f"{named} {source.kind}"


def _created(path: Path, teacher: str, source: Source, images: Path | None) -> EmbeddingStore:
    """Make a store: under the teacher's fingerprint where the source has it and its axes, or else under the name alone.

    Raises:
        SourceError: the axes are not those of the vectors.
    """
    origin = source.origin
    if origin is None or origin.fingerprint is None or (origin.reduction is None and is_reduced(teacher)):
        return create(path, teacher=teacher, dim=source.dim, images=images)  # an early export lacks the axes
    settings = {"recipe": origin.recipe.to_dict(), "image_root": str((images or path.parent).resolve())}
    space = {"teacher": teacher, "outputs": {EMBEDDING: source.dim}, "input_size": origin.input_size}
    if origin.reduction is not None:
        if origin.reduction.dim != source.dim:
            raise SourceError(
                f"'{source.path}' holds vectors of {source.dim} numbers, but says that they are on {origin.reduction.dim} axes; "
                "export it again."
            )
        space[KIND] = origin.reduction.to_dict()
    create_store(path, settings, origin.fingerprint, space)
    return open_store(path)


def _check_teacher(store: EmbeddingStore, teacher: str, source: Source) -> None:
    if store.declared and store.teacher == teacher and store.dim == source.dim:
        return
    if not store.declared and source.origin is not None and source.origin.fingerprint == store.fingerprint:
        return
    filled = "declared to be of" if store.declared else "filled by a build with"
    raise TeacherMismatchError(
        f"The store '{store.path}' is {filled} the teacher '{store.teacher}' ({store.dim} numbers a vector), but the vectors of "
        f"'{source.path}' are declared to be of '{teacher}' ({source.dim} numbers); import them into a store of their own."
    )


def _add_all(
    changes: StoreWriter, source: Source, told: Callable[[int, int], None], *, replace: bool
) -> tuple[str, ...]:
    keys = bytearray()  # 16 bytes an id
    done, attributes = 0, set[str]()
    told(done, source.count)
    for batch in source.batches():
        fields = dict(batch.fields)
        paths = fields.pop("path", None)
        changes.add(
            batch.ids,
            batch.vectors,
            labels=fields.pop("label", None),
            modes=fields.pop("mode", None),
            groups=fields.pop("group", None),
            splits=fields.pop("split", None),
            uris=None if paths is None else [uri or name for uri, name in zip(paths, batch.ids, strict=True)],
            attributes=fields,
            replace=replace,
        )
        attributes |= set(map(as_stored, fields))
        keys += b"".join(id_key(as_stored(name)) for name in batch.ids)
        done += len(batch.ids)
        told(done, source.count)
    if done != source.count:
        raise SourceError(f"'{source.path}' changed while it was read; import it again.")
    values, counts = np.unique(np.frombuffer(keys, "V16"), return_counts=True)
    if (counts > 1).any():
        _refuse_twice(source, values[counts > 1][0].tobytes())
    return tuple(sorted(attributes))


def _refuse_twice(source: Source, key: bytes) -> NoReturn:
    """Look for the rows of an id that occurs twice, and name them."""
    first, rows, name = 0, list[int](), ""
    for batch in source.batches():
        at = [at for at, one in enumerate(batch.ids) if id_key(as_stored(one)) == key]
        rows += [first + one for one in at]
        name = batch.ids[at[0]] if at else name
        first += len(batch.ids)
    raise SourceError(
        f"'{source.texts}' has the id '{name}' in {len(rows)} rows ({', '.join(map(str, rows[:3]))}, counted from 0); give each "
        "row an id of its own."
    )

"""What every reader gives: batches of ids, vectors and fields, checked, with no more in memory than one batch."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PureWindowsPath
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from embedstore.errors import SourceError
from embedstore.images import SPLITS, leaves, sample_id
from embedstore.store.fields import Texts
from embedstore.teachers.protocol import EMBEDDING
from embedstore.teachers.reduction import KIND, Reduction
from embedstore.views import Recipe

BATCH = 16_384  # rows
_LARGEST = float(np.finfo(np.float16).max)
_SMALLEST = float(np.finfo(np.float16).smallest_normal)  # below, float16 loses digits


@dataclass(frozen=True)
class Options:
    """How to read a source; a reader refuses what has no meaning for it.

    Attributes:
        fields: a CSV file with the fields, where the vectors come without.
        column: which of several vectors to take.
        images: the folder of the pictures: paths that lead into it are made relative to it.
        strip: what every path begins with, as on the machine where they were written; it is taken off.
    """

    fields: Path | None = None
    column: str | None = None
    images: Path | None = None
    strip: str | None = None


@dataclass(frozen=True)
class Origin:
    """What an exported file says of the store that it left.

    Attributes:
        teacher: its name.
        fingerprint: of that teacher, where it filled the store itself and these are its plain views; None where the name was
            only declared.
        input_size: side of the pictures that it takes, in pixels.
        recipe: how the store draws views.
        reduction: how that teacher's vectors were brought to fewer axes, where they are of a thinned store.
    """

    teacher: str
    fingerprint: str | None
    input_size: int
    recipe: Recipe
    reduction: Reduction | None = None


def origin_of(about: Any, path: Path) -> Origin | None:
    """Return what a file says of itself; see `exports.Selection.about`. None where it names no teacher.

    Raises:
        SourceError: it says something else.
    """
    try:
        if about.get("teacher") is None:
            return None
        checked = not about["declared"] and about["view"] == 0 and EMBEDDING in [*about["outputs"]]
        fingerprint = str(about["fingerprint"]) if checked else None
        if not isinstance(about["teacher"], str) or not re.fullmatch("[0-9a-f]{32}", fingerprint or "0" * 32):
            raise ValueError("neither a name nor a fingerprint")
        reduction = Reduction.from_texts(about[KIND]) if KIND in about else None
        if reduction and (reduction.name, reduction.fingerprint) != (about["teacher"], about["fingerprint"]):
            raise ValueError("axes of another teacher")
        recipe = Recipe.from_dict(about["recipe"])
        return Origin(about["teacher"], fingerprint, int(about["input_size"]), recipe, reduction)
    except (KeyError, ValueError, TypeError, AttributeError, OverflowError) as error:
        raise SourceError(f"What '{path}' says of its teacher can't be read; export it again.") from error


@dataclass(frozen=True)
class Batch:
    """Some rows in a row.

    Attributes:
        ids: (n,).
        vectors: (n, d), as long as they were in the source.
        fields: by the name of the column: `path`, `label`, `mode`, `group`, `split`, any other is an attribute; (n,) each,
            None where a row has none.
    """

    ids: list[str]
    vectors: npt.NDArray[np.float16]
    fields: dict[str, Texts]


class Source(Protocol):
    """Embeddings outside of a store.

    Attributes:
        path: of the file or folder.
        texts: of the file or folder that has the ids.
        count, dim: its rows and the length of each vector, known before anything is read.
        left_out: names of columns that are no texts, numbers or dates, and so don't become attributes.
        origin: what an exported file says of the store that it left; None for all others.
        kind: what is added to the teacher's name where one teacher gives vectors of several kinds; mostly nothing.
    """

    path: Path
    texts: Path
    count: int
    dim: int
    left_out: tuple[str, ...]
    origin: Origin | None
    kind: str

    def batches(self) -> Iterator[Batch]:
        """Yield all rows in their order.

        Raises:
            SourceError: a row can't be taken; the sentence names it.
        """
        ...


def as_float16(rows: npt.NDArray[Any], first: int, path: Path) -> npt.NDArray[np.float16]:
    """Return vectors (n, d) as a store keeps them, rounded to float16 and else as they are.

    Genuine CLIP vectors (ViT-B/32, float32, not normalised, 275 of them) keep a cosine to themselves of 1 - 4e-8, and their
    length within 0.03 %; the similarity of two changes by at most 2e-4.

    Args:
        rows: (n, d) of float16, float32 or float64.
        first: the number of the first of them, counted from 0.
        path: of their file.

    Raises:
        SourceError: a vector is not finite, or has a value that float16 can't hold.
    """
    finite = np.isfinite(rows).all(axis=1)
    if not finite.all():
        raise SourceError(
            f"{_name(finite, first, path)} holds values that are not finite; leave it out, or embed its picture again."
        )
    if rows.dtype.itemsize == 2:
        return rows.astype(np.float16)  # in the machine's own order of bytes
    largest = np.abs(rows).max(axis=1)
    fits = largest <= _LARGEST
    if not fits.all():
        raise SourceError(
            f"{_name(fits, first, path)} has a value of {largest[np.argmin(fits)]:.3g}, but a store keeps float16, which ends "
            f"at {_LARGEST:.0f}; divide all vectors by one number first."
        )
    kept = (largest >= _SMALLEST) | (largest == 0)
    kept[~kept] = (rows[~kept].astype(np.float16) == rows[~kept]).all(axis=1)  # as an export writes them
    if not kept.all():
        raise SourceError(
            f"{_name(kept, first, path)} has no value above {largest[np.argmin(kept)]:.1g}, but a store keeps float16, which is "
            f"coarse below {_SMALLEST:.1g}; multiply all vectors by one number first."
        )
    return rows.astype(np.float16)


def _name(good: npt.NDArray[np.bool_], first: int, path: Path) -> str:
    return f"Vector {first + int(np.argmin(good))} of '{path}' (counted from 0)"


def batch_of(
    columns: Mapping[str, Texts],
    vectors: npt.NDArray[np.float16],
    first: int,
    path: Path,
    *,
    texts: Path,
    options: Options,
) -> Batch:
    """Put vectors and the texts beside them together; say what the ids are.

    An id is the cell `id`, else `path` in Unicode NFC, as in a manifest; where neither column is there, it is the name of the
    vectors' file without its ending, a slash, and the number of the row, counted from 0: `watches/17`. A path that was written
    on Windows gets slashes. One that leads out of the folder of pictures, as an absolute one does, can be an id but is not kept
    as a path. An empty cell is a missing one.

    Args:
        columns: column name -> texts (n,).
        vectors: (n, d).
        first: the number of the first row, counted from 0.
        path: of the vectors' file.
        texts: of the columns' file.
        options: its `strip` and `images` are taken off from paths.

    Raises:
        SourceError: an id is empty, a split is unknown, or a path is missing or does not begin with what is to be taken off.
    """
    fields: dict[str, Texts] = {name: [text or None for text in cells] for name, cells in columns.items()}
    if options.strip is not None and "path" not in fields:
        raise SourceError(
            f"'{texts}' has no column 'path', from which '{options.strip}' could be taken off; leave --strip out."
        )
    if "path" in fields:
        paths = [text and _with_slashes(options, text) for text in fields["path"]]
        for at, text in enumerate(paths):
            if text is not None and not text.startswith(_prefix(options)):
                raise SourceError(
                    f"{row_name(first + at, texts)} has the path '{text}', which does not begin with '{options.strip}'; give "
                    "what all paths begin with."
                )
        fields["path"] = [text and _below(options, text) for text in paths]
    found: Texts | None = fields.pop("id", None)
    if found is None and "path" in fields:
        found = [text and sample_id(text) for text in fields["path"]]
    if found is None:
        found = [f"{path.stem}/{first + at}" for at in range(len(vectors))]
    ids = [text for text in found if text is not None]
    if len(ids) < len(found):
        column = "id" if "id" in columns else "path"
        raise SourceError(
            f"{row_name(first + found.index(None), texts)} has no id; fill in the column '{column}', or leave it out to number "
            "the rows."
        )
    if "path" in fields:
        fields["path"] = [None if text is None or leaves(text) else text for text in fields["path"]]
    for at, split in enumerate(fields.get("split", ())):
        if split not in (None, *SPLITS):
            raise SourceError(
                f"{row_name(first + at, texts)} has the split '{split}'; use one of {', '.join(SPLITS)}, or leave it empty."
            )
    return Batch(ids, vectors, fields)


def row_name(number: int, path: Path) -> str:
    """Return how a sentence calls a row of a file."""
    below = ", below the header" if path.suffix == ".csv" else ""
    return f"Row {number} of '{path}' (counted from 0{below})"


def _with_slashes(options: Options, text: str) -> str:
    """Return a path in POSIX form, where it was written on Windows.

    A drive or a share tells that it was, or what is to be taken off; else that the folder of pictures has no file of that name,
    for elsewhere a name may hold a backslash.
    """
    if "\\" not in text:
        return text
    is_windows = bool(PureWindowsPath(text).drive) or text.startswith("\\") or "\\" in (options.strip or "")
    if not is_windows and options.images is not None:
        is_windows = not os.path.exists(options.images / text.removeprefix(options.strip or "").removeprefix("/"))
    return text.replace("\\", "/") if is_windows else text


def _prefix(options: Options) -> str:
    """Return what is taken off from paths, in the form that these have by then."""
    return (options.strip or "").replace("\\", "/")


def _below(options: Options, text: str) -> str:
    """Return a path relative to the folder of pictures, where it leads into it by its text alone."""
    if options.strip is not None:
        text = text.removeprefix(_prefix(options)).removeprefix("/")
    for folder in () if options.images is None else (options.images, options.images.resolve()):
        text = text.removeprefix(f"{folder.as_posix()}/")
    return text

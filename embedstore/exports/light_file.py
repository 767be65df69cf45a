"""A light file: the directions of a store's samples, few numbers or one byte each, to look for nearest neighbours elsewhere.

A `.safetensors` file, sealed as `sealed` says, under the metadata `embedstore.light`:

    tensor               what
    codes (1 + v, n, k)  direction of each sample in each view, the plain one first: int8 or float16
    centre (d,) float16  the training side's mean, which was taken off the teacher's vectors
    axes (d, k) float16  the principal axes that they were brought to; not there where k = d
    text:NAME, end:NAME  the columns id, path, label, mode, group, split and the attributes

Every direction has length 1, so the scale of its codes needs no place: as int8, the largest number of each became 127 or -127
and the others were rounded in proportion, and what codes stand for is themselves scaled to length 1.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from embedstore.errors import SettingsError, SourceError
from embedstore.exports.sealed import END, TEXT, column_ends, opened, packed, unpacked, write_sealed
from embedstore.exports.selection import Selection
from embedstore.images import part_of
from embedstore.store.fields import Texts
from embedstore.store.reducing import fit, fitted_centre, training_side
from embedstore.teachers.reduction import KIND, Halves, projected
from embedstore.vectors import Vectors, unit_length

if TYPE_CHECKING:
    from embedstore.store.embedding_store import EmbeddingStore

FORMAT = 1
METADATA = "embedstore.light"
CODES, CENTRE, AXES = "codes", "centre", "axes"
_LARGEST = 127

Codes = npt.NDArray[np.int8] | npt.NDArray[np.float16]


@dataclass(frozen=True)
class LightForm:
    """How a light file keeps directions.

    Attributes:
        int8: one byte a number in place of two.
        dims: principal axes of the training side; all numbers where None.
        views: augmented views beside the plain one.
    """

    int8: bool = False
    dims: int | None = None
    views: int = 0


@dataclass(frozen=True, eq=False)
class LightFile:
    """What a light file holds; it needs no teacher, no store and no PyTorch.

    Attributes:
        teacher, fingerprint: of what made the vectors that queries must be of.
        texts: column -> (n,): id, path, label, mode, group, split and attributes; None where a sample has none.
        codes: (1 + views, n, k), the plain view first.
        centre: (d,).
        axes: (d, k); None where all numbers were kept.
    """

    teacher: str
    fingerprint: str
    texts: Mapping[str, Texts]
    codes: Codes
    centre: Halves
    axes: Halves | None

    def __len__(self) -> int:
        return int(self.codes.shape[1])

    @property
    def views(self) -> int:
        """How many augmented views each sample has, beside the plain one."""
        return len(self.codes) - 1

    @property
    def ids(self) -> list[str]:
        """The ids (n,)."""
        return [text or "" for text in self.texts["id"]]

    @property
    def labels(self) -> Texts:
        """The labels (n,)."""
        return self.texts["label"]

    @property
    def parts(self) -> list[str]:
        """The part that each shows (n,), as `Sample.part`."""
        return list(map(part_of, self.ids, self.texts["group"]))

    def directions(self, view: int = 0) -> Vectors:
        """Return the directions (n, k) of all samples in a view, float32 of unit length."""
        return unit_length(self.codes[view])

    def project(self, vectors: npt.NDArray[np.floating]) -> Vectors:
        """Return the directions (m, k) of queries (m, d) in the teacher's space, to be compared with `directions`."""
        return projected(vectors, self.centre, self.axes)


def write(selection: Selection, store: EmbeddingStore, path: Path, form: LightForm) -> None:
    """Write a light file of selected samples; centre and axes are fitted to the store's whole training side.

    Raises:
        SettingsError: there is no training side, or it has not so many axes, or the store has not so many views.
    """
    if not 0 <= form.views <= store.views:
        raise SettingsError(
            f"The number of views is {form.views}; expected 0 to {store.views}, which is what the store has."
        )
    if form.dims is None:
        centre, axes = fitted_centre(store, training_side(store)), None
    else:
        reduction = fit(store, form.dims)
        centre, axes = reduction.centre, reduction.axes
    texts = {name: packed(cells) for name, cells in selection.texts().items()}
    layout: dict[str, tuple[str, list[int]]] = {f"{END}{name}": ("I64", [len(selection)]) for name in texts}
    layout[CENTRE] = ("F16", list(centre.shape))
    if axes is not None:
        layout[AXES] = ("F16", list(axes.shape))
    layout[CODES] = ("I8" if form.int8 else "F16", [1 + form.views, len(selection), form.dims or store.dim])
    layout |= {f"{TEXT}{name}": ("U8", [len(data)]) for name, (data, _) in texts.items()}

    def codes() -> Iterator[bytes]:
        for view in range(1 + form.views):
            for block in selection.blocks(view):
                directions = projected(block, centre, axes)
                yield (in_bytes(directions) if form.int8 else directions.astype("<f2")).tobytes()

    fitted = [centre.tobytes(), *([] if axes is None else [axes.tobytes()])]
    chunks = chain((end.tobytes() for _, end in texts.values()), fitted, codes(), (data for data, _ in texts.values()))
    about = {name: said for name, said in selection.about.items() if name != KIND}  # its axes bring no picture here
    write_sealed(path, METADATA, {"format": FORMAT, **about}, layout, chunks)


def in_bytes(directions: Vectors) -> npt.NDArray[np.int8]:
    """Return directions (n, k) as bytes: the largest number of each is 127, a direction of zeros stays zeros.

    A number is off by at most 1/254 of the largest one, before the whole is scaled to length 1 again.
    """
    largest = np.abs(directions).max(axis=1, keepdims=True)
    return np.round(directions * (_LARGEST / np.where(largest > 0, largest, 1))).astype(np.int8)


def read_light_file(path: str | os.PathLike[str]) -> LightFile:
    """Read a light file that `embedstore export` wrote.

    Raises:
        SourceError: there is no such file, or it is none, or not the one that was written.
    """
    file = Path(path)
    if not os.path.isfile(file):
        raise SourceError(
            f"There is no file '{file}'; write a light file with: embedstore export STORE '{file}' --light"
        )
    command = "embedstore export STORE FILE --light"
    with opened(file, METADATA, FORMAT, "light file", command) as (tensors, about):
        codes, centre = tensors.get_tensor(CODES), tensors.get_tensor(CENTRE)
        axes = tensors.get_tensor(AXES) if AXES in tensors.keys() else None  # noqa: SIM118 (no mapping)
        _refuse_unfitting(codes, centre, axes)
        columns = column_ends(tensors, codes.shape[1]).items()
        texts = {name: unpacked(tensors.get_tensor(TEXT + name).tobytes(), ends) for name, ends in columns}
        if not {"id", "label", "group", "split"} <= texts.keys() or None in texts["id"]:
            raise ValueError("it lacks columns")
        if not isinstance(about["teacher"], str) or not re.fullmatch("[0-9a-f]{32}", about["fingerprint"]):
            raise ValueError("neither a name nor a fingerprint")
        return LightFile(about["teacher"], about["fingerprint"], texts, codes, centre, axes)


def is_light_file(path: str | os.PathLike[str]) -> bool:
    """Return whether a file says that it is a light file; whether it is a whole one says `read_light_file`."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy") as file:
            return METADATA in (file.metadata() or {})
    except (OSError, SafetensorError):
        return False


def _refuse_unfitting(codes: npt.NDArray[Any], centre: npt.NDArray[Any], axes: npt.NDArray[Any] | None) -> None:
    """Raise where the numbers of a file can't be those of a light file."""
    numbers = [centre, *([] if axes is None else [axes])]
    shape = (len(centre), codes.shape[-1])
    if codes.ndim != 3 or not codes.size or codes.dtype not in (np.int8, np.float16):
        raise ValueError("its codes are of another kind")
    if centre.ndim != 1 or any(one.dtype != np.float16 for one in numbers):
        raise ValueError("its centre or axes are of another kind")
    if shape[0] != shape[1] if axes is None else axes.shape != shape:
        raise ValueError("its parts do not fit together")
    if not all(np.isfinite(one).all() for one in [codes, *numbers]):
        raise ValueError("some numbers are not finite")

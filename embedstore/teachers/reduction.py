"""Vectors on fewer axes: the principal axes of a training side, kept with what they made so that new pictures follow.

Directions are what is compared, so the axes are those of centred directions (Pearson 1901, about no second mean), and what
comes out has unit length again. Centre and axes are rounded to float16 before they are used: what is kept is what was used.
"""

from __future__ import annotations

import re
from base64 import b64decode, b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from embedstore.teachers.protocol import fingerprint
from embedstore.vectors import Vectors, unit_length

KIND = "reduced"  # how the name of a teacher begins whose vectors were brought to fewer axes
_HIGHEST_DIM = 1 << 23

Halves = npt.NDArray[np.float16]


@dataclass(frozen=True, eq=False)
class Reduction:
    """How one teacher's vectors are brought to fewer axes.

    Attributes:
        teacher: the spec of that teacher.
        of: its fingerprint.
        centre: (d,) what is taken off first.
        axes: (d, k) orthogonal, of unit length, the longest spread first.
    """

    teacher: str
    of: str
    centre: Halves
    axes: Halves

    def __call__(self, vectors: npt.NDArray[np.floating]) -> Vectors:
        """Return the directions (n, k) of vectors (n, d)."""
        return projected(vectors, self.centre, self.axes)

    @property
    def dim(self) -> int:
        """How many axes."""
        return int(self.axes.shape[1])

    @property
    def name(self) -> str:
        """What the teacher of the reduced vectors is called."""
        return f"{KIND}:{self.dim}:{self.teacher}"

    @cached_property
    def fingerprint(self) -> str:
        """Of the teacher of the reduced vectors: hangs on its own teacher's, the centre and the axes."""
        recipe = {"teacher": KIND, "of": self.of, "dim": self.dim, "version": 1}
        return fingerprint(recipe, [("centre", self.centre.tobytes()), ("axes", self.axes.tobytes())])

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain values and bytes."""
        return {"teacher": self.teacher, "of": self.of, "centre": self.centre.tobytes(), "axes": self.axes.tobytes()}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Reduction:
        """Return what `to_dict` gave.

        Raises:
            ValueError, KeyError, TypeError: it is something else.
        """
        if not isinstance(values["teacher"], str) or not re.fullmatch("[0-9a-f]{32}", values["of"]):
            raise ValueError("neither a name nor a fingerprint")
        centre, axes = (np.frombuffer(values[name], "<f2") for name in ("centre", "axes"))
        if not 0 < len(centre) <= _HIGHEST_DIM or not len(axes) or len(axes) % len(centre):
            raise ValueError("its parts do not fit together")
        found = cls(values["teacher"], values["of"], centre, axes.reshape(len(centre), -1))
        if found.dim >= len(centre) or not (np.isfinite(centre).all() and np.isfinite(axes).all()):
            raise ValueError("no axes")
        return found

    def to_texts(self) -> dict[str, str]:
        """Return it as texts alone, as JSON takes them: the bytes of centre and axes in base64."""
        values = self.to_dict()
        return values | {name: b64encode(values[name]).decode("ascii") for name in ("centre", "axes")}

    @classmethod
    def from_texts(cls, texts: Mapping[str, Any]) -> Reduction:
        """Return what `to_texts` gave.

        Raises:
            ValueError, KeyError, TypeError: it is something else.
        """
        parts = {name: b64decode(texts[name], validate=True) for name in ("centre", "axes")}
        return cls.from_dict({"teacher": texts["teacher"], "of": texts["of"]} | parts)


def is_reduced(teacher: str) -> bool:
    """Return whether a teacher has the name of one whose vectors were brought to fewer axes."""
    return teacher.partition(":")[0] == KIND


def projected(vectors: npt.NDArray[np.floating], centre: Halves, axes: Halves | None = None) -> Vectors:
    """Return the centred directions (n, k) of vectors (n, d) along axes (d, k), or along all d; float32 of unit length.

    In float64, so that what is rounded afterwards does not hang on how many are asked at once.
    """
    off = vectors.astype(np.float64) - centre
    return unit_length(off if axes is None else off @ axes.astype(np.float64))

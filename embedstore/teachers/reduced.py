"""A teacher whose vectors are brought to fewer axes, as a thinned store keeps them; its axes stand in that store alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from embedstore.errors import TeacherError
from embedstore.teachers.protocol import EMBEDDING, Teacher
from embedstore.teachers.reduction import KIND, Reduction, is_reduced
from embedstore.vectors import Vectors


class ReducedTeacher:
    """A teacher, then a reduction of its embedding.

    It reads no text: texts lie aside of all pictures, and centring on pictures moves them farther off.
    """

    definitions: Mapping[str, str] = {}

    def __init__(self, whole: Teacher, reduction: Reduction):
        self._whole, self._reduction = whole, reduction
        self.name = reduction.name
        self.input_size = whole.input_size
        self.outputs: Mapping[str, int] = {EMBEDDING: reduction.dim}
        # Of the teacher that is at hand, so that another one under the same name is found out.
        self.fingerprint = Reduction(reduction.teacher, whole.fingerprint, reduction.centre, reduction.axes).fingerprint

    def embed(self, pictures: npt.NDArray[np.uint8]) -> dict[str, Vectors]:
        """Embed (n, input_size, input_size, 3) uint8; see `Teacher.embed`."""
        found = self._whole.embed(pictures)[EMBEDDING]
        if found.shape[1] != len(self._reduction.centre):
            raise TeacherError(
                f"The teacher '{self._whole.name}' gives {found.shape[1]} numbers, but the axes of '{self.name}' are for "
                f"{len(self._reduction.centre)}; use the release that the store was built with."
            )
        return {EMBEDDING: self._reduction(found)}


def load(space: Mapping[str, Any], outputs: Sequence[str], load_whole: Callable[[str], Teacher]) -> ReducedTeacher:
    """Load the teacher that a store describes as reduced.

    Args:
        space: what the store says of it.
        outputs: further ones, which can't be given.
        load_whole: spec -> teacher.

    Raises:
        TeacherError: further outputs are asked for, or the teacher can't be loaded.
    """
    if outputs:
        raise TeacherError(
            f"The teacher '{space['teacher']}' can't give {' and '.join(outputs)}: only its embedding is reduced; leave it out."
        )
    reduction = Reduction.from_dict(space[KIND])
    return ReducedTeacher(load_whole(reduction.teacher), reduction)


def refuse_spec(spec: str) -> None:
    """Raise where a teacher is to be loaded by its name whose axes only a store has.

    Raises:
        TeacherError: always so for such a name.
    """
    if is_reduced(spec):
        raise TeacherError(
            f"The teacher '{spec}' can't be loaded by its name, for its axes are in the thinned store alone; open that store and "
            "take store.load_teacher()."
        )

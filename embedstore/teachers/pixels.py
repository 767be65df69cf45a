"""A NumPy teacher for tests and trials: coarse colours, no learning. Never a default, never a quality result."""

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from embedstore.errors import TeacherError
from embedstore.teachers.protocol import EMBEDDING, check_pictures, fingerprint
from embedstore.vectors import Vectors, unit_length

_SIDE = 32  # input pixels
_CELLS = 8  # the picture is averaged to this grid


class PixelTeacher:
    """Average colours on a coarse grid, moved so that mid-grey is the origin, at unit length."""

    name = "pixels"
    input_size = _SIDE
    outputs: Mapping[str, int] = {EMBEDDING: _CELLS * _CELLS * 3}
    definitions: Mapping[str, str] = {}
    fingerprint = fingerprint({"teacher": "pixels", "side": _SIDE, "cells": _CELLS, "length": "unit", "version": 1})

    def embed(self, pictures: npt.NDArray[np.uint8]) -> dict[str, Vectors]:
        """Embed (n, 32, 32, 3) uint8; see `Teacher.embed`."""
        check_pictures(self.name, _SIDE, pictures)
        step = _SIDE // _CELLS
        cells = pictures.reshape(len(pictures), _CELLS, step, _CELLS, step, 3).mean((2, 4), dtype=np.float64)
        return {EMBEDDING: unit_length(cells.reshape(len(pictures), -1) - 127.5)}


def load(argument: str, outputs: Sequence[str]) -> PixelTeacher:
    """Load the teacher; it takes no argument, and gives no further outputs."""
    if argument:
        raise TeacherError(
            f"The teacher 'pixels' takes nothing after its name, but got '{argument}'; write just pixels."
        )
    if outputs:
        raise TeacherError(
            f"The teacher 'pixels' can't give {' and '.join(outputs)}: it has no stages; leave them out, or take another teacher."
        )
    return PixelTeacher()

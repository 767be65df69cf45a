"""Several teachers as one: their vectors side by side, each with the same weight."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import numpy.typing as npt
from PIL import Image

from embedstore.errors import TeacherError
from embedstore.teachers.protocol import EMBEDDING, Teacher, check_pictures, fingerprint
from embedstore.vectors import Vectors

KIND = "joined"
_JOIN = "+"


class JoinedTeacher:
    """Teachers whose embeddings are put side by side.

    Each part has unit length, so that a cosine of the whole is the mean of the parts' cosines: no teacher outweighs another by
    having more numbers. A part that takes smaller pictures than the largest gets them resized.
    """

    definitions: Mapping[str, str] = {}

    def __init__(self, name: str, parts: Sequence[Teacher]):
        self.name = name
        self._parts = list(parts)
        self.input_size = max(part.input_size for part in parts)
        self.outputs: Mapping[str, int] = {EMBEDDING: sum(part.outputs[EMBEDDING] for part in parts)}
        recipe = {"teacher": KIND, "parts": [part.fingerprint for part in parts], "resized": "bicubic", "version": 1}
        self.fingerprint = fingerprint(recipe)

    def embed(self, pictures: npt.NDArray[np.uint8]) -> dict[str, Vectors]:
        """Embed (n, input_size, input_size, 3) uint8; see `Teacher.embed`."""
        check_pictures(self.name, self.input_size, pictures)
        found = [part.embed(_resized(pictures, part.input_size))[EMBEDDING] for part in self._parts]
        return {EMBEDDING: np.concatenate(found, axis=1) / np.float32(np.sqrt(len(found)))}


def load(argument: str, outputs: Sequence[str], load_part: Callable[[str], Teacher], kinds: Sequence[str]) -> Teacher:
    """Load the teachers of `A+B`; a `+` inside of a checkpoint's path is none of these where no known teacher follows it.

    Args:
        argument: the specs of two teachers or more, with `+` between them.
        outputs: further ones, which can't be given.
        load_part: spec -> teacher.
        kinds: that a spec can begin with.

    Raises:
        TeacherError: fewer than two teachers, one of them twice or joined itself, or further outputs are asked for.
    """
    spec = f"{KIND}:{argument}"
    if outputs:
        raise TeacherError(
            f"The teacher '{spec}' can't give {' and '.join(outputs)}: it has the embeddings of its parts alone; leave them out."
        )
    known = "|".join(re.escape(kind) for kind in kinds)
    specs = re.split(rf"\{_JOIN}(?=(?:{known})(?:[:{_JOIN}]|$))", argument)
    if len(specs) < 2:
        raise TeacherError(
            f"The teacher '{spec}' names fewer than two known teachers; expected two or more with + between, such as "
            f"{KIND}:efficientnet-lite0+efficientnet-lite2."
        )
    if any(one.startswith(KIND) for one in specs):
        raise TeacherError(f"The teacher '{spec}' joins one that is joined itself; name all its parts side by side.")
    parts = [load_part(one) for one in specs]
    if len({part.fingerprint for part in parts}) < len(parts):
        raise TeacherError(f"The teacher '{spec}' has the same teacher twice; name each once.")
    return JoinedTeacher(spec, parts)


def _resized(pictures: npt.NDArray[np.uint8], size: int) -> npt.NDArray[np.uint8]:
    """Return pictures (n, s, s, 3) as (n, size, size, 3)."""
    if pictures.shape[1] == size:
        return pictures
    resample = Image.Resampling.BICUBIC  # as views are cut
    return np.stack([np.asarray(Image.fromarray(one).resize((size, size), resample)) for one in pictures])

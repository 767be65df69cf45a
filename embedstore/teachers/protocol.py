"""What a teacher is: one small protocol, and the fingerprint that tells two teachers apart."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import Any, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from embedstore.errors import TeacherError
from embedstore.vectors import Vectors

EMBEDDING = "embedding"  # the output that every teacher has


class Teacher(Protocol):
    """A frozen encoder.

    Attributes:
        name: the spec it was loaded by; for people, never compared.
        input_size: side of the square pictures it takes, in pixels.
        outputs: output name -> dimension; `embedding` is always there.
        fingerprint: 32 hex digits over weights, preprocessing, precision and normalisation.

    One that gives further outputs may have `definitions`, too; see `definitions_of`.
    """

    name: str
    input_size: int
    outputs: Mapping[str, int]
    fingerprint: str

    def embed(self, pictures: npt.NDArray[np.uint8]) -> dict[str, Vectors]:
        """Embed (n, input_size, input_size, 3) uint8 RGB; return output name -> (n, d) float32 of unit length.

        Raises:
            TeacherError: the pictures have another shape or type.
        """
        ...


@runtime_checkable
class TextTeacher(Teacher, Protocol):
    """A teacher that places texts in the same space as pictures."""

    def embed_text(self, texts: list[str]) -> Vectors:
        """Embed texts; return (n, d) float32 of unit length."""
        ...


def definitions_of(teacher: Teacher) -> Mapping[str, str]:
    """Return further output -> what it is, in words; of a teacher that does not say so, nothing.

    The fingerprint is of the weights and covers no further output, so a store keeps these words and compares them.
    """
    said: Mapping[str, str] = getattr(teacher, "definitions", {})
    return said


def check_pictures(name: str, size: int, pictures: npt.NDArray[np.uint8]) -> None:
    """Raise unless the pictures are what the teacher takes; see `Teacher.embed`."""
    expected = (size, size, 3)
    if pictures.shape[1:] != expected or pictures.dtype != np.uint8 or not len(pictures):
        raise TeacherError(
            f"The teacher '{name}' got {pictures.shape} {pictures.dtype}; give (n, {size}, {size}, 3) uint8."
        )


def fingerprint(recipe: Mapping[str, Any], tensors: Iterable[tuple[str, bytes | memoryview]] = ()) -> str:
    """Hash what decides a teacher's vectors: its recipe (plain values) and its named tensors, in the given order."""
    digest = hashlib.blake2b(digest_size=16, person=b"teacher")
    digest.update(json.dumps(recipe, sort_keys=True).encode())
    for name, data in tensors:
        digest.update(f"\0{name}\0".encode())
        digest.update(data)
    return digest.hexdigest()

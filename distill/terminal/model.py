"""A terminal model: an ONNX file that knows its labels and its threshold, opened by onnxruntime alone."""

from __future__ import annotations

import os
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from distill.terminal.facts import KEY, Facts
from embedstore.errors import MissingPackageError, ModelError
from embedstore.pictures import content_hash
from embedstore.vectors import Vectors
from embedstore.views import Recipe, student_picture

PICTURE, PROBABILITIES, FEATURES, PROJECTED, WHERE = "picture", "probabilities", "features", "projected", "where"
MOST_BYTES = (1 << 31) - 1  # an ONNX file can't be larger

Picture = npt.NDArray[np.uint8]  # (height, width, 3), resized once


class Space(StrEnum):
    """Whose vectors are compared."""

    teacher = "teacher"
    student = "student"


@dataclass(frozen=True)
class Seen:
    """What a model says of a picture.

    Attributes:
        probabilities: (classes,) float64.
        features: (f,) the student's, averaged over flips.
        projected: (d,) the same in the teacher's space, where the centre is taken off; None where it learned none.
        where: (side, side) how much each place of the picture's square cut looks like a defect, in standard deviations from
            what is usual of good parts; None where it was not trained with patches. See `where.peak`.
    """

    probabilities: npt.NDArray[np.float64]
    features: Vectors
    projected: Vectors | None
    where: npt.NDArray[np.float32] | None = None

    def of(self, space: Space) -> Vectors:
        """Return its vector in a space."""
        if space is Space.student:
            return self.features
        assert self.projected is not None  # noqa: S101  as a model has it that has a centre
        return self.projected


class TerminalModel:
    """Opens a file that `distill export` wrote. The file may be hostile; what it computes is not trusted either.

    Args:
        path: of the file.
        threads: for one picture; small students gain nothing from a second one.

    Attributes:
        facts: what it says of itself.
        path: of the file.
        digest: of its bytes.

    Raises:
        ModelError: there is no such file, or it is no terminal model.
        MissingPackageError: onnxruntime is not installed.
    """

    def __init__(self, path: str | os.PathLike[str], *, threads: int = 1):
        self.path = Path(path)
        if not os.path.isfile(self.path):
            if self.path.is_dir():
                raise ModelError(
                    f"'{self.path}' is a directory and no model; give the .onnx file that distill export wrote."
                )
            raise ModelError(f"There is no file '{self.path}'; write one with: distill export RUN '{self.path}'")
        if self.path.stat().st_size > MOST_BYTES:
            raise ModelError(f"'{self.path}' is larger than any ONNX file can be; take the model from a copy.")
        data = self.path.read_bytes()
        self.digest = content_hash(data).hex()
        self._session = _session(self.path, data, threads)
        try:
            stored = self._session.get_modelmeta().custom_metadata_map
            if KEY not in stored:
                raise ValueError("it says nothing of labels and threshold")
            self.facts = Facts.from_json(stored[KEY])
            self._promised = promised(self.facts)
            self._check_graph()
        except ValueError as error:
            raise ModelError(
                f"'{self.path}' is no terminal model ({error}); write one with: distill export RUN FILE.onnx"
            ) from error

    def look(self, picture: Picture) -> Seen:
        """Return what the model says of a picture.

        Args:
            picture: (height, width, 3) uint8 RGB, resized once; see `prepared`.

        Raises:
            ModelError: the graph fails, or gives what its facts do not promise.
        """
        try:
            given: list[Any] = self._session.run(None, {PICTURE: picture})
        except Exception as error:  # whatever the runtime meets in a graph
            raise ModelError(
                f"The model '{self.path}' fails on a picture of {picture.shape[1]} x {picture.shape[0]} pixels "
                f"({_first_line(error)}); take it from a copy."
            ) from error
        if [one.shape for one in given] != list(self._promised.values()) or not all(
            np.isfinite(one).all() for one in given
        ):
            raise ModelError(f"The model '{self.path}' gives no answer of the promised form; take it from a copy.")
        said = dict(zip(self._promised, given, strict=True))
        probabilities = np.asarray(said[PROBABILITIES], np.float64)
        if abs(probabilities.sum() - 1) > 1e-3 or probabilities.min() < -1e-6:
            raise ModelError(f"The model '{self.path}' gives probabilities that are none; take it from a copy.")
        return Seen(probabilities, said[FEATURES], said.get(PROJECTED), said.get(WHERE))

    def prepared(self, picture: Image.Image) -> Picture:
        """Return a picture (mode `L` or `RGB`, upright) as `look` takes it: resized once, as the store did it for training."""
        resized = student_picture(picture, Recipe(student_side=self.facts.student_side))
        return as_input(np.asarray(resized))

    def _check_graph(self) -> None:
        inputs = [(one.name, one.type, len(one.shape)) for one in self._session.get_inputs()]
        if inputs != [(PICTURE, "tensor(uint8)", 3)]:
            raise ValueError("it does not take a picture")
        wanted = [(name, f"tensor({'double' if name == PROBABILITIES else 'float'})") for name in self._promised]
        if [(one.name, one.type) for one in self._session.get_outputs()] != wanted:
            raise ValueError("it does not give what its facts promise")


def promised(facts: Facts) -> dict[str, tuple[int, ...]]:
    """Return the names and shapes of what a model with these facts gives, in their order."""
    found: dict[str, tuple[int, ...]] = {PROBABILITIES: (len(facts.classes),), FEATURES: (facts.features,)}
    if facts.centre is not None:
        found[PROJECTED] = facts.centre.shape
    if facts.where is not None:
        found[WHERE] = (facts.where.side, facts.where.side)
    return found


def as_input(pixels: npt.NDArray[np.uint8]) -> Picture:
    """Return pixels (height, width), or with 1 or 3 channels, with three channels."""
    deep = np.atleast_3d(pixels)
    return np.ascontiguousarray(np.broadcast_to(deep, (*deep.shape[:2], 3)))


def _session(path: Path, data: bytes, threads: int) -> Any:
    try:
        import onnxruntime
    except ImportError as error:
        raise MissingPackageError(
            "Asking a terminal model needs onnxruntime: pip install 'embedstore[terminal]'"
        ) from error
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = threads
    options.log_severity_level = 4  # what fails is told in one sentence
    try:
        # From bytes, so that no graph makes the runtime read another file.
        return onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # the runtime raises kinds of its own
        raise ModelError(f"'{path}' is no ONNX model that onnxruntime can run ({_first_line(error)}).") from error


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]

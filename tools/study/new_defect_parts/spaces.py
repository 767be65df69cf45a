"""Where pictures are compared: the teacher's vectors, a student's features, and a student's guess of the teacher's vectors."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

import embedstore
from distill.students import device, make_student
from distill.terminal.gallery import standard
from distill.training import projection, run_directory
from distill.training.pictures import StudentPictures
from distill.training.scoring import features_of, flips_of
from distill.training.settings import Settings
from embedstore.errors import TrainingError
from embedstore.summaries.strategy import directions
from embedstore.vectors import Vectors
from new_defect_parts.cases import Positions

TEACHER, FEATURES, PROJECTED = "teacher", "features", "projected"
SPACES = (TEACHER, FEATURES, PROJECTED)


@dataclass(frozen=True)
class Space:
    """The pictures of a store as vectors.

    Attributes:
        asked: (n, d) each picture as it is asked about.
        kept: (n, d) each picture as the gallery keeps it.
        spread: the dimensions count alike: each is centred on the gallery's mean and divided by its spread there, as
            `distill predict --vectors student` does.
    """

    asked: Vectors
    kept: Vectors
    spread: bool = False

    def compared(self, asked: Positions, gallery: Positions) -> tuple[Vectors, Vectors]:
        """Return the vectors of some that are asked about (m, d) and of a gallery (g, d), as they are compared."""
        if not self.spread:
            return self.asked[asked], self.kept[gallery]
        centre, scale = standard(self.kept[gallery])
        return (self.asked[asked] - centre) * scale, (self.kept[gallery] - centre) * scale


def spaces_of(run: Path, store: Path, images: Path, train: Positions) -> dict[str, Space]:
    """Return the spaces of a run.

    teacher: both vectors come from the store, so the teacher has to look at what is asked: the upper bound.
    features: both come from the student; what is added is looked at by the student.
    projected: the student's features, mapped to the teacher's space by the map that it was trained with, are asked; the gallery
    is the store's. The centre of the teacher's space is that of the training pictures, whatever is added.

    Raises:
        TrainingError: the run is not complete, or has no map to the teacher's space.
    """
    features, projected = _seen(run, store, images)
    with embedstore.open(store) as opened:
        vectors = opened.read(np.arange(len(opened.samples)))
    teacher = directions(vectors, vectors[train].mean(axis=0, dtype=np.float64).astype(np.float32))
    return {
        TEACHER: Space(teacher, teacher),
        FEATURES: Space(features, features, spread=True),
        PROJECTED: Space(projected, teacher),
    }


def _seen(run: Path, store: Path, images: Path) -> tuple[Vectors, Vectors]:
    """Return the features (n, f) of all pictures of a store, and where the map takes them (n, d).

    Each is averaged over the picture's flips, as what is exported for the line does.
    """
    described = run_directory.read(run)
    settings = Settings(**described["settings"])
    student = make_student(settings.student, len(described["classes"]), settings.size, settings.seed, pretrained=False)
    run_directory.load_student(run, student)
    learned = projection.load(run, settings, student.features)
    if learned is None:
        raise TrainingError(
            f"The run in '{run}' has no map to the teacher's space, since {projection.why_none(settings)}; choose another."
        )
    with embedstore.open(store) as opened:
        pictures = StudentPictures(opened, settings.size, images)
        try:
            flips, positions = flips_of(opened.recipe), np.arange(len(opened.samples))
            seen = features_of(student.to(device()), pictures, positions, flips).cpu()
        finally:
            pictures.close()
    features = seen.view(len(flips), len(positions), -1).mean(dim=0)
    with torch.no_grad():
        return _numbers(features), _numbers(learned[0](features))


def _numbers(tensor: torch.Tensor) -> Vectors:
    found: npt.NDArray[np.float32] = tensor.numpy().astype(np.float32)
    return found

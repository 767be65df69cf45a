"""Ways of asking a student: by its head, by its neighbours among the training pictures, or by both."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn.functional import normalize

from distill.students import Student, device
from distill.training import run_directory
from distill.training.pictures import StudentPictures
from distill.training.run_data import RunData
from distill.training.scoring import Answer, by_head, features_of
from distill.training.settings import Settings

VOICES = 3  # of each class; more of them, and a kind of defect with few parts is outvoted by the other kinds
TEMPERATURE = 0.1  # of cosines; half and twice as much say nearly the same
_DEAD = 1e-6  # of the widest spread: a feature that does not vary more than this in training says nothing


@dataclass(frozen=True)
class Neighbours:
    """Training pictures as the student sees them, and what those nearest to a picture say of it.

    Each part is one voice, that of its most alike picture: a part that was photographed often is not heard more often. A class is
    as likely as the mean of exp(cosine / TEMPERATURE) over its VOICES nearest parts. So each class has equally many voices, and a
    rare one is not outvoted, as it is where the nearest of all classes together vote. Features count alike: each is centred and
    divided by its spread over the training pictures.

    Attributes:
        centre: (f,) mean of the features.
        scale: (f,) one over their spread; 0 for those that do not vary.
        points: (n, f) the training pictures, of unit length.
        voices: (n,) the part of each, numbered class by class.
        classes: (v,) the class of each part; a part with pictures of two classes has two voices.
    """

    centre: Tensor
    scale: Tensor
    points: Tensor
    voices: Tensor
    classes: Tensor

    @classmethod
    def of(cls, features: Tensor, labels: npt.NDArray[np.int64], parts: Sequence[str]) -> Neighbours:
        """Take the training pictures.

        Args:
            features: (n, f) of the plain pictures.
            labels: (n,) class numbers; each class has one at least.
            parts: (n,) which part each shows.
        """
        wide = features.double()
        centre, spread = wide.mean(dim=0), wide.std(dim=0, correction=0)
        scale = torch.where(spread > _DEAD * spread.max(), 1 / spread, 0)
        known = sorted(set(zip(labels.tolist(), parts, strict=True)))
        number = {voice: at for at, voice in enumerate(known)}
        return cls(
            centre.float(),
            scale.float(),
            _placed(features, centre.float(), scale.float()),
            torch.tensor([number[voice] for voice in zip(labels.tolist(), parts, strict=True)]),
            torch.tensor([label for label, _ in known]),
        )

    def __call__(self, features: Tensor, _: Tensor) -> Tensor:
        """Map features (m, f) to probabilities (m, classes), float64; logits play no part."""
        cosines = _placed(features, self.centre, self.scale) @ self.points.T
        at = self.voices.expand(len(features), -1)
        nearest = cosines.new_zeros(len(features), len(self.classes))
        nearest = nearest.scatter_reduce(1, at, cosines, "amax", include_self=False).double() / TEMPERATURE
        said = []
        for label in range(int(self.classes[-1]) + 1):
            voices = nearest[:, self.classes == label]
            count = min(VOICES, voices.shape[1])
            said.append(voices.topk(count, dim=1).values.logsumexp(dim=1) - math.log(count))
        return torch.stack(said, dim=1).softmax(dim=1)


def keep_neighbours(path: Path, student: Student, data: RunData, settings: Settings, pictures: StudentPictures) -> None:
    """Write a run's neighbours into its directory, where its answers need them: evaluating it then needs no training picture."""
    if settings.answer == "head":
        return
    positions = [int(at) for at in data.sides["train"] if data.samples[at].label is not None]
    number = {label: index for index, label in enumerate(data.classes)}
    found = Neighbours.of(
        features_of(student, pictures, np.array(positions, np.int64)),
        np.array([number[data.samples[at].label or ""] for at in positions], np.int64),
        [data.samples[at].part for at in positions],
    )
    run_directory.save_neighbours(path, {field.name: getattr(found, field.name) for field in fields(found)})


def answer_of(path: Path, settings: Settings, student: Student) -> Answer:
    """Return how a run's student is asked.

    Raises:
        TrainingError: the run's neighbours are missing or damaged.
    """
    if settings.answer == "head":
        return by_head
    kept = run_directory.load_neighbours(path)
    if not _fits(kept, student):
        raise run_directory.damaged_neighbours(path)
    neighbours = Neighbours(**{name: tensor.to(device()) for name, tensor in kept.items()})
    if settings.answer == "neighbours":
        return neighbours
    return lambda features, logits: (by_head(features, logits) + neighbours(features, logits)) / 2


def _fits(kept: dict[str, Tensor], student: Student) -> bool:
    """Return whether tensors from a file are neighbours for this student."""
    if kept.keys() != {field.name for field in fields(Neighbours)}:
        return False
    shapes = {name: tuple(tensor.shape) for name, tensor in kept.items()}
    f, n, v = student.features, len(kept["points"]), len(kept["classes"])
    return (
        shapes == {"centre": (f,), "scale": (f,), "points": (n, f), "voices": (n,), "classes": (v,)}
        and set(kept["voices"].tolist()) == set(range(v))
        and set(kept["classes"].tolist()) == set(range(student.head.out_features))
    )


def _placed(features: Tensor, centre: Tensor, scale: Tensor) -> Tensor:
    return normalize((features - centre) * scale)

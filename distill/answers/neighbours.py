"""neighbours: a student is asked by the training pictures that are most alike in its own features."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn.functional import normalize

from distill.answers.standard import standard
from distill.students import Student

VOICES = 3  # of each class; more of them, and a kind of defect with few parts is outvoted by the other kinds
TEMPERATURE = 0.1  # of cosines; half and twice as much say nearly the same


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
        centre, scale = standard(features)
        known = sorted(set(zip(labels.tolist(), parts, strict=True)))
        number = {voice: at for at, voice in enumerate(known)}
        return cls(
            centre,
            scale,
            _placed(features, centre, scale),
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

    @classmethod
    def fitting(cls, kept: Mapping[str, Tensor], student: Student) -> Neighbours | None:
        """Return neighbours from a file's tensors; None where those are not neighbours for this student."""
        if kept.keys() != {field.name for field in fields(cls)}:
            return None
        shapes = {name: tuple(tensor.shape) for name, tensor in kept.items()}
        f, n, v = student.features, len(kept["points"]), len(kept["classes"])
        if (
            shapes != {"centre": (f,), "scale": (f,), "points": (n, f), "voices": (n,), "classes": (v,)}
            or set(kept["voices"].tolist()) != set(range(v))
            or set(kept["classes"].tolist()) != set(range(student.head.out_features))
        ):
            return None
        return cls(**kept)


def _placed(features: Tensor, centre: Tensor, scale: Tensor) -> Tensor:
    return normalize((features - centre) * scale)

"""neighbours: a student is asked by the training pictures that are most alike in its own features."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn.functional import normalize

from distill.answers.memory import are
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
        classes: (v,) the class of each part, rising; a part with pictures of two classes has two voices.
    """

    # They would add none that is nearer, since the pictures that are asked for are turned and mirrored themselves.
    turned: ClassVar[bool] = False

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
        voices = [number[voice] for voice in zip(labels.tolist(), parts, strict=True)]
        return cls(
            centre,
            scale,
            _placed(features, centre, scale),
            torch.tensor(voices, device=features.device),
            torch.tensor([label for label, _ in known], device=features.device),
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
        if not {"points", "classes"} <= kept.keys():
            return None
        n, v, of_features = kept["points"].shape[:1], kept["classes"].numel(), ((student.features,), torch.float32)
        expected = {
            "centre": of_features,
            "scale": of_features,
            "points": ((*n, student.features), torch.float32),
            "voices": (tuple(n), torch.int64),
            "classes": ((v,), torch.int64),
        }
        if not are(kept, expected) or set(kept["voices"].tolist()) != set(range(v)):
            return None
        classes = kept["classes"].tolist()
        whole = classes == sorted(classes) and set(classes) == set(range(student.head.out_features))
        return cls(**kept) if whole else None


def _placed(features: Tensor, centre: Tensor, scale: Tensor) -> Tensor:
    return normalize((features - centre) * scale)

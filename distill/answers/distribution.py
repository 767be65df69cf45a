"""distribution: a student is asked how likely its features are under a normal distribution of each class."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from distill.answers.memory import are
from distill.answers.standard import standard
from distill.students import Student

EVEN = 0.1  # share of a covariance that is the same in all directions, where training pictures are too few to tell
COMMON_PARTS = 10  # a class' own covariance counts as many parts as it has; all classes' together counts as so many


@dataclass(frozen=True)
class Distribution:
    """Each class as a normal distribution of features: regularised discriminant analysis (Friedman 1989).

    A head draws one plane between good and defect, but defects lie on all sides of the good ones. Here each class has its own
    covariance, drawn a little towards that of all classes, the more the fewer parts it has, and towards an even one. All
    classes are equally likely beforehand, so that a rare one is not passed over. A class is as likely as the exponential of
    its mean log-likelihood over features: of the sum, most answers would be 0 or 1 to the last bit, and no threshold could
    stand between.

    Attributes:
        centre: (f,) mean of the features.
        scale: (f,) one over their spread; 0 for those that do not vary. The others are the k that answers come from.
        means: (c, k) of each class, centred and scaled, float64.
        whiteners: (c, k, k) inverse Cholesky factors of their covariances.
        volumes: (c,) half the logarithms of the determinants.
    """

    turned: ClassVar[bool] = True  # they tell how a class spreads

    centre: Tensor
    scale: Tensor
    means: Tensor
    whiteners: Tensor
    volumes: Tensor

    @classmethod
    def of(cls, features: Tensor, labels: npt.NDArray[np.int64], parts: Sequence[str]) -> Distribution:
        """Fit the classes.

        Args:
            features: (n, f) of the training pictures, turned and mirrored ones among them.
            labels: (n,) class numbers; each class has one at least.
            parts: (n,) which part each shows.
        """
        centre, scale = standard(features)
        points = _placed(features, centre, scale)
        of_class = [torch.from_numpy(labels == label).to(points.device) for label in range(int(labels.max()) + 1)]
        means = torch.stack([points[own].mean(dim=0) for own in of_class])
        scatters = torch.stack(
            [(points[own] - mean).T @ (points[own] - mean) for own, mean in zip(of_class, means, strict=True)]
        )
        together = scatters.sum(dim=0) / len(points)
        factors = []
        for label, (own, scatter) in enumerate(zip(of_class, scatters, strict=True)):
            count = len({part for part, one in zip(parts, labels, strict=True) if one == label})
            share = count / (count + COMMON_PARTS)
            covariance = share * scatter / int(own.sum()) + (1 - share) * together
            even = covariance.diagonal().mean().clamp_min(1e-6)  # where no class varies at all, any will do
            identity = torch.eye(points.shape[1], dtype=points.dtype, device=points.device)
            factors.append(torch.linalg.cholesky((1 - EVEN) * covariance + EVEN * even * identity))
        cholesky = torch.stack(factors)
        return cls(
            centre,
            scale,
            means,
            torch.linalg.inv(cholesky),
            cholesky.diagonal(dim1=1, dim2=2).log().sum(dim=1),
        )

    def __call__(self, features: Tensor, _: Tensor) -> Tensor:
        """Map features (m, f) to probabilities (m, classes), float64; logits play no part."""
        points = _placed(features, self.centre, self.scale)
        white = torch.einsum("cij,cmj->cmi", self.whiteners, points - self.means[:, None])
        likelihood = -(white**2).sum(dim=2).T / 2 - self.volumes
        return (likelihood / max(1, points.shape[1])).softmax(dim=1)

    @classmethod
    def fitting(cls, kept: Mapping[str, Tensor], student: Student) -> Distribution | None:
        """Return a distribution from a file's tensors; None where those are none for this student."""
        if not {"centre", "scale"} <= kept.keys():
            return None
        f, c, k = student.features, student.head.out_features, int(kept["scale"].count_nonzero())
        of_features, of_classes = ((f,), torch.float32), {"means": (c, k), "whiteners": (c, k, k), "volumes": (c,)}
        wide = {name: (shape, torch.float64) for name, shape in of_classes.items()}
        return cls(**kept) if are(kept, {"centre": of_features, "scale": of_features, **wide}) else None


def _placed(features: Tensor, centre: Tensor, scale: Tensor) -> Tensor:
    """Return (n, k) of features (n, f): those that vary, centred and scaled, float64."""
    return ((features - centre) * scale).double()[:, scale != 0]

"""What all kinds of memory have in common, and how a file's tensors are checked before they become one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar, Protocol, Self

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from distill.students import Student


class Memory(Protocol):
    """What is kept of the training pictures, as a student sees them: a dataclass of tensors, all on one device.

    Attributes:
        turned: whether it looks at turned and mirrored training pictures, too.
    """

    turned: ClassVar[bool]

    @classmethod
    def of(cls, features: Tensor, labels: npt.NDArray[np.int64], parts: Sequence[str]) -> Self:
        """Make it of training pictures: features (n, f), class numbers (n,) with each class among them, and parts (n,)."""
        ...

    def __call__(self, features: Tensor, logits: Tensor, /) -> Tensor:
        """Map features (m, f) and logits (m, classes) to probabilities (m, classes), float64."""
        ...

    @classmethod
    def fitting(cls, kept: Mapping[str, Tensor], student: Student) -> Self | None:
        """Return one from a file's tensors; None where those are none for this student."""
        ...


def are(kept: Mapping[str, Tensor], expected: Mapping[str, tuple[tuple[int, ...], torch.dtype]]) -> bool:
    """Return whether tensors have these names, shapes and types, and hold finite numbers only."""
    found = {name: (tuple(tensor.shape), tensor.dtype) for name, tensor in kept.items()}
    return found == expected and all(bool(tensor.isfinite().all()) for tensor in kept.values())

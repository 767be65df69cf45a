"""Asking a student: class probabilities of whole pictures, averaged over flips; crops are never averaged."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch

from distill.students import Student
from distill.training.pictures import StudentPictures
from embedstore.errors import TrainingError
from embedstore.views import WHOLE, Recipe

_AT_ONCE = 64
Flips = Sequence[tuple[int, ...]]


def flips_of(recipe: Recipe) -> Flips:
    """Return the flips that a student saw in training: none, or from left to right; upside down only beside quarter turns."""
    if not recipe.flips:
        return ((),)
    return ((), (2,), (3,), (2, 3)) if recipe.turns else ((), (3,))


def class_probabilities(
    student: Student, pictures: StudentPictures, positions: npt.NDArray[np.int64], flips: Flips = ((),)
) -> npt.NDArray[np.float64]:
    """Return (m, classes) probabilities of the pictures at some positions in the store.

    Args:
        student: any; it is left in evaluation mode.
        pictures: cuts the pixels.
        positions: (m,).
        flips: what to average over: along which axes of (m, 3, s, s) pixels each time; see `flips_of`.

    Raises:
        TrainingError: the student's answers are no numbers, since its training diverged.
    """
    student.eval()
    device = next(student.parameters()).device
    parts = [np.zeros((0, student.head.out_features))]
    with torch.inference_mode():
        for start in range(0, len(positions), _AT_ONCE):
            part = positions[start : start + _AT_ONCE]
            pixels = pictures.cut(part, [WHOLE] * len(part), np.zeros_like(part), device)
            answers = [student(pixels.flip(way) if way else pixels)[1].double().softmax(dim=1) for way in flips]
            parts.append(torch.stack(answers).mean(dim=0).cpu().numpy())
    probabilities = np.concatenate(parts)
    if not np.isfinite(probabilities).all():
        raise TrainingError(
            "The student's answers are no numbers: its training diverged; train with a smaller learning rate or lambda."
        )
    return probabilities

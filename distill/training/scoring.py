"""Asking a student: class probabilities of whole pictures, averaged over flips; crops are never averaged."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from distill.answers.patches import SIZES, Patches, beside
from distill.evaluation.metrics import average_precision, roc_area
from distill.students import Student
from distill.students.student import few_at_a_time
from distill.training.pictures import StudentPictures
from distill.training.ranks import ALONE, Ranks
from distill.training.run_data import RunData
from embedstore.errors import TrainingError
from embedstore.views import WHOLE, Recipe

_AT_ONCE = 64
_DIVERGED = "The student's answers are no numbers: its training diverged; train with a smaller learning rate or lambda."
Flips = Sequence[tuple[int, ...]]
# Features (m, f) and logits (m, classes) -> probabilities (m, classes) in float64.
Answer = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class Asked:
    """Whom a student is asked through.

    Attributes:
        answer: of each flip; their answers are averaged.
        patches: whose log-odds of a defect are added to that; None where nobody looks at patches.
        defects: (classes,) which of the classes are defects, 1 or 0; where there are patches.
    """

    answer: Answer
    patches: Patches | None = None
    defects: Tensor | None = None


def flips_of(recipe: Recipe) -> Flips:
    """Return the flips that a student saw in training: none, or from left to right; upside down only beside quarter turns."""
    if not recipe.flips:
        return ((),)
    return ((), (2,), (3,), (2, 3)) if recipe.turns else ((), (3,))


def by_head(_: Tensor, logits: Tensor) -> Tensor:
    """Return what the head says."""
    return logits.double().softmax(dim=1)


HEAD = Asked(by_head)


def class_probabilities(
    student: Student,
    pictures: StudentPictures,
    positions: npt.NDArray[np.int64],
    flips: Flips = ((),),
    asked: Asked = HEAD,
) -> npt.NDArray[np.float64]:
    """Return (m, classes) probabilities of the pictures at some positions in the store.

    Args:
        student: any; it is left in evaluation mode.
        pictures: cuts the pixels.
        positions: (m,).
        flips: what to average over: along which axes of (m, 3, s, s) pixels each time; see `flips_of`.
        asked: whom to ask; see `answers.asked_of`.

    Raises:
        TrainingError: the student's answers are no numbers, since its training diverged.
    """
    student.eval()
    parts = [np.zeros((0, student.head.out_features))]
    with torch.inference_mode():
        for part, pixels in _whole(student, pictures, positions):
            answers = [asked.answer(*_said(student, pixels.flip(way) if way else pixels)) for way in flips]
            said = torch.stack(answers).mean(dim=0)
            if asked.patches is not None and asked.defects is not None:
                log_odds = asked.patches(pictures.whole(part, SIZES, pixels.device))
                said = beside(said, log_odds, asked.defects)
            parts.append(said.cpu().numpy())
    probabilities = np.concatenate(parts)
    if not np.isfinite(probabilities).all():
        raise TrainingError(_DIVERGED)
    return probabilities


def validation_figures(
    student: Student, pictures: StudentPictures, data: RunData, good: str | None, ranks: Ranks = ALONE
) -> dict[str, float]:
    """Return the validation figures of an epoch, from whole pictures, unflipped; the report averages flips.

    Each rank looks at its part of the pictures.
    """
    positions = data.labelled("val")
    own = class_probabilities(student, pictures, positions[ranks.part(len(positions))])
    probabilities = ranks.rows(torch.from_numpy(own), len(positions)).numpy()
    labels = [data.samples[at].label for at in positions]
    if good is None:
        said = [data.classes[at] for at in probabilities.argmax(axis=1)]
        return {"val_accuracy": float(np.mean([a == b for a, b in zip(said, labels, strict=True)]))}
    defect = np.array([label != good for label in labels])
    scores = 1 - probabilities[:, data.classes.index(good)]
    return {"val_auroc": roc_area(defect, scores), "val_aupr": average_precision(defect, scores)}


def features_of(
    student: Student, pictures: StudentPictures, positions: npt.NDArray[np.int64], flips: Flips = ((),)
) -> Tensor:
    """Return the features (flips x m, f) of the whole pictures at some positions in the store, all in one way, then in the next.

    See `class_probabilities`; of one position or more.

    Raises:
        TrainingError: they are no numbers, since the student's training diverged.
    """
    student.eval()
    with torch.inference_mode():
        seen = [
            [_said(student, pixels.flip(way) if way else pixels)[0] for way in flips]
            for _, pixels in _whole(student, pictures, positions)
        ]
    features = torch.cat([part for of_way in zip(*seen, strict=True) for part in of_way])
    if not features.isfinite().all():
        raise TrainingError(_DIVERGED)
    return features


def _said(student: Student, pixels: Tensor) -> tuple[Tensor, Tensor]:
    """Return features (m, f) and logits (m, classes) of pictures (m, 3, s, s)."""
    features, logits = zip(*(student(few) for few in few_at_a_time(pixels)), strict=True)
    return torch.cat(features), torch.cat(logits)


def _whole(
    student: Student, pictures: StudentPictures, positions: npt.NDArray[np.int64]
) -> Iterator[tuple[npt.NDArray[np.int64], Tensor]]:
    """Yield positions, some at a time, and the pixels of their whole pictures, where the student is."""
    device = next(student.parameters()).device
    for start in range(0, len(positions), _AT_ONCE):
        part = positions[start : start + _AT_ONCE]
        yield part, pictures.cut(part, [WHOLE] * len(part), np.zeros_like(part), device)

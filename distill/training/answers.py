"""Whom a run's student is asked through: its head, or what a run keeps of its training pictures; see `distill.answers`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from distill.answers import MEMORIES, Memory, Patches
from distill.students import Student, device
from distill.training import run_directory
from distill.training.learned_patches import SeenPatches, learn_patches, patch_maps, refuse_unlearnable
from distill.training.pictures import StudentPictures
from distill.training.run_data import RunData
from distill.training.scoring import HEAD, Answer, Asked, Flips, by_head, features_of
from distill.training.settings import PATCHES, Settings
from embedstore.errors import TrainingError


def keep_memory(  # noqa: PLR0917
    path: Path, student: Student, data: RunData, settings: Settings, pictures: StudentPictures, flips: Flips
) -> None:
    """Write what a run's answers need into its directory, if it is not there: evaluating it then needs no training picture."""
    if settings.answer != "head" and not _is_kept(path, settings, student):
        found = memory_of(student, data, settings, pictures, flips)
        run_directory.save_memory(path, found.state_dict() if isinstance(found, nn.Module) else dict(vars(found)))


def refuse_unanswerable(path: Path, data: RunData, settings: Settings) -> None:
    """Refuse before the training what could not be asked after it; what a run in `path` has kept already is not looked for.

    Raises:
        SettingsError: patches are asked for, and their teacher has no such stages.
        TeacherError: or its weights are not installed.
        TrainingError: or too few parts are good or defective.
    """
    if settings.answer == PATCHES and not (path / run_directory.MEMORY).is_file():
        refuse_unlearnable(patch_maps(settings), data, settings)


def memory_of(
    student: Student, data: RunData, settings: Settings, pictures: StudentPictures, flips: Flips
) -> Memory | Patches:
    """Look at a run's labelled training pictures; there must be an answer that needs that.

    Raises:
        TrainingError: their labels are no longer the run's classes, too few are good or defective for patches, or the student's
            features are no numbers.
        SettingsError: patches are asked for, and their teacher has no such stages.
        TeacherError: or its weights are not installed.
    """
    labels = data.labels("train").keys()
    if changed := sorted(labels ^ set(data.classes)):
        raise TrainingError(
            f"The labels of the run's training pictures have changed in its store ('{changed[0]}' is "
            f"{'new' if changed[0] in labels else 'gone'}), so its student can't be asked by them; give them the labels that "
            "they had, or train again in another directory."
        )
    if settings.answer == PATCHES:
        return learn_patches(SeenPatches(patch_maps(settings), pictures), data, settings)
    positions = data.labelled("train")
    kind = MEMORIES[settings.answer]
    ways: Flips = flips if kind.turned else ((),)
    number = {label: index for index, label in enumerate(data.classes)}
    return kind.of(
        features_of(student, pictures, positions, ways),
        np.array([number[data.samples[at].label or ""] for at in positions] * len(ways), np.int64),
        [data.samples[at].part for at in positions] * len(ways),
    )


def loaded_memory(path: Path, settings: Settings, student: Student) -> Memory | Patches | None:
    """Return what a run has kept for its answer; None where the head answers.

    Raises:
        TrainingError: it is missing or damaged.
        SettingsError: the stages whose patches are kept are none of this release.
    """
    if settings.answer == "head":
        return None
    kept = {name: tensor.to(device()) for name, tensor in run_directory.load_memory(path).items()}
    memory = (
        Patches.fitting(kept, patch_maps(settings, pretrained=False))
        if settings.answer == PATCHES
        else MEMORIES[settings.answer].fitting(kept, student)
    )
    if memory is None:
        raise run_directory.damaged_memory(path)
    return memory


def asked_of(path: Path, settings: Settings, student: Student, classes: list[str]) -> Asked:
    """Return how a run's student is asked.

    Args:
        path: of the run.
        settings: of the run.
        student: of the run.
        classes: of the run, in the order of its probabilities.

    Raises:
        TrainingError, SettingsError: see `loaded_memory`.
    """
    return through(loaded_memory(path, settings, student), settings, classes)


def through(memory: Memory | Patches | None, settings: Settings, classes: list[str]) -> Asked:
    """Return how a student with this memory is asked."""
    if memory is None:
        return HEAD
    if isinstance(memory, Patches):
        return replace(HEAD, patches=memory, defects=defects_among(classes, settings.good).to(device()))
    return Asked(_mean_with_head(memory) if settings.answer == "both" else memory)


def defects_among(classes: list[str], good: str | None) -> Tensor:
    """Return which classes are defects (classes,): 1 for those, 0 for the good one, float64."""
    return torch.tensor([float(label != good) for label in classes], dtype=torch.float64)


def _mean_with_head(memory: Memory) -> Answer:
    return lambda features, logits: (by_head(features, logits) + memory(features, logits)) / 2


def _is_kept(path: Path, settings: Settings, student: Student) -> bool:
    """Return whether a run has kept what its answer needs, undamaged."""
    try:
        return loaded_memory(path, settings, student) is not None
    except TrainingError:
        return False

"""Whom a run's student is asked through: its head, or what a run keeps of its training pictures; see `distill.answers`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from distill.answers import MEMORIES, Memory, Patches, PatchMaps
from distill.answers.patches import SIZES
from distill.answers.places import folds_of
from distill.students import Student, device
from distill.students.teacher_stages import teacher_stages
from distill.training import run_directory
from distill.training.pictures import StudentPictures
from distill.training.run_data import RunData
from distill.training.scoring import HEAD, Answer, Asked, Flips, by_head, features_of
from distill.training.settings import PATCHES, TRUNK, Settings
from embedstore.errors import TrainingError

_MOST_LOOKED_AT = 1_000  # good pictures whose patches are looked at, and as many defective ones: .4 GB of maps
_AT_ONCE = 64


def keep_memory(  # noqa: PLR0917
    path: Path, student: Student, data: RunData, settings: Settings, pictures: StudentPictures, flips: Flips
) -> None:
    """Write what a run's answers need into its directory: evaluating it then needs no training picture."""
    if settings.answer != "head":
        found = memory_of(student, data, settings, pictures, flips)
        run_directory.save_memory(path, found.state_dict() if isinstance(found, nn.Module) else dict(vars(found)))


def refuse_unanswerable(data: RunData, settings: Settings) -> None:
    """Refuse before the training what could not be asked after it.

    Raises:
        SettingsError: patches are asked for, and their teacher has no such stages.
        TeacherError: or its weights are not installed.
        TrainingError: or too few parts are good or defective.
    """
    if settings.answer == PATCHES:
        _patch_maps(settings, pretrained=True)
        known = [data.samples[at] for at in _labelled(data, "train")]
        parts = np.unique([one.part for one in known], return_inverse=True)[1]
        folds_of(parts, np.array([one.label != settings.good for one in known]), settings.seed)


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
    positions = _labelled(data, "train")
    if settings.answer == PATCHES:
        return _patches_of(positions, data, settings, pictures)
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
        Patches.fitting(kept, _patch_maps(settings, pretrained=False))
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


def _patch_maps(settings: Settings, *, pretrained: bool) -> PatchMaps:
    stages = teacher_stages(f"{TRUNK}:{settings.patches}", max(SIZES), pretrained=pretrained)
    return PatchMaps(stages.to(device()))


def _patches_of(
    positions: npt.NDArray[np.int64], data: RunData, settings: Settings, pictures: StudentPictures
) -> Patches:
    """Learn from the training pictures at some positions, or some of them, where they are very many."""
    drawn = np.random.default_rng(settings.seed).permutation(positions)
    is_defect = np.array([data.samples[at].label != settings.good for at in drawn])
    looked_at = np.sort(np.concatenate([drawn[is_defect == side][:_MOST_LOOKED_AT] for side in (False, True)]))
    maps = _patch_maps(settings, pretrained=True)
    return Patches.of(
        maps,
        [torch.cat(list(_seen(maps, pictures, looked_at, size))) for size in SIZES],
        np.array([data.samples[at].label != settings.good for at in looked_at]),
        np.unique([data.samples[at].part for at in looked_at], return_inverse=True)[1],
        settings.seed,
    ).eval()


def _labelled(data: RunData, side: str) -> npt.NDArray[np.int64]:
    """Return the positions of the labelled pictures of a side."""
    return np.array([at for at in data.sides[side] if data.samples[at].label is not None], np.int64)


def _seen(maps: PatchMaps, pictures: StudentPictures, positions: npt.NDArray[np.int64], size: int) -> Iterator[Tensor]:
    """Yield the patches (m, places, c) of pictures at some positions, some at a time."""
    with torch.inference_mode():
        for start in range(0, len(positions), _AT_ONCE):
            (pixels,) = pictures.whole(positions[start : start + _AT_ONCE], (size,), device())
            yield maps(pixels)

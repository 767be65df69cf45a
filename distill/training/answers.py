"""Whom a run's student is asked through: its head, or what a run keeps of its training pictures; see `distill.answers`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from distill.answers import MEMORIES, Memory, Patches, PatchMaps
from distill.answers.patches import SIZES, places_of, refuse_too_few
from distill.students import Student, device
from distill.students.teacher_stages import teacher_stages
from distill.training import run_directory
from distill.training.pictures import StudentPictures
from distill.training.run_data import RunData
from distill.training.scoring import HEAD, Answer, Asked, Flips, by_head, features_of
from distill.training.settings import PATCHES, TRUNK, Settings
from embedstore.errors import SettingsError, TrainingError

# Of the patches of good pictures, and of those of defective ones, at the largest size; and so many pictures in any case.
_MOST_BYTES, _FEWEST = 1 << 27, 50
_AT_ONCE = 64


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
        looked_at = _looked_at(_patch_maps(settings, pretrained=True), data, settings)
        refuse_too_few(*_parts_and_defects(data, settings, looked_at))


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
        return _patches_of(data, settings, pictures)
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


def _is_kept(path: Path, settings: Settings, student: Student) -> bool:
    """Return whether a run has kept what its answer needs, undamaged."""
    try:
        return loaded_memory(path, settings, student) is not None
    except TrainingError:
        return False


def _patch_maps(settings: Settings, *, pretrained: bool) -> PatchMaps:
    """Make what makes patches; with the teacher's weights if `pretrained`, else others follow."""
    try:
        stages = teacher_stages(f"{TRUNK}:{settings.patches}", max(SIZES), pretrained=pretrained)
    except SettingsError as error:
        raise _no_maps(settings, error) from error
    try:
        maps = PatchMaps(stages.to(device()))
        for size in SIZES if pretrained else ():
            places_of(maps, size)
    except torch.OutOfMemoryError:
        raise
    except (AssertionError, RuntimeError) as error:  # a model of one size of picture only
        raise _no_maps(settings, error) from error
    return maps


def _no_maps(settings: Settings, error: Exception) -> SettingsError:
    return SettingsError(
        f"The answer 'patches' looks at the maps of TEACHER:STAGES, such as {Settings().patches}, at "
        f"{', '.join(map(str, SIZES))} pixels, which '{settings.patches}' does not give: {error}"
    )


def _patches_of(data: RunData, settings: Settings, pictures: StudentPictures) -> Patches:
    """Learn from the training pictures, or some of them, where they are very many."""
    maps = _patch_maps(settings, pretrained=True)
    looked_at = _looked_at(maps, data, settings)
    seen = (torch.cat(list(_seen(maps, pictures, looked_at, size))) for size in SIZES)
    parts, defect = _parts_and_defects(data, settings, looked_at)
    return Patches.of(maps, seen, defect, parts, settings.seed).eval()


def _looked_at(maps: PatchMaps, data: RunData, settings: Settings) -> npt.NDArray[np.int64]:
    """Return the positions of training pictures from which patches are learned: first a good and a defective one of each part."""
    most = max(_FEWEST, _MOST_BYTES // (4 * maps.channels * places_of(maps, max(SIZES))))
    drawn = np.random.default_rng(settings.seed).permutation(_labelled(data, "train"))
    taken: Counter[tuple[str, bool]] = Counter()
    turns = []
    for sample in (data.samples[at] for at in drawn):
        kind = sample.part, sample.label == settings.good
        turns.append(taken[kind])
        taken[kind] += 1
    drawn = drawn[np.argsort(turns, kind="stable")]
    _, defect = _parts_and_defects(data, settings, drawn)
    return np.sort(np.concatenate([drawn[defect == side][:most] for side in (False, True)]))


def _parts_and_defects(
    data: RunData, settings: Settings, positions: npt.NDArray[np.int64]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.bool_]]:
    """Return of labelled pictures which part each shows (n,), as numbers, and which show a defect (n,)."""
    parts = np.unique([data.samples[at].part for at in positions], return_inverse=True)[1]
    return parts, np.array([data.samples[at].label != settings.good for at in positions], np.bool_)


def _labelled(data: RunData, side: str) -> npt.NDArray[np.int64]:
    """Return the positions of the labelled pictures of a side."""
    return np.array([at for at in data.sides[side] if data.samples[at].label is not None], np.int64)


def _seen(maps: PatchMaps, pictures: StudentPictures, positions: npt.NDArray[np.int64], size: int) -> Iterator[Tensor]:
    """Yield the patches (m, places, c) of pictures at some positions, some at a time."""
    with torch.inference_mode():
        for start in range(0, len(positions), _AT_ONCE):
            (pixels,) = pictures.whole(positions[start : start + _AT_ONCE], (size,), device())
            yield maps(pixels)

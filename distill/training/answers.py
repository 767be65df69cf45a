"""Whom a run's student is asked through: its head, or what a run keeps of its training pictures; see `distill.answers`."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from distill.answers import MEMORIES, Memory
from distill.students import Student, device
from distill.training import run_directory
from distill.training.pictures import StudentPictures
from distill.training.run_data import RunData
from distill.training.scoring import Answer, Flips, by_head, features_of
from distill.training.settings import Settings
from embedstore.errors import TrainingError


def keep_memory(  # noqa: PLR0917
    path: Path, student: Student, data: RunData, settings: Settings, pictures: StudentPictures, flips: Flips
) -> None:
    """Write what a run's answers need into its directory: evaluating it then needs no training picture."""
    if settings.answer != "head":
        found = memory_of(student, data, settings.answer, pictures, flips)
        run_directory.save_memory(path, dict(vars(found)))


def memory_of(student: Student, data: RunData, answer: str, pictures: StudentPictures, flips: Flips) -> Memory:
    """Look at a run's labelled training pictures.

    Raises:
        TrainingError: their labels are no longer the run's classes, or the student's features are no numbers.
    """
    labels = data.labels("train").keys()
    if changed := sorted(labels ^ set(data.classes)):
        raise TrainingError(
            f"The labels of the run's training pictures have changed in its store ('{changed[0]}' is "
            f"{'new' if changed[0] in labels else 'gone'}), so its student can't be asked by them; give them the labels that "
            "they had, or train again in another directory."
        )
    kind = MEMORIES[answer]
    ways: Flips = flips if kind.turned else ((),)
    positions = [int(at) for at in data.sides["train"] if data.samples[at].label is not None]
    number = {label: index for index, label in enumerate(data.classes)}
    return kind.of(
        features_of(student, pictures, np.array(positions, np.int64), ways),
        np.array([number[data.samples[at].label or ""] for at in positions] * len(ways), np.int64),
        [data.samples[at].part for at in positions] * len(ways),
    )


def answer_of(path: Path, settings: Settings, student: Student) -> Answer:
    """Return how a run's student is asked.

    Raises:
        TrainingError: what the run kept for that is missing or damaged.
    """
    if settings.answer == "head":
        return by_head
    kept = {name: tensor.to(device()) for name, tensor in run_directory.load_memory(path).items()}
    memory = MEMORIES[settings.answer].fitting(kept, student)
    if memory is None:
        raise run_directory.damaged_memory(path)
    return through(memory, settings.answer)


def through(memory: Memory, answer: str) -> Answer:
    """Return how a student with this memory answers."""
    if answer != "both":
        return memory
    return lambda features, logits: (by_head(features, logits) + memory(features, logits)) / 2

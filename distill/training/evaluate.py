"""From a trained student to its report: score what was held out, compute the figures, write both down."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from distill.evaluation.report import Held, Report, make_report
from distill.students import Student, make_student
from distill.training import run_directory
from distill.training.pictures import StudentPictures
from distill.training.scoring import class_probabilities
from distill.training.settings import Settings
from distill.training.task import Task
from embedstore import EmbeddingStore
from embedstore import open as open_store
from embedstore.errors import StoreError, TrainingError


def evaluate(
    run: str | os.PathLike[str],
    *,
    store: str | os.PathLike[str] | None = None,
    images: str | os.PathLike[str] | None = None,
) -> Report:
    """Score a finished run's held-out pictures again and write `scores.csv` and `report.json` anew.

    Args:
        run: the run's directory.
        store: the store, where it is not where the run remembers it.
        images: the image folder, where it is not where the store remembers it.

    Raises:
        TrainingError: the run is missing, damaged or not complete, or its samples have left the store.
    """
    path = Path(run)
    description = run_directory.read(path)
    try:
        settings = Settings(**description["settings"])
    except TypeError as error:
        raise TrainingError(f"The settings of the run in '{path}' are not of this release; use the one that made it.") from error
    weights = run_directory.load_student(path)
    classes: list[str] = description["classes"]
    with open_store(store or description["store"]["path"]) as opened:
        if opened.fingerprint != description["store"]["fingerprint"]:
            raise TrainingError(f"The store '{opened.path}' is of another teacher than the run's; name the run's store: --store")
        sides = run_directory.read_split(path)
        try:
            positions = {side: opened.positions([i for i, s in sides.items() if s == side]) for side in set(sides.values())}
        except StoreError as error:
            raise TrainingError(f"A sample of the run has left the store: {error}") from error
        empty = np.zeros(0, np.int64)
        task = Task(
            opened.samples, {side: positions.get(side, empty) for side in ("train", "val", "test", "aside")}, classes
        )
        student = make_student(settings.student, len(classes), settings.seed)
        student.load_state_dict(weights)
        pictures = StudentPictures(opened, settings.size, None if images is None else Path(images))
        try:
            return write_report(path, student, opened, task, settings, pictures)
        finally:
            pictures.close()


def write_report(
    path: Path, student: Student, store: EmbeddingStore, task: Task, settings: Settings, pictures: StudentPictures
) -> Report:
    """Score the held-out samples, write scores and report, and return the report."""
    held: list[Held] = []
    for side in ("val", "test", "aside"):
        positions = np.array(
            [at for at in task.sides[side] if side == "aside" or task.samples[at].label is not None], np.int64
        )
        # Where the recipe says that a defect has a direction, a mirrored picture would be another picture.
        probabilities = class_probabilities(student, pictures, positions, flips=store.recipe.flips)
        for at, row in zip(positions, probabilities, strict=True):
            sample = task.samples[at]
            held.append(Held(sample.id, side, sample.label, sample.mode, sample.group, tuple(map(float, row))))
    report = make_report(held, task.classes, settings.policy, settings.good, settings.overkill)
    run_directory.write_table(
        path / run_directory.SCORES,
        ("id", "split", "label", "mode", "group", *(f"p({label})" for label in task.classes)),
        (
            (h.id, h.side, h.label or "", h.mode or "", h.group or "", *(f"{p:.9g}" for p in h.probabilities))
            for h in held
        ),
    )
    run_directory.write_json(path / run_directory.REPORT, report.to_dict())
    return report

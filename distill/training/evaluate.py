"""From a trained student to its report: score what was held out, compute the figures, write both down."""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from distill.evaluation.report import Held, Report, make_report
from distill.source import Source, opened_source
from distill.students import Student, device, make_student
from distill.training import beginning, run_directory
from distill.training.answers import asked_of, memory_of, through
from distill.training.description import settings_of
from distill.training.pictures import StudentPictures
from distill.training.renamed import renamed_pictures, warn_of_renamed
from distill.training.run_data import RunData, refuse_untestable
from distill.training.scoring import HEAD, Asked, Flips, class_probabilities, flips_of
from distill.training.settings import ANSWERS, PATCHES, Settings, is_code
from embedstore import EmbeddingStore, Sample
from embedstore.errors import NotAStoreError, SettingsError, TrainingError
from embedstore.images import SPLITS

# How the report of a run with patches tells that its scores have a bound. Earlier releases did not bound them, and tell nothing.
_FORMAT, _BOUNDED = "scores", "bounded"


class NewLabelWarning(UserWarning):
    """Pictures of a run have a label now that its student did not learn."""


def evaluate(
    run: str | os.PathLike[str],
    *,
    store: str | os.PathLike[str] | None = None,
    images: str | os.PathLike[str] | None = None,
    student: str | None = None,
) -> Report:
    """Score a finished run's held-out pictures again and write `scores.csv` and `report.json` anew.

    Sides and threshold are found as in the run; labels, modes and groups are those that the store has now. A picture that the
    store has under another name since is found by its content, as long as the store keeps the version that the run learned from;
    a warning says so, and the run calls it as before. A picture may have a label by now that the student did not learn: it counts
    as a defect; without a good label it is left out. A warning says that, too.

    Args:
        run: the run's directory.
        store: the store or summary file, where it is not where the run remembers it.
        images: the image folder, where it is not where the store remembers it.
        student: the run's student once more, where it is the user's own `MODULE:FUNCTION`: what a directory alone names is
            never imported.

    Raises:
        TrainingError: the run is missing, damaged or not complete, another process works on it, or its held-out samples
            have left the store.
        SettingsError: the student is the user's own, and `student` does not say so.
    """
    with finished_run(run, store=store, images=images, student=student) as run_of, beginning.held(run_of.path):
        return write_report(run_of.path, run_of.student, run_of.data, run_of.settings, run_of.pictures, run_of.flips)


def ask(
    run: str | os.PathLike[str],
    answer: str,
    *,
    store: str | os.PathLike[str] | None = None,
    images: str | os.PathLike[str] | None = None,
    student: str | None = None,
) -> list[Held]:
    """Return what a finished run's student says of the held-out samples when it is asked in another way; nothing is written.

    Args:
        run: the run's directory.
        answer: one of `settings.ANSWERS`.
        store: see `evaluate`; the training samples are looked at, too, where the answer needs them.
        images: see `evaluate`.
        student: see `evaluate`.

    Raises:
        TrainingError: see `evaluate`; or the training samples have other labels now than the run's, where the answer needs them.
        SettingsError: see `evaluate`; or there is no such answer, or it needs a good label and the run has none.
    """
    if answer not in ANSWERS:
        raise SettingsError(f"The answer '{answer}' is unknown; use one of {', '.join(ANSWERS)}.")
    with finished_run(run, store=store, images=images, student=student, training=answer != "head") as run_of:
        asked, settings = HEAD, replace(run_of.settings, answer=answer)
        if answer != "head":
            memory = memory_of(run_of.student, run_of.data, settings, run_of.pictures, run_of.flips)
            asked = through(memory, settings, run_of.data.classes)
        return _held(run_of.student, run_of.data, run_of.pictures, run_of.flips, asked)


@dataclass(frozen=True)
class FinishedRun:
    """A finished run, opened to be asked.

    Its store may have another teacher by now than the one that it learned from: `teacher` by name, and `fingerprint`.
    """

    path: Path
    teacher: str
    fingerprint: str
    source: Source
    student: Student
    data: RunData
    settings: Settings
    pictures: StudentPictures
    flips: Flips


@contextmanager
def finished_run(
    run: str | os.PathLike[str],
    *,
    store: str | os.PathLike[str] | None,
    images: str | os.PathLike[str] | None,
    student: str | None,
    training: bool = False,
) -> Iterator[FinishedRun]:
    """Open a finished run and its store; see `evaluate`. Training samples are looked for only where `training` says so."""
    path = Path(run)
    description = run_directory.read(path)
    trained, settings = trained_student(path, student)
    classes: list[str] = description["classes"]
    sides = run_directory.read_split(path)
    wanted = {name: side for name, side in sides.items() if training or side != "train"}
    with _open(store or description["store"]["path"]) as opened:
        # What a student is asked has no teacher in it, so a store that has changed its own serves as well as before.
        teachers = opened.teachers if isinstance(opened, EmbeddingStore) else {opened.fingerprint}
        if description["store"]["fingerprint"] not in teachers:
            raise TrainingError(
                f"The store '{opened.path}' is of another teacher than the run's; name the run's store: --store STORE"
            )
        if opened.recipe.to_dict() != description.get("recipe"):
            raise TrainingError(
                f"The store '{opened.path}' draws its views by another recipe than the run's; name the run's store: --store STORE"
            )
        renamed, lost = renamed_pictures(opened, description["store"], wanted)
        if lost:
            raise TrainingError(
                f"{len(lost)} pictures that the run in '{path}' {'needs' if training else 'is tested on'} (such as '{lost[0]}') "
                f"have left the store '{opened.path}', or are under another name now, which their content does not tell; name a "
                "store that has them (--store STORE), or train again."
            )
        warn_of_renamed(path, opened, renamed)
        samples = _called_as_before(opened.samples, renamed, sides)
        names = [sample_id for sample_id in wanted if sample_id not in renamed]
        at_of = renamed | dict(zip(names, opened.positions(names).tolist(), strict=True))
        positions = {side: np.array([at_of[i] for i, s in wanted.items() if s == side], np.int64) for side in SPLITS}
        data = _newly_labelled(path, RunData(samples, positions, classes), settings.good)
        refuse_untestable(data, settings.good)
        pictures = StudentPictures(opened, settings.size, None if images is None else Path(images))
        try:
            learned_from = description["teacher"], description["store"]["fingerprint"]
            yield FinishedRun(path, *learned_from, opened, trained, data, settings, pictures, flips_of(opened.recipe))
        finally:
            pictures.close()


def _called_as_before(samples: Iterable[Sample], renamed: Mapping[str, int], sides: Mapping[str, str]) -> list[Sample]:
    """Return a store's samples, those that were renamed under the ids that the run's other files have for them.

    Another sample may have such an id by now. It gets one that nothing else has, so that an id still tells one sample only.
    """
    called = list(samples)
    at_of = {sample.id: at for at, sample in enumerate(called)}
    for sample_id, at in renamed.items():
        called[at] = replace(called[at], id=sample_id)
    taken = {*at_of, *sides}
    for at in {at_of[one] for one in renamed if one in at_of} - set(renamed.values()):
        other = called[at].id
        while other in taken:
            other += " (another picture)"
        taken.add(other)
        called[at] = replace(called[at], id=other)
    return called


def _newly_labelled(path: Path, data: RunData, good: str | None) -> RunData:
    """Return a run's data, and warn of validation and test pictures with a label that its student did not learn.

    To reject them is right: they are no good ones. Without a good label no answer is right, so they are left out.
    """
    sides, new = dict(data.sides), list[int]()
    for side in ("val", "test"):
        of_side = data.labelled(side)
        known = np.array([data.samples[at].label in data.classes for at in of_side], np.bool_)
        new += of_side[~known].tolist()
        if good is None:
            sides[side] = of_side[known]
    if not new:
        return data
    label = data.samples[new[0]].label
    fate = (
        "they are left out of the figures" if good is None else "they count as defects, with no right label to be given"
    )
    warnings.warn(
        f"{len(new)} validation and test pictures of the run in '{path}' have a label now that its student did not learn "
        f"(such as '{label}'); {fate}. To have it learned, train again on a split whose training side has it.",
        NewLabelWarning,
        stacklevel=2,
    )
    return replace(data, sides=sides)


def trained_student(path: Path, student: str | None = None) -> tuple[Student, Settings]:
    """Return a finished run's student, and the run's settings; the run's store is not needed.

    Raises:
        TrainingError, SettingsError: see `evaluate`.
    """
    description = run_directory.read(path)
    settings = settings_of(path, description)
    if student is not None and student != settings.student:
        raise SettingsError(
            f"The student of the run in '{path}' is '{settings.student}', not '{student}'; leave --student out."
        )
    if is_code(settings.student) and student is None:
        raise SettingsError(
            f"The student of the run in '{path}' is made by '{settings.student}', which would be imported and run; if you trust "
            f"it, say so: --student {settings.student}"
        )
    count = len(description["classes"])
    trained = make_student(settings.student, count, settings.size, settings.seed, pretrained=False).to(device())
    run_directory.load_student(path, trained)
    return trained, settings


def run_threshold(path: Path, settings: Settings) -> float | None:
    """Return the threshold of a run's report, by which its student decides wherever it is put to work; None without a good label.

    Raises:
        TrainingError: the report is missing, damaged or outdated, or may not be read.
    """
    if settings.good is None:
        return None
    threshold, outdated = _decided(path, settings)
    if outdated:
        raise TrainingError(
            f"The run in '{path}' has the threshold of an earlier release, whose scores beside patches had no bound, so that its "
            f"student may never reach it now; set it anew with: distill evaluate '{path}'"
        )
    return threshold


def has_outdated_scores(path: Path, settings: Settings) -> bool:
    """Return whether a run's scores are those of an earlier release, and its student would give others now.

    Raises:
        TrainingError: the report is missing or damaged, or may not be read.
    """
    return settings.answer == PATCHES and _decided(path, settings)[1]


def _decided(path: Path, settings: Settings) -> tuple[float, bool]:
    """Return the threshold of a run's report, and whether that and the scores are outdated."""
    report = path / run_directory.REPORT
    try:
        values = json.loads(report.read_text("utf-8"))
        return float(values["threshold"]), settings.answer == PATCHES and values.get(_FORMAT) != _BOUNDED
    except PermissionError as error:
        raise run_directory.may_not_read(report) from error
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise TrainingError(
            f"'{report}' is missing or damaged; write it anew with: distill evaluate '{path}'"
        ) from error


def write_report(  # noqa: PLR0917
    path: Path, student: Student, data: RunData, settings: Settings, pictures: StudentPictures, flips: Flips
) -> Report:
    """Score the held-out samples, write scores and report, and return the report.

    Answers are averaged over `flips`. Where the store's recipe says that a defect has a direction, a mirrored picture would be
    another picture. What answers need of the training pictures is in the directory; see `answers.keep_memory`.
    """
    held = _held(student, data, pictures, flips, asked_of(path, settings, student, data.classes))
    report = make_report(held, data.classes, settings.policy, settings.good, settings.overkill)
    run_directory.write_table(
        path / run_directory.SCORES,
        ("id", "split", "label", "mode", "group", *(f"p({label})" for label in data.classes)),
        ((h.id, h.side, h.label or "", h.mode or "", h.group or "", *map(repr, h.probabilities)) for h in held),
    )
    made = {_FORMAT: _BOUNDED} if settings.answer == PATCHES else {}
    run_directory.write_json(path / run_directory.REPORT, report.to_dict() | made)
    return report


def _held(student: Student, data: RunData, pictures: StudentPictures, flips: Flips, asked: Asked) -> list[Held]:
    """Return what the student says of each held-out sample."""
    held: list[Held] = []
    for side in ("val", "test", "aside"):
        positions = np.array(
            [at for at in data.sides[side] if side == "aside" or data.samples[at].label is not None], np.int64
        )
        probabilities = class_probabilities(student, pictures, positions, flips, asked)
        for at, row in zip(positions, probabilities, strict=True):
            sample = data.samples[at]
            held.append(Held(sample.id, side, sample.label, sample.mode, sample.group, tuple(map(float, row))))
    return held


@contextmanager
def _open(path: str | os.PathLike[str]) -> Iterator[Source]:
    told = f"The run's store is not in '{path}'; tell where it is now: --store STORE"
    if Path(path).suffix == ".safetensors" and not os.path.isfile(path):
        raise TrainingError(told.replace("store", "summary file", 1).replace("STORE", "FILE"))
    try:
        with opened_source(path) as source:
            yield source
    except NotAStoreError as error:
        raise TrainingError(told) from error

"""A finished run against the one that it is to replace, on the new run's test side: does a kind of defect escape more often?"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from distill.evaluation.gate import UNKNOWN_KIND, Gate, Judged, LeftOut, Rated, make_gate
from distill.evaluation.resampling import Positions
from distill.reports.curves_page import curves_page
from distill.reports.gate import gate_section
from distill.source import Source
from distill.students import Student
from distill.training import beginning, run_directory
from distill.training.answers import asked_of
from distill.training.description import settings_of
from distill.training.evaluate import FinishedRun, finished_run, run_threshold, trained_student
from distill.training.origin import FROM, Origin, known_now, parts_of, read_origin, refuse_other_good
from distill.training.pictures import StudentPictures
from distill.training.scoring import class_probabilities
from distill.training.settings import Settings
from embedstore import Sample
from embedstore.errors import SettingsError, TrainingError

GATE = "gate.json"


def gate(
    new: str | os.PathLike[str],
    old: str | os.PathLike[str] | None = None,
    *,
    overkill: bool = False,
    store: str | os.PathLike[str] | None = None,
    images: str | os.PathLike[str] | None = None,
    student: str | None = None,
) -> Gate:
    """Compare a finished run with an older one, and write what is found into the new run's `gate.json` and onto its page.

    Both students look at the pictures of the new run's test side, each with its own threshold, that of its own report. Pictures
    of parts that one of them, or a student that it began with, was trained on are left out, and those by which a threshold was
    chosen; they are found by their content, as long as the store keeps the versions that the runs learned from, and else by
    their names. Labels, modes and groups are those that the store has now. The outcome is `Gate.outcome`.

    Args:
        new: the new run's directory.
        old: the old run's; None for the one that the new one began with.
        overkill: let a rise of the overkill decide, too.
        store: the new run's store, where it is not where the run remembers it; see `evaluate`.
        images: the image folder, where it is not where the store remembers it.
        student: the user's own `MODULE:FUNCTION`, where one of the two is made by it; see `evaluate`.

    Raises:
        TrainingError: a run is missing, damaged or not finished, has no good label or another one, both are the same, or nothing
            is left to compare.
        SettingsError: see `evaluate`.
    """
    path = Path(new)
    replaced, follows = _replaced(path, old), read_origin(path)
    if replaced.student == follows.student:
        raise TrainingError(
            f"The runs in '{path}' and '{replaced.path}' have the very same student, so there is nothing to compare; name two "
            "others."
        )
    refuse_other_good(replaced, follows.settings, follows.classes)
    before, after = _rated(replaced), _rated(follows)
    if student is not None and student not in {replaced.settings.student, follows.settings.student}:
        raise SettingsError(f"Neither run has the student '{student}'; leave --student out.")
    old_student, settings = trained_student(replaced.path, _own(student, replaced))
    with (
        finished_run(path, store=store, images=images, student=_own(student, follows)) as run_of,
        beginning.held(path),
    ):
        _refuse_other_recipe(replaced, run_of.source)
        positions, left_out = _held_out(run_of, replaced, follows)
        pictures = StudentPictures(run_of.source, settings.size, None if images is None else Path(images))
        try:
            then = _decisions(replaced, before, old_student, run_of, positions, pictures)
        finally:
            pictures.close()
        now = _decisions(follows, after, run_of.student, run_of, positions, run_of.pictures)
        samples = run_of.data.samples
        kinds = _kinds(path, samples, run_of.settings.good)
        found = make_gate(
            [
                Judged(samples[at].part, kinds[samples[at].id], old=bool(was), new=bool(is_now))
                for at, was, is_now in zip(positions, then, now, strict=True)
            ],
            before,
            after,
            kinds={kind for kind in kinds.values() if kind is not None},
            left_out=left_out,
            overkill=overkill,
        )
        _keep(path, found)
    return found


def refuse_incomparable(old: Origin, source: Source, settings: Settings) -> None:
    """Refuse an old run that a student trained from a store could not be compared with; asked before it is trained.

    Raises:
        TrainingError: one of the two has no good label, the old one's report is missing or damaged, or it is of another recipe.
    """
    _rated(old)
    if settings.good is None:
        raise TrainingError("Escapes can't be compared without a good label; train with --good LABEL.")
    _refuse_other_recipe(old, source)


def _own(student: str | None, run: Origin) -> str | None:
    """Return the user's word for a run's student where it is that run's: one of two may be made by it."""
    return student if student == run.settings.student else None


def _refuse_other_recipe(old: Origin, source: Source) -> None:
    if run_directory.read(old.path).get("recipe") != source.recipe.to_dict():
        raise TrainingError(
            f"The run in '{old.path}' saw its pictures by another recipe than the store '{source.path}' has, so its "
            "student can't be asked fairly; compare with a run of this recipe."
        )


def _replaced(new: Path, old: str | os.PathLike[str] | None) -> Origin:
    """Read the old run."""
    if old is not None:
        return read_origin(old)
    began = run_directory.read(new).get(FROM)
    if began is None:
        raise TrainingError(
            f"The run in '{new}' did not begin with another, so tell which one it is to replace: distill gate '{new}' OLD"
        )
    if not os.path.exists(began["path"]):
        raise TrainingError(
            f"The run in '{began['path']}', which '{new}' began with, is not there; tell where it is now: "
            f"distill gate '{new}' OLD"
        )
    replaced = read_origin(began["path"])
    if replaced.student != began["student"]:
        raise TrainingError(
            f"The run in '{began['path']}' has another student now than the one that '{new}' began with; name the run to compare "
            f"with: distill gate '{new}' OLD"
        )
    return replaced


def _rated(run: Origin) -> Rated:
    """Return a student with the threshold of its report."""
    threshold = run_threshold(run.path, run.settings)
    if threshold is None:
        raise TrainingError(
            f"The run in '{run.path}' does not know which label is good, so it has no threshold and nothing escapes; train it "
            "with --good LABEL."
        )
    return Rated(run.path.resolve().name, run.student, threshold)


def _held_out(run_of: FinishedRun, old: Origin, new: Origin) -> tuple[Positions, LeftOut]:
    """Return the positions of the test pictures that neither student knows, and how many are left out.

    The new one's own sides are looked at, too: groups may have been merged since.
    """
    samples = list(run_of.source.samples)
    called = {sample.id: at for at, sample in enumerate(run_of.data.samples)}
    known = [known_now(run, run_of.source, called) for run in (old, new)]
    learned = parts_of([picture for one in known for picture in one.learned], samples)
    validated = parts_of([picture for one in known for picture in one.validated], samples) - learned
    parts = {at: samples[at].part for at in run_of.data.sides["test"] if samples[at].label is not None}
    began: dict[str, Any] = run_directory.read(run_of.path).get(FROM, {})
    left_out = LeftOut(
        learned=sum(own in learned for own in parts.values()) + began.get("left_out", {}).get("test", 0),
        validated=sum(own in validated for own in parts.values()),
        untraced=len({name for one in known for name in one.untraced}),
    )
    kept = [at for at, own in parts.items() if own not in learned | validated]
    return np.array(kept, np.int64), left_out


def _decisions(  # noqa: PLR0917
    run: Origin, rated: Rated, student: Student, run_of: FinishedRun, positions: Positions, pictures: StudentPictures
) -> npt.NDArray[np.bool_]:
    """Return which of the pictures at some positions a student rejects."""
    asked = asked_of(run.path, run.settings, student, run.classes)
    said = class_probabilities(student, pictures, positions, run_of.flips, asked)
    return 1 - said[:, run.classes.index(run.settings.good or "")] > rated.threshold


def _kinds(path: Path, samples: Sequence[Sample], good: str | None) -> dict[str, str | None]:
    """Return the kind of defect of each sample that a run learned, chose by or was tested on, as far as it is in the store.

    It is the mode, and the label where no sample of that label has a mode; None where the sample is good. A defect without a
    mode among others that have one is of no kind: a nightly refresh brings it so, and the test side may never show another.
    """
    sides = run_directory.read_split(path)
    known = [one for one in samples if one.label is not None and sides.get(one.id, "aside") != "aside"]
    divided = {one.label for one in known if one.mode}
    return {
        one.id: None if one.label == good else one.mode or (UNKNOWN_KIND if one.label in divided else one.label)
        for one in known
    }


def _keep(path: Path, found: Gate) -> None:
    """Write the figures, and the run's page anew with them."""
    run_directory.write_json(path / GATE, found.to_dict())
    pretraining, history = (
        run_directory.read_metrics(path, name) if (path / name).is_file() else []
        for name in (run_directory.PRETRAINING, run_directory.METRICS)
    )
    policy = settings_of(path, run_directory.read(path)).policy
    page = curves_page(path.resolve().name, policy, pretraining, history, gate_section(found))
    run_directory.write_text(path / run_directory.CURVES, page)

"""The finished run that a new student begins with: its settings, its weights, and what it must not be tested on again.

A run that began so says it in `run.json` under `from`, and has a file `inherited.csv`: what the students before it learned from.
The weights are taken over once, before the first epoch; a run that goes on has its own in its checkpoint.
"""

from __future__ import annotations

import csv
import hashlib
import os
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from torch import Tensor, nn

from distill.losses import DistillationLoss
from distill.source import Source
from distill.students import Student
from distill.training import run_directory
from distill.training.description import settings_of
from distill.training.doubts import doubts
from distill.training.projection import load as load_projection
from distill.training.projection import why_none
from distill.training.renamed import learned_from
from distill.training.run_data import RunData, checked_sides, refuse_untestable
from distill.training.settings import Settings, is_code
from embedstore import Sample
from embedstore.errors import SettingsError, TrainingError
from embedstore.images import SPLITS
from embedstore.store.earlier_pictures import PicturesSince, pictures_since

FROM = "from"
FEWER = 5  # of the old run's epochs, the new one has a fifth by default: see CHANGELOG for what was measured
FEWEST = 3
_HEAD = ("head.weight", "head.bias")
_KEEP = "let the store keep its split: embedstore split STORE, and with --keep whenever you add pictures"

Picture = tuple[str, str]  # id and group, which may be empty; without an id only the group tells


@dataclass(frozen=True)
class Origin:
    """A finished run whose student another begins with.

    Attributes:
        path: its directory.
        settings: its own.
        classes: the labels that its student tells apart, in the order of its head.
        store: what it says of the store that it learned from.
        student: SHA-256 of its weights.
        learned: the pictures that it was trained on, and those of the students that it began with itself.
        validated: the pictures by which its threshold was chosen.
        began_with: whether it began with another run's student itself.
    """

    path: Path
    settings: Settings
    classes: list[str]
    store: Mapping[str, Any]
    student: str
    learned: list[Picture]
    validated: list[Picture]
    began_with: bool

    def describe(self) -> dict[str, Any]:
        """Return what a run that begins with it says of it."""
        return {"path": str(self.path.resolve()), "student": self.student}


class Known(NamedTuple):
    """What a student knows of a store, by the names that the pictures have there now.

    Attributes:
        learned, validated: as of `Origin`.
        untraced: ids of learned pictures that the store lacks; it may have them under other names.
    """

    learned: list[Picture]
    validated: list[Picture]
    untraced: list[str]


def read_origin(path: str | os.PathLike[str]) -> Origin:
    """Read a finished run.

    Raises:
        TrainingError: there is none, it is damaged or may not be read, or its training has not ended.
    """
    run = Path(path)
    description = run_directory.read(run)
    if not run_directory.is_complete(run):
        raise TrainingError(
            f"The run in '{run}' is not finished, so no other can begin with its student; finish it with --resume first, or name "
            "another."
        )
    side_of = run_directory.read_split(run)
    sides: dict[str, list[Picture]] = {side: [] for side in SPLITS}
    for row in _rows(run / run_directory.SPLIT, ("id", "group")):
        sides[side_of[row["id"]]].append((row["id"], row["group"]))
    before = _rows(run / run_directory.INHERITED, ("id", "group")) if FROM in description else []
    try:
        student = hashlib.sha256((run / run_directory.STUDENT).read_bytes()).hexdigest()
    except PermissionError as error:
        raise run_directory.may_not_read(run / run_directory.STUDENT) from error
    return Origin(
        path=run,
        settings=settings_of(run, description),
        classes=description["classes"],
        store=description["store"],
        student=student,
        learned=[*sides["train"], *((row["id"], row["group"]) for row in before)],
        validated=sides["val"],
        began_with=FROM in description,
    )


def settings_after(origin: Origin, changes: Mapping[str, Any] | None = None) -> Settings:
    """Return the old run's settings with fewer epochs and no pre-training, which its student has had, and some changes.

    A run that began with another itself has few epochs already, and its number stays.

    Args:
        origin: the old run.
        changes: settings that rule over these; another `policy` takes the place of a mixture, too.

    Raises:
        SettingsError: a setting is not allowed, or the student is the user's own `MODULE:FUNCTION` and `changes` does not say so.
    """
    old, changes = origin.settings, dict(changes or {})
    if is_code(old.student) and changes.get("student") is None:  # code is never run because a file names it
        raise SettingsError(
            f"The student of the run in '{origin.path}' is made by '{old.student}', which would be imported and run; if you "
            f"trust it, say so: --student {old.student}"
        )
    if changes.get("policy", old.policy) != old.policy:
        changes = {"mixture": {}} | changes
    epochs = old.epochs if origin.began_with else fewer(old.epochs)
    return replace(old, **{"epochs": epochs, "pretrain_epochs": 0} | changes)


def fewer(epochs: int) -> int:
    """Return how many epochs a student needs by default that begins with one trained for so many."""
    return min(epochs, max(FEWEST, round(epochs / FEWER)))


def run_data_after(origin: Origin, store: Source, settings: Settings) -> RunData:
    """Return `make_run_data` without what the old student learned on the sides that test the new one.

    The new student begins with what the old one learned, so it is no judge of these pictures either. They are found as
    `known_now` does.

    Raises:
        TrainingError: as `make_run_data`, another label is good, or too little is left.
        SettingsError: the new student is of another kind or size than the old one.
    """
    refuse_other_student(origin, settings)
    data = checked_sides(store, settings)
    refuse_other_good(origin, settings, data.classes)
    now = known_now(origin, store)
    origin = replace(origin, learned=now.learned, validated=now.validated)
    known = parts_of(origin.learned, data.samples)
    kept, left_out = dict(data.sides), {}
    for side in ("val", "test"):
        new = np.array([data.samples[at].part not in known for at in data.sides[side]], np.bool_)
        kept[side], left_out[side] = data.sides[side][new], int((~new).sum())
    data = replace(data, sides=kept, origin=origin, left_out=left_out)
    if any(left_out.values()):
        told = (
            f"{left_out['test']} test and {left_out['val']} validation pictures show parts that the run in '{origin.path}' or "
            "one before it learned from, and this student begins with what it knows, so they are left out of its figures"
        )
        try:
            refuse_untestable(data, settings.good)
        except TrainingError as error:
            raise TrainingError(f"{told}, and what is left is too little ({error}); {_KEEP}") from error
        data.remarks.append(f"{told}; {_KEEP}")
    if now.untraced:
        data.remarks.append(
            f"{len(now.untraced)} pictures that the run in '{origin.path}' or one before it learned from (such as "
            f"'{now.untraced[0]}') are not in this store; should it have them under other names, the student is tested on what "
            "it knows, and its figures are too good."
        )
    data.remarks.extend(doubts(data, store, settings))
    return data


def refuse_other_student(origin: Origin, settings: Settings) -> None:
    """Refuse weights that do not fit.

    Raises:
        SettingsError: the new student is of another kind or size.
    """
    old = origin.settings
    for what, then, now in (("student", old.student, settings.student), ("size", old.size, settings.size)):
        if then != now:
            raise SettingsError(
                f"The run in '{origin.path}' has the {what} {then}, not {now}, so its weights do not fit; leave --{what} out to "
                "begin with them, or --from to begin afresh."
            )


def refuse_other_good(origin: Origin, settings: Settings, classes: Collection[str]) -> None:
    """Refuse two runs of which one takes for good what is a defect to the other; a label that was renamed is none.

    Args:
        origin: the old run.
        settings: of the new run.
        classes: its labels.

    Raises:
        TrainingError: they mean different labels.
    """
    old, new = origin.settings.good, settings.good
    if old is not None and new is not None and old != new and (old in classes or new in origin.classes):
        raise TrainingError(
            f"To the run in '{origin.path}' the good label is '{old}', not '{new}', so its student can't be followed by one that "
            f"rejects what it lets pass; leave --good out, or --from to begin afresh."
        )


def take_over(data: RunData, student: Student, loss: DistillationLoss, settings: Settings, fingerprint: str) -> None:
    """Give a new student its origin's weights, the head label by label, and the projection where it is for the same targets.

    Nothing without an origin. What was taken over and what begins afresh is told in the data's remarks.

    Args:
        data: of the new run.
        student: freshly drawn; what has no counterpart stays as drawn.
        loss: holds the projection, freshly drawn.
        settings: of the new run.
        fingerprint: of the teacher whose store it learns from.

    Raises:
        TrainingError: the old weights are damaged, or of another architecture.
    """
    origin, classes = data.origin, data.classes
    if origin is None:
        return
    from safetensors.torch import load

    try:  # read as bytes: the name of a file may be none that its library knows
        weights, fresh = load((origin.path / run_directory.STUDENT).read_bytes()), student.state_dict()
        for name in _HEAD:
            weights[name] = rows_by_label(weights[name], fresh[name], origin.classes, classes)
        student.load_state_dict(weights)
    except Exception as error:  # whatever the parts raise where they are of something else
        raise TrainingError(
            f"The weights of the run in '{origin.path}' do not fit the student '{settings.student}'; name a run of this very "
            "student, or leave --from out."
        ) from error
    data.remarks.extend(
        [
            f"The student begins with the weights of the run in '{origin.path}' (student {origin.student[:12]}).",
            *_labels_told(origin.classes, classes),
            *_projection(origin, loss, settings, fingerprint),
        ]
    )


def rows_by_label(old: Tensor, fresh: Tensor, old_classes: Sequence[str], classes: Sequence[str]) -> Tensor:
    """Return the rows of a head in the order of `classes`: the old row of each label that it had, else the fresh one."""
    rows = fresh.detach().clone()
    for at, label in enumerate(classes):
        if label in old_classes:
            rows[at] = old[old_classes.index(label)].to(rows)
    return rows


def keep_inherited(run: Path, data: RunData) -> None:
    """Write down what the students before a run's own learned from, but for what it learns itself; nothing without an origin.

    The names are those of the version that this run learns from, as in its other files.
    """
    if data.origin is None:
        return
    own = {data.samples[at].id for at in data.sides["train"]}
    rows = sorted({picture for picture in data.origin.learned if picture[0] not in own and any(picture)})
    run_directory.write_table(run / run_directory.INHERITED, ("id", "group"), rows)


def parts_of(pictures: Collection[Picture], samples: Sequence[Sample]) -> set[str]:
    """Return the parts, as the samples have them now, of pictures: of those that are gone, by the group that they had."""
    part = {sample.id: sample.part for sample in samples}
    gone = {group for sample_id, group in pictures if sample_id not in part and group}
    return {part[sample_id] for sample_id, _ in pictures if sample_id in part} | {
        sample.part for sample in samples if sample.group in gone
    }


def known_now(origin: Origin, source: Source, called: Mapping[str, int] | None = None) -> Known:
    """Return what a student knows of a store as it is now.

    Pictures are found by their content, as long as the store keeps the version that the run learned from. Else names tell.

    Args:
        origin: the student's run.
        source: the store.
        called: id -> position: how another run calls the pictures, which tells beside the names of now where names alone tell.
    """
    samples = list(source.samples)
    with learned_from(source, origin.store) as then:
        # Apart, for what was learned stays learned where a copy of it was validated on.
        learned, validated = (
            pictures_since(then, source, {name for name, _ in pictures} - {""})  # that of one that has left
            for pictures in (origin.learned, origin.validated)
        )
    called = (called or {}) if then is None else {}
    lost, groups = set(learned.untraced) - called.keys(), {sample.group for sample in samples}
    return Known(
        _called_now(origin.learned, learned, called, source, samples),
        _called_now(origin.validated, validated, called, source, samples),
        sorted({name for name, group in origin.learned if name in lost and (not group or group not in groups)}),
    )


def _called_now(
    pictures: Collection[Picture],
    since: PicturesSince,
    called: Mapping[str, int],
    source: Source,
    samples: Sequence[Sample],
) -> list[Picture]:
    """Return names and groups as they are now, those of copies, too; of one that has left, the group alone, with no name.

    Others may get that name.
    """
    untraced = set(since.untraced)
    there = since.places.keys() | called.keys()
    left = [(name if name in untraced else "", group) for name, group in pictures if name not in there]
    places = since.positions | since.copies.keys() | {called[name] for name, _ in pictures if name in called}
    contents = {content for at in places if any(content := source.content_at(at))}
    places.update(at for at in range(len(samples)) if source.content_at(at) in contents)
    return [*left, *((samples[at].id, samples[at].group or "") for at in sorted(places))]


def _labels_told(old: Sequence[str], new: Sequence[str]) -> list[str]:
    added, gone = [one for one in new if one not in old], [one for one in old if one not in new]
    said = [
        *([f"{_names(added)} {'is' if len(added) == 1 else 'are'} new, with a fresh row of the head"] if added else []),
        *([f"{_names(gone)} {'is' if len(gone) == 1 else 'are'} gone and lost the row"] if gone else []),
    ]
    return [f"Labels: {'; '.join(said)}."] if said else []


def _names(labels: Sequence[str]) -> str:
    return ", ".join(f"'{label}'" for label in labels)


def _projection(origin: Origin, loss: DistillationLoss, settings: Settings, fingerprint: str) -> list[str]:
    """Take the projection over where it means the same, and say where it begins afresh."""
    if settings.policy == "none":
        return []
    why: str | None
    if here := why_none(settings):
        why = here
    elif there := why_none(origin.settings):
        why = f"in the old run {there}"
    elif fingerprint != (old := origin.store["fingerprint"]):
        why = f"the store is of another teacher ({fingerprint[:12]}) than the old run's ({old[:12]})"
    else:
        why = _load_projection(origin, loss.projection)
    return [f"The projection to the teacher's space begins afresh, since {why}."] if why else []


def _load_projection(origin: Origin, projection: nn.Linear) -> str | None:
    """Load the projection; return why it can't be, if so."""
    try:
        found = load_projection(origin.path, origin.settings, projection.in_features)
    except TrainingError:
        found = None
    if found is None:
        return "what the old run kept of it is missing or damaged"
    projection.load_state_dict(found[0].state_dict())
    return None


def _rows(path: Path, columns: Sequence[str]) -> list[dict[str, str]]:
    try:
        with path.open(encoding="utf-8", newline="") as file:
            return [{name: row[name] for name in columns} for row in csv.DictReader(file)]
    except PermissionError as error:
        raise run_directory.may_not_read(path) from error
    except (OSError, KeyError, ValueError, csv.Error) as error:
        raise TrainingError(f"'{path}' is missing or damaged; train again in another directory.") from error

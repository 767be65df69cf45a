"""What the trials of an advice are: which candidates can be tried, how long each takes, and how much of it fits the time."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from distill.advice import trials
from distill.advice.agreed import Agreed
from distill.advice.candidates import Candidate
from distill.advice.footprint import LeftOut, fitting
from distill.advice.needs import Needs
from distill.advice.patches import PatchPace, TrialPatches
from distill.advice.trials import Budget, Pace, Plan, TooShortError
from distill.training.run_data import RunData
from distill.training.scoring import flips_of
from distill.training.settings import Settings
from embedstore import EmbeddingStore
from embedstore.errors import EmbedstoreError, SettingsError
from embedstore.pages import Text

Progress = Callable[[str, int, int], None]  # a stage, how much of it is done, of how much
LOOKING, MEASURING, LEARNING_PATCHES, TRYING = "looking", "measuring", "patches", "trying"  # the stages
_MOST_ON_PATCHES = 0.5  # of the time for the trials


@dataclass(frozen=True)
class Basis:
    """What trials are planned from.

    Attributes:
        store: opened.
        needs: of the line.
        candidates: that are asked for.
        ways: settings of each, by name.
        data: what the training after the trials learns from.
        learned: number of folds -> pictures that a run of the trials learns from.
        patches: of the store.
        images: the image folder, where it is not where the store remembers it.
        jobs: runs that train at the same time.
        tell: called with a stage, and how far that is.
    """

    store: EmbeddingStore
    needs: Needs
    candidates: list[Candidate]
    ways: Mapping[str, Settings]
    data: RunData
    learned: Mapping[int, int]
    patches: TrialPatches
    images: Path | None
    jobs: int
    tell: Progress


@dataclass(frozen=True)
class _Measured:
    """How long what can be tried takes.

    Attributes:
        candidates: that can be tried.
        students: pace of each student that is trained, by name.
        paces: pace of each candidate; where patches are asked beside the head, learning them is part of it.
        budget: what is left of the time.
    """

    candidates: list[Candidate]
    students: Mapping[str, Pace]
    paces: Mapping[str, Pace]
    budget: Budget


def trained_ways(candidates: Sequence[Candidate], ways: Mapping[str, Settings]) -> dict[str, Settings]:
    """Return what is trained, each student once; of one that is asked beside patches the head answers in its runs."""
    return {one.trained: replace(ways[one.name], answer="head") if one.alone else ways[one.name] for one in candidates}


def plan_all(basis: Basis, request: dict[str, Any]) -> Agreed:
    """Find out which candidates can be tried, how long they take, and how much of each fits.

    Args:
        basis: what that hangs on.
        request: what is to be agreed on, in plain values.

    Raises:
        SettingsError: no candidate can be tried, or the time is too short.
        TrainingError: a run can't be done.
    """
    needs, ways, training = basis.needs, basis.ways, len(basis.data.sides["train"])
    footprints, left_out = fitting(
        ways,
        len(basis.data.classes),
        flips_of(basis.store.recipe),
        pictures=training,
        side=basis.store.recipe.student_side,
        max_megabytes=needs.max_megabytes,
        max_milliseconds=needs.max_milliseconds,
    )
    started, fewest = time.monotonic(), min(basis.learned)
    candidates = [one for one in basis.candidates if one.name in footprints]
    first = int(any(one.alone for one in candidates))  # patches are measured before the others
    basis.tell(MEASURING, 0, len(trained_ways(candidates, ways)) + first)
    patches, none = _look_at_patches(basis, [one for one in candidates if one.alone])
    candidates = _without(candidates, none)
    if not candidates:
        raise SettingsError(f"None of the ways can be tried: {none[-1].why.en}")
    trained = trained_ways(candidates, ways)
    budget = Budget(60 * needs.minutes, time.monotonic() - started, {} if patches is None else patches.again)
    students = trials.measure_paces(
        basis.store.path,
        trained,
        budget,
        folds=fewest,
        pictures=basis.learned[fewest],
        images=basis.images,
        jobs=basis.jobs,
        progress=lambda done, _: basis.tell(MEASURING, done + first, len(trained) + first),
        version=basis.store.version,
    )
    paces = {one.name: _beside(students[one.trained], patches if one.alone else None) for one in candidates}
    measured = _Measured(candidates, students, paces, replace(budget, spent=time.monotonic() - started))
    in_time, too_slow = trials.fast_enough(paces, training, needs.train_minutes)
    if not in_time:
        raise _too_short_to_train(basis, measured)
    candidates = _without(candidates, too_slow)
    left_out += [*none, *too_slow]
    try:
        plan = _plan(basis, measured, candidates, needs.train_minutes)
    except TooShortError as error:
        beside = [one for one in candidates if one.alone]
        candidates = [one for one in candidates if not one.alone]
        if not beside or not candidates:
            raise
        plan = _plan(basis, measured, candidates, needs.train_minutes)
        left_out += [LeftOut(one.name, why=_no_time(error)) for one in beside]
    names = [one.name for one in candidates]
    return Agreed(
        request, plan, {name: in_time[name] for name in names}, {name: footprints[name] for name in names}, left_out
    )


def _look_at_patches(basis: Basis, beside: list[Candidate]) -> tuple[PatchPace | None, list[LeftOut]]:
    """Return how long patches take, where some candidates need them; where none can be had, these candidates with the reason."""
    if not beside:
        return None, []
    minutes = basis.needs.minutes
    pictures = sum(len(basis.data.labelled(side)) for side in ("train", "val", "test"))
    try:
        needed = pictures * basis.patches.seconds_a_picture() / 60
        if needed <= _MOST_ON_PATCHES * minutes:
            return basis.patches.measured(basis.data, basis.learned, trials.SEEDS), []
    except EmbedstoreError as error:  # no such stages, or no weights, or too few parts
        why = Text(str(error), str(error))
    else:
        enough = math.ceil(needed / _MOST_ON_PATCHES)
        why = Text(
            f"Looking at the patches of {pictures:,} pictures takes about {needed:.1f} minutes, more than half of the "
            f"{minutes:g} for the trials; give --minutes {enough} or more.",
            f"画像 {pictures:,} 枚のパッチを調べるのに約 {needed:.1f} 分かかり、試行の時間 {minutes:g} 分の半分を超えます。"
            f"--minutes {enough} 以上にしてください。",
        )
    return None, [LeftOut(one.name, why=why) for one in beside]


def _too_short_to_train(basis: Basis, measured: _Measured) -> SettingsError:
    """Return the error of a training that may not take as long as any way needs: measuring took long, so it tells all limits."""
    training = len(basis.data.sides["train"])
    needed = {name: trials.least_minutes(pace, training) for name, pace in measured.paces.items()}
    quickest = min(needed, key=needed.__getitem__)
    enough = math.ceil(10 * needed[quickest]) / 10
    also = ""
    try:
        _plan(basis, measured, [one for one in measured.candidates if one.name == quickest], enough)
    except TooShortError as error:
        also = f", and --minutes {error.enough:g} or more for its trials"
    return SettingsError(
        f"The time for the training is too short: {trials.FEWEST_EPOCHS} epochs of the quickest way, '{quickest}', take about "
        f"{needed[quickest]:.1f} minutes, and {basis.needs.train_minutes:g} were given; give --train-minutes {enough:g} or "
        f"more{also}."
    )


def _plan(basis: Basis, measured: _Measured, candidates: Sequence[Candidate], train_minutes: float | None) -> Plan:
    """Return what is trained of each candidate: on folds on which patches can be learned, where some candidate needs them."""
    training, learned, budget = len(basis.data.sides["train"]), basis.learned, measured.budget
    if any(one.alone for one in candidates):
        learned = {folds: learned[folds] for folds in budget.each}
    else:
        budget = replace(budget, each={})
    return trials.plan_trials(
        {one.trained: measured.students[one.trained] for one in candidates},
        learned,
        budget,
        jobs=basis.jobs,
        wanted=min(trials.training_epochs(measured.paces[one.name], training, train_minutes) for one in candidates),
    )


def _no_time(error: TooShortError) -> Text:
    return Text(
        f"Beside what else is tried: {error}",
        f"ほかの試行と合わせると約 {error.enough:.1f} 分かかります。"
        f"--minutes {error.enough:.1f} 以上にするか、--ways を減らしてください。",
    )


def _without(candidates: Sequence[Candidate], left_out: Sequence[LeftOut]) -> list[Candidate]:
    names = {one.name for one in left_out}
    return [one for one in candidates if one.name not in names]


def _beside(pace: Pace, patches: PatchPace | None) -> Pace:
    """Return the pace of a training after which patches are learned, too."""
    return pace if patches is None else replace(pace, start=pace.start + patches.first)

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
from distill.advice.trials import Pace
from distill.training.run_data import RunData
from distill.training.scoring import flips_of
from distill.training.settings import Settings
from embedstore import EmbeddingStore
from embedstore.errors import EmbedstoreError, SettingsError
from embedstore.pages import Text

Progress = Callable[[str, int, int], None]  # a stage, how much of it is done, of how much
LOOKING, MEASURING, PATCHES, TRYING = "looking", "measuring", "patches", "trying"  # the stages
_MOST_ON_PATCHES = 0.5  # of the time for the trials


@dataclass(frozen=True)
class Begun:
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


def trained_ways(candidates: Sequence[Candidate], ways: Mapping[str, Settings]) -> dict[str, Settings]:
    """Return what is trained, each student once: its own head answers in the runs."""
    return {one.trained: replace(ways[one.name], answer="head") for one in candidates}


def plan_all(begun: Begun, request: dict[str, Any]) -> Agreed:
    """Find out which candidates can be tried, how long they take, and how much of each fits.

    Args:
        begun: what that hangs on.
        request: what is to be agreed on, in plain values.

    Raises:
        SettingsError: no candidate can be tried, or the time is too short.
        TrainingError: a run can't be done.
    """
    needs, ways, learned, training = begun.needs, begun.ways, begun.learned, len(begun.data.sides["train"])
    footprints, left_out = fitting(
        ways,
        len(begun.data.classes),
        flips_of(begun.store.recipe),
        pictures=training,
        side=begun.store.recipe.student_side,
        max_megabytes=needs.max_megabytes,
        max_milliseconds=needs.max_milliseconds,
    )
    started, fewest = time.monotonic(), min(learned)
    beside = [one for one in begun.candidates if one.alone and one.name in footprints]
    most = len({one.trained for one in begun.candidates if one.name in footprints}) + bool(beside)
    begun.tell(MEASURING, 0, most)
    of_patches, none = _patch_pace(begun, beside)
    left_out += none
    for one in none:
        del footprints[one.name]
    if not footprints:
        raise SettingsError(f"None of the ways can be tried: {left_out[-1].why.en}")
    candidates = [one for one in begun.candidates if one.name in footprints]
    measured = trials.measure_paces(
        begun.store.path,
        trained_ways(candidates, ways),
        folds=fewest,
        pictures=learned[fewest],
        images=begun.images,
        jobs=begun.jobs,
        progress=lambda done, _: begun.tell(MEASURING, done + bool(beside), most),
        version=begun.store.version,
    )
    paces = {one.name: _beside(measured[one.trained], of_patches if one.alone else None) for one in candidates}
    paces, too_slow = trials.fast_enough(paces, training, needs.train_minutes)
    candidates = [one for one in candidates if one.name in paces]
    plan = trials.plan_trials(
        {one.trained: measured[one.trained] for one in candidates},
        learned,
        seconds=60 * needs.minutes,
        spent=time.monotonic() - started,
        each=of_patches.again if of_patches and any(one.alone for one in candidates) else 0.0,
        jobs=begun.jobs,
        wanted=min(trials.training_epochs(pace, training, needs.train_minutes) for pace in paces.values()),
    )
    kept = {name: footprints[name] for name in paces}
    return Agreed(request, plan, paces, kept, [*left_out, *too_slow])


def _patch_pace(begun: Begun, beside: list[Candidate]) -> tuple[PatchPace | None, list[LeftOut]]:
    """Return how long patches take, where some candidates need them; where none can be had, these candidates with the reason."""
    if not beside:
        return None, []
    minutes, pictures = begun.needs.minutes, len(begun.store.samples)
    try:
        for folds in begun.learned:
            begun.patches.refuse_unlearnable(folds, trials.SEEDS)
        needed = pictures * begun.patches.seconds_a_picture() / 60
        if needed <= _MOST_ON_PATCHES * minutes:
            return begun.patches.measured(min(begun.learned)), []
    except EmbedstoreError as error:
        why = Text(str(error), str(error))
    else:
        why = Text(
            f"Looking at the patches of {pictures:,} pictures takes about {needed:.1f} minutes, more than half of the "
            f"{minutes:g} for the trials; give --minutes {math.ceil(needed / _MOST_ON_PATCHES)} or more.",
            f"画像 {pictures:,} 枚のパッチを調べるのに約 {needed:.1f} 分かかり、試行の時間 {minutes:g} 分の半分を超えます。"
            f"--minutes {math.ceil(needed / _MOST_ON_PATCHES)} 以上にしてください。",
        )
    return None, [LeftOut(one.name, why=why) for one in beside]


def _beside(pace: Pace, patches: PatchPace | None) -> Pace:
    """Return the pace of a training after which patches are learned, too."""
    return pace if patches is None else replace(pace, start=pace.start + patches.first)

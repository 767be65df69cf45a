"""Patches beside the trials: learned once for each fold and seed, since no way's student has a part in them."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import Self

import numpy as np
import torch

from distill.advice.trials import on_fold
from distill.answers.patches import SIZES, beside
from distill.evaluation.report import Held
from distill.evaluation.runs import RunScores
from distill.source import Source
from distill.training import run_directory
from distill.training.answers import defects_among
from distill.training.learned_patches import SeenPatches, learn_patches, patch_maps, refuse_unlearnable
from distill.training.pictures import StudentPictures
from distill.training.run_data import RunData, make_run_data
from distill.training.settings import Settings
from embedstore.errors import TrainingError

PLACE = "patches"  # in the directory of the trials
_ROOM = 1 << 30  # bytes of patches that are kept from one fold to the next
_TIMED = 64  # pictures

Said = Mapping[str, float]  # picture's id -> log-odds of a defect


@dataclass(frozen=True)
class PatchPace:
    """How long patches take.

    Attributes:
        first: seconds for a fold of which no picture has been looked at.
        again: number of folds, for each that patches can be learned on, -> seconds for each further fold and seed.
    """

    first: float
    again: Mapping[int, float]


class TrialPatches:
    """What patches say of the held-out pictures of trials.

    Args:
        source: the store that the trials learn from.
        settings: that all trials share, with the good label, and whose patches they are.
        images: the image folder, where it is not where the store remembers it.
    """

    def __init__(self, source: Source, settings: Settings, images: Path | None = None):
        self._source, self._settings, self._images = source, settings, images
        self._pictures: StudentPictures | None = None
        self._seen: SeenPatches | None = None
        self._said: dict[tuple[int, int, int], Said] = {}  # (folds, fold, seed) -> what is known already

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._pictures is not None:
            self._pictures.close()
        self._pictures = self._seen = None  # the trials need the memory
        if torch.cuda.is_available():
            torch.cuda.empty_cache()

    def seconds_a_picture(self) -> float:
        """Look at some pictures and return how long one takes."""
        at = np.arange(min(_TIMED, len(self._source.samples)))
        started = time.monotonic()
        for size in SIZES:
            self._making().of(at, size)
        return (time.monotonic() - started) / len(at)

    def measured(self, data: RunData, learned: Mapping[int, int], seeds: int) -> PatchPace:
        """Learn on two of the fewest folds that can be learned, and return how long that takes, and each further one.

        Args:
            data: of the training after the trials.
            learned: number of folds -> pictures that a run of the trials learns from.
            seeds: of the trials, at most.

        Raises:
            TrainingError: too few parts are good or defective in that training, or in some trial however many folds are dealt.
        """
        maps = self._making().maps
        refuse_unlearnable(maps, data, self._settings)
        possible, refused = [], None
        for folds in learned:
            try:
                for fold, number in product(range(folds), range(seeds)):
                    settings = self._of_trial(folds, fold, number)
                    refuse_unlearnable(maps, make_run_data(self._source, settings), settings)
            except TrainingError as error:
                refused = error
            else:
                possible.append(folds)
        if not possible:
            raise TrainingError(f"In some of the trials: {refused}")
        fewest = min(possible)
        marks = [time.monotonic()]
        for fold in range(2):
            self.said(fewest, fold, 0)
            marks.append(time.monotonic())
        again = (marks[2] - marks[1]) / learned[fewest]
        return PatchPace(marks[1] - marks[0], {folds: again * learned[folds] for folds in possible})

    def said(self, folds: int, fold: int, number: int) -> Said:
        """Return what patches of the training side say of the pictures that the trial of a fold and a seed holds out.

        Args:
            folds: how many are dealt.
            fold: which is tested.
            number: of the seed, from 0.
        """
        key = folds, fold, number
        if key not in self._said:
            self._said[key] = self.said_of(self._of_trial(folds, fold, number))
        return self._said[key]

    def said_of(self, settings: Settings) -> Said:
        """Return what patches of the training side say of the pictures that a run of such settings holds out."""
        seen, data = self._making(), make_run_data(self._source, settings)
        held = np.concatenate([data.labelled(side) for side in ("val", "test")])
        log_odds = seen.log_odds(learn_patches(seen, data, settings), held).tolist()
        return {data.samples[at].id: odds for at, odds in zip(held, log_odds, strict=True)}

    def said_in(
        self, trials: Path, folds: int, seeds: int, progress: Callable[[int, int], None]
    ) -> dict[tuple[int, int], Said]:
        """Return (fold, seed) -> what patches say there; what is known is kept in the directory of the trials.

        Args:
            trials: that directory; a call that was interrupted goes on.
            folds: of the trials.
            seeds: likewise.
            progress: called with how many are known, of all.
        """
        place = trials / PLACE
        place.mkdir(parents=True, exist_ok=True)
        found: dict[tuple[int, int], Said] = {}
        for number in range(seeds):
            for fold in range(folds):
                progress(len(found), folds * seeds)
                seed = self._settings.seed + number
                file = place / f"fold{fold}-seed{seed}.json"
                known = _read(file)
                if known is None:
                    known = self.said(folds, fold, number)
                    run_directory.write_json(file, dict(known))
                found[fold, seed] = known
        progress(len(found), folds * seeds)
        return found

    def _of_trial(self, folds: int, fold: int, number: int) -> Settings:
        return on_fold(replace(self._settings, seed=self._settings.seed + number), folds, fold)

    def _making(self) -> SeenPatches:
        if self._seen is None:
            maps = patch_maps(self._settings)
            self._pictures = StudentPictures(self._source, self._settings.size, self._images)
            self._seen = SeenPatches(maps, self._pictures, room=_ROOM)
        return self._seen


def with_patches(
    runs: Sequence[RunScores], said: Mapping[tuple[int, int], Said], good: str, name: str
) -> list[RunScores]:
    """Return runs as they are where their students are asked beside patches; pictures that are aside are left out.

    Args:
        runs: whose heads answered.
        said: (fold, seed) -> what patches say of the pictures that are held out there.
        good: the label of good parts.
        name: what the runs are then called.

    Raises:
        TrainingError: patches say nothing of a run's picture.
    """
    return [replace(run, policy=name, held=_beside(run, said.get((run.fold, run.seed), {}), good)) for run in runs]


def _beside(run: RunScores, said: Said, good: str) -> list[Held]:
    held = [one for one in run.held if one.side != "aside"]
    unknown = [one.id for one in held if one.id not in said]
    if unknown:
        raise TrainingError(
            f"Patches say nothing of '{unknown[0]}', which the run of '{run.policy}' on fold {run.fold} with seed {run.seed} "
            "holds out: the two learned from other sides; delete the directory of the trials to begin them again."
        )
    probabilities = beside(
        torch.tensor([one.probabilities for one in held], dtype=torch.float64),
        torch.tensor([said[one.id] for one in held], dtype=torch.float64),
        defects_among(list(run.classes), good),
    ).tolist()
    return [replace(one, probabilities=tuple(row)) for one, row in zip(held, probabilities, strict=True)]


def _read(file: Path) -> Said | None:
    """Return what a file of an interrupted call says; None where it says nothing that can be used."""
    try:
        kept = json.loads(file.read_text("utf-8"))
    except (OSError, ValueError):
        return None
    if not isinstance(kept, dict) or not all(type(one) is float and math.isfinite(one) for one in kept.values()):
        return None
    return kept

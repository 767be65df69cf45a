"""What the answer `patches` says: of pictures of the study alone, without a student, and beside the heads of others.

How many patches are kept and how places are learned was chosen on the training pictures of one fold, dealt out in three by parts;
the rest of `distill.answers.patches` was set by hand after looks at these folds, with one seed.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch
from results import CLASSES

import embedstore
from distill.advice.patches import TrialPatches, with_patches
from distill.advice.trials import on_fold
from distill.answers.patches import MOST, SIZES
from distill.evaluation.report import Held
from distill.evaluation.runs import RunScores
from distill.training.run_data import make_run_data
from distill.training.settings import PATCHES, Settings
from embedstore import Sample

BYTES = 2 * len(SIZES) * MOST * 152  # of the patches that are kept, as float16


def patch_runs(path: Path, images: Path | None, good: str, *, folds: int, seeds: int) -> list[RunScores]:
    """Return what patches say in place of each run, on the same folds and seeds as the students.

    Args:
        path: of the store.
        images: the folder of the pictures, where it is not where the store remembers it.
        good: the label of good parts.
        folds: as for the students.
        seeds: likewise; of the patches that are kept, too.
    """
    runs, settings = [], Settings(good=good, answer=PATCHES)
    with embedstore.open(path) as store, TrialPatches(store, settings, images) as patches:
        for seed in range(seeds):
            for fold in range(folds):
                trial = on_fold(replace(settings, seed=seed), folds, fold)
                data = make_run_data(store, trial)
                said = patches.said(folds, fold, seed)
                held = [
                    _held(data.samples[at], side, said[data.samples[at].id])
                    for side in ("val", "test")
                    for at in data.labelled(side)
                ]
                runs.append(RunScores("patches", fold, seed, held, CLASSES, val_fold=trial.val_fold))
    return runs


def beside(runs: Sequence[RunScores], patches: Sequence[RunScores]) -> list[RunScores]:
    """Return runs whose log-odds of a defect are those of their heads and of patches, added; run by run, picture by picture.

    Raises:
        TrainingError: the patches are not of the same runs and pictures.
    """
    said = {(one.fold, one.seed): {held.id: _odds(held.probabilities) for held in one.held} for one in patches}
    return [found for run in runs for found in with_patches([run], said, CLASSES[1], run.policy)]


def _held(sample: Sample, side: str, log_odds: float) -> Held:
    defect, rest = torch.sigmoid(torch.tensor([log_odds, -log_odds], dtype=torch.float64)).tolist()
    return Held(sample.id, side, sample.label, sample.mode, sample.group, (defect, rest))


def _odds(probabilities: Sequence[float]) -> float:
    defect, rest = (max(one, 1e-300) for one in probabilities)
    return math.log(defect) - math.log(rest)

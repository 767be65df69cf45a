"""What the answer `patches` says: of pictures of the study alone, without a student, and beside the heads of others.

The maps are those of the teacher's own stages, so they are made once for all runs. How many patches are kept and how places are
learned was chosen on the training pictures of one fold, dealt out in three by parts; the rest of `distill.answers.patches` was
set by hand after looks at these folds, with one seed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

import embedstore
from distill.answers.patches import MOST, SIZES, Patches, PatchMaps
from distill.answers.patches import beside as added
from distill.evaluation.report import Held
from distill.evaluation.runs import RunScores
from distill.students.teacher_stages import teacher_stages
from distill.training import compare
from distill.training.pictures import StudentPictures
from distill.training.run_data import RunData, make_run_data
from distill.training.settings import TRUNK, Settings

BYTES = 2 * len(SIZES) * MOST * 152  # of the patches that are kept, as float16
_AT_ONCE = 64
_DEFECTS = torch.tensor([1.0, 0.0], dtype=torch.float64)  # of the classes defect and good


def patch_runs(path: Path, images: Path | None, good: str, *, folds: int, seeds: int) -> list[RunScores]:
    """Return what patches say in place of each run, on the same folds and seeds as the students.

    Args:
        path: of the store.
        images: the folder of the pictures, where it is not where the store remembers it.
        good: the label of good parts.
        folds: as for the students.
        seeds: likewise; of the patches that are kept, too.
    """
    maps = PatchMaps(teacher_stages(f"{TRUNK}:{Settings().patches}", max(SIZES), pretrained=True))
    with embedstore.open(path) as store:
        seen = [torch.cat(list(_patches(maps, store, images, size))) for size in SIZES]
        runs = []
        for seed in range(seeds):
            for fold in range(folds):
                val_fold = compare.val_fold_of(folds, fold, seed)
                data = make_run_data(store, Settings(good=good, folds=folds, fold=fold, val_fold=val_fold))
                said = _said(maps, seen, data, good, seed)
                held = [
                    Held(s.id, side, s.label, s.mode, s.group, (float(said[at, 0]), float(said[at, 1])))
                    for side in ("val", "test", "aside")
                    for at in data.sides[side]
                    for s in [data.samples[at]]
                ]
                runs.append(RunScores("patches", fold, seed, held, ["defect", "good"], val_fold=val_fold))
    return runs


def beside(runs: Sequence[RunScores], patches: Sequence[RunScores]) -> list[RunScores]:
    """Return runs whose log-odds of a defect are those of their heads and of patches, added; run by run, picture by picture.

    Raises:
        ValueError: the patches are not of the same runs and pictures.
    """
    of_run = {(one.fold, one.seed): {held.id: _odds(held.probabilities) for held in one.held} for one in patches}
    return [
        replace(one, held=[_added(held, of_run.get((one.fold, one.seed), {})) for held in one.held]) for one in runs
    ]


def _added(held: Held, of_picture: Mapping[str, float]) -> Held:
    if held.id not in of_picture:
        raise ValueError(f"Patches say nothing of '{held.id}' in this run; both must hold out the same folds.")
    head = torch.tensor([held.probabilities], dtype=torch.float64)
    defect, rest = added(head, torch.tensor([of_picture[held.id]], dtype=torch.float64), _DEFECTS)[0].tolist()
    return replace(held, probabilities=(defect, rest))


def _odds(probabilities: Sequence[float]) -> float:
    defect, rest = (max(one, 1e-300) for one in probabilities)
    return float(np.log(defect) - np.log(rest))


def _patches(maps: PatchMaps, store: embedstore.EmbeddingStore, images: Path | None, size: int) -> Iterator[Tensor]:
    """Yield the patches (m, places, c) of whole pictures, some at a time, in the order of the store's samples."""
    pictures = StudentPictures(store, size, images)
    try:
        for start in range(0, len(store), _AT_ONCE):
            at = np.arange(start, min(start + _AT_ONCE, len(store)))
            with torch.inference_mode():
                yield maps(pictures.whole(at, (size,))[0])
    finally:
        pictures.close()


def _said(maps: PatchMaps, seen: Sequence[Tensor], data: RunData, good: str, seed: int) -> Tensor:
    """Return probabilities (n, 2) of defect and good of all samples, from the training side of a run alone."""
    train = np.array([at for at in data.sides["train"] if data.samples[at].label is not None])
    defect = np.array([data.samples[at].label != good for at in train])
    parts = np.unique([data.samples[at].part for at in train], return_inverse=True)[1]
    patches = Patches.of(maps, [one[train] for one in seen], defect, parts, seed)
    log_odds = torch.cat([patches.log_odds([one[at : at + 1] for one in seen]) for at in range(len(data.samples))])
    return torch.stack([torch.sigmoid(log_odds), torch.sigmoid(-log_odds)], dim=1)

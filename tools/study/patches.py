"""What the patches of a picture say: how far each is from the nearest patch of a good part, in the teacher's own first stages.

A mean over the picture, which is all that an embedding and a head see, hides a small defect. Here each place of the teacher's
maps is looked up among those of good training pictures (Roth et al., PatchCore, arXiv 2106.08265), at three sizes of the picture.
Of the distances of a picture its largest, the mean of its largest five and the mean of all are kept at each size, and a logistic
regression makes log-odds of a defect of these. It is fitted to training pictures that are looked up among other parts' patches
only. Where a head is asked, too, the two log-odds are added.

No student is trained, and no settings were searched; they were set by hand after looks at these folds, with one seed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from sklearn.linear_model import LogisticRegression
from torch import Tensor
from torch.nn import functional

import embedstore
from distill.evaluation.report import Held
from distill.evaluation.runs import RunScores
from distill.students import make_student
from distill.students.student import MIDDLE, SPREAD
from distill.students.teacher_stages import TeacherStages
from distill.training import compare
from distill.training.pictures import StudentPictures
from distill.training.run_data import RunData, make_run_data
from distill.training.settings import Settings
from embedstore.views import WHOLE

TRUNK = "trunk:efficientnet-lite0:5"
STAGES = ("blocks_2", "blocks_4")  # whose maps are looked at: of the last, and of one with twice as many places a side
SIZES = (96, 160, 224)  # of the picture, in pixels
MOST = 10_000  # patches that are kept of each size
TOP, STRENGTH = 5, 0.1  # distances of which the mean is a statistic; C of the logistic regression
BYTES = 2 * len(SIZES) * MOST * 152  # of what is kept, as float16
_AT_ONCE = 64

Numbers = npt.NDArray[np.float64]


def patch_runs(path: Path, images: Path | None, good: str, *, folds: int, seeds: int) -> list[RunScores]:
    """Return what patches say in place of each run, on the same folds and seeds as the students.

    Args:
        path: of the store.
        images: the folder of the pictures, where it is not where the store remembers it.
        good: the label of good parts.
        folds: as for the students.
        seeds: likewise; of the patches that are kept, too.
    """
    with embedstore.open(path) as store:
        patches = [torch.cat(list(_patches(store, images, size))) for size in SIZES]
        runs = []
        for seed in range(seeds):
            for fold in range(folds):
                val_fold = compare.val_fold_of(folds, fold, seed)
                data = make_run_data(store, Settings(good=good, folds=folds, fold=fold, val_fold=val_fold))
                odds = _log_odds(patches, data, good, seed)
                held = [
                    Held(s.id, side, s.label, s.mode, s.group, _probabilities(odds[at]))
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
    return replace(held, probabilities=_probabilities(_odds(held.probabilities) + of_picture[held.id]))


def _odds(probabilities: Sequence[float]) -> float:
    defect, rest = (max(one, 1e-300) for one in probabilities)
    return float(np.log(defect) - np.log(rest))


def _probabilities(odds: float) -> tuple[float, float]:
    return float(1 / (1 + np.exp(-odds))), float(1 / (1 + np.exp(odds)))


def _patches(store: embedstore.EmbeddingStore, images: Path | None, size: int) -> Iterator[Tensor]:
    """Yield the patches (m, places, c) of whole pictures, some at a time, in the order of the store's samples."""
    trunk = make_student(TRUNK, 2, size, 0).trunk.eval()
    assert isinstance(trunk, TeacherStages)  # noqa: S101  what its name says
    pictures = StudentPictures(store, size, images)
    try:
        for start in range(0, len(store), _AT_ONCE):
            at = np.arange(start, min(start + _AT_ONCE, len(store)))
            with torch.inference_mode():
                yield patches_of(trunk, pictures.cut(at, [WHOLE] * len(at)))
    finally:
        pictures.close()


def patches_of(trunk: TeacherStages, pixels: Tensor) -> Tensor:
    """Map pixels (m, 3, s, s) uint8 to patches (m, places, c): both stages' maps side by side, at the places of the later one.

    Each place is the mean over it and its neighbours.
    """
    maps = (pixels.float() - MIDDLE) / SPREAD * trunk.scale + trunk.shift
    seen = []
    for name, layer in trunk.layers.named_children():
        maps = layer(maps)
        if name in STAGES:
            seen.append(functional.avg_pool2d(maps, 3, stride=1, padding=1) / maps.shape[1] ** 0.5)
    earlier = functional.adaptive_avg_pool2d(seen[0], maps.shape[-1])
    return torch.cat([earlier, seen[1]], dim=1).flatten(2).transpose(1, 2)


def _log_odds(patches: Sequence[Tensor], data: RunData, good: str, seed: int) -> Numbers:
    """Return the log-odds (n,) of a defect of all samples, from the training side of a run."""
    train = data.sides["train"]
    defect = np.array([sample.label != good for sample in data.samples])
    parts = np.unique([sample.part for sample in data.samples], return_inverse=True)[1]
    known = train[~defect[train]]
    seen = np.concatenate([_statistics(one, known, parts, seed) for one in patches], axis=1)
    scaled = (seen - seen[known].mean(axis=0)) / seen[known].std(axis=0)
    model = LogisticRegression(C=STRENGTH, max_iter=2000).fit(scaled[train], defect[train])
    odds: Numbers = model.decision_function(scaled)
    return odds


def _statistics(patches: Tensor, known: npt.NDArray[np.int64], parts: npt.NDArray[np.int64], seed: int) -> Numbers:
    """Return the largest distance of each picture's patches (n, 3), the mean of its largest and the mean of all.

    Args:
        patches: (n, places, c).
        known: positions (g,) of the good training pictures, of whose patches some are kept.
        parts: (n,) which part each picture shows: patches of its own are not looked at.
        seed: of which are kept.
    """
    count, places, channels = patches.shape
    spread = patches[known].std(dim=(0, 1))
    scaled = patches / spread.clamp_min(1e-6)
    drawn = np.random.default_rng(seed).permutation(len(known) * places)[:MOST]
    kept = scaled[known].reshape(-1, channels)[drawn]
    part_of_kept, own = torch.from_numpy(parts[known][drawn // places]), torch.from_numpy(parts)
    squares = (kept * kept).sum(dim=1)
    found = np.empty((count, 3))
    for at in range(count):
        asked = scaled[at]
        distances = (asked * asked).sum(dim=1, keepdim=True) + squares - 2 * asked @ kept.T
        distances[:, part_of_kept == own[at]] = torch.inf
        nearest = distances.amin(dim=1).clamp_min(0).sqrt().sort(descending=True).values
        found[at] = (float(nearest[0]), float(nearest[:TOP].mean()), float(nearest.mean()))
    return found

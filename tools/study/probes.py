"""What the teacher itself knows of held-out pictures: a linear probe and nearest neighbours on its stored vectors.

The same folds, seeds and held-out sides as for the students, so what does not depend on a seed stands there as often as those;
plain views only, and only those of the training side are looked at. These are no students, for the teacher would have to run at
the line: they say what there is to be learned.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
from sklearn.linear_model import LogisticRegression

import embedstore
from distill.evaluation.metrics import roc_area
from distill.evaluation.report import Held
from distill.evaluation.runs import RunScores
from distill.training import compare
from distill.training.run_data import RunData, make_run_data
from distill.training.settings import Settings
from embedstore.teachers.protocol import EMBEDDING
from embedstore.vectors import unit_length

Vectors = npt.NDArray[np.float32]
Scores = npt.NDArray[np.float64]
STRENGTHS = (1.0, 3.0, 10.0, 30.0, 100.0)  # inverse, of the probe's L2 penalty
_NEAREST, _TEMPERATURE = 10, 0.05


def probe(train: Vectors, defect: npt.NDArray[np.bool_], asked: Vectors, strength: float) -> Scores:
    """Return a logistic regression's probability (m,) of a defect.

    Args:
        train: (n, d) of unit length, the centre taken off.
        defect: (n,).
        asked: (m, d) likewise.
        strength: C of scikit-learn's `LogisticRegression`.
    """
    model = LogisticRegression(C=strength, max_iter=2000).fit(train, defect)
    scores: Scores = model.predict_proba(asked)[:, 1].astype(np.float64)
    return scores


def neighbours(train: Vectors, defect: npt.NDArray[np.bool_], asked: Vectors) -> Scores:
    """Return the share (m,) of defects among the nearest training samples, weighted by a softmax of their cosines."""
    cosine = asked @ train.T
    nearest = np.argpartition(-cosine, _NEAREST, axis=1)[:, :_NEAREST]
    weights = np.exp(np.take_along_axis(cosine, nearest, axis=1).astype(np.float64) / _TEMPERATURE)
    # Pictures that are equally near to both would tie at a hard vote; the weights leave no ties.
    shares: Scores = (weights * defect[nearest]).sum(axis=1) / weights.sum(axis=1)
    return np.clip(shares, 1e-12, 1 - 1e-12)


def teacher_runs(
    path: Path, name: str, good: str, *, folds: int, seeds: int, outputs: tuple[str, ...] = (EMBEDDING,)
) -> tuple[list[RunScores], float | None]:
    """Return what the teacher says in place of each run, and the probe's C, chosen on the validation side of fold 0.

    Args:
        path: of the store.
        name: `teacher-probe` or `teacher-neighbours`, which becomes the policy of the runs.
        good: the label of good parts.
        folds: as for the students.
        seeds: likewise: each holds out other pairs of folds.
        outputs: of the teacher, side by side.
    """
    runs: list[RunScores] = []
    strength: float | None = None
    with embedstore.open(path) as store:
        every = np.arange(len(store))
        parts = [store.read(every, output=output) for output in outputs]
        for seed in range(seeds):
            for fold in range(folds):
                val_fold = compare.val_fold_of(folds, fold, seed)
                data = make_run_data(store, Settings(good=good, folds=folds, fold=fold, val_fold=val_fold))
                vectors = _centred(parts, data)
                if name == "teacher-neighbours":
                    scores = _by_neighbours(vectors, data, good)
                else:
                    strength = strength or _best_strength(vectors, data, good)
                    scores = _by_probe(vectors, data, good, strength)
                held = [
                    Held(s.id, side, s.label, s.mode, s.group, (scores[at], 1 - scores[at]))
                    for side in ("val", "test", "aside")
                    for at in data.sides[side]
                    for s in [data.samples[at]]
                ]
                runs.append(RunScores(name, fold, seed, held, ["defect", "good"], val_fold=val_fold))
    return runs, strength


def _centred(parts: list[Vectors], data: RunData) -> Vectors:
    """Return all samples' vectors (n, d), each output centred on the training side and of unit length."""
    train = data.sides["train"]
    return np.concatenate([unit_length(part - part[train].mean(axis=0)) for part in parts], axis=1) / len(parts) ** 0.5


def _defect(data: RunData, good: str) -> npt.NDArray[np.bool_]:
    return np.array([sample.label != good for sample in data.samples])


def _by_probe(vectors: Vectors, data: RunData, good: str, strength: float) -> Scores:
    train = data.sides["train"]
    return probe(vectors[train], _defect(data, good)[train], vectors, strength)


def _by_neighbours(vectors: Vectors, data: RunData, good: str) -> Scores:
    train = data.sides["train"]
    return neighbours(vectors[train], _defect(data, good)[train], vectors)


def _best_strength(vectors: Vectors, data: RunData, good: str) -> float:
    val, defect = data.sides["val"], _defect(data, good)
    return max(STRENGTHS, key=lambda one: roc_area(defect[val], _by_probe(vectors, data, good, one)[val]))

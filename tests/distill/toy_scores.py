"""Held-out scores of runs that never were: a few by hand, and random ones."""

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from distill.evaluation.report import Held
from distill.evaluation.runs import RunScores

CLASSES = ["defect", "good"]
DEFECTS = {"A1": ("spot", "A"), "A2": ("spot", "A"), "A3": ("spot", "D"), "B1": ("crack", "B"), "C1": ("crack", None)}


def one(
    name: str, side: str, label: str | None, score: float, mode: str | None = None, group: str | None = None
) -> Held:
    """Return a sample of which the student says that it is a defect by `score`."""
    return Held(name, side, label, mode, group, (score, 1 - score))


def run(policy: str, fold: int, seed: int, test: dict[str, float]) -> RunScores:
    """Return a run: names in `DEFECTS` are defects, others good ones.

    20 good validation parts, of which a fold has the scores of two seeds, 40 in all. None of those may be rejected at 2 %
    overkill, one at 3 and 4 %, two at 5 to 7, three at 8 and 9, four at 10: the thresholds are .875, .75, .75, .5, 17/128.
    """
    val = [k / 128 for k in range(18)] + ([0.5, 0.75] if seed == 0 else [0.75, 0.875])
    held = [one(f"v{fold}-{k}", "val", "good", score, None, f"V{k}") for k, score in enumerate(val)]
    held += [one(f"vd{fold}", "val", "defect", 0.99)]
    for name, score in test.items():
        defect = name in DEFECTS
        held.append(
            one(name, "test", "defect" if defect else "good", score, *(DEFECTS[name] if defect else (None, name)))
        )
    curve = [{"epoch": 1.0, "val_auroc": 0.5 + fold / 4, "seconds": 2.0}, {"epoch": 2.0, "val_auroc": float("nan")}]
    return RunScores(policy, fold, seed, held, CLASSES, 10 + seed, 1000 * (fold + 1), curve)


NONE = [
    run("none", 0, 0, {"A1": 0.75, "A2": 0.25, "A3": 0.875, "B1": 0.625, "G1": 0.125, "G2": 0.5625}),
    run("none", 0, 1, {"A1": 0.875, "A2": 0.75, "A3": 0.9375, "B1": 0.5, "G1": 0.125, "G2": 0.875}),
    run("none", 1, 0, {"C1": 0.25, "G3": 0.125, "G4": 0.25}),
    run("none", 1, 1, {"C1": 0.625, "G3": 0.125, "G4": 0.25}),
]
OWN = [  # the same, but for C1, which is always caught
    replace(
        of,
        policy="own",
        held=[replace(h, probabilities=(0.9375, 0.0625)) if h.id == "C1" else h for h in of.held],
    )
    for of in NONE
]


def changed(of: RunScores, names: str, **what: Any) -> RunScores:
    """Return a run in which the samples whose ids start with `names` are changed."""
    return replace(of, held=[replace(h, **what) if h.id.startswith(names) else h for h in of.held])


def with_fixed_thresholds(runs: Sequence[RunScores]) -> list[RunScores]:
    """Return runs whose good validation samples all show one part: drawn or not, no draw moves a threshold."""
    return [changed(changed(of, "v", group="V"), "vd", group=None) for of in runs]


def weighted_threshold(scores: Sequence[float], weights: Sequence[float], overkill: float) -> float:
    """Return the lowest of the scores above which at most a share of the weight lies; NaN where there is none."""
    allowed = overkill * sum(weights) + 1e-9
    fitting = [
        score
        for score in scores
        if sum(weight for other, weight in zip(scores, weights, strict=True) if other > score) <= allowed
    ]
    return min(fitting) if sum(weights) else math.nan


def random_runs(
    seed: int,
    policies: Sequence[str] = ("none", "a", "b"),
    folds: int = 3,
    seeds: int = 2,
    *,
    both: bool = False,
) -> list[RunScores]:
    """Return runs over 10 parts a fold, some of several pictures, with ties.

    Each fold is validated on the pictures that the next one tests, on 3 parts of its own, and folds 0 and 1 on 2 more; with
    `both` on those of another fold alone, on which it is tested, too.
    """
    random = np.random.default_rng(seed)

    def pictures(prefix: str, parts: int, grouped: int) -> list[tuple[str, str, str | None, str | None]]:
        made: list[tuple[str, str, str | None, str | None]] = []
        for part in range(parts):
            for picture in range(random.integers(1, 4)):
                defect = bool(random.random() < 0.5)
                mode = f"mode {random.integers(3)}" if defect else None
                group = f"{prefix}-{part}" if part < grouped else None
                made.append((f"{prefix}-{part}-{picture}", "defect" if defect else "good", mode, group))
        return made

    tested = [pictures(f"{fold}", 10, 7) for fold in range(folds)]
    only = [pictures(f"only{fold}", 3, 2) for fold in range(folds)]
    shared = pictures("both", 2, 1)

    def scored(side: str, samples: list[tuple[str, str, str | None, str | None]]) -> list[Held]:
        return [
            one(name, side, label, (random.integers(0, 9) + 5 * (label == "defect")) / 16, mode, group)
            for name, label, mode, group in samples
        ]

    def validating(fold: int, which: int) -> list[tuple[str, str, str | None, str | None]]:
        if both:
            return tested[_other(folds, fold, which)]
        return [*tested[(fold + 1) % folds], *only[fold], *(shared if fold < 2 else [])]

    return [
        RunScores(
            policy,
            fold,
            which,
            scored("val", validating(fold, which)) + scored("test", tested[fold]),
            CLASSES,
            random.random(),
            int(random.integers(100)),
            [{"epoch": 1.0, "val_auroc": random.random()}],
            _other(folds, fold, which) if both else None,
        )
        for policy in policies
        for fold in range(folds)
        for which in range(seeds)
    ]


def _other(folds: int, fold: int, seed: int) -> int:
    return (fold + 1 + seed % 2) % folds


def looks_at(runs: Sequence[RunScores], policy: str, fold: int) -> list[tuple[RunScores, list[Held], list[Held]]]:
    """Return a policy's runs that hold a fold out, each with its samples of that fold, by id, and of the other one."""
    found = []
    for side, other, of in [
        *(("test", "val", of) for of in runs if of.fold == fold),
        *(("val", "test", of) for of in runs if of.val_fold == fold),
    ]:
        if of.policy == policy:
            tested, setting = (sorted((h for h in of.held if h.side == s), key=lambda h: h.id) for s in (side, other))
            found.append((of, tested, setting))
    return found


def score_of(held: Held) -> float:
    """Return how likely a defect is, as `one` was told."""
    return 1 - held.probabilities[1]

"""The search: the same few recipes for six methods on one split, before all folds are trained.

Each recipe is trained once, with one seed, and judged by the validation side of fold 0, which is a fold that is tested later:
the mean AUROC of its last epochs. Every recipe that was tried is written down with what it reached. All folds are then trained
once, with each method's best.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from results import write_json

from distill.methods import settings_of
from distill.training.run_directory import is_complete, read, read_metrics
from distill.training.run_process import train_apart
from distill.training.settings import Settings
from distill.training.together import Started, together
from embedstore.errors import SettingsError

EPOCHS, LAST = 30, 5
FILE = "search.json"

# lambda means nothing without targets, and neither does training on them alone.
_PLAIN: dict[str, dict[str, Any]] = {
    "as it is": {},
    "balance .5": {"balance": 0.5},
    "logit adjustment 1": {"logit_adjustment": 1.0},
    "moving average .99": {"ema": 0.99},
}
_ALIGNED: dict[str, dict[str, Any]] = {
    "lambda 1": {"weight": 1.0},
    "lambda 5": {"weight": 5.0},
    "lambda 5, balance .5": {"weight": 5.0, "balance": 0.5},
    "lambda 5, a third pre-training": {"weight": 5.0, "pretrained": 1 / 3},
}
METHODS: dict[str, Mapping[str, dict[str, Any]]] = {
    "none": _PLAIN,
    "class-mean": _ALIGNED,
    "clip-embed-kd-corrected": _ALIGNED,
    "sub-prototypes": _ALIGNED,
    "rare-samples": _ALIGNED,
    "own": _ALIGNED,
}


def recipe_settings(recipe: Mapping[str, Any], epochs: int) -> dict[str, Any]:
    """Return a recipe as settings for so many epochs in all; a share of them, but never the last one, may be pre-training."""
    before = min(round(recipe.get("pretrained", 0) * epochs), epochs - 1)
    chosen = {name: value for name, value in recipe.items() if name != "pretrained"}
    return chosen | {"epochs": epochs - before, "pretrain_epochs": before}


def search(
    store: Path,
    out: Path,
    docs: Path,
    shared: Mapping[str, Any],
    *,
    images: Path | None,
    jobs: int,
    epochs: int = EPOCHS,
    progress: Callable[[int, int], None],
) -> None:
    """Train every recipe of every method, and write down what each reached.

    Args:
        store: of the data.
        out: directory of the runs.
        docs: directory of `search.json`.
        shared: settings that all share, the folds among them.
        images: the image folder.
        jobs: trainings at a time.
        epochs: of each.
        progress: called with (trainings done, of all).
    """
    planned = [
        (method, name, recipe, out / f"{method}-{number}")
        for method, recipes in METHODS.items()
        for number, (name, recipe) in enumerate(recipes.items())
    ]
    settings = {
        path: settings_of(method, Settings(**{**shared, **recipe_settings(recipe, epochs)}))
        for method, _, recipe, path in planned
    }
    areas = validation_aurocs(
        {path: (store, one) for path, one in settings.items()}, images=images, jobs=jobs, progress=progress
    )
    tried: dict[str, dict[str, Any]] = {method: {} for method in METHODS}
    for method, name, recipe, path in planned:
        tried[method][name] = {"recipe": recipe, "val_auroc": areas[path]}
    write_json(docs / FILE, {"epochs": epochs, "tried": tried})


def validation_aurocs(
    planned: Mapping[Path, tuple[Path, Settings]],
    *,
    images: Path | None,
    jobs: int,
    progress: Callable[[int, int], None],
) -> dict[Path, float]:
    """Train runs that are not finished, the longest first, and return the mean validation AUROC of each one's last epochs.

    Args:
        planned: directory of each run -> the store that it learns from, and its settings.
        images: the image folder.
        jobs: trainings at a time.
        progress: called with (trainings done, of all).

    Raises:
        SettingsError: a directory holds a finished run of other settings.
    """
    done = [0]
    progress(0, len(planned))

    def train(path: Path, store: Path, settings: Settings, started: Started) -> None:
        if is_complete(path) and read(path)["settings"] != json.loads(json.dumps(settings.to_dict())):
            raise SettingsError(f"The run in '{path}' is of another recipe than is asked for now; delete it.")
        if not is_complete(path):
            train_apart(
                store, path, settings, images=images, threads=1, runs=jobs, progress=lambda *_: None, started=started
            )
        done[0] += 1
        progress(done[0], len(planned))

    # A long one that began last would keep one job busy, and the others idle.
    longest_first = sorted(planned.items(), key=lambda one: -_epochs(one[1][1]))
    together([partial(train, path, *of) for path, of in longest_first], jobs)
    return {
        path: round(float(np.mean([row["val_auroc"] for row in read_metrics(path)][-LAST:])), 4) for path in planned
    }


def _epochs(settings: Settings) -> int:
    return settings.epochs + settings.pretrain_epochs


def best_recipe(docs: Path, method: str) -> tuple[str, dict[str, Any]]:
    """Return the name and the recipe that the search found best for a method.

    Raises:
        FileNotFoundError: there was no search yet.
    """
    tried = json.loads((docs / FILE).read_text("utf-8"))["tried"][method]
    name = max(tried, key=lambda one: tried[one]["val_auroc"])
    return name, tried[name]["recipe"]

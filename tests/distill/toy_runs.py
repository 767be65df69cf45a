"""Comparisons whose runs are made in this process, without the seconds that one of their own takes to start."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import toy_parts

import distill
from distill.evaluation.comparison import Comparison
from distill.training import run_directory

SETTINGS = toy_parts.quick(epochs=1)


def train_here(
    store: Path,
    out: Path,
    settings: distill.Settings,
    *,
    images: Path | None,
    progress: Callable[[int, int], None],
    version: int | None = None,
    **_: Any,
) -> None:
    """Stand for `train_apart`."""
    distill.train(
        store,
        out,
        settings,
        images=images,
        resume=True,
        progress=lambda done, total, _: progress(done, total),
        version=version,
    )


def compare(
    store: Path, out: Path, policies: list[str], settings: distill.Settings = SETTINGS, **options: Any
) -> Comparison:
    """Compare with one seed and on three folds, where nothing else is said."""
    return distill.compare(store, out, policies, settings, **{"folds": 3, "seeds": 1} | options)


def students(out: Path) -> dict[str, tuple[int, int]]:
    """Return which files hold the students, and when they were written."""
    files = sorted((out / "runs").glob("*/student.safetensors"))
    return {file.parent.name: (file.stat().st_ino, file.stat().st_mtime_ns) for file in files}


def figures(comparison: Comparison) -> dict[str, Any]:
    """Return what was found, without what it cost, and without words."""
    found = comparison.to_dict()
    del found["remarks"]
    for policy in found["policies"]:
        del policy["seconds"], policy["peak_memory"]
        for epoch in policy["curve"]:
            del epoch["seconds"], epoch["seconds_steps"]
    return found


def settings_of(run: Path) -> dict[str, Any]:
    """Return what a run was asked to do."""
    settings: dict[str, Any] = run_directory.read(run)["settings"]
    return settings

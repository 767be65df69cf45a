"""The quick study: as little of everything as shows that it runs, with stores and results apart from those of the study."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from conditions import Condition
from data import Kept

FOLDER = "quick"  # of the directory of stores and runs
EPOCHS, FOLDS, SEEDS, VIEWS = 1, 3, 1, 2  # a training holds out two folds, and needs a third
SHARE = 0.4  # of the parts: some 540 tiles


def quick_kept(kept: Kept) -> Kept:
    """Return a store of few pictures in few views, at which the teacher has little to look; its name says so."""
    return replace(kept, name=f"{kept.name}-few", views=min(kept.views, VIEWS), share=SHARE)


def quick_condition(condition: Condition) -> Condition:
    """Return a condition that is trained on such a store, for one epoch."""
    settings: dict[str, Any] = {**condition.settings, "views": VIEWS}
    if "options" in settings:
        settings["options"] = {policy: _few(options) for policy, options in settings["options"].items()}
    return replace(condition, settings=settings, epochs=EPOCHS, kept=quick_kept(condition.kept))


def _few(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return options of a policy, of no more views than there are."""
    return {name: min(value, VIEWS) if name == "kept_views" else value for name, value in options.items()}

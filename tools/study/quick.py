"""The quick study: the same conditions on few views, for one epoch and with one seed. It shows that all runs, and no more.

Its stores and results are apart from those of the study, since they keep less.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from conditions import Condition
from data import Kept

FOLDER = "quick"  # of the directory of stores and runs
EPOCHS, SEEDS, VIEWS = 1, 1, 2


def quick_kept(kept: Kept) -> Kept:
    """Return a store of few views: the teacher's looks take the longest of what a quick study does."""
    return replace(kept, views=min(kept.views, VIEWS))


def quick_condition(condition: Condition) -> Condition:
    """Return a condition that is trained on such a store, for one epoch."""
    settings: dict[str, Any] = {**condition.settings, "views": VIEWS}
    if "options" in settings:
        settings["options"] = {policy: _few(options) for policy, options in settings["options"].items()}
    return replace(condition, settings=settings, epochs=EPOCHS, kept=quick_kept(condition.kept))


def _few(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return options of a policy, of no more views than there are."""
    return {name: min(value, VIEWS) if name == "kept_views" else value for name, value in options.items()}

"""How many bytes a condition's targets take, beside the pictures: what quality is held against."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import embedstore
from distill.targets import POLICIES
from distill.targets.making import strategy_of
from distill.targets.own import named
from distill.training.run_data import make_run_data, views_used
from distill.training.run_summary import summary_for
from distill.training.settings import Settings
from embedstore.teachers.protocol import EMBEDDING


def target_bytes(path: Path, settings: Settings, folds: int) -> int | None:
    """Return the bytes that training reads targets from, for the training side of fold 0; None where it reads none.

    Own vectors count as float16 in all views that are trained with; a summary as `Summary.training_bytes` says.

    Args:
        path: of the store.
        settings: of the condition.
        folds: how many there are.
    """
    kind = POLICIES[settings.policy]
    if kind.strategy is None and settings.policy not in ("own", "shuffled-own"):
        return None
    with embedstore.open(path) as store:
        chosen = replace(settings, folds=folds)
        data, views = make_run_data(store, chosen), views_used(store, chosen)
        if kind.strategy is None:
            outputs = named(settings.options.get(settings.policy, {}).get("outputs", EMBEDDING))
            numbers = sum(store.outputs[output] for output in outputs)
            return len(data.sides["train"]) * (views + 1) * 2 * numbers
        strategy, parameters = strategy_of(settings.policy, settings.options.get(settings.policy, {}))
        return summary_for(store, data, chosen, strategy, parameters).training_bytes(views)

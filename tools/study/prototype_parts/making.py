"""Prototypes by the strategies of embedstore and by those that were left out: by their own settings, or so many in all."""

from __future__ import annotations

from typing import Any

import numpy as np

from embedstore.summaries import STRATEGIES, Strategy
from prototype_parts.left_out import confident_means, k_centre
from prototype_parts.pictures import Side
from prototype_parts.scorers import Made
from prototype_parts.sizes import divided

CHOICES: dict[str, Strategy] = {**STRATEGIES, "k-centre": k_centre, "confident means": confident_means}


def own(side: Side, seed: int) -> Made:
    """Take every sample."""
    training = side.training
    return training.read(np.arange(len(training.ids))), training.labels


def as_it_is(side: Side, seed: int, *, strategy: str, **parameters: Any) -> Made:
    """Take what a strategy gives to its own settings."""
    found = CHOICES[strategy](side.training, seed, **parameters)
    return found.vectors, found.labels


def of_each_label(side: Side, seed: int, *, strategy: str, count: int, rule: str = "equal") -> Made:
    """Ask a strategy for so many prototypes in all, each label for its own number."""
    found = [
        CHOICES[strategy](side.alone[label], seed, k=number)
        for label, number in divided(count, side.sizes, rule, side.good).items()
    ]
    return np.concatenate([one.vectors for one in found]), [label for one in found for label in one.labels]

"""Summaries: named, immutable prototypes of what a store holds. One strategy a file, NumPy in and out.

To add a strategy, write a file with a function `fit(training, seed, **parameters) -> Prototypes` and add its line to
`STRATEGIES`; the contract suite in `tests/summaries/test_strategies.py` then runs over it.
"""

from embedstore.summaries import class_mean
from embedstore.summaries.making import summarize
from embedstore.summaries.strategy import Prototypes, Strategy, TrainingVectors
from embedstore.summaries.summary import ClassLoss, Summary

STRATEGIES: dict[str, Strategy] = {
    "class-mean": class_mean.fit,
}

__all__ = ["STRATEGIES", "ClassLoss", "Prototypes", "Strategy", "Summary", "TrainingVectors", "summarize"]

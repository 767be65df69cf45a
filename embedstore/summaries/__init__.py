"""Summaries: named, immutable prototypes of what a store holds. One strategy a file, NumPy in and out.

To add a strategy, write a file with a function `fit(training, seed, **parameters) -> Prototypes` and add its line to
`STRATEGIES`; the contract suite in `tests/summaries/test_strategies.py` then runs over it.
"""

from embedstore.summaries import (
    class_distribution,
    class_mean,
    compressed_own,
    herding,
    medoids,
    random_samples,
    rare_samples,
    sub_prototypes,
    text,
)
from embedstore.summaries.change import LabelChange, Update, Updated
from embedstore.summaries.class_loss import ClassLoss
from embedstore.summaries.making import complete_parameters, summarize
from embedstore.summaries.over_shards import strategies as over_shards
from embedstore.summaries.over_shards.shards import ShardEngine
from embedstore.summaries.strategy import Prototypes, Strategy, TrainingVectors
from embedstore.summaries.summary import Summary

STRATEGIES: dict[str, Strategy] = {
    "class-mean": class_mean.fit,
    "class-distribution": class_distribution.fit,
    "sub-prototypes": sub_prototypes.fit,
    "rare-samples": rare_samples.fit,
    "compressed-own": compressed_own.fit,
    "medoids": medoids.fit,
    "random-samples": random_samples.fit,
    "herding": herding.fit,
    "text": text.fit,
}

# What can be made over shards, from sums and from a few samples of each, where a label's vectors are not to be gathered.
OVER_SHARDS: dict[str, Strategy] = {
    "class-mean": over_shards.class_mean_over,
    "class-distribution": over_shards.class_distribution_over,
    "sub-prototypes": over_shards.sub_prototypes_over,
    "rare-samples": over_shards.rare_samples_over,
    "medoids": over_shards.medoids_over,
    "random-samples": over_shards.random_samples_over,
}

# What can be updated where samples came and left; of the others, what is made label by label is made again of the labels that
# changed, the rest as a whole. See `updating`.
UPDATES: dict[str, Update] = {
    "class-mean": class_mean.update,
    "sub-prototypes": sub_prototypes.update,
    "rare-samples": rare_samples.update,
    "medoids": medoids.update,
    "random-samples": random_samples.update,
}
BY_LABEL = (*UPDATES, "class-distribution", "herding")

__all__ = [
    "BY_LABEL",
    "OVER_SHARDS",
    "STRATEGIES",
    "UPDATES",
    "ClassLoss",
    "LabelChange",
    "Prototypes",
    "ShardEngine",
    "Strategy",
    "Summary",
    "TrainingVectors",
    "Update",
    "Updated",
    "complete_parameters",
    "summarize",
]

"""none: plain training on labels, the baseline that every policy is told against."""

from distill.targets.policy import Policy, TrainingSet
from embedstore import Summary


def fit(training: TrainingSet, summary: Summary | None, seed: int) -> Policy | None:
    """Return nothing: there is no target."""
    return None

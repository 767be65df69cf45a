"""sub-prototypes: a sample's target in each view is the nearest prototype of its label."""

from distill.targets.policy import Policy, PrototypePolicy, TrainingSet, need_summary, serving_of
from embedstore import Summary


def fit(training: TrainingSet, summary: Summary | None, seed: int) -> Policy:
    """Take the prototypes of any summary: sub-prototypes, medoids, and so on.

    Raises:
        SummaryError: the summary does not know the training samples.
    """
    found = need_summary("sub-prototypes", summary)
    return PrototypePolicy(found.vectors - found.centre, serving_of(training, found))

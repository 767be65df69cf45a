"""uncentred-means: class means as CLIP-Embed-KD takes them (arXiv 2404.06170), nothing taken off. A baseline.

Vectors of one teacher lie in a narrow cone, so these are nearly parallel; `class-mean` takes the centre off first.
"""

from distill.targets.class_mean import one_per_label
from distill.targets.policy import Policy, PrototypePolicy, TrainingSet, serving_of
from embedstore import Summary


def fit(training: TrainingSet, summary: Summary | None, seed: int) -> Policy:
    """Take a summary's means, one per label, as they are.

    Raises:
        SummaryError: the summary has no or more than one prototype for a label.
    """
    means = one_per_label("uncentred-means", summary)
    return PrototypePolicy(means.vectors, serving_of(training, means))

"""own: every sample's target is its own embedding, of the very view that the student sees."""

import numpy as np

from distill.targets.policy import Policy, Positions, Targets, TrainingSet
from embedstore import Summary
from embedstore.vectors import Vectors, unit_length


class OwnEmbedding:
    """Reads each target from the store, in O(batch).

    Args:
        training: the samples.
        of_sample: (n,) whose embedding each sample gets; its own where not given.
    """

    prototypes: Vectors | None = None

    def __init__(self, training: TrainingSet, of_sample: Positions | None = None):
        self._training = training
        self._centre = training.centre
        self._of_sample = np.arange(len(training)) if of_sample is None else of_sample
        self.dim = training.dim

    def targets(self, samples: Positions, views: Positions, step: int = 0) -> Targets:
        """Return the vectors in the samples' views."""
        vectors = unit_length(self._training.vectors(self._of_sample[samples], views) - self._centre)
        return Targets(vectors, np.ones(len(samples), bool))


def fit(training: TrainingSet, summary: Summary | None, seed: int) -> Policy:
    """Take the targets from the store; no summary is needed."""
    return OwnEmbedding(training)

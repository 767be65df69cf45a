"""rare-samples: a rare sample's target is its own embedding, another's the nearest prototype of its label."""

import numpy as np

from distill.targets.policy import Policy, Positions, Targets, TrainingSet, need_summary, serving_of
from embedstore import Summary
from embedstore.errors import SummaryError
from embedstore.vectors import Vectors, unit_length


class RareSamples:
    """Own vectors, of the very view, for the samples that the summary keeps; prototypes for the others.

    The prototype is chosen by the plain view, so that a crop that shows nothing rare does not change it.
    """

    prototypes: Vectors | None = None  # a rare sample's targets differ by view

    def __init__(self, training: TrainingSet, summary: Summary):
        self._training, self._centre = training, summary.centre
        self._vectors = unit_length(summary.vectors - summary.centre)
        self._serving = serving_of(training, summary)[:, 0]
        kept = {summary.seen[at] for at in summary.source[summary.source >= 0]}
        self._rare = np.array([sample_id in kept for sample_id in training.ids], bool)
        self.dim = training.dim

    def targets(self, samples: Positions, views: Positions, step: int = 0) -> Targets:
        """Return own vectors where the sample is kept, else its prototype."""
        chosen = self._serving[samples]
        vectors = self._vectors[np.maximum(chosen, 0)]
        rare = self._rare[samples]
        if rare.any():
            own = self._training.vectors(samples[rare], views[rare])
            vectors[rare] = unit_length(own - self._centre)
        return Targets(vectors, chosen >= 0)


def fit(training: TrainingSet, summary: Summary | None, seed: int) -> Policy:
    """Take a summary that keeps samples: rare-samples, or the controls random-samples and herding.

    Raises:
        SummaryError: the summary keeps no sample, or does not know the training samples.
    """
    found = need_summary("rare-samples", summary)
    if not (found.source >= 0).any():
        raise SummaryError(
            f"The summary '{found.name}' ({found.strategy}) keeps no samples; the policy 'rare-samples' takes one made by: "
            "embedstore summarize STORE rare-samples"
        )
    return RareSamples(training, found)

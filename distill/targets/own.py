"""own: every sample's target is its own embedding, of the very view that the student sees."""

from collections.abc import Sequence

import numpy as np

from distill.targets.policy import Policy, Positions, Targets, TrainingSet
from embedstore import Summary
from embedstore.errors import SettingsError
from embedstore.teachers.protocol import EMBEDDING
from embedstore.vectors import Vectors, unit_length


class OwnEmbedding:
    """Reads each target from the store, in O(batch).

    Of several outputs a target is all of them in a row, each centred and of length 1, then scaled to length 1: the cosine of two
    targets is the mean of the cosines of their parts.

    Args:
        training: the samples.
        of_sample: (n,) whose vectors each sample gets; its own where not given.
        outputs: of the teacher.

    Raises:
        StoreError: the store lacks an output.
    """

    prototypes: Vectors | None = None

    def __init__(
        self, training: TrainingSet, of_sample: Positions | None = None, outputs: Sequence[str] = (EMBEDDING,)
    ):
        self._training = training
        self.dim = sum(training.dim_of(output) for output in outputs)
        self._centres = {output: training.centre_of(output) for output in outputs}
        self._of_sample = np.arange(len(training)) if of_sample is None else of_sample

    def targets(self, samples: Positions, views: Positions, step: int = 0) -> Targets:
        """Return the vectors in the samples' views."""
        whose = self._of_sample[samples]
        parts = [
            unit_length(self._training.vectors(whose, views, output) - centre)
            for output, centre in self._centres.items()
        ]
        vectors = np.concatenate(parts, axis=1) / np.float32(np.sqrt(len(parts)))
        return Targets(vectors, np.ones(len(samples), bool))


def fit(training: TrainingSet, summary: Summary | None, seed: int, *, outputs: str = EMBEDDING) -> Policy:
    """Take the targets from the store; no summary is needed.

    Args:
        training: the samples.
        summary: none is needed.
        seed: nothing is drawn.
        outputs: of the teacher, with commas between, as `embedding,maxima`.

    Raises:
        SettingsError: an output is empty or named twice.
        StoreError: the store lacks an output.
    """
    return OwnEmbedding(training, outputs=named(outputs))


def named(outputs: str) -> list[str]:
    """Return the outputs that an option names.

    Raises:
        SettingsError: one is empty, or named twice.
    """
    names = [name.strip() for name in outputs.split(",")]
    if not all(names) or len(set(names)) < len(names):
        raise SettingsError(
            f"The outputs are '{outputs}'; name each once, with commas between, such as: embedding,maxima"
        )
    return names

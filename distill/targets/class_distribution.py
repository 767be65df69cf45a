"""class-distribution: at each step a sample's target is drawn anew from its label's distribution, a mean and some axes.

It has the spread of the class and the teacher's geometry, as far as a summary holds them, but not the sample's own place.
"""

import hashlib

import numpy as np
import numpy.typing as npt

from distill.targets.policy import Policy, Positions, Targets, TrainingSet, need_summary, serving_of
from embedstore import Summary
from embedstore.errors import SummaryError
from embedstore.vectors import Vectors, unit_length


class ClassDistribution:
    """Draws the mean of a sample's label and along each of its axes a normal step of that axis' length.

    What is drawn depends on the seed, the step and the sample's id alone: not on the order of rows, nor on which other
    samples are asked for with it.

    Args:
        training: n samples.
        summary: the prototypes.
        axes: (k, r, d) of each, see `Summary`.
        seed: of the draws.
    """

    prototypes: Vectors | None = None

    def __init__(self, training: TrainingSet, summary: Summary, axes: Vectors, seed: int):
        self._ids, self._seed = training.ids, seed
        self._means = summary.vectors - summary.centre
        self._axes = axes
        self._serving = serving_of(training, summary)[:, 0]  # by the plain view, so that any view will do
        self.dim = training.dim

    def targets(self, samples: Positions, views: Positions, step: int = 0) -> Targets:
        """Return the directions of what is drawn; the same for all views of a sample."""
        return Targets(unit_length(self.drawn(samples, step)), self._serving[samples] >= 0)

    def drawn(self, samples: Positions, step: int) -> Vectors:
        """Return what is drawn (m, d), the centre taken off; for a sample without a label it means nothing."""
        serving = np.maximum(self._serving[samples], 0)
        lengths = np.empty((len(samples), self._axes.shape[1]), np.float32)
        for row, at in enumerate(samples):
            lengths[row] = normals(self._seed, step, self._ids[at], lengths.shape[1])
        drawn = self._means[serving]
        for axis in range(self._axes.shape[1]):  # a matrix product would round by how many samples are asked for
            drawn += lengths[:, axis, None] * self._axes[serving, axis]
        return drawn


def normals(seed: int, step: int, sample_id: str, count: int) -> npt.NDArray[np.float64]:
    """Return a sample's standard normal numbers (count,) of a step; some 10 microseconds, much less than its picture."""
    key = hashlib.blake2b(f"{seed}\0{step}\0{sample_id}".encode(), digest_size=16, person=b"distribution").digest()
    return np.random.Generator(np.random.Philox(key=int.from_bytes(key, "little"))).standard_normal(count)


def fit(training: TrainingSet, summary: Summary | None, seed: int) -> Policy:
    """Take a summary that tells how each label varies; a label without axes, as of one sample, gives its mean.

    Raises:
        SummaryError: the summary has no axes, or does not know the training samples.
    """
    found = need_summary("class-distribution", summary)
    if found.axes is None:
        raise SummaryError(
            f"The summary '{found.name}' ({found.strategy}) does not tell how labels vary; the policy 'class-distribution' "
            "takes one made by: embedstore summarize STORE class-distribution"
        )
    return ClassDistribution(training, found, found.axes, seed)

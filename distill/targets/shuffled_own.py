"""shuffled-own: a control. Every sample's target is the embedding of another of its label.

It has all that `own` has of the class and of the teacher's geometry, but not the sample's own place in it.
"""

import numpy as np

from distill.targets.own import OwnEmbedding, named
from distill.targets.policy import Policy, TrainingSet
from embedstore import Summary
from embedstore.teachers.protocol import EMBEDDING


def fit(training: TrainingSet, summary: Summary | None, seed: int, *, outputs: str = EMBEDDING) -> Policy:
    """Pass the embeddings around within each label, for the whole run; no sample keeps its own unless it is alone.

    `outputs` are as those of `own`; all of a sample's go to the same other one.
    """
    random = np.random.default_rng(seed)
    of_sample = np.arange(len(training))
    for members in training.members.values():
        ring = random.permutation(members)
        of_sample[ring] = np.roll(ring, 1)  # one ring through all members: none meets itself
    return OwnEmbedding(training, of_sample, named(outputs))

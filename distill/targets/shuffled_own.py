"""shuffled-own: a control. Every sample's target is the embedding of another of its label, which shows another part.

It has all that `own` has of the class and of the teacher's geometry, but not the sample's own place in it.
"""

import numpy as np

from distill.targets.own import OwnEmbedding, named
from distill.targets.policy import Policy, Positions, TrainingSet
from embedstore import Summary
from embedstore.teachers.protocol import EMBEDDING


def fit(training: TrainingSet, summary: Summary | None, seed: int, *, outputs: str = EMBEDDING) -> Policy:
    """Pass the embeddings around within each label, for the whole run.

    No sample keeps its own unless it is alone, and as few as can be get that of a picture of their own part: none, where no
    part has more than half of the label's samples. `outputs` are as those of `own`; all of a sample's go to the same other one.
    """
    random = np.random.default_rng(seed)
    number = {part: at for at, part in enumerate(sorted(set(training.groups)))}
    parts = np.array([number[part] for part in training.groups], np.int64)
    of_sample = np.arange(len(training))
    for members in training.members.values():
        ring = random.permutation(members)
        of_sample[ring] = apart(ring, parts, random)
    return OwnEmbedding(training, of_sample, named(outputs))


def apart(ring: Positions, parts: Positions, random: np.random.Generator) -> Positions:
    """Return for each sample of a ring another of it, each once, of another part as far as that goes."""
    given = np.roll(ring, 1)  # one ring through all samples: none meets itself
    for at in np.flatnonzero(parts[ring] == parts[given]):
        if parts[ring[at]] != parts[given[at]]:  # an exchange before has mended it
            continue
        # With whom it can exchange, so that both are apart then; where nobody is left, one part has most of the ring.
        fits = np.flatnonzero((parts[given] != parts[ring[at]]) & (parts[ring] != parts[given[at]]))
        if len(fits):
            other = random.choice(fits)
            given[[at, other]] = given[[other, at]]
    return given

"""random-vectors: a control. One random direction per label: class information without the teacher's geometry."""

import numpy as np

from distill.targets.policy import Policy, PrototypePolicy, TrainingSet
from embedstore import Summary


def fit(training: TrainingSet, summary: Summary | None, seed: int) -> Policy:
    """Draw a direction per label, of the teacher's dimension."""
    labels = sorted({label for label in training.labels if label is not None})
    vectors = np.random.default_rng(seed).standard_normal((len(labels), training.dim)).astype(np.float32)
    number = {label: index for index, label in enumerate(labels)}
    of_sample = np.array([-1 if label is None else number[label] for label in training.labels], np.int64)
    return PrototypePolicy(vectors, np.repeat(of_sample[:, None], training.views + 1, axis=1))

"""rotated-means: the matched control of class-mean. The centred means, turned together by one random rotation.

Lengths and angles between the means stay, which is all that a learned map leaves of them; where they point is lost.
"""

import numpy as np

from distill.targets.class_mean import one_per_label
from distill.targets.policy import Policy, PrototypePolicy, TrainingSet, serving_of
from embedstore import Summary


def fit(training: TrainingSet, summary: Summary | None, seed: int) -> Policy:
    """Rotate the means of a summary that has one for each label.

    Raises:
        SummaryError: the summary has no or more than one prototype for a label.
    """
    means = one_per_label("rotated-means", summary)
    centred = (means.vectors - means.centre).astype(np.float64)
    # A rotation of the whole space moves the plane of the means to a random one; so coordinates in a basis of that plane
    # are kept, and the basis is drawn: uniformly, by the QR decomposition of a Gaussian matrix with the signs that the
    # algorithm chooses taken back (Mezzadri, arXiv math-ph/0609050).
    plane, _ = np.linalg.qr(centred.T, mode="reduced")
    basis, triangle = np.linalg.qr(np.random.default_rng(seed).standard_normal(plane.shape), mode="reduced")
    rotated = (centred @ plane) @ (basis * np.sign(np.diag(triangle))).T
    return PrototypePolicy(rotated.astype(np.float32), serving_of(training, means))

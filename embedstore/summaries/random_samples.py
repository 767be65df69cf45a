"""random-samples: samples drawn at random within each label. The control that every choice of samples has to beat."""

import numpy as np

from embedstore.summaries.change import LabelChange, Updated
from embedstore.summaries.sizes import sizes
from embedstore.summaries.strategy import Prototypes, TrainingVectors

SHARE = 0.1


def fit(training: TrainingVectors, seed: int, *, k: int | None = None, share: float | None = None) -> Prototypes:
    """Draw samples of each label; which ones hangs on the seed and their ids alone.

    Args:
        training: n samples of d dimensions.
        seed: of the draw.
        k: so many of each label, or
        share: this share of each label, rounded up; without either, a tenth.

    Raises:
        SummaryError: both `k` and `share` are given, or one is out of range.
    """
    wanted, remarks = sizes(training, k, share, SHARE)
    drawn = training.drawn(seed, b"random")
    return Prototypes.from_samples(training, {label: at[: wanted[label]] for label, at in drawn.items()}, remarks)


def update(change: LabelChange, seed: int, *, k: int | None = None, share: float | None = None) -> Updated:
    """Draw again, since which samples are drawn hangs on their ids alone; what is drawn is all that is read."""
    made = fit(change.training, seed, k=k, share=share)
    number = {int(at): one for one, at in enumerate(change.source) if at >= 0 and not change.left_source[one]}
    return Updated(made, np.array([number.get(int(at), -1) for at in made.source], np.int64))

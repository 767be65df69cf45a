"""compressed-own: a sample's target is what a summary keeps of its own embedding, in a few bytes, of the very view.

Targets have as many numbers as the summary keeps axes, not the teacher's: their angles are all that a learned map can follow.
"""

import numpy as np

from distill.targets.policy import Policy, Positions, Targets, TrainingSet, need_summary, places_in
from embedstore import Summary
from embedstore.errors import SummaryError
from embedstore.summaries.codes import Codes, decoded
from embedstore.vectors import Vectors, unit_length


class CompressedOwn:
    """Decodes each target when it is asked for, in O(batch).

    Args:
        of_sample: (n,) which of the summary's samples each training sample is; -1 where it is none.
        codes: of the summary's samples.
    """

    prototypes: Vectors | None = None

    def __init__(self, of_sample: Positions, codes: tuple[Codes, ...]):
        self._of_sample, self._codes = of_sample, codes
        self.dim = max(one.book.dim for one in codes)

    def targets(self, samples: Positions, views: Positions, step: int = 0) -> Targets:
        """Return what the codes say of the samples in their views; nothing of a sample that the summary did not see."""
        of_summary = self._of_sample[samples]
        return Targets(unit_length(decoded(self._codes, of_summary, views)), of_summary >= 0)


def fit(training: TrainingSet, summary: Summary | None, seed: int) -> Policy:
    """Take a summary that keeps codes; a training sample without a label, which it did not see, gets no target.

    Raises:
        SummaryError: the summary has no codes, of fewer views, or not of a training sample with a label.
    """
    found = need_summary("compressed-own", summary)
    if not found.codes:
        raise SummaryError(
            f"The summary '{found.name}' ({found.strategy}) keeps no codes of own vectors; the policy 'compressed-own' takes one "
            "made by: embedstore summarize STORE compressed-own"
        )
    known = found.codes[0].views
    if training.views > known:
        raise SummaryError(
            f"The summary '{found.name}' keeps {known} views of each picture, and the run asks for {training.views}; ask for "
            f"--views {known} or fewer, or make it again with more."
        )
    of_sample = places_in(found.seen, training.ids)
    for at in np.flatnonzero(of_sample < 0):
        if training.labels[at] is not None:
            raise SummaryError(
                f"The summary '{found.name}' does not know the training picture '{training.ids[at]}', so it keeps nothing of it; "
                "make it again from the training side."
            )
    return CompressedOwn(of_sample, found.codes)

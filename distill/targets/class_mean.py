"""class-mean: every sample's target is the mean of its label (CLIP-Embed-KD, arXiv 2404.06170), centred."""

import numpy as np

from distill.targets.policy import Policy, PrototypePolicy, TrainingSet
from embedstore import Summary
from embedstore.errors import SummaryError


def fit(training: TrainingSet, summary: Summary | None, seed: int) -> Policy:
    """Take the means from a summary that was made by `class-mean`.

    Raises:
        SummaryError: the summary has no or more than one prototype for a label.
    """
    if summary is None:
        raise SummaryError("The policy 'class-mean' needs a summary of class means.")
    number = {label: index for index, label in enumerate(summary.labels)}
    if len(number) != len(summary.labels):
        raise SummaryError(
            f"The summary '{summary.name}' ({summary.strategy}) has several prototypes for a label; the policy "
            "'class-mean' takes one made by: embedstore summarize STORE class-mean"
        )
    missing = sorted({label for label in training.labels if label is not None} - number.keys())
    if missing:
        raise SummaryError(f"The summary '{summary.name}' has no mean for the label '{missing[0]}'; make it again.")
    of_sample = np.array([-1 if label is None else number[label] for label in training.labels], np.int64)
    return PrototypePolicy(summary.vectors - summary.centre, of_sample)

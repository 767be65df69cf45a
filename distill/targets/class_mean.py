"""class-mean: every sample's target is the mean of its label (CLIP-Embed-KD, arXiv 2404.06170), centred."""

from distill.targets.policy import Policy, PrototypePolicy, TrainingSet, need_summary, serving_of
from embedstore import Summary
from embedstore.errors import SummaryError


def fit(training: TrainingSet, summary: Summary | None, seed: int) -> Policy:
    """Take the prototypes of a summary that has one for each label: `class-mean`, or `text`.

    Raises:
        SummaryError: the summary has no or more than one prototype for a label.
    """
    means = one_per_label("class-mean", summary)
    return PrototypePolicy(means.vectors - means.centre, serving_of(training, means))


def one_per_label(policy: str, summary: Summary | None) -> Summary:
    """Return the summary, or refuse one that has several prototypes for a label."""
    found = need_summary(policy, summary)
    if len(set(found.labels)) != len(found.labels):
        raise SummaryError(
            f"The summary '{found.name}' ({found.strategy}) has several prototypes for a label; the policy '{policy}' "
            "takes one made by: embedstore summarize STORE class-mean"
        )
    return found

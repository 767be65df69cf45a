"""How many prototypes each label gets: a number or a share, never more than it has samples."""

import math

from embedstore.errors import SummaryError
from embedstore.summaries.strategy import TrainingVectors


def check_k(k: int | None) -> None:
    """Refuse a number of prototypes that can't be.

    Raises:
        SummaryError: `k` is below 1.
    """
    if k is not None and k < 1:
        raise SummaryError(f"The number of prototypes per label is {k}; expected 1 or more.")


def check_share(share: float | None) -> None:
    """Refuse a share that can't be.

    Raises:
        SummaryError: `share` is not above 0 and up to 1.
    """
    if share is not None and not 0 < share <= 1:
        raise SummaryError(f"The share of samples to keep is {share}; expected a number above 0 and up to 1.")


def share_of(share: float, count: int) -> int:
    """Return how many of so many samples a share is: rounded up, so that no share is none."""
    return max(1, math.ceil(share * count - 1e-9))


def sizes(
    training: TrainingVectors, k: int | None, share: float | None, default_share: float
) -> tuple[dict[str, int], tuple[str, ...]]:
    """Return how many samples each label keeps, and a sentence for each label that has fewer than asked.

    Args:
        training: the samples.
        k: so many of each label, or
        share: this share of each label, rounded up; without either,
        default_share: decides.

    Raises:
        SummaryError: both are given, or one is out of range.
    """
    if k is not None and share is not None:
        raise SummaryError(f"Both k = {k} and share = {share} were given; give one of them.")
    check_k(k)
    check_share(share)
    if k is None:
        part = default_share if share is None else share
        return {label: share_of(part, len(at)) for label, at in training.members.items()}, ()
    small = [(label, len(at)) for label, at in training.members.items() if len(at) < k]
    remarks = tuple(
        f"The label '{label}' has {count} samples, so it gets {count} prototypes, not {k}." for label, count in small
    )
    return {label: min(k, len(at)) for label, at in training.members.items()}, remarks

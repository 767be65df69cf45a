"""How many prototypes each label gets: a number or a share, never more than it has samples."""

import math
from collections.abc import Mapping

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


MOST_KEPT = 5_000  # samples of a label that a share keeps: each sample is compared with all that are kept


def share_of(share: float, count: int) -> int:
    """Return how many of so many samples a share is: rounded up, so that no share is none."""
    return max(1, math.ceil(share * count - 1e-9))


def kept_of(share: float, count: int) -> int:
    """Return how many of a label's samples a share keeps: `share_of`, but never more than `MOST_KEPT`."""
    return min(MOST_KEPT, share_of(share, count))


def on_most_kept(counts: Mapping[str, int], share: float) -> list[str]:
    """Say which labels keep less than a share, since that would be more than `MOST_KEPT`; label -> its samples."""
    return [
        f"The label '{label}' keeps {MOST_KEPT} of its {count} samples, the most of one label, not {share_of(share, count)}."
        for label, count in counts.items()
        if share_of(share, count) > MOST_KEPT
    ]


def on_fewer(label: str, made: int, k: int | None, samples: int) -> list[str]:
    """Say where k-means made fewer prototypes of a label, which has so many samples, than asked.

    It may leave a cluster empty though there are enough different vectors, above all where many are copies of each other.
    """
    if k is None or made >= k:
        return []
    if samples < k:
        reason = f"it has {samples} sample{'s' * (samples > 1)}{', some of them alike' * (made < samples)}"
    else:
        reason = "k-means left the other clusters empty, as where pictures are alike"
    return [f"The label '{label}' gets {made} prototype{'s' * (made > 1)}, not {k}, since {reason}."]


def sizes(
    training: TrainingVectors, k: int | None, share: float | None, default_share: float
) -> tuple[dict[str, int], tuple[str, ...]]:
    """Return how many samples each label keeps, and a sentence for each label that has fewer than asked.

    Args:
        training: the samples.
        k: so many of each label, or
        share: this share of each label, rounded up, but `MOST_KEPT` at most; without either,
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
        counts = {label: len(at) for label, at in training.members.items()}
        return {label: kept_of(part, count) for label, count in counts.items()}, tuple(on_most_kept(counts, part))
    small = [(label, len(at)) for label, at in training.members.items() if len(at) < k]
    remarks = tuple(
        f"The label '{label}' has {count} samples, so it gets {count} prototypes, not {k}." for label, count in small
    )
    return {label: min(k, len(at)) for label, at in training.members.items()}, remarks

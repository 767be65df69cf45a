"""What a store says of a task before anything is trained: sizes, what a mean hides, how alone odd samples are, twins.

These are looks and no figures: they see all labelled pictures, those that a later run tests too. They are told beside the
figures of the trials, as what may explain them, and never decide.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from embedstore import EmbeddingStore, Summary
from embedstore.analysis.leaks import find_leaks
from embedstore.analysis.odd_samples import find_odd
from embedstore.analysis.twins import FEWEST, find_twins
from embedstore.summaries import summarize

ODDEST = 20  # samples of each label whose isolation is told
MOST_COMPARED = 20_000  # pictures; with more, comparing each with each takes minutes


@dataclass(frozen=True)
class LabelLook:
    """What the store says of one label.

    Attributes:
        label: the label.
        pictures, parts: how many; a picture without a group is a part of its own.
        far: pictures that lie farther from the label's mean than its pictures usually lie from the nearest other part;
            None where the label has one part only.
        apart: of its oddest pictures, how many have no other part near.
        hidden: of those, how many are like other parts, while no prototype is near.
        oddest: how many pictures these are; 0 where they were not looked for.
    """

    label: str
    pictures: int
    parts: int
    far: int | None
    apart: int
    hidden: int
    oddest: int


@dataclass(frozen=True)
class HiddenMode:
    """A kind of defect that a mean hides: over half of its pictures have no mean near.

    Attributes:
        mode, label: of it.
        pictures: of it.
        far: how many have no mean near.
    """

    mode: str
    label: str
    pictures: int
    far: int


@dataclass(frozen=True)
class Looks:
    """What the store says.

    Attributes:
        pictures, unlabelled, aside: how many; those aside take no part.
        views: augmented ones of each picture.
        labels: the smallest first.
        modes: how many kinds of defect are told apart.
        hidden: those that the class mean hides, the most hidden first; without a good label of all labels.
        without_group: pictures.
        compared: whether each picture was compared with each other one; too many or too few are not.
        ungrouped_twins: sets of pictures that look like one part while some have no group.
        meeting_groups: groups of which pictures look like one part with those of another group.
        torn_sets: sets of such pictures on several sides of the written split.
        tested: pictures on the test side of the written split.
    """

    pictures: int
    unlabelled: int
    aside: int
    views: int
    labels: list[LabelLook]
    modes: int
    hidden: list[HiddenMode]
    without_group: int
    compared: bool
    ungrouped_twins: int
    meeting_groups: int
    torn_sets: int
    tested: int


def look(store: EmbeddingStore, good: str | None) -> Looks:
    """Look at a store; deterministic, independent of the order of rows.

    Args:
        store: with labels.
        good: the label of good parts, whose modes are no kinds of defect; or None.

    Raises:
        SummaryError: no picture that takes part has a label.
    """
    samples = store.samples
    labelled = np.array(
        [at for at, one in enumerate(samples) if one.label is not None and one.split != "aside"], np.int64
    )
    summary = summarize(store, "class-mean", positions=labelled)
    losses = summary.averaging_loss
    compared = FEWEST <= len(samples) <= MOST_COMPARED
    odd = find_odd(store, top=ODDEST, labels=list(losses)).by_label if compared else {}
    parts: dict[str, set[str]] = {}
    for at in labelled:
        parts.setdefault(samples[at].label or "", set()).add(samples[at].part)
    reasons = {label: [one.reason for one in odd.get(label, [])] for label in losses}
    ungrouped, meeting, torn = _twins(store) if compared else (0, 0, 0)
    return Looks(
        pictures=len(samples),
        unlabelled=sum(one.label is None for one in samples),
        aside=sum(one.split == "aside" for one in samples),
        views=store.views,
        labels=sorted(
            (
                LabelLook(
                    label=label,
                    pictures=loss.count,
                    parts=len(parts[label]),
                    far=None if loss.near is None else loss.far,
                    apart=reasons[label].count("nothing-near"),
                    hidden=reasons[label].count("averaged-away"),
                    oddest=len(reasons[label]),
                )
                for label, loss in losses.items()
            ),
            key=lambda one: (one.pictures, one.label),
        ),
        modes=len({mode for label, loss in losses.items() if label != good for mode in loss.modes if mode != label}),
        hidden=_hidden(summary, good),
        without_group=sum(one.group is None for one in samples),
        compared=compared,
        ungrouped_twins=ungrouped,
        meeting_groups=meeting,
        torn_sets=torn,
        tested=sum(one.split == "test" for one in samples),
    )


def _hidden(summary: Summary, good: str | None) -> list[HiddenMode]:
    found = [
        HiddenMode(mode, label, loss.modes[mode], far)
        for label, loss in summary.averaging_loss.items()
        if label != good
        for mode, far in loss.hidden_modes.items()
    ]
    return sorted(found, key=lambda one: (-one.far / one.pictures, one.mode, one.label))


def _twins(store: EmbeddingStore) -> tuple[int, int, int]:
    """Return how many sets of twins have pictures without a group, how many groups meet, and how many sets are torn."""
    found = find_twins(store)
    alone = {one.id for one in store.samples if one.group is None}
    ungrouped = sum(any(name in alone for name in members) for members in found.sets)
    meeting = len(found.merged) + len(set(found.merged.values()))
    return ungrouped, meeting, len(find_leaks(store, found.sets).torn_sets)

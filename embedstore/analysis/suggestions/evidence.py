"""What suggestions are drawn from: each piece is worked out once, and only where a kind asks for it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from embedstore.analysis.odd_distances import OrderedSamples, Positions, nearest_parts
from embedstore.analysis.odd_samples import Comparison, check_teacher
from embedstore.analysis.suggestions.held_out_ridge import leave_part_out_scores
from embedstore.errors import SettingsError
from embedstore.store.earlier_pictures import pictures_since
from embedstore.verdicts import VERDICT

if TYPE_CHECKING:
    from embedstore.images import Sample
    from embedstore.store.embedding_store import EmbeddingStore
    from embedstore.summaries import Summary

NEIGHBOURS = 10  # parts that a reason counts


@dataclass(frozen=True)
class StudentScores:
    """What a student says of samples.

    Attributes:
        ids: of the samples (n,).
        classes: the labels that it tells apart.
        probabilities: (n, classes) float.
        held_out: it learned from none of them.
        left_out: how many more it was asked about that the store lacks now, or has other pictures of.
        by_name: nothing tells whether the store has other pictures under these names since.

    Raises:
        SettingsError: the shapes do not fit, a number is not finite, or an id or a class is there twice.
    """

    ids: Sequence[str]
    classes: Sequence[str]
    probabilities: npt.NDArray[np.floating]
    held_out: bool
    left_out: int = 0
    by_name: bool = False

    def __post_init__(self) -> None:
        shape = np.shape(self.probabilities)
        if shape != (len(self.ids), len(self.classes)):
            raise SettingsError(
                f"The student's scores have the shape {shape} for {len(self.ids)} ids and {len(self.classes)} classes; give "
                "one row an id and one column a class."
            )
        if not np.isfinite(self.probabilities).all():
            raise SettingsError(
                "The student's scores are not all finite; leave out the samples that it has no answer for."
            )
        if len(set(self.ids)) < len(self.ids) or len(set(self.classes)) < len(self.classes):
            raise SettingsError("The student's scores name an id or a class twice; give each once.")

    def since(self, then: EmbeddingStore | None, now: EmbeddingStore) -> StudentScores:
        """Return the same by the names that the pictures have now; those that have left or were taken again are left out.

        Args:
            then: the store at the version whose ids these are; None where that is not kept: then names stay as they are.
            now: the store as it is asked now.
        """
        if then is not None and all(np.array_equal(then.alive[name], now.alive[name]) for name in ("key", "content")):
            return self  # as after each decision on a page that is open
        same, names = pictures_since(then, now, self.ids).same, now.ids
        kept = [row for row, one in enumerate(self.ids) if one in same]
        return replace(
            self,
            ids=[names[same[self.ids[row]]] for row in kept],
            probabilities=np.asarray(self.probabilities)[kept],
            left_out=self.left_out + len(self.ids) - len(kept),
            by_name=self.by_name or then is None,
        )


@dataclass(frozen=True)
class Labelled:
    """The n samples that have a label and are no dirt, and what the other parts say of each, in the teacher's space.

    Attributes:
        samples: these samples; places are places in it.
        labels: the labels, sorted.
        own: (n,) the number of each sample's label.
        scores: (n, labels) how much speaks for each label; see `held_out_ridge`.
    """

    samples: OrderedSamples
    labels: list[str]
    own: Positions
    scores: npt.NDArray[np.float32]

    def nearest_labels(self, at: Positions) -> list[list[str]]:
        """Return the labels of the up to `NEIGHBOURS` other parts most like each of some samples, by the picture most like it."""
        places, _, _ = nearest_parts(self.samples, at, NEIGHBOURS, lambda done: None)
        return [[self.labels[self.own[one]] for one in line if one >= 0] for line in places.tolist()]


class Evidence:
    """A store that suggestions are asked of.

    Attributes:
        store: whose samples these are; it is not refreshed while this is in use.
        top: how many suggestions of each kind are wanted.
        student: what a student says, where that is known.
    """

    def __init__(
        self,
        store: EmbeddingStore,
        *,
        against: Summary | str | None = None,
        top: int = 50,
        student: StudentScores | None = None,
    ):
        self.store, self.top, self.student = store, top, student
        self.given = against is not None
        self._against = against

    @cached_property
    def samples(self) -> OrderedSamples:
        """All samples, in the order of ids; places are places in it."""
        return OrderedSamples(self.store)

    @cached_property
    def against(self) -> Summary | None:
        """The summary that was given, of the store's teacher; None where one is to be made."""
        summary = self.store.summary(self._against) if isinstance(self._against, str) else self._against
        if summary is not None:
            check_teacher(self.store, summary)
        return summary

    @cached_property
    def comparison(self) -> Comparison:
        """All samples compared with the summary."""
        return Comparison(self.store, self.against)

    @cached_property
    def labelled(self) -> Labelled | None:
        """The samples that have a label and are no dirt; None where these are of one part or label: nothing judges them."""
        label_of = {one.id: one.label for one in self.samples.samples if one.label is not None and not dirt(one)}
        samples = OrderedSamples(self.store, label_of)
        labels = sorted(set(label_of.values()))
        if len(labels) < 2 or samples.parts.max() == 0:
            return None
        number = {label: at for at, label in enumerate(labels)}
        own = np.array([number[label_of[one]] for one in samples.ids], np.int64)
        scores, _ = leave_part_out_scores(samples.directions, own, samples.parts)
        return Labelled(samples, labels, own, scores)


def dirt(sample: Sample) -> bool:
    """Return whether a person called a sample dirt."""
    return sample.attributes.get(VERDICT) == "dirt"

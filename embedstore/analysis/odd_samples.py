"""The oddest samples of each label: those farthest from every prototype that could speak for them.

A prototype that comes from a sample's own part alone says nothing of how usual the sample is: it is the sample itself, a
twin of it, or the mean of both. Such prototypes are passed over, and neighbours are always of other parts.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from embedstore.analysis.odd_distances import Distances, OrderedSamples, nearest_parts, prototype_distances
from embedstore.analysis.odd_reasons import NEIGHBOURS, NearestPrototype, Neighbour, OddSample, Reason, prototype_name
from embedstore.analysis.odd_words import Sentence, compared_with, remarks, why
from embedstore.errors import SettingsError, SummaryError
from embedstore.verdicts import VERDICT

if TYPE_CHECKING:
    from embedstore.store.embedding_store import EmbeddingStore
    from embedstore.summaries import Summary

__all__ = [
    "Comparison",
    "NearestPrototype",
    "Neighbour",
    "OddSample",
    "OddSamples",
    "Reason",
    "Sentence",
    "find_odd",
    "why",
]

# The summary that is made where none is given. With 8 to 64 prototypes a label, 10 to 11 of 12 spoilt pictures planted among
# magnetic tiles were among the 20 oddest; with a number chosen for each label (128), 8: two spoilt alike shared a prototype.
STRATEGY, K = "sub-prototypes", 16
TYPICAL = 3


@dataclass(frozen=True)
class OddSamples:
    """What was found.

    Attributes:
        against: the summary that was compared with.
        compared_with: what that is, in words.
        counts: how many samples each of the labels has; None: those without a label, last.
        by_label: the oddest of each label, the oddest first.
        remarks: what a reader should know.
    """

    against: Summary
    compared_with: Sentence
    counts: dict[str | None, int]
    by_label: dict[str | None, list[OddSample]]
    remarks: list[Sentence]


class Comparison:
    """A store compared with a summary, once; then asked which samples are the oddest, and of any sample why it is.

    Samples are given by their places in `samples`, which is in the order of ids.

    Args:
        store: whose samples to look at; it is not refreshed while this is in use.
        against: see `find_odd`, as for the errors.
        progress: called with the number of samples compared; first with 0, once a summary is there to compare with.

    Attributes:
        samples: the samples.
        summary: what they are compared with.
        given: whether that was given, or made for this.
        distances: of each sample, to prototypes.
        names: of the prototypes, as `NearestPrototype.name` is.
    """

    def __init__(
        self,
        store: EmbeddingStore,
        against: Summary | str | None = None,
        progress: Callable[[int], None] = lambda done: None,
    ):
        self.summary, self.given = _summary(store, against), against is not None
        self.names = [
            prototype_name(*one) for one in zip(self.summary.labels, _numbers(self.summary.labels), strict=True)
        ]
        self.samples = OrderedSamples(store)
        progress(0)
        self.distances = prototype_distances(self.samples, self.summary, progress)

    def oddest(self, label: str | None, top: int) -> list[tuple[int, int]]:
        """Return places of the oddest samples of a label, each with how many of its part stand for it; see `find_odd`."""
        return _oddest(self.samples, self.summary, self.distances, label, top)

    def describe(
        self, listed: Sequence[tuple[int, int]], progress: Callable[[int], None] = lambda done: None
    ) -> list[OddSample]:
        """Say what is odd of some samples, given as `oddest` does; one more pass over the vectors for their neighbours."""
        rows = np.array([row for row, _ in listed], np.int64)
        neighbours = _neighbours(self.samples, self.distances, rows, progress)
        return [
            _describe(self.samples, self.summary, self.distances, row, alike=alike, nearest=neighbours[row])
            for row, alike in listed
        ]


def find_odd(
    store: EmbeddingStore,
    against: Summary | str | None = None,
    *,
    top: int = 20,
    labels: Sequence[str | None] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> OddSamples:
    """Find the oddest samples of each label, on every side of the split, by their plain view.

    A sample's oddness is its distance to the nearest prototype of its label that does not come from its own part alone.
    Where no such prototype is left, nothing tells how usual it is; such samples come first. Samples without a label, or
    with one that the summary has no prototype of, are compared with the prototypes of all labels.

    Of the pictures of one part that lie near each other, the oddest is listed and the others are counted with it; where
    near is unknown, as it is of a label of one part only, each is listed.

    This finds rare kinds and spoilt pictures. It is no search for wrong labels, since a common picture is near to some
    prototype under any label: of 16 tiles whose label was swapped for a trial, 3 were among the 20 oddest of their label.

    Exact, deterministic, independent of the order of rows; two passes over the vectors, blockwise.

    Args:
        store: whose samples to look at.
        against: a summary of the same teacher, or the name of a saved one. Where not given, 16 sub-prototypes a label of
            the training side, or of all labelled samples where that side has none; these are not saved.
        top: how many of each label.
        labels: look at these only; None among them stands for samples without a label.
        progress: called with (samples compared, samples to compare), over both passes; first with 0, once a summary is
            there to compare with.

    Raises:
        SettingsError: `top` is below 1, or no sample has one of the labels.
        SummaryError: there is no such summary, it is of another teacher or keeps own codes, or no sample has a label to make
            one from.
    """
    if top < 1:
        raise SettingsError(f"The number of samples to list is {top}; ask for 1 or more.")
    counts = _counts(store, labels)
    tell, total = progress or (lambda done, total: None), 2 * len(store)
    comparison = Comparison(store, against, lambda done: tell(done, total))
    listed = [(label, one) for label in counts for one in comparison.oddest(label, top)]
    described = comparison.describe([one for _, one in listed], lambda done: tell(total // 2 + done, total))
    by_label: dict[str | None, list[OddSample]] = {label: [] for label in counts}
    for (label, _), odd in zip(listed, described, strict=True):
        by_label[label].append(odd)
    summary, given = comparison.summary, comparison.given
    return OddSamples(
        against=summary,
        compared_with=compared_with(summary, given=given),
        counts=counts,
        by_label=by_label,
        remarks=remarks(store, summary, counts, given=given),
    )


def _counts(store: EmbeddingStore, labels: Sequence[str | None] | None) -> dict[str | None, int]:
    counts = dict(sorted(store.counts("label").items(), key=lambda one: (one[0] is None, one[0] or "")))
    for label in labels or []:
        if label not in counts:
            what = "without a label" if label is None else f"with the label '{label}'"
            known = ", ".join(f"'{name}'" for name in counts if name is not None) or "none"
            raise SettingsError(f"The store '{store.path}' has no sample {what}; its labels are: {known}.")
    return {label: count for label, count in counts.items() if labels is None or label in labels}


def _summary(store: EmbeddingStore, against: Summary | str | None) -> Summary:
    if against is None:
        train = any(sample.split == "train" and sample.label is not None for sample in store.samples)
        return store.summarize(STRATEGY, k=K, split="train" if train else None)
    summary = store.summary(against) if isinstance(against, str) else against
    check_comparable(store, summary)
    return summary


def check_comparable(store: EmbeddingStore, summary: Summary) -> None:
    """Raise where distances to the prototypes of a summary do not tell which samples are odd.

    Raises:
        SummaryError: see `check_teacher`; or it keeps own codes, which tell of a sample what its prototype does not.
    """
    check_teacher(store, summary)
    check_no_codes(summary)


def check_no_codes(summary: Summary) -> None:
    """Raise where the prototypes of a summary are not what it keeps.

    Raises:
        SummaryError: it keeps own codes.
    """
    if summary.codes:
        raise SummaryError(
            f"The summary '{summary.name}' keeps a code of each picture's own vector, and as prototypes only the means of its "
            "labels, which tell nothing of what it hides; name one of sub-prototypes instead, and see what codes hide with: "
            "embedstore summaries"
        )


def check_teacher(store: EmbeddingStore, summary: Summary) -> None:
    """Raise where a summary does not belong to the store's vectors.

    Raises:
        SummaryError: it is of another teacher, or an estimate of what it would be for this one.
    """
    if summary.estimate is not None:
        raise SummaryError(
            f"The summary '{summary.name}' is an estimate, mapped from the vectors of '{summary.estimate.teacher}', and "
            "distances to it would tell how good the map is, not which pictures are odd; make one from this store: embedstore "
            "summarize"
        )
    if summary.fingerprint != store.fingerprint:
        raise SummaryError(
            f"The summary '{summary.name}' is of another teacher (fingerprint {summary.fingerprint[:12]}) than the store "
            f"'{store.path}' ({store.fingerprint[:12]}); make it again from this store."
        )


def _near(summary: Summary, label: str | None, prototype: int) -> float | None:
    """Return the near distance of the label of a sample's prototype; of its own where it has none to compare with."""
    whose = summary.labels[prototype] if prototype >= 0 else label
    loss = None if whose is None else summary.averaging_loss.get(whose)
    return None if loss is None else loss.near


def _oddest(
    samples: OrderedSamples, summary: Summary, distances: Distances, label: str | None, top: int
) -> list[tuple[int, int]]:
    """Return the rows to list, each with how many pictures of its part are left out since they are near to it."""
    rows = np.array([row for row, sample in enumerate(samples.samples) if sample.label == label], np.int64)
    rows = rows[np.argsort(-distances.distance[rows], kind="stable")]
    of_part: dict[int, list[tuple[int, npt.NDArray[np.float64]]]] = {}
    listed: dict[int, int] = {}
    for start in range(0, len(rows), 2 * top):
        some = rows[start : start + 2 * top]
        for row, direction in zip(some.tolist(), samples.directions(some), strict=True):
            near = _near(summary, label, int(distances.nearest[row]))
            told = of_part.setdefault(int(samples.parts[row]), [])
            twin = next((one for one, to in told if near is not None and np.linalg.norm(direction - to) <= near), None)
            if twin is not None:
                listed[twin] += 1
            elif len(listed) == top:
                return list(listed.items())
            else:
                told.append((row, direction))
                listed[row] = 0
    return list(listed.items())


def _neighbours(
    samples: OrderedSamples, distances: Distances, rows: npt.NDArray[np.int64], progress: Callable[[int], None]
) -> dict[int, tuple[Neighbour, ...]]:
    seen = distances.member_of >= 0
    found: dict[int, tuple[Neighbour, ...]] = {}
    for row, places, cosines, away in zip(rows, *nearest_parts(samples, rows, NEIGHBOURS, progress), strict=True):
        near = [
            (samples.samples[at], float(c), float(d), bool(seen[at]))
            for at, c, d in zip(places, cosines, away, strict=True)
            if at >= 0
        ]
        found[int(row)] = tuple(
            Neighbour(s.id, s.uri, s.label, s.mode, s.group, cosine, distance, known)
            for s, cosine, distance, known in near
        )
    return found


def _describe(
    samples: OrderedSamples,
    summary: Summary,
    distances: Distances,
    row: int,
    *,
    alike: int,
    nearest: tuple[Neighbour, ...],
) -> OddSample:
    sample, index, other = samples.samples[row], int(distances.nearest[row]), int(distances.other[row])
    prototype, percentile = (None, None) if index < 0 else _prototype(samples, summary, distances, row)
    return OddSample(
        id=sample.id,
        uri=sample.uri,
        label=sample.label,
        mode=sample.mode,
        group=sample.group,
        split=sample.split,
        seen=bool(distances.member_of[row] >= 0),
        distance=None if index < 0 else float(distances.distance[row]),
        percentile=percentile,
        prototype=prototype,
        other_label=None if other < 0 else summary.labels[other],
        other_distance=None if other < 0 else float(distances.other_distance[row]),
        nearest=nearest,
        near=_near(summary, sample.label, index),
        alike=alike,
        verdict=sample.attributes.get(VERDICT),
    )


def _prototype(
    samples: OrderedSamples, summary: Summary, distances: Distances, row: int
) -> tuple[NearestPrototype, float | None]:
    """Return a sample's nearest prototype, and how many of 100 members of other parts lie closer to it."""
    index = int(distances.nearest[row])
    members = np.flatnonzero((distances.member_of == index) & (samples.parts != samples.parts[row]))
    members = members[np.argsort(distances.member_distance[members], kind="stable")]
    _, first = np.unique(samples.parts[members], return_index=True)
    closer = int((distances.member_distance[members] < distances.distance[row]).sum())
    prototype = NearestPrototype(
        index=index,
        label=summary.labels[index],
        number=_numbers(summary.labels)[index],
        members=len(members),
        typical=tuple(samples.ids[one] for one in members[np.sort(first)][:TYPICAL]),
    )
    return prototype, 100 * closer / len(members) if len(members) else None


def _numbers(labels: Sequence[str]) -> list[int]:
    """Return each prototype's number among those of its label, from 1; 0 where it is the only one."""
    total, so_far = Counter(labels), Counter[str]()
    numbers = []
    for label in labels:
        so_far[label] += 1
        numbers.append(so_far[label] if total[label] > 1 else 0)
    return numbers

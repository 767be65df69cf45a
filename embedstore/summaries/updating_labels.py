"""One summary, label by label: those that nothing touched are taken over, the others updated or fitted again, and measured."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from embedstore.summaries.change import GONE, LabelChange, Updated
from embedstore.summaries.class_loss import ClassLoss
from embedstore.summaries.making import class_loss, fit, nearest_directions, on_lone
from embedstore.summaries.nearness import Nearest, nearest, nearest_after
from embedstore.summaries.strategy import Positions, Prototypes, TrainingVectors
from embedstore.summaries.summary import Summary
from embedstore.vectors import Vectors, unit_length

if TYPE_CHECKING:
    from embedstore.store.embedding_store import EmbeddingStore
    from embedstore.summaries.updating import Difference

_AT_ONCE = 4096  # vectors
UPDATED = "Updated, not made anew: "  # begins the remark that says so


@dataclass
class _Part:
    """A label of the new summary; positions are those of `TrainingVectors.only`."""

    prototypes: Prototypes
    before: Positions  # which prototype of the whole summary each goes on from, or -1
    serving: npt.NDArray[np.int32]  # (n, views + 1), by its own prototypes
    distance: npt.NDArray[np.float64]
    loss: ClassLoss


class LabelWise:
    """Makes the summary that follows a known one.

    Attributes:
        measured: labels that are measured anew.
        again: labels that were fitted again; after `summary`.

    Args:
        store: at its newest version.
        known: the summary that is followed.
        training: the samples as they are now.
        difference: what came and left.
        nearest: what near was the median of, by positions in `known.seen`.
    """

    def __init__(
        self,
        store: EmbeddingStore,
        known: Summary,
        training: TrainingVectors,
        difference: Difference,
        nearest: Nearest,
    ):
        self._store, self._known, self._training, self._difference = store, known, training, difference
        self._positions = store.positions(training.ids)
        self._modes = store.text_field("mode")[self._positions].to_list()
        self._old_place = {one: at for at, one in enumerate(known.seen)}
        self._changed, self.measured = difference.fitted, set(difference.labels)
        self._nearest, self._nearest_of = nearest, dict[str, Nearest]()
        self.again: set[str] = set()

    def summary(self, version: int, bounds: Mapping[str, float]) -> Summary:
        """Make it.

        Args:
            version: that it is said to be made of.
            bounds: label -> the mean distance above which it is fitted again.
        """
        parts = {label: self._part(label, bounds.get(label)) for label in self._training.members}
        known, count = self._known, len(self._training.ids)
        labels = [label for label, part in parts.items() for _ in part.prototypes.labels]
        serving = np.empty((count, known.serving.shape[1]), np.int32)
        fitted, distance = np.zeros(count, bool), np.zeros(count)
        radius: list[npt.NDArray[np.float32]] = []
        sources, offset = [], 0
        for label, part in parts.items():
            at, k = self._training.members[label], len(part.prototypes.labels)
            serving[at] = part.serving + offset
            fitted[at], distance[at] = part.prototypes.fitted, part.distance
            source = part.prototypes.source
            sources.append(np.where(source >= 0, at[source], -1))
            reach = np.zeros(k, np.float32)
            np.maximum.at(reach, part.serving[:, 0], part.distance.astype(np.float32))
            radius.append(reach if label in self.measured else known.radius[part.before])
            offset += k
        return Summary(
            name=known.name,
            strategy=known.strategy,
            parameters=known.parameters,
            seed=known.seed,
            split=known.split,
            fingerprint=known.fingerprint,
            store_version=version,
            vectors=np.concatenate([part.prototypes.vectors for part in parts.values()]),
            labels=labels,
            counts=np.bincount(serving[:, 0], minlength=len(labels)).astype(np.int64),
            radius=np.concatenate(radius),
            centre=self._centre,
            source=np.concatenate(sources).astype(np.int64),
            seen=self._training.ids,
            serving=serving,
            fitted=fitted,
            averaging_loss={label: part.loss for label, part in parts.items()},
            remarks=self._remarks(parts),
            axes=_padded([part.prototypes.axes for part in parts.values()]),
        )

    # What there was

    @cached_property
    def _left_vectors(self) -> Vectors:
        """The vectors (r, d) of the samples that left, as they were."""
        from embedstore.store.embedding_store import open_store

        with open_store(self._store.path, self._known.store_version) as then:
            return then.read(then.positions(list(self._difference.left)))

    @cached_property
    def _centre(self) -> Vectors:
        """The centre (d,), moved by what came and left."""
        known = self._known
        came = self._store.read(self._store.positions(list(self._difference.came)))
        total = known.centre.astype(np.float64) * len(known.seen)
        total += came.astype(np.float64).sum(axis=0) - self._left_vectors.astype(np.float64).sum(axis=0)
        return (total / len(self._training.ids)).astype(np.float32)

    # One label

    def _part(self, label: str, bound: float | None) -> _Part:
        from embedstore.summaries import UPDATES

        known, own = self._known, self._training.only(label, self._centre)
        looked_up = self._nearest_of[label] = self._looked_up(label, own)
        if label not in self.measured:
            return self._taken_over(label)
        own = replace(own, known_near={label: looked_up.near})
        if label not in self._changed:
            return self._finished(label, own, Updated(self._old(label, own), self._numbers(label)))
        if label in known.labels and known.strategy in UPDATES:
            updated = UPDATES[known.strategy](self._change(label, own), known.seed, **known.parameters)
            before = np.where(updated.before >= 0, self._numbers(label)[updated.before], GONE)
            part = self._finished(label, own, Updated(updated.prototypes, before))
            if bound is None or part.loss.mean <= bound:
                return part
        self.again.add(label)
        made = fit(known.strategy, own, known.seed, known.parameters)
        return self._finished(label, own, Updated(made, np.full(len(made.labels), GONE, np.int64)))

    def _looked_up(self, label: str, own: TrainingVectors) -> Nearest:
        """Return what near is the median of, by positions in `own`; looked up only where that may be another now."""
        known, was = self._nearest, self._was(own.ids)
        place = {int(at): number for number, at in enumerate(was) if at >= 0}
        of_label = [number for number, at in enumerate(known.queries) if self._label_then[at] == label]
        queries, neighbours = (
            np.array([place.get(int(at), GONE) for at in some[of_label]], np.int64)
            for some in (known.queries, known.neighbours)
        )
        before = Nearest(queries, neighbours, known.distances[of_label])
        if label not in self.measured:
            return before
        members = np.arange(len(own.ids))
        if label in self._difference.regrouped or not of_label:
            return nearest(own, members)
        return nearest_after(own, members, before, np.flatnonzero(was < 0))

    @property
    def nearest(self) -> Nearest:
        """What near is the median of, by positions in the new summary's `seen`; after `summary`."""
        found = [
            Nearest(
                self._training.members[label][one.queries], self._training.members[label][one.neighbours], one.distances
            )
            for label, one in self._nearest_of.items()
        ]
        joined = (
            np.concatenate([getattr(one, name) for one in found]) for name in ("queries", "neighbours", "distances")
        )
        return Nearest(*joined)

    @cached_property
    def _label_then(self) -> list[str]:
        """The label of each sample of the known summary, as it was."""
        return [self._known.labels[at] for at in self._known.serving[:, 0]]

    def _numbers(self, label: str) -> Positions:
        """Return which prototypes of the known summary are a label's."""
        return np.flatnonzero(np.array(self._known.labels) == label)

    def _was(self, ids: list[str]) -> Positions:
        """Return where some samples stood in the known summary; -1 for those that came."""
        came = self._difference.came
        return np.array([GONE if one in came else self._old_place[one] for one in ids], np.int64)

    def _old(self, label: str, own: TrainingVectors) -> Prototypes:
        """Return a label's prototypes as they were."""
        known, numbers, was = self._known, self._numbers(label), self._was(own.ids)
        place = {int(at): number for number, at in enumerate(was)}
        source = np.array([place[int(at)] if at >= 0 else -1 for at in known.source[numbers]], np.int64)
        axes = None if known.axes is None else known.axes[numbers]
        return Prototypes(known.vectors[numbers], [label] * len(numbers), source, known.fitted[was], axes=axes)

    def _taken_over(self, label: str) -> _Part:
        own, known = self._training.only(label, self._centre), self._known
        numbers, was = self._numbers(label), self._was(own.ids)
        serving = np.searchsorted(numbers, known.serving[was]).astype(np.int32)
        return _Part(self._old(label, own), numbers, serving, np.zeros(len(own.ids)), known.averaging_loss[label])

    def _change(self, label: str, own: TrainingVectors) -> LabelChange:
        known, numbers, was = self._known, self._numbers(label), self._was(own.ids)
        left = [at for at, of in enumerate(self._difference.left.values()) if of == label]
        left_old = np.array(
            [self._old_place[one] for one, of in self._difference.left.items() if of == label], np.int64
        )
        place = {int(at): number for number, at in enumerate(was) if at >= 0}
        sources = known.source[numbers].tolist()
        return LabelChange(
            label=label,
            vectors=known.vectors[numbers],
            counts=known.counts[numbers],
            source=np.array([place.get(at, -1) if at >= 0 else -1 for at in sources], np.int64),
            left_source=np.array([at >= 0 and at not in place for at in sources], bool),
            training=own,
            served_by=np.where(was >= 0, np.searchsorted(numbers, known.serving[was, 0]), GONE),
            was_fitted=(was >= 0) & known.fitted[was],
            left=self._left_vectors[left],
            left_served_by=np.searchsorted(numbers, known.serving[left_old, 0]),
            left_fitted=known.fitted[left_old],
        )

    def _finished(self, label: str, own: TrainingVectors, updated: Updated) -> _Part:
        """Say which prototype speaks for each sample in each view, and how far it is from that."""
        directions = unit_length(updated.prototypes.vectors)
        serving = self._went_on(own, updated.before)
        moved = self._moved(updated)
        distance, other = np.empty(len(own.ids)), np.zeros(len(own.ids), bool)
        for at, vectors in own.blocks(0):
            points, before = unit_length(vectors), serving[at, 0]
            serving[at, 0] = _nearest_after(points, directions, before, moved)
            other[at] = serving[at, 0] != before
            away = points.astype(np.float64) - directions[serving[at, 0]]
            distance[at] = np.linalg.norm(away, axis=1)
        self._serve_views(own, directions, serving, other)
        modes = [self._modes[at] for at in self._training.members[label]]
        loss = class_loss(own, np.arange(len(own.ids)), distance, modes, coded=False)
        return _Part(updated.prototypes, updated.before, serving, distance, loss)

    def _went_on(self, own: TrainingVectors, before: Positions) -> npt.NDArray[np.int32]:
        """Return which of a label's prototypes spoke for each sample (n, views + 1); -1 where it came, or that one is gone."""
        known, was = self._known, self._was(own.ids)
        goes_on = np.full(len(known.labels), GONE, np.int32)
        goes_on[before[before >= 0]] = np.flatnonzero(before >= 0)
        return np.where((was >= 0)[:, None], goes_on[known.serving[was]], GONE).astype(np.int32)

    def _moved(self, updated: Updated) -> npt.NDArray[np.bool_]:
        """Return which of a label's prototypes (k,) are not where they were."""
        before, known = updated.before, self._known.vectors
        return np.asarray((before < 0) | (known[before] != updated.prototypes.vectors).any(axis=1))

    def _serve_views(
        self,
        own: TrainingVectors,
        directions: Vectors,
        serving: npt.NDArray[np.int32],
        other: npt.NDArray[np.bool_],
    ) -> None:
        """Look up, in `serving`, the augmented views of whom another prototype speaks for now, or of whom theirs is gone."""
        at = self._store.positions(own.ids)
        for view in range(1, serving.shape[1]):
            asked = np.flatnonzero(other | (serving[:, view] < 0))
            for start in range(0, len(asked), _AT_ONCE):
                part = asked[start : start + _AT_ONCE]
                points = unit_length(self._store.read(at[part], view=view))
                serving[part, view] = nearest_directions(points, directions)

    def _remarks(self, parts: Mapping[str, _Part]) -> list[str]:
        """Return what was said of labels that stayed, what is to be said of the others, and that this is an update."""
        kept = [
            remark
            for remark in self._known.remarks
            if not remark.startswith(UPDATED)
            and "have no group" not in remark
            and not any(f"'{label}'" in remark for label in self._changed)
        ]
        fresh = [
            remark for label, part in parts.items() if label in self._changed for remark in part.prototypes.remarks
        ]
        again = f"; made again: {', '.join(sorted(self.again))}" if self.again else ""
        came = len(self._difference.came)
        said = (
            f"{UPDATED}since version {self._known.store_version} of the store {came} "
            f"{'picture' if came == 1 else 'pictures'} came and {len(self._difference.left)} left{again}."
        )
        return [*dict.fromkeys([*kept, *fresh]), *on_lone(self._store, self._positions), said]


def _nearest_after(
    points: Vectors, directions: Vectors, before: npt.NDArray[np.int32], moved: npt.NDArray[np.bool_]
) -> npt.NDArray[np.int64]:
    """Return which direction is nearest to each point, where it is known which of those that have not moved was.

    Args:
        points: (n, d) of unit length.
        directions: (k, d) of unit length.
        before: (n,) the nearest before; -1 where there was none.
        moved: (k,) which are new or elsewhere.
    """
    found, stands = before.astype(np.int64), (before >= 0) & ~moved[before]
    found[~stands] = nearest_directions(points[~stands], directions)
    among = np.flatnonzero(moved)
    if len(among) and stands.any():
        mine, was = points[stands], found[stands]
        nearest = among[nearest_directions(mine, directions[among])]
        gaps = (((mine.astype(np.float64) - directions[one]) ** 2).sum(axis=1) for one in (nearest, was))
        found[stands] = np.where(np.less(*gaps), nearest, was)
    return found


def _padded(axes: list[Vectors | None]) -> Vectors | None:
    """Join the axes (k, r, d) of labels, each filled up with zeros to the most that one has."""
    found = [one for one in axes if one is not None]
    if not found:
        return None
    most = max(one.shape[1] for one in found)
    return np.concatenate([np.pad(one, ((0, 0), (0, most - one.shape[1]), (0, 0))) for one in found])

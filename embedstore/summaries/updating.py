"""Updating a saved summary to the samples of now: what came and left moves it, the rest of it stays.

What costs what, for n samples of a label, c of them changed:

- prototypes: as each strategy's `update` says, mostly c vectors. A strategy without one is fitted again, those that see one
  label at a time (`BY_LABEL`) to the labels that changed.
- near: c, from the second update on, for the lookups behind it are kept beside the summary.
- which prototype speaks for each plain picture, and what the summary hides: one pass over the n plain vectors of a label that
  changed. A prototype that moves changes all distances to it, so no less would be true; who had one that did not move is
  compared with it and those that did.
- which prototype speaks for an augmented view: c, and those whose plain picture another prototype speaks for now. All others
  keep theirs, for a pass over all views is most of what a summary made anew costs.

The loss of each label is compared with what it was when the label was last fitted, however often it was updated since, so
that it can't creep up; past a limit the label is fitted again.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple

import msgpack
import numpy as np
import numpy.typing as npt

from embedstore.errors import StoreError, SummaryError
from embedstore.summaries.making import summarize
from embedstore.summaries.nearness import NONE, Nearest
from embedstore.summaries.strategy import Positions, TrainingVectors
from embedstore.summaries.summary import Summary
from embedstore.verdicts import VERDICT

if TYPE_CHECKING:
    from embedstore.store.embedding_store import EmbeddingStore

# The tensors beside a summary's own that say what it goes back to.
LINEAGE, QUERIES, NEIGHBOURS, DISTANCES = "lineage", "near_queries", "near_neighbours", "near_distances"

_BETWEEN = (
    "directions"  # what near distances are between; earlier releases, which do not say, had them between raw vectors
)


class State(NamedTuple):
    """All that a summary depends on, of one sample.

    Attributes:
        label: it has; never None, for a summary sees no sample without.
        picture: tells its picture from others.
        group, mode: it has.
        rare: whether a person called it rare.
    """

    label: str
    picture: bytes
    group: str | None
    mode: str | None
    rare: bool


@dataclass(frozen=True)
class Lineage:
    """What an updated summary goes back to.

    Attributes:
        losses: label -> the mean distance when the label was last fitted.
        nearest: what near is the median of, by positions in `Summary.seen`; of labels that were never updated, nothing.
        seconds: that the last update took, of whatever kind; None where there was none.
    """

    losses: Mapping[str, float]
    nearest: Nearest = NONE
    seconds: float | None = None

    @classmethod
    def read(cls, data: bytes) -> tuple[Summary, Lineage]:
        """Return a saved summary and its lineage; one that was never updated goes back to itself.

        Raises:
            SummaryError: the bytes are no summary, or its lineage is damaged.
        """
        summary, extra = Summary.with_extra(data)
        if LINEAGE not in extra:
            return summary, cls({label: loss.mean for label, loss in summary.averaging_loss.items()})
        try:
            said = msgpack.unpackb(extra[LINEAGE].tobytes())
            losses = {str(label): float(loss) for label, loss in said["losses"].items()}
            queries, neighbours = (extra[name].astype(np.int64) for name in (QUERIES, NEIGHBOURS))
            nearest = Nearest(queries, neighbours, extra[DISTANCES].astype(np.float64))
            inside = all(((at >= 0) & (at < len(summary.seen))).all() for at in (queries, neighbours))
            if not inside or not queries.shape == neighbours.shape == nearest.distances.shape:
                raise ValueError("its parts do not fit together")
            known = said.get("near_between") == _BETWEEN  # else all of near is looked up again
            return summary, cls(losses, nearest if known else NONE, float(said["seconds"]))
        except (ValueError, KeyError, TypeError, AttributeError, msgpack.UnpackException) as error:
            raise SummaryError(f"The summary '{summary.name}' says nothing of its updates; make it again.") from error

    def written_with(self, summary: Summary) -> bytes:
        """Return a summary as it is saved, with this beside it."""
        said = msgpack.packb({"losses": dict(self.losses), "seconds": self.seconds or 0.0, "near_between": _BETWEEN})
        found = {QUERIES: self.nearest.queries, NEIGHBOURS: self.nearest.neighbours, DISTANCES: self.nearest.distances}
        return summary.to_bytes({LINEAGE: np.frombuffer(said, np.uint8), **found})


@dataclass(frozen=True)
class Difference:
    """What changed for a summary since it was made.

    Attributes:
        came: id -> label, of samples that it does not know; those with another picture or label are in both.
        left: id -> label then, of samples that it knows and that are no more.
        said: labels of samples that stayed, and that a person called rare since, or no longer.
        regrouped, remoded: labels of samples that stayed, and have another group, or mode.
    """

    came: dict[str, str]
    left: dict[str, str]
    said: frozenset[str] = frozenset()
    regrouped: frozenset[str] = frozenset()
    remoded: frozenset[str] = frozenset()

    @classmethod
    def between(cls, then: Mapping[str, State], now: Mapping[str, State]) -> Difference:
        """Compare two states, by id."""
        stayed = [(was, now[one]) for one, was in then.items() if one in now and was[:2] == now[one][:2]]
        came = {one: is_.label for one, is_ in now.items() if one not in then or then[one][:2] != is_[:2]}
        left = {one: was.label for one, was in then.items() if one not in now or now[one][:2] != was[:2]}
        others = (
            frozenset(is_.label for was, is_ in stayed if getattr(was, name) != getattr(is_, name))
            for name in ("rare", "group", "mode")
        )
        return cls(came, left, *others)

    @property
    def fitted(self) -> set[str]:
        """The labels whose prototypes it touches."""
        return {*self.came.values(), *self.left.values(), *self.said}

    @property
    def labels(self) -> list[str]:
        """The labels that it touches, in prototypes or in what is said of them, sorted."""
        return sorted(self.fitted | self.regrouped | self.remoded)


@dataclass(frozen=True)
class Renewal:
    """What became of a summary.

    Attributes:
        summary: as it is now; None where it stays as it was, as an estimate always does.
        data: as it is to be saved.
        came, left: how many samples.
        updated: labels that were updated.
        again: labels that were fitted again.
        losses: label -> the mean distance before, None for a new label, and now; of the labels that changed.
        seconds: it took.
    """

    summary: Summary | None
    data: bytes = b""
    came: int = 0
    left: int = 0
    updated: tuple[str, ...] = ()
    again: tuple[str, ...] = ()
    losses: Mapping[str, tuple[float | None, float]] | None = None
    seconds: float = 0.0


def seen_then(store: EmbeddingStore, known: Summary) -> dict[str, State]:
    """Return the samples that a summary was made of, as they were.

    Raises:
        StoreError: the version that it was made of can't be read any more, or lacks one of them.
    """
    from embedstore.store.embedding_store import open_store

    with open_store(store.path, known.store_version) as then:
        return _states(then, then.positions(known.seen))


def _states(store: EmbeddingStore, at: Positions) -> dict[str, State]:
    """Return what samples at some positions are; those have labels."""
    names = ("id", "label", "group", "mode", f"attribute:{VERDICT}")
    ids, labels, groups, modes, verdicts = (store.text_field(name)[at].to_list() for name in names)
    marks = picture_marks(store, at)
    return {
        one or "": State(label or "", mark, group, mode, verdict == "rare")
        for one, label, mark, group, mode, verdict in zip(ids, labels, marks, groups, modes, verdicts, strict=True)
    }


def picture_marks(store: EmbeddingStore, positions: Positions) -> list[bytes]:
    """Return what tells the pictures of some samples from others: their content; of vectors without one, the row."""
    contents, rows = store.alive["content"][positions], store.rows[positions]
    return [
        content.tobytes() if has_one else b"row" + int(row).to_bytes(8, "big")
        for content, has_one, row in zip(contents, np.any(contents, axis=1), rows, strict=True)
    ]


def update(store: EmbeddingStore, data: bytes, *, limit: float, version: int) -> Renewal:
    """Bring a saved summary to the samples that the store has now; nothing is written.

    Args:
        store: at its newest version.
        data: the summary as it is saved.
        limit: by which share of itself the mean distance of a label may rise before the label is fitted again.
        version: of the store, that the new summary is said to be made of; its samples are those of `store`.

    Raises:
        SummaryError: the bytes are no summary, or nothing is left that it could be made of.
    """
    from embedstore.summaries import BY_LABEL
    from embedstore.summaries.updating_labels import LabelWise

    started = time.monotonic()
    known, lineage = Lineage.read(data)
    if known.estimate is not None:  # it says so in its name, which a summary of true vectors must not take
        return Renewal(None)
    try:
        then: dict[str, State] | None = seen_then(store, known)
    except StoreError:  # a repair, or a compaction of an earlier release
        then = None
    now = _states(store, _labelled(store, known.split))
    if not now:
        raise SummaryError(
            f"The summary '{known.name}' has no labelled sample left to be made of; delete it, or add samples."
        )
    difference = Difference.between(then or {}, now)
    outlived = then is None or known.views != store.views
    if not outlived and not difference.labels:
        return Renewal(None)
    if outlived or known.strategy not in BY_LABEL:
        made = summarize(store, known.strategy, name=known.name, split=known.split, seed=known.seed, **known.parameters)
        summary = replace(made, store_version=version)
        touched, again = sorted(summary.averaging_loss), sorted(summary.averaging_loss)
        losses, nearest = {label: loss.mean for label, loss in summary.averaging_loss.items()}, NONE
    else:
        training = TrainingVectors.from_store(store, _labelled(store, known.split))
        parts = LabelWise(store, known, training, difference, lineage.nearest)
        bounds = {label: loss * (1 + limit) for label, loss in lineage.losses.items()}
        summary = parts.summary(version, bounds)
        touched, again = sorted(parts.measured & set(summary.averaging_loss)), sorted(parts.again)
        losses = {
            label: loss.mean if label in parts.again else lineage.losses.get(label, loss.mean)
            for label, loss in summary.averaging_loss.items()
        }
        nearest = parts.nearest
    seconds = time.monotonic() - started
    return Renewal(
        summary,
        Lineage(losses, nearest, seconds).written_with(summary),
        len(difference.came),
        len(difference.left),
        tuple(label for label in touched if label not in again),
        tuple(again),
        {label: (_mean(known, label), summary.averaging_loss[label].mean) for label in touched},
        seconds,
    )


def _mean(summary: Summary, label: str) -> float | None:
    loss = summary.averaging_loss.get(label)
    return None if loss is None else loss.mean


def _labelled(store: EmbeddingStore, split: str | None) -> npt.NDArray[np.int64]:
    """Return the positions of the samples that `summarize` takes of a split."""
    chosen = ~store.where({"split": "aside"}) if split is None else store.where({"split": split})
    return np.flatnonzero(chosen & (store.text_field("label").codes >= 0))

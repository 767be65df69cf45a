"""Summaries of the old teacher in the new one's space: an estimate that serves until they are made again."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from embedstore.errors import StoreError, SummaryError
from embedstore.store.embedding_store import EmbeddingStore
from embedstore.store.layout import Column
from embedstore.store.tables import Tables
from embedstore.store.writing import writer
from embedstore.summaries import Summary
from embedstore.summaries.estimate import Estimate
from embedstore.summaries.strategy import directions
from embedstore.teacher_change.filling import PATIENCE_SECONDS
from embedstore.teacher_change.space_maps import MOST, FittedMap, fit_map
from embedstore.teacher_change.spaces import Positions, Space, described_spaces, fitting_order, present, vectors_in
from embedstore.teachers.protocol import EMBEDDING
from embedstore.vectors import Vectors

_LONGEST = 100  # letters of a summary's name


@dataclass(frozen=True)
class MapReport:
    """What a map from one teacher's space into another's is worth, on parts that it was not fitted to.

    Attributes:
        kind, strength: of the map; see `SpaceMap`.
        teacher: the name of the teacher that it leads from.
        samples, groups: that it was fitted to, all of the training side.
        cosine, cosine_p5, cosine_of_mean: see `Estimate`.
        mapped: summary -> the name of its estimate.
        left_out: summary -> why it has none.
    """

    kind: str
    strength: float | None
    teacher: str
    samples: int
    groups: int
    cosine: float
    cosine_p5: float
    cosine_of_mean: float
    mapped: dict[str, str]
    left_out: dict[str, str]


def map_summaries(store: EmbeddingStore, kind: str, source: Space, target: Space) -> MapReport:
    """Fit a map to the training samples that two teachers have embedded, and save the summaries of the one as estimates.

    Each is saved as `NAME.KIND-SAMPLES`; one that is there already stays, and another summary of that name, too.

    Args:
        store: at its newest version.
        kind: of the map.
        source: space that the summaries are of.
        target: space that they are to serve in.

    Raises:
        StoreError: too few samples are embedded by both.
    """
    positions = _embedded_by_both(store, source, target)
    old = vectors_in(store, source.fingerprint, source.description["outputs"][EMBEDDING], positions)
    new = vectors_in(store, target.fingerprint, target.description["outputs"][EMBEDDING], positions)
    fitted = fit_map(kind, old, new, [store.sample_at(at).part for at in positions.tolist()])
    mapped, left_out = dict[str, str](), dict[str, str]()
    there = set(store.summary_names)
    for name in sorted(there):
        try:
            summary = store.summary(name)
        except SummaryError as error:
            left_out[name] = str(error)
            continue
        if summary.fingerprint != source.fingerprint or summary.estimate is not None:
            continue
        if summary.codes:
            left_out[name] = "it keeps own vectors as codes, which no map leads over"
            continue
        renamed = f"{name}.{kind}-{len(positions)}"
        if len(renamed) > _LONGEST:
            left_out[name] = f"'{renamed}' would be too long a name"
            continue
        made = mapped_summary(summary, fitted, old, new, source.name)
        made = replace(made, name=renamed, fingerprint=target.fingerprint)
        if renamed not in there:
            _save(store, made)
        elif not _is_alike(store.summary(renamed), made):
            left_out[name] = (
                f"another summary has the name '{renamed}'; delete that one first: embedstore summaries '{store.path}' --delete "
                f"'{renamed}'"
            )
            continue
        mapped[name] = renamed
    return MapReport(
        kind, fitted.map.strength, source.name, len(positions), fitted.groups, *_errors(fitted), mapped, left_out
    )


def mapped_summary(summary: Summary, fitted: FittedMap, old: Vectors, new: Vectors, teacher: str) -> Summary:
    """Return a summary as it is estimated to be in the new space, with what it is worth there; of the old fingerprint still.

    Args:
        summary: of the old space.
        fitted: the map, fitted to `old` and `new`.
        old: (n, d) vectors of the old teacher.
        new: (n, e) of the new one, of the same samples.
        teacher: the old one's name.
    """
    same, same_label = agreement(summary, fitted, old, new)
    lead = fitted.map
    estimate = Estimate(
        teacher,
        summary.fingerprint,
        lead.kind,
        lead.strength,
        len(old),
        fitted.groups,
        *_errors(fitted),
        same,
        same_label,
    )
    axes = None if summary.axes is None else lead.turned(summary.axes).astype(np.float32)
    vectors, centre = lead(summary.vectors), lead(summary.centre)
    return replace(summary, vectors=vectors, centre=centre, axes=axes, estimate=estimate)


def agreement(summary: Summary, fitted: FittedMap, old: Vectors, new: Vectors) -> tuple[float, float]:
    """Return of how many samples the nearest prototype stays the same, and its label does; see `Estimate`."""
    labels = np.array(summary.labels)
    kept, label_kept = np.empty(len(old), bool), np.empty(len(old), bool)
    prototypes = directions(summary.vectors, summary.centre)
    for lead, held in fitted.folds:
        before = (directions(old[held], summary.centre) @ prototypes.T).argmax(axis=1)
        centre = lead(summary.centre)
        after = (directions(new[held], centre) @ directions(lead(summary.vectors), centre).T).argmax(axis=1)
        kept[held] = np.equal(before, after)
        label_kept[held] = np.equal(labels.take(before), labels.take(after))
    return float(kept.mean()), float(label_kept.mean())


def _errors(fitted: FittedMap) -> tuple[float, float, float]:
    cosines = fitted.cosines
    return float(cosines.mean()), float(np.percentile(cosines, 5)), float(fitted.cosines_of_mean.mean())


def _embedded_by_both(store: EmbeddingStore, source: Space, target: Space) -> Positions:
    """Return the training samples, up to `MOST`, whose plain view both teachers have embedded, ascending."""
    described = described_spaces(store)
    for space in (source, target):
        if space.fingerprint not in described:
            raise StoreError(
                f"No sample of the store '{store.path}' was embedded by '{space.name}' yet; embed some first (--sample)."
            )
    plain = present(store, [Column(space.fingerprint, EMBEDDING, 0) for space in (source, target)])
    side = fitting_order(store)
    return np.sort(side[plain[side].all(axis=1)][:MOST])


def _is_alike(there: Summary, made: Summary) -> bool:
    """Return whether a saved summary is the estimate that was made now, but for rounding."""
    same = there.fingerprint == made.fingerprint and there.estimate is not None and there.labels == made.labels
    pairs = (there.vectors, made.vectors), (there.centre, made.centre)
    return same and all(np.allclose(one, other, atol=1e-4) for one, other in pairs)


def _save(store: EmbeddingStore, summary: Summary) -> None:
    data = summary.to_bytes()

    def put(tables: Tables) -> None:
        if summary.name not in tables.summary_names():
            tables.put_summary(summary.name, data)

    with writer(store.path, wait=PATIENCE_SECONDS) as session:
        session.write(put)

"""Thin: a store for a small machine, and what it loses, measured."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from embedstore.analysis.neighbour_loss import (
    NeighbourLoss,
    Sight,
    blocks_of,
    neighbour_loss,
    refuse_unknown_good,
    sight_of,
)
from embedstore.store.embedding_store import EmbeddingStore
from embedstore.store.reading import Where
from embedstore.store.thinning import Plan, Progress, planned, refuse_place, write_thinned
from embedstore.vectors import Vectors


@dataclass(frozen=True)
class ThinReport:
    """What a thinning made, beside what it was made from.

    Attributes:
        teacher: of the new store.
        samples, samples_before, views, views_before, dim, dim_before: of both stores.
        left_out: further outputs that the new store does not have.
        summaries_left_out: names of summaries that are to be made again.
        bytes, bytes_before: of all files of each.
        loss: what changes for neighbours.
    """

    teacher: str
    samples: int
    samples_before: int
    views: int
    views_before: int
    dim: int
    dim_before: int
    left_out: tuple[str, ...]
    summaries_left_out: tuple[str, ...]
    bytes: int
    bytes_before: int
    loss: NeighbourLoss


def thin(
    path: str | os.PathLike[str],
    small: str | os.PathLike[str],
    *,
    views: int | None = None,
    dims: int | None = None,
    where: Where | None = None,
    drop_pictures: bool = False,
    good: str | None = None,
    progress: Progress | None = None,
) -> ThinReport:
    """Make a smaller store of a store's newest version, and measure what it loses; it is complete or not there at all.

    The new one has a history of its own and no summaries; `path` is not changed. With `dims`, all vectors are brought to the
    principal axes of the training side's centred directions. Those are another teacher's vectors, with a fingerprint of their
    own; the axes stand in the new store, so that pictures are still added and searched by.

    Args:
        path: of the whole store.
        small: of the new one; nothing, or an empty directory, is there.
        views: how many augmented views to keep, beside the plain one; all where not given.
        dims: how many principal axes to keep; the vectors as they are where not given. Further outputs stay behind.
        where: conditions on the samples to keep, as of `store.where`. Axes are fitted to the whole training side all the same.
        drop_pictures: leave out the pictures that are kept for students.
        good: the label of good parts, to measure what becomes of telling defects from them.
        progress: called with (blocks of vectors done, in all).

    Raises:
        SettingsError: nothing is left, no sample has that label, a number is out of range, or there is no training side to fit
            axes to.
        StoreError: something else is at `small`, or it can't be written.
    """
    with EmbeddingStore(path) as store:
        refuse_place(store, Path(small))
        refuse_unknown_good(store, good)
        plan = planned(store, views=views, dims=dims, where=where, drop_pictures=drop_pictures)
        write_thinned(store, Path(small), plan, progress)
        with EmbeddingStore(small) as thinned:
            return ThinReport(
                teacher=thinned.teacher,
                samples=len(thinned),
                samples_before=len(store),
                views=thinned.views,
                views_before=store.views,
                dim=thinned.dim,
                dim_before=store.dim,
                left_out=tuple(name for name in store.outputs if name not in thinned.outputs),
                summaries_left_out=tuple(store.summary_names),
                bytes=bytes_of(thinned.path),
                bytes_before=bytes_of(store.path),
                loss=_loss(store, thinned, plan, good),
            )


def bytes_of(store: Path) -> int:
    """Return the bytes of all files of a store, pictures and index too."""
    return sum(file.stat().st_size for file in store.rglob("*") if file.is_file())


def _loss(store: EmbeddingStore, thinned: EmbeddingStore, plan: Plan, good: str | None) -> NeighbourLoss:
    whole = sight_of(store)
    if plan.reduction is None:
        after = Sight(whole.project, blocks_of(thinned, whole.project, plan.chosen))
    else:
        # As they are stored: a reduction has centred them.
        after = Sight(plan.reduction, blocks_of(thinned, _as_it_is, plan.chosen))
    return neighbour_loss(store, whole, after, good)


def _as_it_is(vectors: Vectors) -> Vectors:
    return vectors

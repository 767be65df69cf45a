"""Thinning: a new, complete store with fewer views, fewer axes or fewer samples; the one that it is made from stays as it is."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import lmdb
import numpy as np
import numpy.typing as npt

from embedstore.errors import SettingsError, StoreError
from embedstore.store import layout
from embedstore.store.creating import create_store, fresh_directory, refuse_other_content, sweep_unfinished_stores
from embedstore.store.embedding_store import EmbeddingStore, refuse_unbuilt
from embedstore.store.kept_pictures import make_kept, open_kept
from embedstore.store.layout import BLOCK, NEVER, Column, Head
from embedstore.store.reading import Where
from embedstore.store.reducing import fit
from embedstore.store.tables import Tables
from embedstore.store.writing import Writer, writer
from embedstore.teachers.protocol import EMBEDDING
from embedstore.teachers.reduction import KIND, Reduction

Progress = Callable[[int, int], None]  # blocks of vectors done, in all

_VERSION = 1  # of what is in the new store: its history begins here
_AT_ONCE = 64 * BLOCK  # rows of fields in one transaction
_PICTURES_AT_ONCE = 256


@dataclass(frozen=True)
class Plan:
    """What a thinned store is to hold.

    Attributes:
        chosen: (n,) positions of the samples.
        columns: of the whole store, each with its own in the new one.
        space, description: of the new one's vectors.
        reduction: how vectors get there; None: as they are.
        pictures: whether kept pictures come along.
    """

    chosen: npt.NDArray[np.int64]
    columns: dict[Column, Column]
    space: str
    description: dict[str, Any]
    reduction: Reduction | None
    pictures: bool

    @property
    def views(self) -> int:
        """How many augmented views it has."""
        return max(column.view for column in self.columns.values())


def planned(
    store: EmbeddingStore, *, views: int | None, dims: int | None, where: Where | None, drop_pictures: bool
) -> Plan:
    """Decide what a thinned store is to hold; see `embedstore.thin`.

    Raises:
        SettingsError: nothing is left, or a number is out of range.
        StoreError: the store's first build was not finished.
    """
    refuse_unbuilt(store)
    if views is not None and not 0 <= views <= store.views:
        raise SettingsError(
            f"The number of views is {views}; expected 0 to {store.views}, which is what the store has."
        )
    chosen = np.flatnonzero(store.where(where or {}))
    if not len(chosen):
        raise SettingsError("No sample of the store meets the conditions, so nothing would be left.")
    reduction = None if dims is None else fit(store, dims)
    space = store.fingerprint if reduction is None else reduction.fingerprint
    most = store.views if views is None else views
    columns = {
        column: Column(space, column.output, column.view)
        for column in store.head.columns
        if column.space == store.fingerprint
        and column.view <= most
        and (reduction is None or column.output == EMBEDDING)
    }
    description = store.space
    if reduction is not None:
        description = {name: value for name, value in store.space.items() if name != "definitions"}
        description |= {"teacher": reduction.name, "outputs": {EMBEDDING: reduction.dim}, KIND: reduction.to_dict()}
    return Plan(chosen, columns, space, description, reduction, not drop_pictures)


def write_thinned(store: EmbeddingStore, small: Path, plan: Plan, progress: Progress | None = None) -> None:
    """Write a thinned store; it appears by a rename, complete or not at all. `refuse_place` comes before.

    Raises:
        StoreError: the system does not let it be written.
    """
    with _appearing(small) as fresh:
        create_store(fresh, store.settings, plan.space, plan.description)
        with writer(fresh) as session:
            _fill(store, session, plan, progress or (lambda done, total: None))
        if plan.pictures:
            _copy_pictures(store, fresh, plan)


def refuse_place(store: EmbeddingStore, small: Path) -> None:
    """Raise where no thinned store can be made, before time is spent on it.

    Raises:
        StoreError: something else is at `small`, or it is inside of the store.
    """
    if (small / layout.CURRENT).exists():
        raise StoreError(f"'{small}' is a store already; choose a new path, or delete that store first.")
    refuse_other_content(small)
    if small.resolve().is_relative_to(store.path.resolve()):
        raise StoreError(
            f"'{small}' lies inside of the store '{store.path}', which stays as it is; choose another path."
        )


@contextmanager
def _appearing(path: Path) -> Iterator[Path]:
    """Give a directory to fill, which becomes `path` at the end; where that ends badly, nothing is left of it."""
    sweep_unfinished_stores(path)
    fresh = None
    try:
        fresh = fresh_directory(path)
        yield fresh
        if os.path.isdir(path):
            path.rmdir()  # empty, as was made sure; Windows renames onto nothing that exists
        fresh.rename(path)
        layout.sync_directory(path.parent)
    except (OSError, lmdb.Error) as error:
        if isinstance(error, StoreError):
            raise
        why = getattr(error, "strerror", None) or error
        raise StoreError(f"The store '{path}' can't be made: {why}; choose a path where you may write.") from error
    finally:
        if fresh is not None:
            shutil.rmtree(fresh, ignore_errors=True)


def _fill(store: EmbeddingStore, session: Writer, plan: Plan, progress: Progress) -> None:
    count = len(plan.chosen)
    for start in range(0, count, _AT_ONCE):
        session.write(
            partial(_put_samples, store=store, plan=plan, rows=np.arange(start, min(count, start + _AT_ONCE)))
        )
    session.write(lambda tables: tables.put_row_count(count))
    place = np.full(len(store), -1, np.int64)  # of each position in the new store
    place[plan.chosen] = np.arange(count)
    blocks, done = -(-len(store) // BLOCK), 0
    for number, (old, new) in enumerate(plan.columns.items()):
        for positions, vectors in store.scan(view=old.view, output=old.output):
            kept = place[positions] >= 0
            rows, found = place[positions[kept]], vectors[kept]
            if plan.reduction is not None:
                found = plan.reduction(found).astype(np.float16)
            session.write(partial(_put_vectors, column=new, rows=rows, vectors=found))
            done = number * blocks + min(blocks, -(-int(positions[-1] + 1) // BLOCK))
            progress(done, len(plan.columns) * blocks)
    aside = {entry["path"]: entry["reason"] for entry in store.set_aside}
    head = Head(_VERSION, plan.space, tuple(plan.columns.values()), None)
    session.publish(head, "thin", details={"samples": count, "views": plan.views}, aside=aside)


def _put_samples(tables: Tables, *, store: EmbeddingStore, plan: Plan, rows: npt.NDArray[np.int64]) -> None:
    """Write what is known of some samples, and whose rows they are; `rows` begin with a block."""
    own = store.alive[plan.chosen[rows]]
    for start in range(0, len(rows), BLOCK):
        block = layout.empty_rows()
        part = own[start : start + BLOCK]
        block[: len(part)] = part
        block["born"][: len(part)], block["died"][: len(part)] = _VERSION, NEVER
        tables.put_row_block(int(rows[start]) // BLOCK, block)
    fields = {name: store.text_field(name)[plan.chosen[rows]].to_list() for name in store.field_names}
    tables.put_fields(rows, fields, _VERSION)


def _put_vectors(
    tables: Tables, *, column: Column, rows: npt.NDArray[np.int64], vectors: npt.NDArray[np.float16]
) -> None:
    if len(rows):
        tables.put_vectors(column, rows, vectors)


def _copy_pictures(store: EmbeddingStore, fresh: Path, plan: Plan) -> None:
    """Copy the kept pictures of the samples that came along."""
    side = store.recipe.student_side
    if (source := open_kept(store.path, side)) is None:
        return
    contents = sorted({content.tobytes() for content in store.alive["content"][plan.chosen]} & source.contents())
    target = None
    try:
        target = make_kept(fresh, side)
        for start in range(0, len(contents), _PICTURES_AT_ONCE):
            part = contents[start : start + _PICTURES_AT_ONCE]
            found = zip(part, source.get(part), strict=True)
            target.put({content: pixels for content, pixels in found if pixels is not None})
        target.settle()
    finally:
        source.close()
        if target is not None:
            target.close()

"""Filling a space beside the one in use: embed what it lacks, a few hundred samples at a time.

The writer's lock is held for each commit only, and no version is made, so that readers see nothing of it and others write in
between. What is there is told by the presence bitmaps of the columns: a run that was killed goes on from them.
"""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, suppress
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from embedstore.errors import PictureError, StoreLockedError
from embedstore.store.embedding_store import EmbeddingStore
from embedstore.store.fields import Record
from embedstore.store.layout import BLOCK, Column
from embedstore.store.rows import by_block
from embedstore.store.stored_pictures import StoredPictures, stored_pictures
from embedstore.store.tables import Tables
from embedstore.store.writing import writer
from embedstore.teacher_change.spaces import Positions, Space, present
from embedstore.views import Recipe, draw_view, render

Progress = Callable[[str, int, int], None]  # what is done, how much of it, of how much

PATIENCE_SECONDS = 3600.0  # for another writer, such as a build
_LAST_WAIT_SECONDS = 5.0  # the same, where a run is stopped
EMBEDDING_STEP = "Embedding"
_CROPS_AT_ONCE = 96  # views in one call of the teacher, about
_COMMIT_ROWS, _COMMIT_SECONDS = BLOCK, 15.0  # what an interruption may cost
_READERS = min(8, os.cpu_count() or 2)


@dataclass
class Filled:
    """What a filling did.

    Attributes:
        embedded: (sample, view) pairs that went through the teacher.
        missing: id -> why it can't be embedded.
        reduced: ids whose file is gone, so that a kept picture stood in that is smaller than the file's was.
    """

    embedded: int = 0
    missing: dict[str, str] = field(default_factory=dict)
    reduced: set[str] = field(default_factory=set)


@dataclass
class _Seen:
    """A sample on its way to the teacher."""

    record: Record
    views: list[int]
    crops: npt.NDArray[np.uint8] | None = None
    reduced: bool = False
    problem: str | None = None


def fill(
    store: EmbeddingStore, space: Space, views: Sequence[int], filled: Filled, progress: Progress, *, among: Positions
) -> None:
    """Embed what some samples lack of some views in a space, and add what was done to `filled`.

    Args:
        store: at the version whose samples are meant; it moves on where a compaction gives the rows other numbers.
        space: to be filled.
        views: numbers of the views.
        filled: samples that it calls missing are passed over.
        progress: is told the pictures.
        among: positions of the samples.
    """
    columns = space.columns(views)
    lacking = ~present(store, columns)[among]
    records = store.records()
    waiting: list[_Seen] = []
    for position, lacks in zip(among.tolist(), lacking, strict=True):
        wanted = sorted({column.view for column, one in zip(columns, lacks, strict=True) if one})
        if wanted and records[position].id not in filled.missing:
            waiting.append(_Seen(records[position], wanted))
    if waiting:
        with stored_pictures(store) as pictures:
            _Filling(store, space, filled, pictures).run(waiting, progress)


class _Filling:
    """One run over the samples that lack something."""

    def __init__(self, store: EmbeddingStore, space: Space, filled: Filled, pictures: StoredPictures):
        self._store, self._space, self._filled, self._pictures = store, space, filled, pictures
        self._recipe: Recipe = store.recipe
        self._teacher = space.teacher()
        self._surveyed = store.generation  # in which the rows have the numbers that the records say
        self._described = False
        self._done: list[tuple[_Seen, dict[str, npt.NDArray[np.float16]]]] = []  # embedded, not committed
        self._last_commit = time.monotonic()

    def run(self, waiting: list[_Seen], progress: Progress) -> None:
        batch: list[_Seen] = []
        crops = 0
        try:
            with closing(self._prepared(waiting)) as prepared:
                for done, seen in enumerate(prepared, start=1):
                    if seen.problem is not None:
                        self._filled.missing[seen.record.id] = seen.problem
                    else:
                        batch.append(seen)
                        crops += len(seen.views)
                    if crops >= _CROPS_AT_ONCE:
                        self._embed(batch)
                        batch, crops = [], 0
                    progress(EMBEDDING_STEP, done, len(waiting))
            self._embed(batch)
        except BaseException:
            # Whatever stops the run, what is embedded is kept; but who stops it does not wait long for another writer.
            with suppress(StoreLockedError):
                self._commit(wait=_LAST_WAIT_SECONDS)
            raise
        self._commit()

    def _prepared(self, waiting: list[_Seen]) -> Generator[_Seen]:
        """Yield the samples in order, their views cut by threads a little ahead of the teacher."""
        ahead = max(4, 2 * _CROPS_AT_ONCE // len(waiting[0].views))
        with ThreadPoolExecutor(_READERS, thread_name_prefix="embedstore-read") as pool:
            futures: deque[Future[_Seen]] = deque()
            try:
                for seen in waiting:
                    futures.append(pool.submit(self._prepare, seen))
                    if len(futures) >= ahead:
                        yield futures.popleft().result()
                while futures:
                    yield futures.popleft().result()
            finally:
                for future in futures:
                    future.cancel()

    def _prepare(self, seen: _Seen) -> _Seen:
        """Cut the views of one sample. Runs in a thread."""
        try:
            picture, seen.reduced = self._pictures.get(seen.record.content, seen.record.uri)
        except PictureError as error:
            seen.problem = str(error)
            return seen
        drawn = (draw_view(self._recipe, seen.record.id, view) for view in seen.views)
        size = self._teacher.input_size
        seen.crops = np.stack([render(picture, view, size, self._recipe.fit) for view in drawn])
        return seen

    def _embed(self, batch: list[_Seen]) -> None:
        if not batch:
            return
        vectors = self._teacher.embed(np.concatenate([seen.crops for seen in batch if seen.crops is not None]))
        start = 0
        for seen in batch:
            end = start + len(seen.views)
            with np.errstate(over="ignore"):  # too large for float16 becomes infinite, which is told below
                own = {name: vectors[name][start:end].astype(np.float16) for name in self._space.description["outputs"]}
            start, seen.crops = end, None
            if all(np.isfinite(values).all() for values in own.values()):
                self._done.append((seen, own))
            else:
                self._filled.missing[seen.record.id] = "the teacher gives it a vector that is not finite"
        if len(self._done) >= _COMMIT_ROWS or time.monotonic() - self._last_commit >= _COMMIT_SECONDS:
            self._commit()

    def _commit(self, *, wait: float | None = None) -> None:
        """Write what is embedded, under the writer's lock for just this long."""
        done, self._done = self._done, []
        if not done:
            return
        with writer(self._store.path, wait=PATIENCE_SECONDS if wait is None else wait) as session:
            if session.environment.directory != self._surveyed:  # a compaction gave the rows other numbers
                self._store.refresh()
                done = _found_again(self._store, done)
            session.write(lambda tables: self._put(tables, done))
        self._filled.embedded += sum(len(seen.views) for seen, _ in done)
        self._filled.reduced |= {seen.record.id for seen, _ in done if seen.reduced}
        self._last_commit = time.monotonic()

    def _put(self, tables: Tables, done: list[tuple[_Seen, dict[str, npt.NDArray[np.float16]]]]) -> None:
        if tables.spaces().get(self._space.fingerprint) != self._space.description:
            tables.put_space(self._space.fingerprint, self._space.description)
        for column in self._space.columns(sorted({view for seen, _ in done for view in seen.views})):
            having = [
                (seen.record.row, own[column.output], seen.views) for seen, own in done if column.view in seen.views
            ]
            rows = np.array([row for row, _, _ in having], np.int64)
            vectors = np.stack([values[views.index(column.view)] for _, values, views in having])
            fresh = ~_has(tables, column, rows)  # what somebody may read by now never changes
            if fresh.any():
                tables.put_vectors(column, rows[fresh], vectors[fresh])


def _has(tables: Tables, column: Column, rows: Positions) -> npt.NDArray[np.bool_]:
    """Return which rows (n,) have their vector in a column."""
    there = np.zeros(len(rows), bool)
    for block, inside in by_block(rows):
        if (known := tables.vector_block(column, block)) is not None:
            there[inside] = known[0][rows[inside] % BLOCK]
    return there


def _found_again(
    store: EmbeddingStore, done: list[tuple[_Seen, dict[str, npt.NDArray[np.float16]]]]
) -> list[tuple[_Seen, dict[str, npt.NDArray[np.float16]]]]:
    """Return those whose sample still shows the same picture, each with the row that it has now."""
    positions = store.find([seen.record.id for seen, _ in done]).tolist()
    found = []
    for at, (seen, own) in zip(positions, done, strict=True):
        if at >= 0 and store.content_at(at) == seen.record.content:
            seen.record.row = int(store.rows[at])
            found.append((seen, own))
    return found

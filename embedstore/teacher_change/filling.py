"""Filling a space beside the one in use: embed what it lacks, a few hundred samples at a time.

The writer's lock is held for each commit only, and no version is made, so that readers see nothing of it and others write in
between. What is there is told by the presence bitmaps of the columns: a run that was killed goes on from them.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from embedstore.engines.cutting import Cut, cropped
from embedstore.engines.engine import Embedded
from embedstore.engines.local import embed_here
from embedstore.errors import PictureError, StoreLockedError
from embedstore.store.embedding_store import EmbeddingStore
from embedstore.store.fields import Record
from embedstore.store.layout import BLOCK, Column
from embedstore.store.rows import by_block
from embedstore.store.stored_pictures import StoredPictures, stored_pictures
from embedstore.store.tables import Tables
from embedstore.store.writing import writer
from embedstore.teacher_change.spaces import Positions, Space, present

Progress = Callable[[str, int, int], None]  # what is done, how much of it, of how much

PATIENCE_SECONDS = 3600.0  # for another writer, such as a build
_LAST_WAIT_SECONDS = 5.0  # the same, where a run is stopped
EMBEDDING_STEP = "Embedding"
_COMMIT_ROWS, _COMMIT_SECONDS = BLOCK, 15.0  # what an interruption may cost


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
class _Lacking:
    """A sample, and the views that it lacks."""

    record: Record
    views: tuple[int, ...]


_Done = list[tuple[Record, Embedded]]


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
    waiting: list[_Lacking] = []
    for position, lacks in zip(among.tolist(), lacking, strict=True):
        wanted = tuple(sorted({column.view for column, one in zip(columns, lacks, strict=True) if one}))
        if wanted and records[position].id not in filled.missing:
            waiting.append(_Lacking(records[position], wanted))
    if waiting:
        with stored_pictures(store) as pictures:
            _Filling(store, space, filled, pictures).run(waiting, progress)


class _Filling:
    """One run over the samples that lack something."""

    def __init__(self, store: EmbeddingStore, space: Space, filled: Filled, pictures: StoredPictures):
        self._store, self._space, self._filled, self._pictures = store, space, filled, pictures
        self._teacher = space.teacher()
        self._reduced: set[str] = set()  # ids of those that a smaller picture stood in for, embedded or not
        self._surveyed = store.generation  # in which the rows have the numbers that the records say
        self._done: _Done = []  # embedded, not committed
        self._last_commit = time.monotonic()

    def run(self, waiting: Sequence[_Lacking], progress: Progress) -> None:
        records = {one.record.id: one.record for one in waiting}
        outputs = self._space.description["outputs"]
        seen = 0
        try:
            with closing(
                embed_here(waiting, self._cut, lambda: self._teacher, outputs, len(waiting[0].views))
            ) as answers:
                for pictures in answers:
                    for picture in pictures:
                        if picture.problem is None:
                            self._done.append((records[picture.id], picture))
                        else:
                            self._filled.missing[picture.id] = picture.problem
                    late = time.monotonic() - self._last_commit >= _COMMIT_SECONDS
                    if late or len(self._done) >= _COMMIT_ROWS:
                        self._commit()
                    seen += len(pictures)
                    progress(EMBEDDING_STEP, seen, len(waiting))
        except BaseException:
            # Whatever stops the run, what is embedded is kept; but who stops it does not wait long for another writer.
            with suppress(StoreLockedError):
                self._commit(wait=_LAST_WAIT_SECONDS)
            raise
        self._commit()

    def _cut(self, lacking: _Lacking) -> Cut:
        """Cut the views of one sample. Runs in a thread."""
        record, views = lacking.record, lacking.views
        try:
            picture, reduced = self._pictures.get(record.content, record.uri)
        except PictureError as error:
            return Cut(record.id, problem=str(error))
        if reduced:
            self._reduced.add(record.id)
        crops = cropped(picture, record.id, views, self._store.recipe, self._teacher.input_size)
        return Cut(record.id, record.content, views, crops)

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
        self._filled.embedded += sum(len(picture.views) for _, picture in done)
        self._filled.reduced |= {record.id for record, _ in done} & self._reduced
        self._last_commit = time.monotonic()

    def _put(self, tables: Tables, done: _Done) -> None:
        if tables.spaces().get(self._space.fingerprint) != self._space.description:
            tables.put_space(self._space.fingerprint, self._space.description)
        for column in self._space.columns(sorted({view for _, picture in done for view in picture.views})):
            having = [(record.row, picture) for record, picture in done if column.view in picture.views]
            rows = np.array([row for row, _ in having], np.int64)
            vectors = np.stack([one.vectors[column.output][one.views.index(column.view)] for _, one in having])
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


def _found_again(store: EmbeddingStore, done: _Done) -> _Done:
    """Return those whose sample still shows the same picture, each with the row that it has now."""
    found = []
    for at, (record, picture) in zip(store.find([record.id for record, _ in done]).tolist(), done, strict=True):
        if at >= 0 and store.content_at(at) == record.content:
            record.row = int(store.rows[at])
            found.append((record, picture))
    return found

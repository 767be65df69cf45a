"""The embedding pass of a build: read, cut, embed, and write into rows that no version shows yet."""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from embedstore.errors import PictureError
from embedstore.images import Listing, Sample
from embedstore.pictures import content_hash, decode
from embedstore.store import layout
from embedstore.store.embedding_store import EmbeddingStore
from embedstore.store.fields import ID, Record, record_of
from embedstore.store.kept_pictures import MOST_BYTES, KeptPictures, Pixels, to_keep
from embedstore.store.layout import BLOCK, Column
from embedstore.store.own_teacher import check_outputs
from embedstore.store.rows import staged
from embedstore.store.tables import Tables
from embedstore.store.writing import Writer
from embedstore.teachers import Teacher, load_described
from embedstore.views import draw_view, render

Progress = Callable[[int, int], None]  # pictures done, pictures in all

_CROPS_AT_ONCE = 96  # views in one call of the teacher, about
_COMMIT_ROWS, _COMMIT_SECONDS = BLOCK, 5.0  # what an interruption may cost
_KEPT_AT_ONCE = 1 << 26  # bytes of pixels to keep in one transaction
_READERS = min(8, os.cpu_count() or 2)  # threads that read and cut pictures while the teacher works


@dataclass
class _Picture:
    """A picture on its way to the teacher."""

    sample: Sample
    content: bytes | None = None
    row: int | None = None  # None: a new one is needed
    views: list[int] = field(default_factory=list)  # that are missing
    crops: npt.NDArray[np.uint8] | None = None
    pixels: Pixels | None = None  # to keep
    problem: str | None = None


class EmbeddingPass:
    """Brings all listed pictures into rows, under the writer's lock; nothing of it is visible before a publication.

    `space` is what the store is to say of its teacher, see `own_teacher.kept_by`; it is written with the first vectors.
    `just_read` is id -> content hash of files that the caller has read: those that lack nothing are not read again.

    Attributes:
        views: augmented views that every sample is to have.
        known: sample id -> its record in the version that is replaced.
        lost: sample id -> what is known of it, where a repair had to give up its vectors.
        staged_rows: rows that an interrupted build left, published by none.
        present: column -> which rows had their vector when the pass began.
        done: sample id -> its row and content hash in the new version.
        aside: path -> why the picture can't be used.
        embedded: (sample, view) pairs that went through the teacher.
        not_kept: pictures that were to be kept, for which there is no room.
    """

    def __init__(
        self,
        store: EmbeddingStore,
        session: Writer,
        listing: Listing,
        *,
        teacher: Teacher | None,
        space: dict[str, Any],
        views: int,
        progress: Progress | None,
        keep: KeptPictures | None = None,
        just_read: Mapping[str, bytes] | None = None,
    ):
        self._store, self._session, self._listing, self._teacher = store, session, listing, teacher
        self._progress = progress or (lambda done, total: None)
        self.views = views
        self._head = store.head
        self._just_read = just_read or {}
        self._space = space
        self._outputs = list(space["outputs"])
        self._input_size = int(space["input_size"])
        self.aside = dict(listing.unreadable)
        self.done: dict[str, tuple[int, bytes]] = {}  # sample id -> its row and content in the new version
        self._waiting: list[tuple[_Picture, dict[str, Any]]] = []  # embedded, not committed
        self._last_commit = time.monotonic()
        self.embedded = 0
        self._keep = keep
        self._kept: set[bytes] = set() if keep is None else keep.contents()
        self._kept_bytes = 0 if keep is None else keep.size()
        self._to_keep: dict[bytes, Pixels] = {}
        self.not_kept = 0

        def survey(tables: Tables) -> tuple[Any, list[dict[str, str]], dict[Column, npt.NDArray[np.bool_]]]:
            rows = tables.rows()
            return rows, tables.lost(), {column: tables.presence(column, len(rows)) for column in self.columns()}

        rows, lost, self.present = session.read(survey)
        self.known = {record.id: record for record in store.records()}
        self.lost = {fields[ID]: record_of(-1, b"", fields) for fields in lost}
        self._staged = {
            (rows["key"][row].tobytes(), rows["content"][row].tobytes()): int(row)
            for row in np.flatnonzero(staged(rows))
        }
        self.staged_rows = set(self._staged.values())
        self._row_count = len(rows)

    def run(self) -> None:
        """Embed all that is missing."""
        try:
            self._embed_all()
        finally:
            try:
                self._commit()  # whatever stops the run, what is embedded is kept; the next run goes on from here
            finally:
                self._write_kept()

    @property
    def kept(self) -> int:
        """How many pictures are kept for students, of this store and whatever it had before."""
        return len(self._kept)

    def columns(self) -> list[Column]:
        """Return the columns that every sample is to have."""
        return [Column(self._head.space, output, view) for output in self._outputs for view in range(self.views + 1)]

    def _has(self, row: int | None, column: Column) -> bool:
        """Return whether a row had its vector in a column when the pass began."""
        present = self.present[column]
        return row is not None and row < len(present) and bool(present[row])

    def staged_rows_of(self, ids: Iterable[str]) -> set[int]:
        """Return the rows that an interrupted build left of some samples, whatever their pictures were then."""
        keys = {layout.id_key(sample_id) for sample_id in ids}
        return {row for (key, _), row in self._staged.items() if key in keys}

    def _embed_all(self) -> None:
        samples = self._listing.samples
        batch: list[_Picture] = []
        crops = 0
        with closing(self._pictures()) as pictures:  # so that its threads end with the run, however that ends
            for done, picture in enumerate(pictures, start=1):
                self._keep_pixels(picture)
                if picture.problem is not None:
                    self.aside[picture.sample.uri] = picture.problem
                elif picture.views:
                    batch.append(picture)
                    crops += len(picture.views)
                    if crops >= _CROPS_AT_ONCE:
                        self._embed(batch)
                        batch, crops = [], 0
                elif picture.row is not None and picture.content is not None:  # nothing is missing
                    self.done[picture.sample.id] = (picture.row, picture.content)
                self._progress(done, len(samples))
        self._embed(batch)

    def _pictures(self) -> Generator[_Picture]:
        """Yield the listed pictures in order, read and cut by threads a little ahead of the teacher."""
        ahead = max(4, 2 * _CROPS_AT_ONCE // (self.views + 1))
        with ThreadPoolExecutor(_READERS, thread_name_prefix="embedstore-read") as pool:
            waiting: deque[Future[_Picture]] = deque()
            try:
                for sample in self._listing.samples:
                    waiting.append(pool.submit(self._prepare, sample))
                    if len(waiting) >= ahead:
                        yield waiting.popleft().result()
                while waiting:
                    yield waiting.popleft().result()
            finally:
                for future in waiting:
                    future.cancel()

    def _prepare(self, sample: Sample) -> _Picture:
        """Read a file, see what is missing of it, and cut the missing views. Runs in a thread; changes nothing."""
        picture, known = _Picture(sample), self.known.get(sample.id)
        if known is not None and known.content == self._just_read.get(sample.id) and self._needs_nothing(known):
            picture.row, picture.content = known.row, known.content
            return picture
        try:
            data = (self._listing.root / sample.uri).read_bytes()
        except OSError as error:
            picture.problem = f"can't be read: {error.strerror}"
            return picture
        picture.content = content_hash(data)
        if known is not None and known.content == picture.content:
            picture.row = known.row
        else:
            picture.row = self._staged.get((layout.id_key(sample.id), picture.content))
        picture.views = self._missing_views(picture.row)
        wanted = self._is_wanted(picture.content)
        if picture.views or wanted:
            try:
                image = decode(data)
            except PictureError as error:
                if picture.views:  # else its vectors are there, and only its pixels are lacking
                    picture.problem = str(error)
                return picture
            recipe = self._store.recipe
            if wanted:
                picture.pixels = to_keep(image, recipe)
        if picture.views:
            drawn = (draw_view(recipe, sample.id, view) for view in picture.views)
            picture.crops = np.stack([render(image, view, self._input_size, recipe.fit) for view in drawn])
        return picture

    def _missing_views(self, row: int | None) -> list[int]:
        return [
            view
            for view in range(self.views + 1)
            if not all(self._has(row, Column(self._head.space, output, view)) for output in self._outputs)
        ]

    def _is_wanted(self, content: bytes) -> bool:
        """Return whether a picture is to be kept for students, and there is room for it."""
        return self._keep is not None and content not in self._kept and self._kept_bytes < MOST_BYTES

    def _needs_nothing(self, known: Record) -> bool:
        return not self._missing_views(known.row) and not self._is_wanted(known.content)

    def _keep_pixels(self, picture: _Picture) -> None:
        pixels, picture.pixels = picture.pixels, None
        content = picture.content
        if (
            self._keep is None
            or content is None
            or picture.problem
            or content in self._kept
            or content in self._to_keep
        ):
            return
        if pixels is None or self._kept_bytes + pixels.nbytes > MOST_BYTES:
            self.not_kept += 1
            return
        self._to_keep[content] = pixels
        self._kept_bytes += pixels.nbytes
        if sum(kept.nbytes for kept in self._to_keep.values()) >= _KEPT_AT_ONCE:
            self._write_kept()

    def _write_kept(self) -> None:
        written, self._to_keep = self._to_keep, {}
        if self._keep is not None and written:
            self._keep.put(written)
            self._kept |= written.keys()

    def _embed(self, batch: list[_Picture]) -> None:
        if not batch:
            return
        if self._teacher is None:
            self._teacher = load_described(self._store.space, self._outputs)
            self._store.check_teacher(self._teacher)
            check_outputs(self._store, self._teacher)
        vectors = self._teacher.embed(np.concatenate([p.crops for p in batch if p.crops is not None]))
        start = 0
        for picture in batch:
            end = start + len(picture.views)
            with np.errstate(over="ignore"):  # too large for float16 becomes infinite, which is set aside below
                own = {output: vectors[output][start:end].astype(np.float16) for output in self._outputs}
            start = end
            picture.crops = None
            if all(np.isfinite(values).all() for values in own.values()):
                self._waiting.append((picture, own))
                self.embedded += len(picture.views)
            else:
                self.aside[picture.sample.uri] = "the teacher gave a vector that is not finite"
        late = time.monotonic() - self._last_commit >= _COMMIT_SECONDS
        if late or len(self._waiting) >= _COMMIT_ROWS:
            self._commit()

    def _commit(self) -> None:
        """Write what is embedded into rows that no version shows yet."""
        waiting, self._waiting = self._waiting, []
        if not waiting:
            return
        count = self._row_count
        fresh: list[tuple[int, bytes, bytes]] = []
        for picture, _ in waiting:
            assert picture.content is not None  # noqa: S101  set when the file was read
            if picture.row is None:
                picture.row = count
                fresh.append((count, layout.id_key(picture.sample.id), picture.content))
                count += 1
            self.done[picture.sample.id] = (picture.row, picture.content)

        def write(tables: Tables) -> None:
            if self._space != self._store.space:  # outputs that the store has not kept so far
                tables.put_space(self._head.space, self._space)
            for block in sorted({row // BLOCK for row, _, _ in fresh}):
                rows = tables.row_block(block)
                for row, key, content in fresh:
                    if row // BLOCK == block:
                        rows["key"][row % BLOCK] = np.frombuffer(key, np.uint8)
                        rows["content"][row % BLOCK] = np.frombuffer(content, np.uint8)
                tables.put_row_block(block, rows)
            for column in self.columns():
                having = [
                    (p.row, own[column.output][p.views.index(column.view)])
                    for p, own in waiting
                    if column.view in p.views and not self._has(p.row, column)  # what readers may see never changes
                ]
                if having:
                    rows_at = np.array([row for row, _ in having], np.int64)
                    tables.put_vectors(column, rows_at, np.stack([vector for _, vector in having]))
            tables.put_row_count(count)

        self._session.write(write)
        self._row_count = count
        self._last_commit = time.monotonic()

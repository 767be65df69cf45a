"""The embedding pass of a build: say what is missing, let an engine make it, and write it into rows that no version shows yet."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from embedstore.engines.engine import Embedded, Engine, Job, Pixels, Request
from embedstore.engines.local import LocalEngine
from embedstore.engines.shards import folder_of, left_behind, remove_all, sweep
from embedstore.images import Listing
from embedstore.store.embedding_store import EmbeddingStore
from embedstore.store.fields import Record
from embedstore.store.kept_pictures import MOST_BYTES, KeptPictures
from embedstore.store.layout import BLOCK, Column
from embedstore.store.own_teacher import check_outputs
from embedstore.store.writing import Writer
from embedstore.store.written_rows import WrittenRows
from embedstore.teachers import Teacher, load_described

Progress = Callable[[int, int], None]  # pictures done, pictures in all

_COMMIT_ROWS, _COMMIT_SECONDS = BLOCK, 5.0  # what an interruption may cost
_KEPT_AT_ONCE = 1 << 26  # bytes of pixels to keep in one transaction


class EmbeddingPass:
    """Brings all listed pictures into rows, under the writer's lock; nothing of it is visible before a publication.

    Args:
        store: read under the lock.
        session: the writer.
        listing: what is to be embedded.
        teacher: for the engine of this process; None: the store's own, loaded when it is needed.
        space: what the store is to say of its teacher, see `own_teacher.kept_by`; it is written with the first vectors.
        views: augmented views that every sample is to have.
        progress: is told the pictures.
        keep: pictures for students, where the store keeps them.
        just_read: id -> content hash of files that the caller has read: those that lack nothing are not read again.
        engine: does the work; None: this process.
        spec: that the teacher was named by, for an engine elsewhere; None: as the store names it.
        shards: folder where engines hand over, `STORE.shards` where not given. What a run left there comes into rows first,
            whatever the engine.

    Attributes:
        views: as given.
        aside: path -> why the picture can't be used.
        done: sample id -> its row and content hash in the new version.
        embedded: (sample, view) pairs that went through the teacher.
        not_kept: pictures that were to be kept, for which there is no room.
        shards_resumed: shards that a run before had finished and not brought into the store.
        shards_unfinished: shards that it had begun and not finished.
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
        engine: Engine | None = None,
        spec: str | None = None,
        shards: Path | None = None,
    ):
        self._store, self._session, self._listing, self._teacher = store, session, listing, teacher
        self._progress = progress or (lambda done, total: None)
        self.views = views
        self._just_read = just_read or {}
        self._space = space
        self._job = Job(
            store=store.path.resolve(),
            root=listing.root.resolve(),
            recipe=store.recipe,
            views=views,
            fingerprint=store.fingerprint,
            space=space,
            teacher=spec,
            shards=folder_of(store.path) if shards is None else shards.resolve(),
        )
        self._engine = engine or LocalEngine(self._load_teacher)
        self._rows = WrittenRows(store, session, space, views)
        self._uris = {sample.id: sample.uri for sample in listing.samples}
        self.aside = dict(listing.unreadable)
        self.done: dict[str, tuple[int, bytes]] = {}
        self._looked_at = 0
        self._waiting: list[Embedded] = []  # embedded, not committed
        self._last_commit = time.monotonic()
        self.embedded = 0
        self._keep = keep
        self._kept: set[bytes] = set() if keep is None else keep.contents()
        self._kept_bytes = 0 if keep is None else keep.size()
        self._to_keep: dict[bytes, Pixels] = {}
        self.not_kept = 0
        self.shards_resumed = self.shards_unfinished = 0

    def run(self) -> None:
        """Embed all that is missing."""
        try:
            self._take_left_behind()
            self._embed_all()
        finally:
            try:
                self._commit()  # whatever stops the run, what is embedded is kept; the next run goes on from here
            finally:
                self._write_kept()

    def settle(self) -> None:
        """Remove what engines left of work that a version has by now."""
        remove_all(self._job)

    @property
    def known(self) -> Mapping[str, Record]:
        """Sample id -> its record in the version that is replaced."""
        return self._rows.known

    @property
    def lost(self) -> Mapping[str, Record]:
        """Sample id -> what is known of it, where a repair had to give up its vectors."""
        return self._rows.lost

    @property
    def staged_rows(self) -> set[int]:
        """Rows that an interrupted build left, published by none."""
        return self._rows.staged

    @property
    def present(self) -> Mapping[Column, npt.NDArray[np.bool_]]:
        """Column -> which rows had their vector when the pass began."""
        return self._rows.present

    @property
    def kept(self) -> int:
        """How many pictures are kept for students, of this store and whatever it had before."""
        return len(self._kept)

    def columns(self) -> list[Column]:
        """Return the columns that every sample is to have."""
        return self._rows.columns

    def staged_rows_of(self, ids: Iterable[str]) -> set[int]:
        """Return the rows that an interrupted build left of some samples, whatever their pictures were then."""
        return self._rows.staged_of(ids)

    def _take_left_behind(self) -> None:
        """Bring into rows what a run before had embedded elsewhere: they then wait as those of an interrupted build do."""
        for pictures in left_behind(self._job):
            self._rows.write([picture for picture in pictures if picture.views])
            for picture in pictures:
                if picture.pixels is not None:
                    self._keep_pixels(picture)
            self._write_kept()
            self.shards_resumed += 1
        self.shards_unfinished = sweep(self._job)
        if self.shards_resumed:
            self._rows = WrittenRows(self._store, self._session, self._space, self.views)

    def _embed_all(self) -> None:
        with closing(self._engine.embed(self._requests(), self._job, self._is_wanted)) as answers:
            for pictures in answers:
                for picture in pictures:
                    self._take(picture)
                late = time.monotonic() - self._last_commit >= _COMMIT_SECONDS
                if late or len(self._waiting) >= _COMMIT_ROWS:
                    self._commit()
                for _ in pictures:
                    self._tell()

    def _requests(self) -> Iterator[Request]:
        """Yield what the engine is to look at: all pictures but those that were just read and lack nothing."""
        for sample in self._listing.samples:
            known, lacking = self.known.get(sample.id), self._rows.lacking(sample.id)
            just_read = self._just_read.get(sample.id)
            if (
                known is not None
                and known.content == just_read
                and not lacking[just_read]
                and not self._is_wanted(just_read)
            ):
                self.done[sample.id] = (known.row, known.content)
                self._tell()
            else:
                yield Request(sample.id, sample.uri, lacking)

    def _tell(self) -> None:
        self._looked_at += 1
        self._progress(self._looked_at, len(self._listing.samples))

    def _take(self, picture: Embedded) -> None:
        self._keep_pixels(picture)
        if picture.problem is not None:
            self.aside[self._uris[picture.id]] = picture.problem
        elif picture.views:
            self._waiting.append(picture)
            self.embedded += len(picture.views)
        elif picture.content is not None and (row := self._rows.row(picture.id, picture.content)) is not None:
            self.done[picture.id] = (row, picture.content)  # nothing is missing

    def _is_wanted(self, content: bytes) -> bool:
        """Return whether a picture is to be kept for students, and there is room for it. Asked by threads, too."""
        return self._keep is not None and content not in self._kept and self._kept_bytes < MOST_BYTES

    def _keep_pixels(self, picture: Embedded) -> None:
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

    def _load_teacher(self) -> Teacher:
        if self._teacher is None:
            self._teacher = load_described(self._space, list(self._job.outputs))
            self._store.check_teacher(self._teacher)
            check_outputs(self._store, self._teacher)
        return self._teacher

    def _commit(self) -> None:
        """Write what is embedded into rows that no version shows yet."""
        waiting, self._waiting = self._waiting, []
        if waiting:
            for picture, row in zip(waiting, self._rows.write(waiting), strict=True):
                assert picture.content is not None  # noqa: S101  else it has no vectors
                self.done[picture.id] = (row, picture.content)
            self._last_commit = time.monotonic()
        self._engine.committed()

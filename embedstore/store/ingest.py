"""Build: from listed images through the teacher into the store; incremental, resumable, visible in one step."""

from __future__ import annotations

import os
import shutil
import time
from collections import deque
from collections.abc import Callable, Generator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from embedstore.errors import ImagesError, PictureError, SettingsError
from embedstore.images import FIELDS, Listing, Sample, list_images
from embedstore.pictures import content_hash, decode
from embedstore.store import layout
from embedstore.store.embedding_store import EmbeddingStore
from embedstore.store.layout import BLOCK, Column, Head, Record
from embedstore.store.tables import Tables, staged, visible
from embedstore.store.writing import Writer, create_store, next_head, refuse_other_content, writer
from embedstore.teachers import DEFAULT_TEACHER, Teacher, load_teacher
from embedstore.views import Recipe, draw_view, render

Progress = Callable[[int, int], None]  # pictures done, pictures in all

DEFAULT_VIEWS = 2
_CROPS_AT_ONCE = 96  # views in one call of the teacher, about
_COMMIT_ROWS, _COMMIT_SECONDS = BLOCK, 5.0  # what an interruption may cost
_READERS = 2  # threads that read and cut pictures while the teacher works


@dataclass(frozen=True)
class BuildReport:
    """What a build did."""

    version: int
    samples: int
    new: int  # samples that were not there before
    changed: int  # samples whose picture is another
    updated: int  # samples of which only the label or another field changed
    removed: int  # samples that left, with `prune`
    gone: int  # samples whose picture is not there any more, kept
    embedded: int  # (sample, view) pairs that went through the teacher in this run
    resumed: int  # samples that an interrupted run had embedded already
    views: int
    views_incomplete: int  # views that samples without a picture lack, so that no reader sees them yet
    set_aside: int
    ignored: int  # files that are no pictures by their ending
    teacher: str
    seconds: float


@dataclass
class _Picture:
    """A picture on its way to the teacher."""

    sample: Sample
    content: bytes | None = None
    row: int | None = None  # None: a new one is needed
    views: list[int] = field(default_factory=list)  # that are missing
    crops: npt.NDArray[np.uint8] | None = None
    problem: str | None = None


def build(
    path: str | os.PathLike[str],
    images: str | os.PathLike[str],
    *,
    manifest: str | os.PathLike[str] | None = None,
    teacher: str | Teacher | None = None,
    views: int | None = None,
    recipe: Recipe | None = None,
    prune: bool = False,
    progress: Progress | None = None,
) -> BuildReport:
    """Embed what the store does not have yet, and make it visible as one new version.

    A picture is embedded again only where its bytes, the teacher or the number of views changed. An interrupted build
    goes on where it was when called again. Pictures that can't be read are set aside and listed.

    Args:
        path: the store; made where there is none.
        images: the folder that holds the images.
        manifest: names the images; see `images.list_images`. Without it, all pictures below `images`.
        teacher: a spec or a teacher; the store's own where not given, an open_clip CLIP for a new store.
        views: augmented views beside the plain picture; 2 for a new store where not given. Never fewer than there are.
        recipe: how views are drawn; for a new store only.
        prune: remove samples whose picture is not listed any more.
        progress: called with (pictures done, pictures in all).

    Raises:
        ImagesError: folder or manifest can't be used, or no picture can be read at all.
        TeacherError: the teacher can't be loaded.
        TeacherMismatchError: the store was filled by another teacher.
        StoreError: `path` is something else, or is being written by another process.
    """
    started = time.monotonic()
    store_path = Path(path)
    if views is not None and not 0 <= views <= 65_535:
        raise SettingsError(f"The number of views is {views}; expected 0 to 65535.")
    listing = list_images(images, manifest)
    is_new = not os.path.exists(store_path / layout.CURRENT)  # Path.exists raises where a name is too long
    if is_new:
        refuse_other_content(store_path)
        _refuse_all_unreadable(listing)
        loaded = load_teacher(teacher or DEFAULT_TEACHER) if teacher is None or isinstance(teacher, str) else teacher
        settings = {"recipe": (recipe or Recipe()).to_dict(), "image_root": str(Path(images).resolve())}
        create_store(store_path, settings, loaded.fingerprint, _describe(loaded))
        teacher = loaded
    try:
        report = _build_existing(
            store_path, listing, teacher=teacher, views=views, recipe=recipe, prune=prune, progress=progress
        )
    except _NothingUsableError:
        if is_new:
            shutil.rmtree(store_path)
        raise
    return replace(report, seconds=time.monotonic() - started)


def _build_existing(
    path: Path,
    listing: Listing,
    *,
    teacher: str | Teacher | None,
    views: int | None,
    recipe: Recipe | None,
    prune: bool,
    progress: Progress | None,
) -> BuildReport:
    with EmbeddingStore(path) as store:
        if recipe is not None and recipe != store.recipe:
            raise SettingsError(
                f"The store '{path}' draws its views by another recipe ({store.recipe}), and a recipe never changes; "
                "leave the view options out, or build another store."
            )
        if isinstance(teacher, str):
            teacher = load_teacher(teacher)
        if teacher is not None:
            store.check_teacher(teacher)
        with writer(store.path, store.environment) as session:
            store.refresh()
            asked = DEFAULT_VIEWS if views is None and not store.head.columns else views or 0
            build_one = _Build(
                store, session, listing, teacher=teacher, views=max(asked, store.views), progress=progress
            )
            return build_one.run(prune)


class _NothingUsableError(ImagesError):
    """Not one picture can be used."""


class _Build:
    """One build under the writer's lock."""

    def __init__(
        self,
        store: EmbeddingStore,
        session: Writer,
        listing: Listing,
        *,
        teacher: Teacher | None,
        views: int,
        progress: Progress | None,
    ):
        self._store, self._session, self._listing, self._teacher = store, session, listing, teacher
        self._progress = progress or (lambda done, total: None)
        self.views = views
        self._head = store.head
        self._outputs = list(store.space["outputs"])
        self._input_size = int(store.space["input_size"])
        self._aside = dict(listing.unreadable)
        self._done: dict[str, tuple[int, bytes]] = {}  # sample id -> its row and content in the new version
        self._waiting: list[tuple[_Picture, dict[str, Any]]] = []  # embedded, not committed
        self._last_commit = time.monotonic()
        self.embedded = self.resumed = 0

        def survey(tables: Tables) -> tuple[Any, list[Record], dict[Column, npt.NDArray[np.bool_]]]:
            rows = tables.rows()
            columns = self._columns()
            return rows, list(tables.records(self._head.version)), {c: tables.presence(c, len(rows)) for c in columns}

        rows, records, self._present = session.read(survey)
        alive = visible(rows, self._head.version)
        self._known = {record.id: record for record in records if alive[record.row]}
        self._staged = {
            (rows["key"][row].tobytes(), rows["content"][row].tobytes()): int(row)
            for row in np.flatnonzero(staged(rows))
        }
        self._row_count = len(rows)

    def run(self, prune: bool) -> BuildReport:
        """Embed, then publish."""
        try:
            self._embed_all()
        finally:
            self._commit()  # whatever stops the run, what is embedded is kept; the next run goes on from here
        if not self._done and not self._known:
            raise _no_picture(self._listing.root, self._aside)
        return self._publish(prune)

    def _columns(self) -> list[Column]:
        return [Column(self._head.space, output, view) for output in self._outputs for view in range(self.views + 1)]

    # Embedding

    def _embed_all(self) -> None:
        samples = self._listing.samples
        batch: list[_Picture] = []
        crops = 0
        with closing(self._pictures()) as pictures:  # so that its threads end with the run, however that ends
            for done, picture in enumerate(pictures, start=1):
                if picture.problem is not None:
                    self._aside[picture.sample.uri] = picture.problem
                elif picture.views:
                    batch.append(picture)
                    crops += len(picture.views)
                    if crops >= _CROPS_AT_ONCE:
                        self._embed(batch)
                        batch, crops = [], 0
                elif picture.row is not None and picture.content is not None:  # nothing is missing
                    self._done[picture.sample.id] = (picture.row, picture.content)
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
        picture = _Picture(sample)
        try:
            data = (self._listing.root / sample.uri).read_bytes()
        except OSError as error:
            picture.problem = f"can't be read: {error.strerror}"
            return picture
        picture.content = content_hash(data)
        known = self._known.get(sample.id)
        if known is not None and known.content == picture.content:
            picture.row = known.row
        else:
            picture.row = self._staged.get((layout.id_key(sample.id), picture.content))
        picture.views = [
            view
            for view in range(self.views + 1)
            if picture.row is None
            or not all(self._present[Column(self._head.space, output, view)][picture.row] for output in self._outputs)
        ]
        if picture.views:
            try:
                image = decode(data)
            except PictureError as error:
                picture.problem = str(error)
                return picture
            recipe = self._store.recipe
            drawn = (draw_view(recipe, sample.id, view) for view in picture.views)
            picture.crops = np.stack([render(image, view, self._input_size, recipe.fit) for view in drawn])
        return picture

    def _embed(self, batch: list[_Picture]) -> None:
        if not batch:
            return
        if self._teacher is None:
            self._teacher = load_teacher(self._store.teacher)
            self._store.check_teacher(self._teacher)
        vectors = self._teacher.embed(np.concatenate([p.crops for p in batch if p.crops is not None]))
        start = 0
        for picture in batch:
            end = start + len(picture.views)
            with np.errstate(over="ignore"):  # too large for float16 becomes infinite, which is set aside below
                own = {output: values[start:end].astype(np.float16) for output, values in vectors.items()}
            start = end
            picture.crops = None
            if all(np.isfinite(values).all() for values in own.values()):
                self._waiting.append((picture, own))
                self.embedded += len(picture.views)
            else:
                self._aside[picture.sample.uri] = "the teacher gave a vector that is not finite"
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
            self._done[picture.sample.id] = (picture.row, picture.content)

        def write(tables: Tables) -> None:
            for block in sorted({row // BLOCK for row, _, _ in fresh}):
                rows = tables.row_block(block)
                for row, key, content in fresh:
                    if row // BLOCK == block:
                        rows["key"][row % BLOCK] = np.frombuffer(key, np.uint8)
                        rows["content"][row % BLOCK] = np.frombuffer(content, np.uint8)
                tables.put_row_block(block, rows)
            for column in self._columns():
                having = [
                    (p.row, own[column.output][p.views.index(column.view)])
                    for p, own in waiting
                    if column.view in p.views
                ]
                if having:
                    rows_at = np.array([row for row, _ in having], np.int64)
                    tables.put_vectors(column, rows_at, np.stack([vector for _, vector in having]))
            tables.put_row_count(count)

        self._session.write(write)
        self._row_count = count
        self._last_commit = time.monotonic()

    # Publishing

    def _publish(self, prune: bool) -> BuildReport:
        known, done = self._known, self._done
        listed = {sample.id: sample for sample in self._listing.samples}
        staged_rows = set(self._staged.values())
        born = [row for sample_id, (row, _) in done.items() if sample_id not in known or known[sample_id].row != row]
        replaced = [
            known[sample_id].row
            for sample_id, (row, _) in done.items()
            if sample_id in known and known[sample_id].row != row
        ]
        gone = [sample_id for sample_id in known if sample_id not in listed]
        records = []
        for sample_id, (row, content) in done.items():
            before = known.get(sample_id)
            after = _merge(before, listed[sample_id], row, content)
            if after != before:
                records.append(after)
        new = sum(sample_id not in known for sample_id in done)
        pruned = gone if prune else []
        head = Head(self._head.version, self._head.space, self._complete_columns(set(pruned)))
        if records or born or pruned:
            head = next_head(head)
        swept = staged_rows - set(born)  # of an interrupted build, and no part of this one
        if head != self._head or swept or self._aside_changed():
            self._session.publish(
                head,
                records=records,
                born=born,
                died=replaced + [known[sample_id].row for sample_id in pruned],
                swept=swept,
                aside=self._aside,
            )
        image_root = str(self._listing.root.resolve())
        if image_root != self._store.settings["image_root"]:
            self._session.write(lambda tables: tables.put_settings({**tables.settings(), "image_root": image_root}))
        self._store.refresh()
        return BuildReport(
            version=head.version,
            samples=len(self._store),
            new=new,
            changed=len(replaced),
            updated=len(records) - new - len(replaced),
            removed=len(pruned),
            gone=len(gone) - len(pruned),
            embedded=self.embedded,
            resumed=len(staged_rows & set(born)),
            views=head.views,
            views_incomplete=self.views - head.views,
            set_aside=len(self._aside),
            ignored=sum(self._listing.ignored.values()),
            teacher=self._store.teacher,
            seconds=0.0,
        )

    def _complete_columns(self, pruned: set[str]) -> tuple[Column, ...]:
        """Return the columns in which every sample of the new version has its vector.

        A sample that is not listed any more, or whose picture was set aside, keeps what it has but can't get new views;
        columns that it lacks are left out, so that no reader ever meets a hole.
        """
        left_behind = [
            record.row
            for sample_id, record in self._known.items()
            if sample_id not in self._done and sample_id not in pruned
        ]
        columns = self._columns()
        kept = [column for column in columns if all(self._present[column][row] for row in left_behind)]
        return tuple(kept)

    def _aside_changed(self) -> bool:
        return {entry["path"]: entry["reason"] for entry in self._store.set_aside} != self._aside


def _merge(before: Record | None, sample: Sample, row: int, content: bytes) -> Record:
    """Return the sample's new record: of its fields only those change of which the source says something new.

    So a label that a technician put right in the store survives the next build from the same folder, and a folder tree,
    which knows no splits, leaves those that the store has. A cell that is and was empty says nothing.
    """
    said = {name: getattr(sample, name) for name in FIELDS if name in sample.given}
    said |= {f"attribute {name}": sample.attributes.get(name) for name in sorted(sample.given - set(FIELDS))}
    said_before = {} if before is None or before.source is None else before.source
    source = {name: value for name, value in {**said_before, **said}.items() if value is not None}
    if before is None:
        return Record(
            sample.id, sample.uri, row, content, sample.label, sample.mode, sample.group, sample.split,
            dict(sample.attributes) or None, source,
        )  # fmt: skip
    after = replace(before, uri=sample.uri, row=row, content=content, source=source)
    attributes = dict(before.attributes or {})
    for name, value in said.items():
        if said_before.get(name) == value:
            continue
        if name in FIELDS:
            setattr(after, name, value)
        elif value is None:
            attributes.pop(name.removeprefix("attribute "), None)
        else:
            attributes[name.removeprefix("attribute ")] = value
    after.attributes = attributes or None
    return after


def _describe(teacher: Teacher) -> dict[str, Any]:
    return {"teacher": teacher.name, "outputs": dict(teacher.outputs), "input_size": teacher.input_size}


def _refuse_all_unreadable(listing: Listing) -> None:
    if not listing.samples:
        raise _no_picture(listing.root, listing.unreadable)


def _no_picture(root: Path, aside: dict[str, str]) -> _NothingUsableError:
    path, reason = next(iter(sorted(aside.items())))
    return _NothingUsableError(
        f"None of the {len(aside)} pictures under '{root}' can be used (the first, '{path}': {reason}); nothing was "
        "stored."
    )

"""Reading a store: samples, their fields, and their vectors, at one version."""

from __future__ import annotations

import os
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

import numpy as np
import numpy.typing as npt

from embedstore.errors import StoreError
from embedstore.images import Sample
from embedstore.store.environment import Environment, release_dropped
from embedstore.store.fields import ID, SAID, Field, Record, as_stored, spelt
from embedstore.store.layout import BLOCK, Head
from embedstore.store.rows import Rows, staged, visible
from embedstore.store.snapshot import KEY, Snapshot
from embedstore.store.tables import Tables
from embedstore.store.versions import head_at
from embedstore.teachers.protocol import EMBEDDING
from embedstore.vectors import Vectors, widened
from embedstore.views import Recipe

T = TypeVar("T")
Where = Mapping[str, str | None]

_BLOCKS_AT_ONCE = 16  # a scan renews its transaction after so many blocks: a pinned reader makes the file grow


class StoreReader:
    """What a store holds, at one version that stays the same while one looks.

    All sequences (`ids`, `labels`, ...) are in the same order, that of the rows; a *position* is a place in them.

    Args:
        path: the store.
        version: a version's number or a tag; the newest where not given.

    Attributes:
        path: of the store.
        pinned: the version that was asked for.

    Threads may read at once, and one may refresh meanwhile: each call is answered from one version, though two may not be.
    """

    def __init__(self, path: str | os.PathLike[str], version: int | str | None = None):
        self.path = Path(path)
        self.pinned = version
        self._now, self._moving = Snapshot(self.path, version), threading.Lock()

    def refresh(self) -> None:
        """Move to the newest version, or look anew at the one that was asked for; where that fails, stay at what is open.

        Raises:
            StoreError: the store was closed, or can't be opened, or the version that was asked for is gone.
        """
        with self._moving:  # else a thread that looked first, and was slow, would move it back past another's change
            self._now.refuse_closed()
            self._now = Snapshot(self.path, self.pinned)  # what was open stays so for threads that are still reading it
        release_dropped()

    def refuse_pinned(self) -> None:
        """Raise where this store was opened at a version, which never changes."""
        if self.pinned is not None:
            raise StoreError(
                f"The store '{self.path}' was opened at version {self.version}, which never changes; open it without a version."
            )

    def close(self) -> None:
        """Give the handle back; once is enough."""
        self._now.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # What it is

    @property
    def head(self) -> Head:
        """What the store says of the version that is read; for the store's own code."""
        return self._now.head

    @property
    def settings(self) -> dict[str, Any]:
        """What the store says of its making; for the store's own code."""
        return self._now.settings

    @property
    def space(self) -> dict[str, Any]:
        """What the store says of its teacher; for the store's own code."""
        return self._now.space

    @property
    def recipe(self) -> Recipe:
        """How views are drawn."""
        return self._now.recipe

    @property
    def environment(self) -> Environment:
        """The open data file; for the store's own code."""
        return self._now.environment

    @property
    def version(self) -> int:
        """The version that is read."""
        return self.head.version

    @property
    def fingerprint(self) -> str:
        """The fingerprint of the teacher that filled the store."""
        return self.head.space

    @property
    def teacher(self) -> str:
        """The spec that the teacher was loaded by."""
        return str(self.space["teacher"])

    @property
    def teachers(self) -> dict[str, str]:
        """The name of each teacher that the store has, or had, vectors of, by fingerprint; `migrate` adds one."""
        return self._read(lambda tables: {space: str(said["teacher"]) for space, said in tables.spaces().items()})

    @property
    def declared(self) -> bool:
        """Whether the vectors were imported under the teacher's name, which nobody checked."""
        return bool(self.space.get("declared", False))

    @property
    def dim(self) -> int:
        """The dimension of the embeddings."""
        return int(self.space["outputs"][EMBEDDING])

    @property
    def outputs(self) -> dict[str, int]:
        """The teacher's outputs of which every sample has all views, with their dimensions; `embedding` first."""
        views = {
            name: {column.view for column in self.head.columns if column.output == name}
            for name in self.space["outputs"]
        }
        complete = set(range(self.views + 1))
        return {name: int(dim) for name, dim in self.space["outputs"].items() if views[name] >= complete}

    @property
    def views(self) -> int:
        """How many augmented views are complete, beside the plain picture."""
        return self.head.views

    @property
    def image_root(self) -> Path:
        """The folder that the samples' paths are relative to, as of the last build."""
        return Path(self.settings["image_root"])

    @property
    def generation(self) -> Path:
        """The directory that holds the data and what is made from it; a compaction makes another."""
        return self.environment.directory

    # Samples

    @property
    def alive(self) -> Rows:
        """The rows of this version (n,) as `layout.ROW`: when they were born, whose they are, of what picture."""
        return self._now.alive

    @property
    def rows(self) -> npt.NDArray[np.int64]:
        """The row number (n,) of each position, ascending."""
        return self._now.rows

    @property
    def row_total(self) -> int:
        """How many rows were ever allocated, seen by this version or not."""
        return self._read(lambda tables: tables.row_count())

    def text_field(self, name: str) -> Field:
        """Return a field of all samples: `id`, `uri`, label, mode, group, split, or `fields.ATTRIBUTE` + a name."""
        return self._now.text_field(name)

    def field(self, name: str) -> list[str | None]:
        """Return a text of each sample, or None: its label, mode, group, split or an attribute.

        Raises:
            StoreError: no sample has such a field.
        """
        return self._now.known_field(name).to_list()

    @property
    def field_names(self) -> list[str]:
        """The names of all fields that were ever used, as `fields` spells them."""
        return list(self._now.names)

    @property
    def attribute_names(self) -> list[str]:
        """The names of the attributes that any sample ever had, sorted."""
        return self._now.attribute_names

    def __len__(self) -> int:
        return len(self.rows) if self.head.samples is None else self.head.samples

    def __contains__(self, sample_id: object) -> bool:
        return isinstance(sample_id, str) and self.find([sample_id])[0] >= 0

    @property
    def ids(self) -> list[str]:
        """The ids of all samples."""
        return self._now.ids

    @property
    def labels(self) -> list[str | None]:
        """The label of each sample; None where it has none."""
        return self.field("label")

    def records(self) -> list[Record]:
        """Return all samples with all that is known of them; for the store's own code."""
        return self._now.records()

    @property
    def samples(self) -> list[Sample]:
        """All samples with what is known of them."""
        return [_sample(record) for record in self.records()]

    def sample(self, sample_id: str) -> Sample:
        """Return one sample.

        Raises:
            StoreError: there is no such id.
        """
        now = self._now
        return _sample(now.record_at(int(now.positions([as_stored(sample_id)])[0])))

    def sample_at(self, position: int) -> Sample:
        """Return the sample at a position in `ids`."""
        return _sample(self._now.record_at(position))

    def content_at(self, position: int) -> bytes:
        """Return the hash of the file that was embedded; see `pictures.content_hash`. Zeros: vectors without a picture."""
        return bytes(self.alive["content"][position])

    def positions(self, ids: Sequence[str]) -> npt.NDArray[np.int64]:
        """Return where some ids stand in `ids`.

        Raises:
            StoreError: one is not in the store.
        """
        return self._now.positions([as_stored(sample_id) for sample_id in ids])

    def find(self, ids: Sequence[str]) -> npt.NDArray[np.int64]:
        """Return the positions (n,) of ids, -1 where there is no such."""
        return self._now.find([as_stored(sample_id) for sample_id in ids])

    def where(self, conditions: Where) -> npt.NDArray[np.bool_]:
        """Return which samples meet all conditions, exactly: over label, mode, group, split and any attribute.

        Raises:
            StoreError: no sample has such a field.
        """
        now = self._now
        chosen = np.ones(len(now.rows), bool)
        for name, asked in conditions.items():
            chosen &= now.known_field(name).equals(None if asked is None else as_stored(asked))
        return chosen

    def counts(self, name: str) -> dict[str | None, int]:
        """Return how often each value of a field occurs, most frequent first."""
        return dict(Counter(self.text_field(spelt(name)).to_list()).most_common())

    def given(self, name: str) -> list[str | None]:
        """Return what folder or manifest said last of label, mode, group or split, for each sample."""
        return self.text_field(SAID + name).to_list()

    def changed_since(self, version: int) -> set[str]:
        """Return the ids of samples that have another picture or label now than they had at an earlier version.

        Raises:
            StoreError: that version can't be read any more.
        """
        now = self._now

        def then(tables: Tables) -> tuple[npt.NDArray[np.int64], Rows, Field]:
            head_at(tables, version)
            rows = tables.rows()
            seen = np.flatnonzero(visible(rows, version))
            return seen, rows[seen], tables.field("label", version)[seen]

        rows, earlier, labels = now.look(then)
        had_key = np.ascontiguousarray(earlier["key"]).view(KEY).reshape(-1)
        _, at, was = np.intersect1d(now.keys, had_key, assume_unique=True, return_indices=True)
        content = now.alive["content"][at]  # of a rollback's rows that of the rows that they are copies of
        same = (content == earlier["content"][was]).all(axis=1) & content.any(axis=1)
        same |= now.rows[at] == rows[was]
        current, ids = now.text_field("label"), now.ids
        pairs = zip(same.tolist(), at.tolist(), was.tolist(), strict=True)
        return {ids[one] for stays, one, then_at in pairs if not stays or labels.at(then_at) != current.at(one)}

    def changed_by(self, ids: Sequence[str], name: str) -> list[int]:
        """Return the version that gave each of some samples what it has in a field: label, mode, group, split or an attribute.

        That is never before the one that gave the sample its picture. After a compaction it is the first later one that is
        left.

        Raises:
            StoreError: an id is not in the store.
        """
        now = self._now
        at = now.positions([as_stored(sample_id) for sample_id in ids])
        since = now.look(lambda tables: tables.texts_since(spelt(name), now.rows[at], now.version))
        return [max(one, int(born)) for one, born in zip(since, now.alive["born"][at], strict=True)]

    @property
    def set_aside(self) -> list[dict[str, str]]:
        """The pictures that could not be used: `path` and `reason`."""
        return self._read(lambda tables: tables.aside())

    @property
    def lost(self) -> list[str]:
        """The ids of samples whose vectors a repair had to give up; the next build embeds them again."""
        return self._read(lambda tables: sorted(fields[ID] for fields in tables.lost()))

    def unfinished(self) -> int:
        """Return how many rows an interrupted build has written that no version shows yet."""
        return self._read(lambda tables: int(staged(tables.rows()).sum()))

    # Vectors

    def vectors(self, ids: Sequence[str] | None = None, *, view: int = 0, output: str = EMBEDDING) -> Vectors:
        """Return the vectors (n, d) of some samples, or of all, in one view, as float32.

        Raises:
            StoreError: an id is unknown, the store keeps no such output, or the view is not complete.
        """
        now = self._now
        stored = None if ids is None else [as_stored(sample_id) for sample_id in ids]
        return _read(now, np.arange(len(now.rows)) if stored is None else now.positions(stored), view, output)

    def read(self, positions: npt.NDArray[np.int64], *, view: int = 0, output: str = EMBEDDING) -> Vectors:
        """Return the vectors (n, d) at some positions in `ids`, as float32; reads only the blocks that hold them."""
        return _read(self._now, positions, view, output)

    def scan(
        self, *, view: int = 0, output: str = EMBEDDING
    ) -> Iterator[tuple[npt.NDArray[np.int64], npt.NDArray[np.float16]]]:
        """Yield positions (n,) and vectors (n, d) of all samples, in order, a few thousand at a time."""
        now = self._now
        column, step = now.column(view, output), BLOCK * _BLOCKS_AT_ONCE
        edges = np.arange(0, now.rows[-1] + step + 1, step) if len(now.rows) else np.zeros(0, np.int64)
        cuts = np.searchsorted(now.rows, edges).tolist()
        for first, last in pairwise(cuts):
            if first < last:  # else all rows between two edges are dead
                yield np.arange(first, last), now.take(column, now.rows[first:last])

    def look(self, work: Callable[[Tables], T]) -> T:
        """Run `work(tables)` in one read transaction, with no view of the map in what it returns; for the store's own code."""
        return self._now.look(work)

    def _read(self, work: Callable[[Tables], T]) -> T:
        return self._now.look(work)


def _read(now: Snapshot, positions: npt.NDArray[np.int64], view: int, output: str) -> Vectors:
    """Return the vectors (n, d) at some positions; reads only the blocks that hold them."""
    column = now.column(view, output)
    rows = now.rows[np.asarray(positions, np.int64)]
    order = np.argsort(rows, kind="stable")  # so that each block is met once
    found = widened(now.take(column, rows[order]))
    if (np.diff(order) == 1).all():
        return found
    result = np.empty_like(found)
    result[order] = found
    return result


def _sample(record: Record) -> Sample:
    return Sample(
        record.id,
        record.uri,
        record.label,
        record.mode,
        record.group,
        record.split,
        record.attributes or {},
        frozenset(),
    )

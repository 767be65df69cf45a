"""Reading a store: samples, their fields, and their vectors, at one version."""

from __future__ import annotations

import os
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

import numpy as np
import numpy.typing as npt

from embedstore.errors import CorruptStoreError, StoreError
from embedstore.images import FIELDS, Sample
from embedstore.store.environment import open_environment
from embedstore.store.layout import BLOCK, Column, Record, read_current
from embedstore.store.tables import Tables, staged, visible
from embedstore.teachers.protocol import EMBEDDING
from embedstore.vectors import Vectors
from embedstore.views import Recipe

T = TypeVar("T")
Where = Mapping[str, str | None]

_BLOCKS_AT_ONCE = 16  # a scan renews its transaction after so many blocks: a pinned reader makes the file grow


class StoreReader:
    """What a store holds, at one version that stays the same while one looks.

    All sequences (`ids`, `labels`, ...) are in the same order, that of the rows.

    Attributes:
        path: of the store.
        head, settings, space: what the store says of its version, its making and its teacher; for the store's own code.
        recipe: how views are drawn.
    """

    def __init__(self, path: str | os.PathLike[str]):
        self.path = Path(path)
        self.environment = open_environment(read_current(self.path))
        self._checked: set[tuple[Column, int]] = set()
        self._closed = False
        try:
            self.refresh()
        except BaseException:
            self.close()
            raise

    def refresh(self) -> None:
        """Move to the newest version."""
        for name in ("_records", "_rows", "_position"):
            self.__dict__.pop(name, None)
        self.head, self.settings = self._read(lambda tables: (tables.head(), tables.settings()))
        self.space = self._read(lambda tables: tables.space(self.head.space))
        self.recipe = Recipe.from_dict(self.settings["recipe"])

    def close(self) -> None:
        """Give the handle back; once is enough."""
        if not self._closed:
            self._closed = True
            self.environment.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # What it is

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
    def dim(self) -> int:
        """The dimension of the embeddings."""
        return int(self.space["outputs"][EMBEDDING])

    @property
    def views(self) -> int:
        """How many augmented views are complete, beside the plain picture."""
        return self.head.views

    @property
    def image_root(self) -> Path:
        """The folder that the samples' paths are relative to, as of the last build."""
        return Path(self.settings["image_root"])

    @cached_property
    def _records(self) -> list[Record]:
        def load(tables: Tables) -> list[Record]:
            alive = visible(tables.rows(), self.version)
            found = [record for record in tables.records(self.version) if alive[record.row]]
            found.sort(key=lambda record: record.row)
            if [record.row for record in found] != np.flatnonzero(alive).tolist():
                raise CorruptStoreError(
                    f"The {int(alive.sum())} rows and {len(found)} records of the store '{self.path}' at version "
                    f"{self.version} do not fit together; restore it from a copy, or build it again."
                )
            return found

        return self._read(load)

    @cached_property
    def _rows(self) -> npt.NDArray[np.int64]:
        return np.array([record.row for record in self._records], np.int64)

    @cached_property
    def _position(self) -> dict[str, int]:
        return {record.id: number for number, record in enumerate(self._records)}

    def __len__(self) -> int:
        return len(self._records)

    def __contains__(self, sample_id: object) -> bool:
        return isinstance(sample_id, str) and as_stored(sample_id) in self._position

    @property
    def ids(self) -> list[str]:
        """The ids of all samples."""
        return [record.id for record in self._records]

    @property
    def labels(self) -> list[str | None]:
        """The label of each sample; None where it has none."""
        return [record.label for record in self._records]

    @property
    def samples(self) -> list[Sample]:
        """All samples with what is known of them."""
        return [_sample(record) for record in self._records]

    def sample(self, sample_id: str) -> Sample:
        """Return one sample.

        Raises:
            StoreError: there is no such id.
        """
        return _sample(self._records[self.positions([sample_id])[0]])

    def sample_at(self, position: int) -> Sample:
        """Return the sample at a position in `ids`."""
        return _sample(self._records[position])

    def content_at(self, position: int) -> bytes:
        """Return the hash of the file that was embedded; see `pictures.content_hash`."""
        return self._records[position].content

    def positions(self, ids: Sequence[str]) -> npt.NDArray[np.int64]:
        """Return where some ids stand in `ids`.

        Raises:
            StoreError: one is not in the store.
        """
        try:
            return np.array([self._position[as_stored(sample_id)] for sample_id in ids], np.int64)
        except KeyError as error:
            near = [known for known in self._position if Path(known).name == Path(error.args[0]).name][:3]
            hint = (
                f"; did you mean '{near[0]}'?"
                if near
                else "; an id is the path below the image folder, or the manifest's own"
            )
            raise StoreError(f"The store '{self.path}' has no sample '{error.args[0]}'{hint}") from None

    def where(self, conditions: Where) -> npt.NDArray[np.bool_]:
        """Return which samples meet all conditions, exactly: over label, mode, group, split and any attribute.

        Raises:
            StoreError: no sample has such a field.
        """
        chosen = np.ones(len(self), bool)
        for name, asked in conditions.items():
            wanted = None if asked is None else as_stored(asked)
            values = [_field(record, name) for record in self._records]
            if name not in FIELDS and not any(value is not None for value in values):
                known = sorted({key for record in self._records for key in record.attributes or {}})
                raise StoreError(f"No sample has the field '{name}'; use one of {', '.join([*FIELDS, *known])}.")
            chosen &= np.array([value == wanted for value in values], bool)
        return chosen

    def counts(self, name: str) -> dict[str | None, int]:
        """Return how often each value of a field occurs, most frequent first."""
        return dict(Counter(_field(record, name) for record in self._records).most_common())

    def given(self, name: str) -> list[str | None]:
        """Return what folder or manifest said last of label, mode, group or split, for each sample."""
        return [(record.source or {}).get(name) for record in self._records]

    def changed_since(self, version: int) -> set[str]:
        """Return the ids of samples that have another picture or label now than they had at an earlier version."""
        then = self._read(lambda tables: {one.id: (one.row, one.label) for one in tables.records(version)})
        return {one.id for one in self._records if then.get(one.id, (one.row, one.label)) != (one.row, one.label)}

    @property
    def set_aside(self) -> list[dict[str, str]]:
        """The pictures that could not be used: `path` and `reason`."""
        return self._read(lambda tables: tables.aside())

    def unfinished(self) -> int:
        """Return how many rows an interrupted build has written that no version shows yet."""
        return self._read(lambda tables: int(staged(tables.rows()).sum()))

    # Vectors

    def vectors(self, ids: Sequence[str] | None = None, *, view: int = 0, output: str = EMBEDDING) -> Vectors:
        """Return the vectors (n, d) of some samples, or of all, in one view, as float32.

        Raises:
            StoreError: an id is unknown, or the view is not complete.
        """
        positions = np.arange(len(self)) if ids is None else self.positions(ids)
        return self.read(positions, view=view, output=output)

    def read(self, positions: npt.NDArray[np.int64], *, view: int = 0, output: str = EMBEDDING) -> Vectors:
        """Return the vectors (n, d) at some positions in `ids`, as float32; reads only the blocks that hold them."""
        column = self._column(view, output)
        rows = self._rows[np.asarray(positions, np.int64)]
        result = np.empty((len(rows), int(self.space["outputs"][output])), np.float32)
        order = np.argsort(rows, kind="stable")  # so that each block is met once
        blocks, starts = np.unique(rows[order] // BLOCK, return_index=True)

        def gather(tables: Tables) -> None:
            for block, inside in zip(blocks, np.split(order, starts[1:]), strict=False):  # of no rows: one empty part
                result[inside] = self._block(tables, column, int(block))[rows[inside] % BLOCK]

        self._read(gather)
        return result

    def scan(
        self, *, view: int = 0, output: str = EMBEDDING
    ) -> Iterator[tuple[npt.NDArray[np.int64], npt.NDArray[np.float16]]]:
        """Yield positions (n,) and vectors (n, d) of all samples, in order, a few thousand at a time."""
        column = self._column(view, output)
        step = BLOCK * _BLOCKS_AT_ONCE
        for edge in np.unique(self._rows // step):
            first, last = np.searchsorted(self._rows, [edge * step, (edge + 1) * step])
            chosen = self._rows[first:last]

            def gather(tables: Tables, chosen: npt.NDArray[np.int64] = chosen) -> npt.NDArray[np.float16]:
                blocks = np.unique(chosen // BLOCK)
                parts = [self._block(tables, column, int(b))[chosen[chosen // BLOCK == b] % BLOCK] for b in blocks]
                return np.concatenate(parts)

            yield np.arange(first, last), self._read(gather)

    # Below

    def _read(self, work: Callable[[Tables], T]) -> T:
        with self.environment.read() as transaction:
            return work(Tables(self.environment, transaction))

    def _column(self, view: int, output: str) -> Column:
        column = Column(self.fingerprint, output, view)
        if column not in self.head.columns:
            have = f"{self.views} views" if self.head.columns else "no complete views yet"
            raise StoreError(
                f"The store '{self.path}' has no view {view} of the output '{output}' ({have}); add it with: "
                f"embedstore build '{self.path}' IMAGES --views {view}"
            )
        return column

    def _block(self, tables: Tables, column: Column, block: int) -> npt.NDArray[np.float16]:
        """Return a block's vectors; its checksum is checked when this handle first touches it."""
        found = tables.vector_block(column, block, check=(column, block) not in self._checked)
        if found is None:
            raise CorruptStoreError(
                f"The store '{self.path}' lacks block {block} of view {column.view}; restore it from a copy, or build "
                "it again."
            )
        self._checked.add((column, block))
        return found[1]


def as_stored(text: str) -> str:
    """Return a text in the Unicode form that ids and fields have in a store."""
    return unicodedata.normalize("NFC", text)


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


def _field(record: Record, name: str) -> str | None:
    if name in FIELDS:
        value: str | None = getattr(record, name)
        return value
    return (record.attributes or {}).get(name)

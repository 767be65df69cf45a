"""Reading a store: samples, their fields, and their vectors, at one version."""

from __future__ import annotations

import os
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from difflib import get_close_matches
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Any, NoReturn, Self, TypeVar

import numpy as np
import numpy.typing as npt

from embedstore.errors import CorruptStoreError, StoreError
from embedstore.images import FIELDS, Sample
from embedstore.store.environment import open_current
from embedstore.store.fields import ATTRIBUTE, ID, SAID, Field, Record, record_of
from embedstore.store.layout import BLOCK, Column, Head, id_keys, read_current
from embedstore.store.rows import Rows, staged, visible
from embedstore.store.tables import Tables
from embedstore.store.versions import head_at
from embedstore.teachers.protocol import EMBEDDING
from embedstore.vectors import Vectors, widened
from embedstore.views import Recipe

T = TypeVar("T")
Where = Mapping[str, str | None]

_KEY = np.dtype("S16")  # to sort and compare the keys of ids; NumPy compares all 16 bytes, zeros too
_HALVES = np.dtype([("", "V16"), ("first", "<u8"), ("second", "<u8"), ("", "V16")])  # of `layout.ROW`'s key
_FEW = 16
_IDS_COMPARED = 20_000  # letter by letter with one that is not there, which takes 10 us each
_BLOCKS_KEPT = 64  # blocks of fields, some 20 KB each
_BLOCKS_AT_ONCE = 16  # a scan renews its transaction after so many blocks: a pinned reader makes the file grow


class StoreReader:
    """What a store holds, at one version that stays the same while one looks.

    All sequences (`ids`, `labels`, ...) are in the same order, that of the rows; a *position* is a place in them.

    Args:
        path: the store.
        version: a version's number or a tag; the newest where not given.

    Attributes:
        path: of the store.
        head, settings, space: what the store says of its version, its making and its teacher; for the store's own code.
        recipe: how views are drawn.
    """

    def __init__(self, path: str | os.PathLike[str], version: int | str | None = None):
        self.path = Path(path)
        self.pinned = version
        self.environment = open_current(self.path)
        self._closed = False
        try:
            self._look()
        except BaseException:
            self.close()
            raise

    def refresh(self) -> None:
        """Move to the newest version, or look anew at the one that was asked for."""
        if self.environment.directory != read_current(self.path).resolve():  # a compaction made another generation
            fresh = open_current(self.path)
            self.environment.release()
            self.environment = fresh
        self._look()

    def _look(self) -> None:
        for name in ("alive", "rows", "_sorted_keys"):
            self.__dict__.pop(name, None)
        self._fields: dict[str, Field] = {}
        self._blocks: dict[int, dict[str, tuple[list[str], npt.NDArray[np.int32]]]] = {}
        self._checked: dict[Column, set[int]] = {}  # blocks

        def look(tables: Tables) -> tuple[Head, dict[str, Any], dict[str, Any], list[str]]:
            head = tables.head() if self.pinned is None else head_at(tables, self.pinned)
            return head, tables.settings(), tables.space(head.space), tables.names()

        self.head, self.settings, self.space, self._names = self._read(look)
        self.recipe = Recipe.from_dict(self.settings["recipe"])

    def refuse_pinned(self) -> None:
        """Raise where this store was opened at a version, which never changes."""
        if self.pinned is not None:
            raise StoreError(
                f"The store '{self.path}' was opened at version {self.version}, which never changes; open it without a version."
            )

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
    def declared(self) -> bool:
        """Whether the vectors were imported under the teacher's name, which nobody checked."""
        return bool(self.space.get("declared", False))

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

    @property
    def generation(self) -> Path:
        """The directory that holds the data and what is made from it; a compaction makes another."""
        return self.environment.directory

    # Samples

    @cached_property
    def alive(self) -> Rows:
        """The rows of this version (n,) as `layout.ROW`: when they were born, whose they are, of what picture."""
        return self._visible_rows()[1]

    @cached_property
    def rows(self) -> npt.NDArray[np.int64]:
        """The row number (n,) of each position, ascending."""
        return self._visible_rows()[0]

    @property
    def row_total(self) -> int:
        """How many rows were ever allocated, seen by this version or not."""
        return self._read(lambda tables: tables.row_count())

    def _visible_rows(self) -> tuple[npt.NDArray[np.int64], Rows]:
        table = self._read(lambda tables: tables.rows())
        numbers = np.flatnonzero(visible(table, self.version))
        alive = table if len(numbers) == len(table) else table[numbers]
        self.__dict__["rows"], self.__dict__["alive"] = numbers, alive
        return numbers, alive

    def text_field(self, name: str) -> Field:
        """Return a field of all samples: `id`, `uri`, label, mode, group, split, or `fields.ATTRIBUTE` + a name."""
        if name not in self._fields:
            field = self._read(lambda tables: tables.field(name, self.version))[self.rows]
            if name == ID and (field.codes < 0).any():
                self._refuse_nameless(int((field.codes < 0).sum()))
            self._fields[name] = field
        return self._fields[name]

    def field(self, name: str) -> list[str | None]:
        """Return a text of each sample, or None: its label, mode, group, split or an attribute.

        Raises:
            StoreError: no sample has such a field.
        """
        return self._known_field(name).to_list()

    @property
    def field_names(self) -> list[str]:
        """The names of all fields that were ever used, as `fields` spells them."""
        return list(self._names)

    @property
    def attribute_names(self) -> list[str]:
        """The names of the attributes that any sample ever had, sorted."""
        return sorted(name.removeprefix(ATTRIBUTE) for name in self._names if name.startswith(ATTRIBUTE))

    def __len__(self) -> int:
        return len(self.rows)

    def __contains__(self, sample_id: object) -> bool:
        return isinstance(sample_id, str) and self.find([sample_id])[0] >= 0

    @property
    def ids(self) -> list[str]:
        """The ids of all samples."""
        return [text or "" for text in self.text_field(ID).to_list()]

    @property
    def labels(self) -> list[str | None]:
        """The label of each sample; None where it has none."""
        return self.field("label")

    def records(self) -> list[Record]:
        """Return all samples with all that is known of them; for the store's own code."""
        self.text_field(ID)
        fields = {name: self.text_field(name).to_list() for name in self._names}
        contents = [content.tobytes() for content in self.alive["content"]]
        return [
            record_of(row, contents[at], {name: texts[at] for name, texts in fields.items()})
            for at, row in enumerate(self.rows.tolist())
        ]

    @property
    def samples(self) -> list[Sample]:
        """All samples with what is known of them."""
        return [_sample(record) for record in self.records()]

    def sample(self, sample_id: str) -> Sample:
        """Return one sample.

        Raises:
            StoreError: there is no such id.
        """
        return self.sample_at(int(self.positions([sample_id])[0]))

    def sample_at(self, position: int) -> Sample:
        """Return the sample at a position in `ids`."""
        return _sample(self._record_at(position))

    def content_at(self, position: int) -> bytes:
        """Return the hash of the file that was embedded; see `pictures.content_hash`. Zeros: vectors without a picture."""
        return bytes(self.alive["content"][position])

    def positions(self, ids: Sequence[str]) -> npt.NDArray[np.int64]:
        """Return where some ids stand in `ids`.

        Raises:
            StoreError: one is not in the store.
        """
        stored = [as_stored(sample_id) for sample_id in ids]
        found = self.find(stored)
        if (found < 0).any():
            self._refuse_unknown_ids([stored[at] for at in np.flatnonzero(found < 0)], len(stored))
        return found

    def find(self, ids: Sequence[str]) -> npt.NDArray[np.int64]:
        """Return the positions (n,) of ids, -1 where there is no such."""
        asked = id_keys([as_stored(sample_id) for sample_id in ids])
        if len(asked) <= _FEW:
            halves = self.alive.view(_HALVES)  # one look at all keys for each id is quicker than sorting them
            found = [
                np.flatnonzero((halves["first"] == first) & (halves["second"] == second))
                for first, second in asked.view("<u8")
            ]
            return np.array([at[0] if len(at) else -1 for at in found], np.int64)
        keys, order = self._sorted_keys
        wanted = asked.view(_KEY).reshape(-1)
        at = np.minimum(np.searchsorted(keys, wanted), max(len(keys) - 1, 0))
        return np.where(keys[at] == wanted, order[at], -1) if len(keys) else np.full(len(wanted), -1, np.int64)

    @cached_property
    def _sorted_keys(self) -> tuple[npt.NDArray[np.void], npt.NDArray[np.int64]]:
        keys = np.ascontiguousarray(self.alive["key"]).view(_KEY).reshape(-1)
        order = np.argsort(keys, kind="stable")
        return keys[order], order

    def where(self, conditions: Where) -> npt.NDArray[np.bool_]:
        """Return which samples meet all conditions, exactly: over label, mode, group, split and any attribute.

        Raises:
            StoreError: no sample has such a field.
        """
        chosen = np.ones(len(self), bool)
        for name, asked in conditions.items():
            chosen &= self._known_field(name).equals(None if asked is None else as_stored(asked))
        return chosen

    def counts(self, name: str) -> dict[str | None, int]:
        """Return how often each value of a field occurs, most frequent first."""
        field = self.text_field(name if name in FIELDS else ATTRIBUTE + name)
        return dict(Counter(field.to_list()).most_common())

    def given(self, name: str) -> list[str | None]:
        """Return what folder or manifest said last of label, mode, group or split, for each sample."""
        return self.text_field(SAID + name).to_list()

    def changed_since(self, version: int) -> set[str]:
        """Return the ids of samples that have another picture or label now than they had at an earlier version.

        Raises:
            StoreError: that version can't be read any more.
        """

        def then(tables: Tables) -> tuple[Rows, Field]:
            head_at(tables, version)
            rows = tables.rows()
            return rows[visible(rows, version)], tables.field("label", version)[self.rows]

        earlier, labels = self._read(then)
        had_key = np.isin(
            np.ascontiguousarray(self.alive["key"]).view(_KEY).reshape(-1),
            np.ascontiguousarray(earlier["key"]).view(_KEY).reshape(-1),
        )
        another_row = self.alive["born"] > np.uint64(version)
        now = self.text_field("label").to_list()
        ids = self.ids
        return {ids[at] for at in np.flatnonzero(had_key).tolist() if another_row[at] or labels.at(at) != now[at]}

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
            StoreError: an id is unknown, or the view is not complete.
        """
        positions = np.arange(len(self)) if ids is None else self.positions(ids)
        return self.read(positions, view=view, output=output)

    def read(self, positions: npt.NDArray[np.int64], *, view: int = 0, output: str = EMBEDDING) -> Vectors:
        """Return the vectors (n, d) at some positions in `ids`, as float32; reads only the blocks that hold them."""
        column = self._column(view, output)
        rows = self.rows[np.asarray(positions, np.int64)]
        order = np.argsort(rows, kind="stable")  # so that each block is met once
        found = widened(self._take(column, rows[order]))
        if (np.diff(order) == 1).all():
            return found
        result = np.empty_like(found)
        result[order] = found
        return result

    def scan(
        self, *, view: int = 0, output: str = EMBEDDING
    ) -> Iterator[tuple[npt.NDArray[np.int64], npt.NDArray[np.float16]]]:
        """Yield positions (n,) and vectors (n, d) of all samples, in order, a few thousand at a time."""
        column = self._column(view, output)
        step = BLOCK * _BLOCKS_AT_ONCE
        for edge in np.unique(self.rows // step):
            first, last = np.searchsorted(self.rows, [edge * step, (edge + 1) * step])
            chosen = self.rows[first:last]

            yield np.arange(first, last), self._take(column, chosen)

    # Below

    def _known_field(self, name: str) -> Field:
        field = self.text_field(name if name in FIELDS else ATTRIBUTE + name)
        if name not in FIELDS and (field.codes < 0).all():
            known = [one for one in self.attribute_names if (self.text_field(ATTRIBUTE + one).codes >= 0).any()]
            raise StoreError(f"No sample has the field '{name}'; use one of {', '.join([*FIELDS, *known])}.")
        return field

    def _record_at(self, position: int) -> Record:
        """Return one record, reading only its block; the last blocks are kept, for one mostly looks at neighbours."""
        row = int(self.rows[position])
        block = self._blocks.get(row // BLOCK)
        if block is None:

            def look(tables: Tables) -> dict[str, tuple[list[str], npt.NDArray[np.int32]]]:
                return tables.field_blocks(row // BLOCK, self.version)

            block = self._read(look)
            if len(self._blocks) >= _BLOCKS_KEPT:
                del self._blocks[next(iter(self._blocks))]
            self._blocks[row // BLOCK] = block
        own = {
            name: texts[codes[row % BLOCK]] if codes[row % BLOCK] >= 0 else None
            for name, (texts, codes) in block.items()
        }
        if own.get(ID) is None:
            self._refuse_nameless(1)
        return record_of(row, self.alive["content"][position].tobytes(), own)

    def _refuse_nameless(self, count: int) -> NoReturn:
        raise CorruptStoreError(
            f"{count} samples of the store '{self.path}' at version {self.version} have lost their ids; see what can be "
            f"done with: embedstore verify '{self.path}'"
        )

    def _refuse_unknown_ids(self, unknown: Sequence[str], asked: int) -> NoReturn:
        ids, first = self.ids, unknown[0]
        near = get_close_matches(first, ids, 1, 0.85) if len(ids) <= _IDS_COMPARED else []
        if not near:
            namesakes = [known for known in ids if Path(known).name == Path(first).name]
            near = get_close_matches(first, namesakes[:_IDS_COMPARED], 1, 0)
        hint = (
            f"; did you mean '{near[0]}'?"
            if near
            else "; an id is the path below the image folder, or the manifest's own"
        )
        if len(unknown) == 1:
            raise StoreError(f"The store '{self.path}' has no sample '{first}'{hint}")
        raise StoreError(f"{len(unknown)} of the {asked} ids are not in the store '{self.path}', first '{first}'{hint}")

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

    def _take(self, column: Column, rows: npt.NDArray[np.int64]) -> npt.NDArray[np.float16]:
        """Return the vectors (n, d) of rows (n,), ascending; a checksum is checked when this handle first meets its block."""
        out = np.empty((len(rows), int(self.space["outputs"][column.output])), np.float16)
        checked = self._checked.setdefault(column, set())
        lacking = self._read(lambda tables: tables.take_vectors(column, rows, out, checked))
        if lacking is not None:
            raise CorruptStoreError(
                f"The store '{self.path}' lacks block {lacking} of view {column.view}; restore it from a copy, or build "
                "it again."
            )
        return out


def as_stored(text: str) -> str:
    """Return a text in the Unicode form that ids and fields have in a store."""
    return text if text.isascii() else unicodedata.normalize("NFC", text)


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

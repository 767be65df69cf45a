"""Snapshot: a store at one version, as one handle reads it. It never changes, but for what it keeps of what it has read."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from difflib import get_close_matches
from functools import cached_property
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import numpy as np
import numpy.typing as npt

from embedstore.errors import CorruptStoreError, StoreError
from embedstore.images import FIELDS
from embedstore.store.environment import open_current, release_with
from embedstore.store.fields import ATTRIBUTE, ID, Field, Record, record_of, spelt
from embedstore.store.layout import BLOCK, Column, Head, id_keys
from embedstore.store.rows import Rows, visible
from embedstore.store.tables import Tables
from embedstore.store.versions import head_at
from embedstore.views import Recipe

T = TypeVar("T")

KEY = np.dtype("S16")  # to sort and compare the keys of ids; NumPy compares all 16 bytes, zeros too
_HALVES = np.dtype([("", "V16"), ("first", "<u8"), ("second", "<u8"), ("", "V16")])  # of `layout.ROW`'s key
_FEW = 16
_IDS_COMPARED = 20_000  # letter by letter with one that is not there, which takes 10 us each
_BLOCKS_KEPT = 64  # blocks of fields, some 20 KB each

HOW_TO_COMPLETE = (
    "run the same embedstore build again; where pictures are gone or can't be read, first put them back, or delete the broken "
    "files and remove the samples with --prune"
)


class Snapshot:
    """What a reader has in hand. Whoever takes one goes on reading this version, whatever the reader does meanwhile.

    Args:
        path: the store.
        asked: a version's number or a tag; the newest where None.

    Attributes:
        environment: which this holds until `close`, or until nobody has the snapshot any more.
        head, settings, space, names: what the store says of this version, its making, its teacher and its fields.
        recipe: how views are drawn.

    Raises:
        StoreError: there is no such version any more.
    """

    def __init__(self, path: Path, asked: int | str | None):
        self.path = path
        self.environment = open_current(path)
        self._held = release_with(self, self.environment)
        self._fields: dict[str, Field] = {}
        self._blocks: dict[int, dict[str, tuple[list[str], npt.NDArray[np.int32]]]] = {}
        self._checked: dict[Column, set[int]] = {}  # blocks

        def look(tables: Tables) -> tuple[Head, bool, dict[str, Any], dict[str, Any], list[str]]:
            newest = tables.head()
            head = newest if asked is None else head_at(tables, asked)
            is_older = head.version < newest.version
            return head, is_older, tables.settings(), tables.space(head.space), tables.names()

        try:
            self.head, self._is_older, self.settings, self.space, self.names = self.look(look)
            self.recipe = Recipe.from_dict(self.settings["recipe"])
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Give the environment back; once is enough."""
        if self._held.detach():
            self.environment.release()

    def refuse_closed(self) -> None:
        """Raise where this was closed."""
        if not self._held.alive:
            raise StoreError(f"The store '{self.path}' was closed; open it again with embedstore.open.")

    def look(self, work: Callable[[Tables], T]) -> T:
        """Run `work(tables)` in one read transaction; it must not give back a view of the memory map."""
        with self.environment.read() as transaction:
            return work(Tables(self.environment, transaction))

    # Rows

    @property
    def version(self) -> int:
        """The version that this is."""
        return self.head.version

    @cached_property
    def alive(self) -> Rows:
        """The rows of this version (n,) as `layout.ROW`."""
        return self._visible_rows()[1]

    @cached_property
    def rows(self) -> npt.NDArray[np.int64]:
        """The row number (n,) of each position, ascending."""
        return self._visible_rows()[0]

    def _visible_rows(self) -> tuple[npt.NDArray[np.int64], Rows]:
        table = self.look(lambda tables: tables.rows())
        numbers = np.flatnonzero(visible(table, self.version))
        if self.head.samples not in (None, len(numbers)):
            raise CorruptStoreError(
                f"Version {self.version} of the store '{self.path}' says that it has {self.head.samples} samples, but "
                f"{len(numbers)} are there; see what is damaged with: embedstore verify '{self.path}'"
            )
        alive = table if len(numbers) == len(table) else table[numbers]
        self.__dict__["rows"], self.__dict__["alive"] = numbers, alive
        return numbers, alive

    @cached_property
    def keys(self) -> npt.NDArray[np.bytes_]:
        """The keys (n,) of the ids, as `KEY`."""
        return np.ascontiguousarray(self.alive["key"]).view(KEY).reshape(-1)

    @cached_property
    def _sorted_keys(self) -> tuple[npt.NDArray[np.bytes_], npt.NDArray[np.int64]]:
        order = np.argsort(self.keys, kind="stable")
        return self.keys[order], order

    def find(self, ids: Sequence[str]) -> npt.NDArray[np.int64]:
        """Return the positions (n,) of ids, in the form that they are stored in; -1 where there is no such."""
        asked = id_keys(ids)
        if len(asked) <= _FEW and "_sorted_keys" not in self.__dict__:
            halves = self.alive.view(_HALVES)  # one look at all keys for each id is quicker than sorting them
            found = [
                np.flatnonzero((halves["first"] == first) & (halves["second"] == second))
                for first, second in asked.view("<u8")
            ]
            return np.array([at[0] if len(at) else -1 for at in found], np.int64)
        keys, order = self._sorted_keys
        wanted = asked.view(KEY).reshape(-1)
        at = np.minimum(np.searchsorted(keys, wanted), max(len(keys) - 1, 0))
        return np.where(keys[at] == wanted, order[at], -1) if len(keys) else np.full(len(wanted), -1, np.int64)

    def positions(self, ids: Sequence[str]) -> npt.NDArray[np.int64]:
        """Return what `find` does; raise where an id is not there."""
        found = self.find(ids)
        if (found < 0).any():
            self._refuse_unknown([ids[at] for at in np.flatnonzero(found < 0).tolist()], len(ids))
        return found

    # Fields

    def text_field(self, name: str) -> Field:
        """Return a field of all samples, by its name as `fields` spells it."""
        if name not in self._fields:
            field = self.look(lambda tables: tables.field(name, self.version))[self.rows]
            if name == ID and (field.codes < 0).any():
                self._refuse_nameless(int((field.codes < 0).sum()))
            self._fields[name] = field
        return self._fields[name]

    def known_field(self, name: str) -> Field:
        """Return label, mode, group, split or an attribute of all samples; raise where no sample has such an attribute."""
        field = self.text_field(spelt(name))
        if name not in FIELDS and (field.codes < 0).all():
            known = [one for one in self.attribute_names if (self.text_field(spelt(one)).codes >= 0).any()]
            raise StoreError(f"No sample has the field '{name}'; use one of {', '.join([*FIELDS, *known])}.")
        return field

    @property
    def attribute_names(self) -> list[str]:
        """The names of the attributes that any sample ever had, sorted."""
        return sorted(name.removeprefix(ATTRIBUTE) for name in self.names if name.startswith(ATTRIBUTE))

    @property
    def ids(self) -> list[str]:
        """The ids of all samples."""
        return [text or "" for text in self.text_field(ID).to_list()]

    def records(self) -> list[Record]:
        """Return all samples with all that is known of them."""
        self.text_field(ID)
        fields = {name: self.text_field(name).to_list() for name in self.names}
        contents = [content.tobytes() for content in self.alive["content"]]
        return [
            record_of(row, contents[at], {name: texts[at] for name, texts in fields.items()})
            for at, row in enumerate(self.rows.tolist())
        ]

    def record_at(self, position: int) -> Record:
        """Return one record, reading only its block; the last blocks are kept, for one mostly looks at neighbours."""
        row = int(self.rows[position])
        block = self._blocks.get(row // BLOCK)
        if block is None:

            def look(tables: Tables) -> dict[str, tuple[list[str], npt.NDArray[np.int32]]]:
                return tables.field_blocks(row // BLOCK, self.version)

            block = self.look(look)
            if len(self._blocks) >= _BLOCKS_KEPT:
                self._blocks.pop(next(iter(tuple(self._blocks))), None)  # another thread may do the same
            self._blocks[row // BLOCK] = block
        own = {
            name: texts[codes[row % BLOCK]] if codes[row % BLOCK] >= 0 else None
            for name, (texts, codes) in block.items()
        }
        if own.get(ID) is None:
            self._refuse_nameless(1)
        return record_of(row, self.alive["content"][position].tobytes(), own)

    # Vectors

    def column(self, view: int, output: str) -> Column:
        """Return the column of a view; raise where it is not complete."""
        column = Column(self.head.space, output, view)
        if column in self.head.columns:
            return column
        if self._is_older:
            raise StoreError(
                f"The store '{self.path}' has no view {view} of the output '{output}' at version {self.version}, and earlier "
                "versions get no more; open the newest version."
            )
        if output not in self.space["outputs"]:
            raise StoreError(
                f"The store '{self.path}' keeps no output '{output}' (it has {', '.join(self.space['outputs'])}); add it with: "
                f"embedstore build '{self.path}' IMAGES --outputs {output}"
            )
        if view < 0:
            raise StoreError(f"The view is {view}; expected 0, the plain picture, to {self.head.views}.")
        if self.head.columns and view <= self.head.views:
            raise StoreError(
                f"Not all samples of the store '{self.path}' have view {view} of the output '{output}' yet; {HOW_TO_COMPLETE}."
            )
        have = f"{self.head.views} views" if self.head.columns else "no complete views yet"
        raise StoreError(
            f"The store '{self.path}' has no view {view} of the output '{output}' ({have}); add it with: "
            f"embedstore build '{self.path}' IMAGES --views {max(view, self.head.views)}"
        )

    def take(self, column: Column, rows: npt.NDArray[np.int64]) -> npt.NDArray[np.float16]:
        """Return the vectors (n, d) of rows (n,), ascending; a checksum is checked when its block is first met."""
        out = np.empty((len(rows), int(self.space["outputs"][column.output])), np.float16)
        checked = self._checked.setdefault(column, set())
        lacking = self.look(lambda tables: tables.take_vectors(column, rows, out, checked))
        if lacking is not None:
            raise CorruptStoreError(
                f"The store '{self.path}' lacks block {lacking} of view {column.view}; see what is damaged, and what mends it, "
                f"with: embedstore verify '{self.path}'"
            )
        return out

    # Refusals

    def _refuse_nameless(self, count: int) -> NoReturn:
        raise CorruptStoreError(
            f"{count} samples of the store '{self.path}' at version {self.version} have lost their ids; see what can be "
            f"done with: embedstore verify '{self.path}'"
        )

    def _refuse_unknown(self, unknown: Sequence[str], asked: int) -> NoReturn:
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

"""Problems of a store: their kinds, which versions and rows they concern, and what their places are called."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

import numpy as np
import numpy.typing as npt

from embedstore.store import layout
from embedstore.store.health import entries
from embedstore.store.layout import FIELDS, LOG, META, NEVER, ROWS, SUMMARIES, TAGS, VECTORS, Column
from embedstore.store.rows import Rows

Places = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]
Versions = npt.NDArray[np.uint64]  # ascending


class Kind(StrEnum):
    """Kinds of problems; `sentences` says what each means and how it is mended."""

    CURRENT = "current"
    STOPPED = "stopped"
    UNREADABLE = "unreadable"
    TABLE = "table"
    ORDER = "order"
    ENTRY = "entry"
    SETTING = "setting"
    LOG = "log"
    COUNT = "count"
    TAG = "tag"
    ROW_BLOCK = "row block"
    ROW = "row"
    ABOVE = "above"
    NAMELESS = "nameless"
    MISNAMED = "misnamed"
    DUPLICATE = "duplicate"
    HOLE = "hole"
    INFINITE = "infinite"
    STRANGE = "strange"
    SUMMARY = "summary"
    INDEX = "index"
    # Notes, not errors:
    PUBLICATION = "publication"
    STAGED = "staged"
    WAITING = "waiting"
    LEFT = "left"
    KEPT_ASIDE = "kept aside"


NOTES = (Kind.PUBLICATION, Kind.STAGED, Kind.WAITING, Kind.LEFT, Kind.KEPT_ASIDE)


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong, or worth a note.

    Attributes:
        kind: what.
        where: in which part of the store; problems of one kind and part are told together.
        example: which of them, or in what way.
        count: of how many entries or rows.
        rows: rows of the newest version that it concerns.
        versions: readable versions that are not as they were.
        column: of the vectors that it concerns; None where it concerns none.
    """

    kind: Kind
    where: str
    example: str = ""
    count: int = 1
    rows: Places = field(default_factory=lambda: np.zeros(0, np.int64))
    versions: frozenset[int] = frozenset()
    column: Column | None = None


@dataclass(frozen=True)
class Seen:
    """Which of some versions see each of some rows: those in `low` to `high`."""

    versions: Versions
    low: Places
    high: Places

    @classmethod
    def of(cls, rows: Rows, versions: Versions, start: int = 0, end: int = NEVER) -> Seen:
        """Look at the versions from `start` up to and without `end`."""
        low = np.searchsorted(versions, np.maximum(rows["born"], np.uint64(start)))
        return cls(versions, low, np.searchsorted(versions, np.minimum(rows["died"], np.uint64(end))))

    @property
    def mask(self) -> Mask:
        """Which rows any of the versions sees."""
        return np.asarray(self.low < self.high)

    def counts(self, chosen: Mask) -> Places:
        """Return how many of the chosen rows each version sees."""
        change = np.zeros(len(self.versions) + 1, np.int64)
        np.add.at(change, self.low[chosen], 1)
        np.add.at(change, self.high[chosen], -1)
        return np.cumsum(change)[:-1]

    def of_rows(self, chosen: Mask) -> frozenset[int]:
        """Return the versions that see any of the chosen rows."""
        return frozenset(self.versions[self.counts(chosen) > 0].tolist())


def column_in_words(column: Column) -> str:
    """Return what a technician calls a column."""
    return f"view {column.view} of '{column.output}' (teacher {column.space[:12]})"


def place(database: bytes, key: bytes, known: dict[bytes, object]) -> str:
    """Return the part of the store that an entry belongs to."""
    if database == VECTORS and entries.sound_key(VECTORS, key):
        return column_in_words(layout.column_of(key))
    names = known.get(b"names")
    if database == FIELDS and isinstance(names, list) and layout.number_of(key) < len(names):
        return f"the field '{names[layout.number_of(key)]}'"
    return f"the table '{database.decode()}'"


def shown(database: bytes, key: bytes) -> str:
    """Return which entry of its part a key names."""
    if not entries.sound_key(database, key):
        return f"key {key.hex()[:64]}"
    if database == FIELDS:
        return f"block {layout.block_of(key)} of version {layout.version_of(key)}"
    if database in (ROWS, VECTORS):
        return f"block {int.from_bytes(key[-8:], 'big')}"
    if database == LOG:
        return f"version {int.from_bytes(key, 'big')}"
    return f"'{key.decode()}'" if database in (META, TAGS, SUMMARIES) else f"key {key.hex()}"

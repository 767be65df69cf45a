"""What a system must be able to do, and what all of them share.

A system gets the rows in the form that it takes best, made by `prepare` before the clock starts. A step that it can't do
raises `NotOfferedError` with the reason, which the table shows.
"""

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from storage_parts.vectors import Rows, Vectors

Settings = dict[str, Any]
Where = Mapping[str, str]

TUNED_TO = 0.993  # recall on the tuning queries: a little over .99, so that other queries reach .99 as well


class NotOfferedError(Exception):
    """A system has no such thing; the message says what it has instead."""


class System:
    """One system, in one folder, holding one run's rows.

    Attributes:
        name: in the table.
        packages: modules it needs; what is missing is told, not run.
        notes: what must be known to read its figures.
        steps: the steps it takes part in; None: all.
        ordered: whether a scan gives the rows in the order in which they were written.
    """

    name = ""
    packages: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    steps: frozenset[str] | None = None
    ordered = True

    def __init__(self, folder: Path, rows: Rows, settings: Settings, threads: int, budget: int):
        self.folder, self.rows, self.settings = folder, rows, settings
        self.threads, self.budget = threads, budget

    def load(self) -> None:
        """Import what is slow to import; not timed."""

    def prepare(self) -> None:
        """Make what `write` is fed; not timed."""

    def write(self) -> None:
        """Write all rows, with ids, label, group, split, machine, and return when all is on the disk."""
        raise NotImplementedError

    def disk(self) -> dict[str, int]:
        """Return the bytes on disk of `vectors`, `metadata` (whatever is no vector and no index) and `index`."""
        raise NotImplementedError

    def open(self) -> int:
        """Open what `write` left, ready to be asked, and return how many rows there are."""
        raise NotImplementedError

    def close(self) -> None:
        """Close again."""

    def scan(self) -> Iterator[Vectors]:
        """Yield all vectors in row order as blocks (m, dim) of float16 or float32 that the caller owns."""
        raise NotImplementedError

    def read(self, positions: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
        """Return the vectors of some rows, (m, dim) float32, in the order asked for."""
        raise NotImplementedError

    def exact(self, queries: npt.NDArray[np.float32], top: int, where: Where | None = None) -> Any:
        """Return the exact `top` nearest of each query by inner product, in the system's own form."""
        raise NotImplementedError

    def records(self, queries: npt.NDArray[np.float32], top: int) -> Any:
        """Return the exact nearest of each query with id and label."""
        raise NotOfferedError("no records")

    def build_index(self) -> None:
        """Build what approximate search needs, and return when it is on the disk and used."""
        raise NotImplementedError

    def ladders(self) -> Sequence[Sequence[Settings]]:
        """Return settings to try, each ladder from fast to thorough; tuning climbs each until its recall is reached."""
        return [[{}]]

    def approximate(self, queries: npt.NDArray[np.float32], top: int, where: Where | None = None) -> Any:
        """Return about the `top` nearest of each query, by the index and `settings`."""
        raise NotImplementedError

    def filtered(self, queries: npt.NDArray[np.float32], top: int, where: Where) -> Any:
        """Return the nearest that pass a filter, in the way the system goes by itself; the recall is told."""
        return self.approximate(queries, top, where)

    def row_numbers(self, answers: Any, top: int) -> npt.NDArray[np.int64]:
        """Return answers as row numbers (queries, top), -1 where there are fewer; not timed."""
        raise NotImplementedError

    def delete(self, where: Where) -> None:
        """Delete the rows that a filter finds, on the disk when it returns."""
        raise NotImplementedError

    def compact(self) -> None:
        """Give the space of deleted rows back, on the disk when it returns."""
        raise NotImplementedError


def sync_all(folder: Path) -> None:
    """Sync every file and folder below, for systems that leave that to the operating system."""
    for place, _, files in os.walk(folder):
        for path in [Path(place, name) for name in files] + [Path(place)]:
            opened = os.open(path, os.O_RDONLY)
            os.fsync(opened)
            os.close(opened)


def size(path: Path) -> int:
    """Return the bytes of a file or of all files below a folder; 0 where there is none. Holes don't count."""
    files = [path] if path.is_file() else [found for found in path.rglob("*") if found.is_file()]
    return sum(min(found.stat().st_size, found.stat().st_blocks * 512) for found in files)


def padded(answers: Sequence[Sequence[int]], top: int) -> npt.NDArray[np.int64]:
    """Return lists of row numbers as (queries, top), -1 where there are fewer."""
    return np.array([[*found[:top], *[-1] * (top - len(found))] for found in answers], np.int64).reshape(-1, top)


def number_of(sample_id: str) -> int:
    """Return the row number in an id that `Rows.ids` made."""
    return int(sample_id.rsplit("-", 1)[1].removesuffix(".png"))

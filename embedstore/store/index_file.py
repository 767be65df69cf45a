"""The files of an index: what is written of it, how it appears all at once, and how a bad one is told.

    GENERATION/index/
      index.json           what the index is; the marker that it is complete, replaced in one step
      SHA256.faiss         the FAISS index; named by the first 16 digits of its SHA-256, so that no marker fits another's
      SHA256.npy           (n,) int64: the row of the store that each vector of the index came from, ascending
      index.lock           one builder at a time

An index holds nothing that can't be made again, and no file of it is ever changed.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from embedstore.errors import CorruptStoreError, StoreError, StoreLockedError
from embedstore.store.layout import sync_directory

FORMAT = 2
INDEX, MARKER, LOCK = "index", "index.json", "index.lock"

_MOST = 1 << 48
_MARKER_BYTES = 1 << 16


@dataclass(frozen=True)
class IndexInfo:
    """What an index is.

    Attributes:
        format: of these files.
        version: of the store that it was made at.
        rows, row_total: how many samples it holds, and how many rows the store had ever had.
        space, output, dim, metric: whose vectors they are: the plain view's, by cosine.
        factory: FAISS's word for what it is, such as `IVF1024,SQfp16`.
        top: how many answers the recalls were measured for, 10.
        nprobe: how many lists a query looks into (of a graph: how many candidates it keeps, efSearch); None for other kinds.
        refine: how many candidates for each answer are ranked again by the store's own vectors.
        recall, wanted: the share of the nearest that it finds, as measured when it was made, and as asked for.
        queries, seed: that was measured with so many stored samples, drawn by this seed, each left out of its answers.
        rare_below: a query whose cosine to the nearest list's centre is not above this is rare, and looked for harder; None:
            there are no lists, and what suits rare queries is done for all.
        rare_nprobe, rare_refine, rare_recall, rare_wanted, rare_queries: the same for rare queries, measured with the stored
            samples that are farthest from the centre of every list.
        size, sha256, rows_size, rows_sha256: of the two files.
    """

    format: int
    version: int
    rows: int
    row_total: int
    space: str
    output: str
    dim: int
    metric: str
    factory: str
    top: int
    nprobe: int | None
    refine: int
    recall: float
    wanted: float
    queries: int
    rare_below: float | None
    rare_nprobe: int | None
    rare_refine: int
    rare_recall: float
    rare_wanted: float
    rare_queries: int
    seed: int
    size: int
    sha256: str
    rows_size: int
    rows_sha256: str

    @property
    def vectors_file(self) -> str:
        """The name of the FAISS file."""
        return f"{self.sha256[:16]}.faiss"

    @property
    def rows_file(self) -> str:
        """The name of the file of row numbers."""
        return f"{self.rows_sha256[:16]}.npy"

    def in_words(self) -> str:
        """Return what it is and how much it finds, in one line."""
        return (
            f"{self.factory} of {self.rows:,} samples at version {self.version}; as measured, recall@{self.top} is "
            f"{self.recall:.3f}, for rare samples {self.rare_recall:.3f}"
        )


def _whole(least: int, most: int = _MOST) -> Callable[[Any], bool]:
    return lambda value: type(value) is int and least <= value <= most


def _share(value: Any) -> bool:
    return type(value) in (int, float) and 0 <= value <= 1


def _effort(value: Any) -> bool:
    return value is None or _whole(1, 1 << 24)(value)


def _text(pattern: str) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, str) and re.fullmatch(pattern, value) is not None


_ALLOWED: dict[str, Callable[[Any], bool]] = {
    "format": _whole(FORMAT, FORMAT),
    "version": _whole(0),
    "rows": _whole(1),
    "row_total": _whole(1),
    "space": _text("[0-9a-f]{8,128}"),
    "output": _text(r"[\w.\-]{1,100}"),
    "dim": _whole(1, 1 << 20),
    "metric": _text("cosine"),
    "factory": _text(r"[\w,()\[\].:+\-]{1,200}"),
    "top": _whole(1, 1000),
    "nprobe": _effort,
    "refine": _whole(1, 1000),
    "recall": _share,
    "wanted": _share,
    "queries": _whole(0),
    "rare_below": lambda value: value is None or (type(value) in (int, float) and -2 <= value <= 2),
    "rare_nprobe": _effort,
    "rare_refine": _whole(1, 1000),
    "rare_recall": _share,
    "rare_wanted": _share,
    "rare_queries": _whole(0),
    "seed": _whole(-_MOST),
    "size": _whole(1),
    "sha256": _text("[0-9a-f]{64}"),
    "rows_size": _whole(1),
    "rows_sha256": _text("[0-9a-f]{64}"),
}


def marker_state(generation: Path) -> tuple[int, ...] | None:
    """Return what changes when another index is published; None where there is none.

    Raises:
        CorruptStoreError: whether there is one can't be seen.
    """
    try:
        found = (generation / INDEX / MARKER).stat()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise damaged(generation, f"its '{MARKER}' can't be read: {error.strerror}") from error
    return found.st_mtime_ns, found.st_ino, found.st_size


def read_info(generation: Path) -> IndexInfo | None:
    """Return what the index of a generation is; None where there is none.

    Raises:
        CorruptStoreError: the marker is damaged, or none that this program writes.
    """
    marker = generation / INDEX / MARKER
    try:
        with marker.open("rb") as file:
            data = file.read(_MARKER_BYTES + 1)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise damaged(generation, f"its '{MARKER}' can't be read: {error.strerror}") from error
    try:
        if len(data) > _MARKER_BYTES:
            raise ValueError("too long")
        values = json.loads(data)
    except (ValueError, RecursionError) as error:  # UnicodeDecodeError is a ValueError
        raise damaged(generation, f"its '{MARKER}' is damaged") from error
    if isinstance(values, dict) and type(values.get("format")) is int and values["format"] != FORMAT:
        raise damaged(generation, f"it has the format {values['format']} where this program reads {FORMAT}")
    if not isinstance(values, dict) or set(values) != set(_ALLOWED):
        raise damaged(generation, f"its '{MARKER}' has other entries than this program writes")
    for name, allowed in _ALLOWED.items():
        if not allowed(values[name]):
            raise damaged(generation, f"the entry '{name}' of its '{MARKER}' has a value that can't be")
    return IndexInfo(**values)


def read_rows(generation: Path, info: IndexInfo) -> npt.NDArray[np.int64]:
    """Return the row (n,) of each vector of the index.

    Raises:
        CorruptStoreError: the file is missing or damaged.
    """
    path = checked_size(generation, info.rows_file, info.rows_size)
    try:
        rows = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise damaged(generation, f"its '{info.rows_file}' is damaged") from error
    right = isinstance(rows, np.ndarray) and rows.dtype == np.int64 and rows.shape == (info.rows,)
    if not right or rows[0] < 0 or rows[-1] >= info.row_total or (rows[1:] <= rows[:-1]).any():
        raise damaged(generation, f"its '{info.rows_file}' does not hold the rows of {info.rows} samples in order")
    return np.asarray(rows)


def checked_size(generation: Path, name: str, size: int) -> Path:
    """Return the path of a file of the index that has the size it must have.

    Raises:
        CorruptStoreError: it is missing, or longer or shorter.
    """
    path = generation / INDEX / name
    try:
        found = path.stat().st_size
    except OSError as error:
        raise damaged(generation, f"its '{name}' can't be read: {error.strerror}") from error
    if found != size:
        raise damaged(generation, f"its '{name}' has {found:,} bytes in place of {size:,}")
    return path


def problems(generation: Path, space: str, rows: int, others: Collection[str] = ()) -> list[str]:
    """Return what is wrong with the index of a generation, one sentence each; reads every byte of it, but not by FAISS.

    Args:
        generation: the directory in use.
        space: the fingerprint of the store's teacher.
        rows: how many rows the store has ever had.
        others: fingerprints of all teachers that the store has, or had, vectors of: an index of theirs is sound, and serves again
            once the store goes back to them.
    """
    try:
        info = read_info(generation)
        if info is None:
            return []
        found = [
            str(damaged(generation, f"its '{name}' fails its SHA-256"))
            for name, size, sha in (
                (info.vectors_file, info.size, info.sha256),
                (info.rows_file, info.rows_size, info.rows_sha256),
            )
            if sha256_of(checked_size(generation, name, size)) != sha
        ]
        check_belongs(generation, info, info.space if info.space in others else space, rows)
        if not found:
            read_rows(generation, info)
    except CorruptStoreError as error:
        return [str(error)]
    return found


def check_belongs(generation: Path, info: IndexInfo, space: str, rows: int) -> None:
    """Raise where an index was made of another teacher's vectors, or of more rows than the store ever had.

    Raises:
        CorruptStoreError: it was.
    """
    if info.space != space:
        raise damaged(
            generation, f"it was made of another teacher's vectors (fingerprint {info.space[:12]}, not {space[:12]})"
        )
    if info.row_total > rows:
        raise damaged(generation, f"it was made of {info.row_total:,} rows where the store has {rows:,}")


def publish(generation: Path, vectors: Path, rows: Path, info: IndexInfo) -> None:
    """Make two finished files the index of a generation, in one step, and remove the one before."""
    directory = generation / INDEX
    vectors.replace(directory / info.vectors_file)
    rows.replace(directory / info.rows_file)
    fresh = directory / f"new-{MARKER}"
    with fresh.open("w", encoding="utf-8") as file:
        json.dump(asdict(info), file, indent=2)
        file.flush()
        os.fsync(file.fileno())
    sync_directory(directory)
    fresh.replace(directory / MARKER)
    sync_directory(directory)
    _clear(generation, keep=(info.vectors_file, info.rows_file, MARKER))


def remove(generation: Path) -> bool:
    """Remove the index of a generation, the marker first; return whether there was one."""
    marker = generation / INDEX / MARKER
    there = marker.exists()
    if there:
        with building(generation):
            marker.unlink(missing_ok=True)
            sync_directory(marker.parent)
            _clear(generation)
    return there


def _clear(generation: Path, keep: tuple[str, ...] = ()) -> None:
    """Remove what builders that were killed left behind, and what no marker names any more."""
    for path in (generation / INDEX).iterdir():
        if path.name not in (*keep, LOCK):
            with contextlib.suppress(OSError):  # Windows keeps what somebody reads; the next builder tries again
                path.unlink()


@contextmanager
def building(generation: Path) -> Iterator[Path]:
    """Be the only builder of this generation's index while inside; yields the directory.

    Raises:
        StoreLockedError: another process builds one.
    """
    from filelock import FileLock, Timeout

    directory = generation / INDEX
    lock = FileLock(directory / LOCK)
    try:
        directory.mkdir(exist_ok=True)
        lock.acquire(timeout=0)
    except OSError as error:
        if not isinstance(error, Timeout):
            raise StoreError(
                f"'{directory}' can't be written ({error.strerror}); check its permissions, then run the command again."
            ) from error
        raise StoreLockedError(
            f"Another process is making an index of '{_store(generation)}'; wait until it is done, then run the command again."
        ) from error
    try:
        yield directory
    finally:
        for left in directory.glob("new*"):
            with contextlib.suppress(OSError):
                left.unlink()
        lock.release()


def finished(path: Path) -> tuple[int, str]:
    """Bring a written file to the disk; return its size and SHA-256."""
    with path.open("rb+") as file:
        os.fsync(file.fileno())
    return path.stat().st_size, sha256_of(path)


def sha256_of(path: Path) -> str:
    """Return a file's SHA-256 in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _store(generation: Path) -> Path:
    return generation.parent.parent


def damaged(generation: Path, what: str) -> CorruptStoreError:
    """Return the error that says why an index can't be used, and what to do."""
    return CorruptStoreError(
        f"The index of '{_store(generation)}' can't be used, for {what}; make it again with: "
        f"embedstore index '{_store(generation)}'"
    )

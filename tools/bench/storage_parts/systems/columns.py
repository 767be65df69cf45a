"""Ids and metadata beside bare vectors, as one would keep them without a database: one JSON file, with checksums."""

import json
import os
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from storage_parts.vectors import Rows

Columns = dict[str, list[str]]


def columns_of(rows: Rows) -> Columns:
    """Return id, label, group, split and machine of every row."""
    return {
        "id": rows.ids(),
        "label": rows.labels(),
        "group": rows.groups(),
        "split": ["train"] * rows.count,
        "machine": rows.machines(),
    }


def write_columns(path: Path, columns: Columns, checksums: list[int]) -> None:
    """Write columns and the vectors' checksums, with a checksum of their own, synced."""
    text = json.dumps({"columns": columns, "checksums": checksums}).encode()
    write_synced(path, text + b"\n%08x\n" % zlib.crc32(text))


def read_columns(path: Path) -> tuple[Columns, list[int]]:
    """Return what `write_columns` wrote, checked."""
    text, checksum = path.read_bytes().rstrip(b"\n").rsplit(b"\n", 1)
    if zlib.crc32(text) != int(checksum, 16):
        raise OSError(f"'{path}' is damaged.")
    found: dict[str, Any] = json.loads(text)
    return found["columns"], found["checksums"]


def mask_of(columns: Columns, where: dict[str, str]) -> npt.NDArray[np.bool_]:
    """Return which rows pass a filter."""
    passes = np.ones(len(columns["id"]), bool)
    for field, value in where.items():
        passes &= np.array(columns[field]) == value
    return passes


def write_synced(path: Path, content: bytes | memoryview) -> None:
    """Write a file and sync it and its folder."""
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Sync a folder, so that the files in it are found after a crash."""
    opened = os.open(folder, os.O_RDONLY)
    os.fsync(opened)
    os.close(opened)

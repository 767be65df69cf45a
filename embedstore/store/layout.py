"""The on-disk format, in one place: names, keys, values, checksums.

    STORE/
      CURRENT                    JSON: format version and the generation that is in use; replaced, never edited
      writer.lock, writer.pid    one writer at a time, and who it is
      generations/0001/          an LMDB environment with the databases below

    database    key                                        value
    meta        head | store | space:HEX | rows |          msgpack
                publishing
    records     id key (16) + version (8)                  msgpack: one sample as that version describes it
    rows        block (8)                                  256 x ROW: when a row was born and died, whose it is
    vectors     space (16) + output + NUL + view (2)       presence bitmap (32), 256 x d float16
                + block (8)
    aside       id key (16)                                msgpack: a picture set aside, and why
    summaries   name                                       safetensors

Integers in keys are big-endian, so that a cursor walks blocks in order; every value ends with the CRC32 of its key and
itself. Rows are append-only. A row is part of version N when `born <= N < died`; a row that was written but not yet
published has `born == NEVER`. The record that counts is the newest at or before N.
"""

import hashlib
import json
import os
import re
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgpack
import numpy as np
import numpy.typing as npt

from embedstore.errors import CorruptStoreError, NotAStoreError, StoreError

FORMAT = 1
BLOCK = 256  # rows in a value
NEVER = 2**64 - 1
CURRENT, LOCK, PID, GENERATIONS = "CURRENT", "writer.lock", "writer.pid", "generations"
FIRST_GENERATION = "0001"

META, RECORDS, ROWS, VECTORS, ASIDE, SUMMARIES = b"meta", b"records", b"rows", b"vectors", b"aside", b"summaries"
DATABASES = (META, RECORDS, ROWS, VECTORS, ASIDE, SUMMARIES)

ROW = np.dtype([("born", "<u8"), ("died", "<u8"), ("key", "u1", 16), ("content", "u1", 16)])
_BITMAP = BLOCK // 8


@dataclass(frozen=True)
class Column:
    """One vector per row: which teacher, which of its outputs, which view."""

    space: str  # the teacher's fingerprint, 32 hex digits
    output: str
    view: int


@dataclass(frozen=True)
class Head:
    """What readers see: the version, the teacher in use, and the columns that are complete."""

    version: int
    space: str
    columns: tuple[Column, ...]

    @property
    def views(self) -> int:
        """How many augmented views are complete; view 0, the plain picture, is not counted."""
        return max((column.view for column in self.columns if column.space == self.space), default=0)


@dataclass(slots=True)
class Record:
    """One sample as a version describes it."""

    id: str
    uri: str
    row: int
    content: bytes
    label: str | None = None
    mode: str | None = None
    group: str | None = None
    split: str | None = None
    attributes: dict[str, str] | None = None
    source: dict[str, str] | None = None  # what the folder or manifest said last, so that only its changes count


# Keys


def id_key(sample_id: str) -> bytes:
    """Return the fixed-length key of an id: LMDB's keys end at 511 bytes, ids do not."""
    return hashlib.blake2b(sample_id.encode(), digest_size=16).digest()


def record_key(key: bytes, version: int) -> bytes:
    """Return the key of a sample's record as of a version."""
    return key + version.to_bytes(8, "big")


def row_key(block: int) -> bytes:
    """Return the key of a block of rows."""
    return block.to_bytes(8, "big")


def vector_key(column: Column, block: int) -> bytes:
    """Return the key of a block of vectors."""
    return column_prefix(column) + block.to_bytes(8, "big")


def column_prefix(column: Column) -> bytes:
    """Return what the keys of all blocks of a column begin with."""
    return bytes.fromhex(column.space) + column.output.encode() + b"\0" + column.view.to_bytes(2, "big")


# Values


def seal(key: bytes, payload: bytes) -> bytes:
    """Append the checksum of key and payload."""
    return payload + zlib.crc32(payload, zlib.crc32(key)).to_bytes(4, "little")


def unseal(database: bytes, key: bytes, value: bytes | memoryview, *, check: bool = True) -> memoryview:
    """Return the payload; raise where the checksum says that it is not what was written.

    Raises:
        CorruptStoreError: key or payload were changed after writing.
    """
    payload = memoryview(value)[:-4]
    if len(value) < 4 or (check and zlib.crc32(payload, zlib.crc32(key)) != int.from_bytes(value[-4:], "little")):
        raise CorruptStoreError(
            f"A value in the database '{database.decode()}' fails its checksum (key {key.hex()}); restore the store "
            "from a copy, or build it again."
        )
    return payload


def pack(values: Any) -> bytes:
    """Encode plain values."""
    packed: bytes = msgpack.packb(values, use_bin_type=True)
    return packed


def unpack(payload: memoryview) -> Any:
    """Decode what `pack` gave."""
    return msgpack.unpackb(payload, raw=False)


def pack_record(record: Record) -> bytes:
    """Encode a record; missing fields take no space."""
    values = {name: getattr(record, name) for name in Record.__slots__}
    return pack({name: value for name, value in values.items() if value is not None})


def unpack_record(payload: memoryview) -> Record:
    """Decode what `pack_record` gave."""
    return Record(**unpack(payload))


def empty_rows() -> npt.NDArray[np.void]:
    """Return a block of rows that nobody owns yet."""
    rows = np.zeros(BLOCK, ROW)
    rows["born"] = rows["died"] = NEVER
    return rows


def pack_vectors(present: npt.NDArray[np.bool_], vectors: npt.NDArray[np.float16]) -> bytes:
    """Encode a block of (256,) presence and (256, d) float16."""
    return np.packbits(present).tobytes() + vectors.tobytes()


def unpack_vectors(payload: memoryview) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.float16]]:
    """Decode a block without copying: (256,) presence and (256, d) float16, valid while the transaction is."""
    present = np.unpackbits(np.frombuffer(payload[:_BITMAP], np.uint8)).astype(bool)
    return present, np.frombuffer(payload[_BITMAP:], np.float16).reshape(BLOCK, -1)


# Files


def read_current(store: Path) -> Path:
    """Return the directory of the generation in use.

    Raises:
        NotAStoreError: there is no store here.
        StoreError: the store is of another format version.
        CorruptStoreError: CURRENT is damaged.
    """
    try:
        text = (store / CURRENT).read_text("utf-8")
    except (FileNotFoundError, NotADirectoryError) as error:
        what = "is not a store" if store.exists() else "does not exist"
        raise NotAStoreError(f"'{store}' {what}; make one with: embedstore build '{store}' IMAGES") from error
    except (OSError, UnicodeDecodeError) as error:
        raise CorruptStoreError(f"'{store / CURRENT}' can't be read ({error}); restore it from a copy.") from error
    try:
        values = json.loads(text)
        found, generation = values["format"], values["generation"]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise CorruptStoreError(f"'{store / CURRENT}' is damaged; restore it from a copy.") from error
    if found != FORMAT:
        raise StoreError(
            f"The store '{store}' has format version {found}, this program reads version {FORMAT}; use the release "
            "that wrote it."
        )
    if not isinstance(generation, str) or not re.fullmatch(r"[0-9]{4,8}", generation):
        raise CorruptStoreError(f"'{store / CURRENT}' names no generation; restore it from a copy.")
    return store / GENERATIONS / generation


def write_current(store: Path, generation: str) -> None:
    """Replace CURRENT in one step."""
    fresh = store / f"{CURRENT}.new"
    with fresh.open("w", encoding="utf-8") as file:
        json.dump({"format": FORMAT, "generation": generation}, file)
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(store / CURRENT)

"""The on-disk format, in one place: names, keys, values, checksums.

    STORE/
      CURRENT                    JSON: format version and the generation that is in use; replaced, never edited
      writer.lock, writer.pid    one writer at a time, and who it is
      generations/0001/          an LMDB environment with the databases below
      generations/0001/index/    what can be made again from it: the FAISS index
      generations/0001/DAMAGED   empty; a repair replaced this generation, which is to be kept aside

    database    key                                        value
    meta        head | store | space:HEX | rows | names |  msgpack; of the head: version, space, columns, samples; of a
                publishing | compacted                     space: see below
    rows        block (8)                                  256 x ROW: when a row was born and died, whose it is
    fields      name's number (2) + block (8)              256 codes (u16), then msgpack: the texts they stand for
                + version (8)
    vectors     space (16) + output + NUL + view (2)       presence bitmap (32), 256 x d float16
                + block (8)
    log         version (8)                                msgpack: when, by what, how much, and the head it made
    tags        name                                       msgpack: version
    lost        id key (16)                                msgpack: what is known of a sample whose vectors were lost
    aside       id key (16)                                msgpack: a picture set aside, and why
    summaries   name                                       safetensors

A *space* is a teacher, by its fingerprint: the name it was loaded by (`teacher`), `outputs` (name -> dimension; `embedding` is
always there), `input_size` in pixels, `declared` where its vectors were imported, `definitions` (further output -> what it is, in
words) where it has any, and `reduced` where its vectors are another teacher's on fewer axes: that one's name and fingerprint,
centre and axes. An output that is named here may still lack vectors; which columns are complete the head says.

Integers in keys are big-endian, so that a cursor walks blocks in order; every value ends with the CRC32 of its key and
itself. Rows are append-only: a row is part of version N when `born <= N < died`. One that an unfinished build has written
and no version shows yet has `born == NEVER`; one that no version will ever show has `born == died == 0`. What is known of a
sample stands in *fields*, one text per row and field; the block of a field that counts for version N is the newest at or
before N.
"""

import errno
import hashlib
import json
import os
import re
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgpack
import numpy as np
import numpy.typing as npt

from embedstore.errors import CorruptStoreError, NotAStoreError, StoreError

FORMAT = 2
OLDEST_FORMAT = 1  # from here on `migrations` bring a store to FORMAT
BLOCK = 256  # rows in a value
MOST_BYTES = 2**32 - 5  # of a value without its checksum: LMDB takes no larger one
BITMAP = BLOCK // 8  # bytes before the vectors of a block that say which rows have one
NEVER = 2**64 - 1
CURRENT, LOCK, PID, GENERATIONS = "CURRENT", "writer.lock", "writer.pid", "generations"
FIRST_GENERATION = "0001"
DAMAGED = "DAMAGED"  # in a generation: a repair replaced it, so it is kept aside, not removed

META, ROWS, FIELDS, VECTORS = b"meta", b"rows", b"fields", b"vectors"
LOG, TAGS, LOST, ASIDE, SUMMARIES = b"log", b"tags", b"lost", b"aside", b"summaries"
DATABASES = (META, ROWS, FIELDS, VECTORS, LOG, TAGS, LOST, ASIDE, SUMMARIES)

ROW = np.dtype([("born", "<u8"), ("died", "<u8"), ("key", "u1", 16), ("content", "u1", 16)])
UNKNOWN_CONTENT = bytes(16)  # of a row whose vectors were given, not embedded from a picture
_NO_TEXT = 0xFFFF

# What a system says that syncs no directory: some network drives; Windows, which opens none.
_NO_SYNC = {errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EBADF}
_NO_SYNC |= {errno.EACCES, errno.EPERM} if os.name == "nt" else set()


@dataclass(frozen=True)
class Column:
    """One vector per row: which teacher, which of its outputs, which view."""

    space: str  # the teacher's fingerprint, 32 hex digits
    output: str
    view: int


@dataclass(frozen=True)
class Head:
    """What readers see: the version, the teacher in use, the columns that are complete, and how many samples there are.

    Samples are counted when a version is made, so that nobody has to read all rows to know; None where that was before
    versions said so.
    """

    version: int
    space: str
    columns: tuple[Column, ...]
    samples: int | None

    @property
    def views(self) -> int:
        """How many augmented views are complete; view 0, the plain picture, is not counted."""
        return max((column.view for column in self.columns if column.space == self.space), default=0)


# Keys


def id_key(sample_id: str) -> bytes:
    """Return the fixed-length key of an id: LMDB's keys end at 511 bytes, ids do not."""
    return hashlib.blake2b(sample_id.encode(), digest_size=16).digest()


def row_key(block: int) -> bytes:
    """Return the key of a block of rows."""
    return block.to_bytes(8, "big")


def field_key(number: int, block: int, version: int) -> bytes:
    """Return the key of a block of a field as of a version."""
    return number.to_bytes(2, "big") + block.to_bytes(8, "big") + version.to_bytes(8, "big")


def number_of(key: bytes) -> int:
    """Return the number of the field that a block's key names."""
    return int.from_bytes(key[:2], "big")


def block_of(key: bytes) -> int:
    """Return the block that the key of a field's block names."""
    return int.from_bytes(key[2:10], "big")


def version_of(key: bytes) -> int:
    """Return the version that the key of a field's block names."""
    return int.from_bytes(key[10:], "big")


def version_key(version: int) -> bytes:
    """Return the key of a version in the log."""
    return version.to_bytes(8, "big")


def vector_key(column: Column, block: int) -> bytes:
    """Return the key of a block of vectors."""
    return column_prefix(column) + block.to_bytes(8, "big")


def column_prefix(column: Column) -> bytes:
    """Return what the keys of all blocks of a column begin with."""
    return bytes.fromhex(column.space) + column.output.encode() + b"\0" + column.view.to_bytes(2, "big")


def id_keys(ids: Sequence[str]) -> npt.NDArray[np.uint8]:
    """Return the keys (n, 16) of many ids."""
    digest = hashlib.blake2b  # as `id_key`, but a million of them at once
    # Who asks for what UTF-8 can't hold finds nothing; writers refuse it before.
    texts = [i.encode(errors="surrogatepass") for i in ids]
    return np.frombuffer(b"".join([digest(text, digest_size=16).digest() for text in texts]), np.uint8).reshape(-1, 16)


def column_of(key: bytes) -> Column:
    """Return the column that the key of a block of vectors names."""
    return Column(key[:16].hex(), key[16:-11].decode(), int.from_bytes(key[-10:-8], "big"))


# Values


def seal(key: bytes, *parts: bytes | memoryview) -> bytes:
    """Return a payload, in one or more parts, with the checksum of the key and itself at its end."""
    checksum = zlib.crc32(key)
    for part in parts:
        checksum = zlib.crc32(part, checksum)
    return b"".join((*parts, checksum.to_bytes(4, "little")))


def unseal(database: bytes, key: bytes, value: bytes | memoryview, *, check: bool = True) -> memoryview:
    """Return the payload; raise where the checksum says that it is not what was written.

    Raises:
        CorruptStoreError: key or payload were changed after writing.
    """
    payload = memoryview(value)[:-4]
    if len(value) < 4 or (check and zlib.crc32(payload, zlib.crc32(key)) != int.from_bytes(value[-4:], "little")):
        raise CorruptStoreError(
            f"A value of the store's table '{database.decode()}' fails its checksum; see what is damaged, and what mends it, "
            "with: embedstore verify STORE"
        )
    return payload


def pack(values: Any) -> bytes:
    """Encode plain values."""
    packed: bytes = msgpack.packb(values, use_bin_type=True)
    return packed


def unpack(payload: memoryview) -> Any:
    """Decode what `pack` gave.

    Raises:
        CorruptStoreError: it is something else, whose checksum fits all the same: not written by this program.
    """
    try:
        return msgpack.unpackb(payload, raw=False, strict_map_key=False)
    except (ValueError, TypeError, OverflowError, msgpack.UnpackException) as error:  # a list as a map's key, a date
        raise _unsound(f"A value in the store is no msgpack ({error})") from error


def empty_rows() -> npt.NDArray[np.void]:
    """Return a block of rows that nobody owns yet."""
    rows = np.zeros(BLOCK, ROW)
    rows["born"] = rows["died"] = NEVER
    return rows


def pack_field(texts: Sequence[str | None]) -> bytes:
    """Encode a block of 256 texts, some of them missing."""
    distinct = dict.fromkeys(texts)
    if len(distinct) == len(texts) and None not in distinct:
        return np.arange(len(texts), dtype="<u2").tobytes() + pack(list(texts))
    known: dict[str | None, int] = {text: code for code, text in enumerate(t for t in distinct if t is not None)}
    codes = map({**known, None: _NO_TEXT}.__getitem__, texts)  # in C: a bulk write comes here for every block
    return np.fromiter(codes, "<u2", len(texts)).tobytes() + pack(list(known))


def unpack_field(payload: memoryview) -> tuple[list[str], npt.NDArray[np.int32]]:
    """Decode a block of a field: its texts, and for each of its 256 rows the place of its own among them, -1 for none.

    Raises:
        CorruptStoreError: it is none that this program writes.
    """
    texts = unpack(payload[2 * BLOCK :])
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        raise _unsound("A block of a field holds no texts")
    codes = np.frombuffer(payload[: 2 * BLOCK], "<u2").astype(np.int32)
    codes[codes >= len(texts)] = -1
    return texts, codes


def pack_vectors(key: bytes, present: npt.NDArray[np.bool_], vectors: npt.NDArray[np.floating]) -> memoryview:
    """Encode and seal a block of (256,) presence and (256, d) vectors, which are rounded to float16 and copied once."""
    value = np.empty(sealed_size(vectors.shape[1]), np.uint8)
    value[:BITMAP] = np.packbits(present)
    value[BITMAP:-4].view("<f2").reshape(vectors.shape)[:] = vectors
    value[-4:] = np.frombuffer(zlib.crc32(value[:-4].data, zlib.crc32(key)).to_bytes(4, "little"), np.uint8)
    return value.data


def sealed_size(dim: int) -> int:
    """Return how many bytes a sealed block of vectors of `dim` numbers has."""
    return BITMAP + 2 * BLOCK * dim + 4


def presence_of(payload: memoryview) -> npt.NDArray[np.bool_]:
    """Return which of the 256 rows of a block have a vector.

    Raises:
        CorruptStoreError: the block is too short to say so.
    """
    if len(payload) < BITMAP:
        raise _unsound(f"A block of vectors has only {len(payload)} bytes")
    return np.unpackbits(np.frombuffer(payload[:BITMAP], np.uint8)).astype(bool)


def unpack_vectors(
    payload: memoryview, dim: int | None = None
) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.float16]]:
    """Return presence (256,) and vectors (256, d) of a block; see `vectors_of`."""
    return presence_of(payload), vectors_of(payload, dim)


def vectors_of(payload: memoryview, dim: int | None = None) -> npt.NDArray[np.float16]:
    """Return the vectors (256, d) of a block without copying: valid while the transaction is.

    Raises:
        CorruptStoreError: the length is not that of 256 vectors of `dim` numbers, or of any number where that is not given.
    """
    size = len(payload) - BITMAP
    if size <= 0 or (size % (2 * BLOCK) if dim is None else size != 2 * BLOCK * dim):
        expected = "whole vectors" if dim is None else f"vectors of {dim} numbers"
        raise _unsound(f"A block of vectors has {len(payload)} bytes, which is not {BLOCK} {expected}")
    return np.frombuffer(payload, np.float16, offset=BITMAP).reshape(BLOCK, -1)


def _unsound(what: str) -> CorruptStoreError:
    return CorruptStoreError(f"{what}; see what else is damaged with: embedstore verify STORE")


# Files


def generations(store: Path) -> list[Path]:
    """Return all generations that are there, in use or left behind, by name."""
    found = (store / GENERATIONS).glob("*")
    return sorted(path for path in found if re.fullmatch(r"[0-9]{4,8}", path.name))


def read_current(store: Path) -> Path:
    """Return the directory of the generation in use.

    Raises:
        NotAStoreError: there is no store here.
        StoreError: the store is of another format version, or the system does not let it be read.
        CorruptStoreError: CURRENT is damaged.
    """
    found, generation = read_format(store)
    if is_older(found):
        raise StoreError(
            f"The store '{store}' was written by an earlier release (format {found}); bring it to format {FORMAT} with: "
            f"embedstore upgrade '{store}'"
        )
    if found != FORMAT:
        raise StoreError(
            f"The store '{store}' has format version {found}, this program reads version {FORMAT}; use the release "
            "that wrote it."
        )
    return generation_path(store, generation)


def read_format(store: Path) -> tuple[Any, Any]:
    """Return what CURRENT says, unchecked: the format version and the name of the generation in use.

    Raises:
        NotAStoreError: there is no store here.
        StoreError: the system does not let it be read.
        CorruptStoreError: CURRENT is damaged.
    """
    try:
        text = (store / CURRENT).read_text("utf-8")
    except (FileNotFoundError, NotADirectoryError) as error:
        if os.path.isfile(store) or (os.path.isdir(store) and any(store.iterdir())):  # a build would refuse it
            what = "a file" if os.path.isfile(store) else "a directory of other files"
            raise NotAStoreError(
                f"'{store}' is not a store but {what}; give the path of a store, or make one elsewhere with: embedstore build "
                "STORE IMAGES"
            ) from error
        what = "is not a store" if store.exists() else "does not exist"
        raise NotAStoreError(f"'{store}' {what}; make one with: embedstore build '{store}' IMAGES") from error
    except PermissionError as error:
        raise StoreError(
            f"You may not read '{store / CURRENT}'; ask the owner of the store for the permission, or for a copy."
        ) from error
    except (OSError, UnicodeDecodeError) as error:
        raise _unusable(store, f"can't be read ({error})") from error
    try:
        values = json.loads(text)
        return values["format"], values["generation"]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise _unusable(store, "is damaged") from error


def _unusable(store: Path, why: str) -> CorruptStoreError:
    return CorruptStoreError(f"'{store / CURRENT}' {why}; see what mends it with: embedstore verify '{store}'")


def is_older(found: Any) -> bool:
    """Return whether a store of this format version can be brought to the one that this program reads."""
    return type(found) is int and OLDEST_FORMAT <= found < FORMAT


def generation_path(store: Path, generation: Any) -> Path:
    """Return the directory of a generation.

    Raises:
        CorruptStoreError: that is not the name of one.
    """
    if not isinstance(generation, str) or not re.fullmatch(r"[0-9]{4,8}", generation):
        raise _unusable(store, "names no generation")
    return store / GENERATIONS / generation


def write_current(store: Path, generation: str, version: int = FORMAT) -> None:
    """Replace CURRENT in one step; `version` is that of the format."""
    fresh = store / f"{CURRENT}.new"
    fresh.unlink(missing_ok=True)
    with fresh.open("x", encoding="utf-8") as file:  # never through a link that somebody has put there
        json.dump({"format": version, "generation": generation}, file)
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(store / CURRENT)
    sync_directory(store)


def sync_directory(directory: Path) -> None:
    """Bring a rename in a directory to the disk, where the system can.

    Raises:
        OSError: it can, and the disk fails.
    """
    try:
        descriptor = os.open(directory, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except OSError as error:
        if error.errno not in _NO_SYNC:
            raise

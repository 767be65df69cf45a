"""A `.safetensors` file with a checksum, and texts in it: what the exported files of vectors and light files share.

The metadata of a name of its own is JSON: the format, where the file is from, and the CRC32 of the file as it is with eight
zeros in place of the checksum. A column of texts is two tensors: `text:NAME`, the UTF-8 bytes of all, and `end:NAME` (n,)
int64, where each of them ends; a text of no bytes is a missing one. A header of millions of ids would be refused, so they are
bytes too.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from embedstore.exports.selection import Texts

NO_CRC = "0" * 8
TEXT, END = "text:", "end:"
_WIDTH = {"I64": 8, "F16": 2, "I8": 1, "U8": 1}
_CHUNK = 1 << 22  # bytes that are read at once for the checksum

Layout = Mapping[str, tuple[str, list[int]]]  # tensor -> type and shape, in their order in the file


def write_sealed(path: Path, key: str, about: Mapping[str, Any], layout: Layout, chunks: Iterable[bytes]) -> None:
    """Write a file of tensors whose bytes come in their order, in any portions.

    Args:
        path: of the file.
        key: of the metadata.
        about: what stands there beside the checksum.
        layout: of the tensors, the widest type first, so that every one is aligned.
        chunks: their bytes.
    """
    header = _header(key, about, layout, NO_CRC)
    crc = zlib.crc32(header)
    with path.open("wb") as file:
        file.write(header)
        for chunk in chunks:
            crc = zlib.crc32(chunk, crc)
            file.write(chunk)
        file.seek(0)
        file.write(_header(key, about, layout, f"{crc:08x}"))


def _header(key: str, about: Mapping[str, Any], layout: Layout, crc: str) -> bytes:
    """Return the header, as https://github.com/huggingface/safetensors describes it; the checksum is its first number."""
    header: dict[str, Any] = {"__metadata__": {key: json.dumps({"crc32": crc, **about})}}
    start = 0
    for name, (kind, shape) in layout.items():
        stop = start + _WIDTH[kind] * int(np.prod(shape))
        header[name] = {"dtype": kind, "shape": shape, "data_offsets": [start, stop]}
        start = stop
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text


def checksum(path: Path, told: str) -> str:
    """Return the checksum of a file that says `told`; its header was read by now, so it is no longer than the file."""
    with path.open("rb") as file:
        size = int.from_bytes(file.read(8), "little")
        file.seek(0)
        crc = zlib.crc32(file.read(8 + size).replace(told.encode(), NO_CRC.encode(), 1))
        while chunk := file.read(_CHUNK):
            crc = zlib.crc32(chunk, crc)
    return f"{crc:08x}"


def packed(cells: Texts) -> tuple[bytes, npt.NDArray[np.int64]]:
    """Return the bytes of a column of texts (n,), and where each ends (n,)."""
    encoded = [(cell or "").encode() for cell in cells]
    return b"".join(encoded), np.cumsum([len(cell) for cell in encoded], dtype="<i8")


def unpacked(data: bytes, ends: npt.NDArray[np.int64], start: int = 0) -> Texts:
    """Return the texts (n,) of a column, or of a part of it whose bytes begin at `start`; None for no bytes.

    Raises:
        UnicodeDecodeError: they are none.
    """
    stops = [end - start for end in ends.tolist()]
    return [data[one:end].decode() or None for one, end in zip([0, *stops[:-1]], stops, strict=True)]


def is_sound_column(ends: npt.NDArray[np.int64], count: int, size: int) -> bool:
    """Return whether `ends` can be where `count` texts of `size` bytes in all end."""
    starts = np.concatenate([[0], ends]) if ends.ndim == 1 else ends
    return (
        ends.dtype == np.int64
        and ends.shape == (count,)
        and size == int(starts[-1])
        and not (np.diff(starts) < 0).any()
    )

"""A `.safetensors` file with a checksum, and texts in it: what the exported files of vectors and light files share.

The metadata of a name of its own is JSON: the format, where the file is from, and the CRC32 of the file as it is with eight
zeros in place of the checksum. A column of texts is two tensors: `text:NAME`, the UTF-8 bytes of all, and `end:NAME` (n,)
int64, where each of them ends; a text of no bytes is a missing one. A header of millions of ids would be refused, so they are
bytes too.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from embedstore.errors import SourceError
from embedstore.store.fields import Texts

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


@contextmanager
def opened(path: Path, key: str, format: int, what: str, command: str) -> Iterator[tuple[Any, dict[str, Any]]]:
    """Open a file that `write_sealed` wrote, checked; give its tensors, as safetensors has them, and what it says of itself.

    Args:
        path: of the file.
        key: of the metadata.
        format: that it must be of.
        what: such a file is called.
        command: that writes one.

    Raises:
        SourceError: it can't be read, is something else, or not the file that was written; so is whatever else is raised while
            it is open, for a damaged or hostile file raises anything.
    """
    from safetensors import safe_open

    try:
        with safe_open(path, framework="numpy") as file:
            about = json.loads((file.metadata() or {}).get(key, "{}"))
            if about.get("format") != format:
                raise SourceError(f"'{path}' is no {what} of format {format}; write one with: {command}")
            if about["crc32"] != _checksum(path, about["crc32"]):
                raise SourceError(f"'{path}' fails its checksum; export it again, or take it from a copy.")
            yield file, about
    except OSError as error:
        raise SourceError(f"'{path}' can't be read: {error.strerror or error}; check the path.") from error
    except SourceError:
        raise
    except Exception as error:
        raise SourceError(f"'{path}' is no whole {what} ({type(error).__name__}); write it with: {command}") from error


def _checksum(path: Path, told: str) -> str:
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


def column_ends(file: Any, count: int) -> dict[str, npt.NDArray[np.int64]]:
    """Return where the texts end (n,) of each column of an open file.

    Raises:
        ValueError: some can't be where `count` texts end.
    """
    names = sorted(name.removeprefix(END) for name in file.keys() if name.startswith(END))  # noqa: SIM118 (no mapping)
    found = {name: file.get_tensor(END + name) for name in names}
    if not all(_is_sound(found[name], count, *file.get_slice(TEXT + name).get_shape()) for name in names):
        raise ValueError("its columns do not fit together")
    return found


def _is_sound(ends: npt.NDArray[np.int64], count: int, size: int) -> bool:
    """Return whether `ends` can be where `count` texts of `size` bytes in all end."""
    starts = np.concatenate([[0], ends]) if ends.ndim == 1 else ends
    return (
        ends.dtype == np.int64
        and ends.shape == (count,)
        and size == int(starts[-1])
        and not (np.diff(starts) < 0).any()
    )

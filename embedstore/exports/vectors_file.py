"""A `.safetensors` file of vectors with their fields; `embedstore import` reads it again.

Tensors: `vectors` (n, d) float16, and for each column `text:NAME`, the UTF-8 bytes of all its texts, and `end:NAME` (n,)
int64, where each of them ends; a text of no bytes is a missing one. A header of millions of ids would be refused, so they are
bytes too. The metadata `embedstore.vectors` is JSON: the format, where the vectors are from, and the CRC32 of the file as it
is with eight zeros in place of the checksum.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterator, Mapping
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from embedstore.exports.selection import Selection, Texts

FORMAT = 1
NO_CRC = "0" * 8
METADATA, VECTORS, TEXT, END = "embedstore.vectors", "vectors", "text:", "end:"


def write(selection: Selection, path: Path) -> None:
    """Write a `.safetensors` file; of the vectors only one block is in memory."""
    texts = {name: _packed(cells) for name, cells in selection.texts().items()}
    layout: dict[str, tuple[str, list[int]]] = {}
    for name in texts:  # the widest type first, so that every tensor is aligned
        layout[f"{END}{name}"] = ("I64", [len(selection)])
    layout[VECTORS] = ("F16", [len(selection), selection.dim])
    for name, (data, _) in texts.items():
        layout[f"{TEXT}{name}"] = ("U8", [len(data)])
    ends: Iterator[bytes] = (end.tobytes() for _, end in texts.values())
    vectors = (np.ascontiguousarray(block, "<f2").tobytes() for block in selection.blocks())
    crc = 0
    with path.open("wb") as file:
        for chunk in chain([_header(layout, selection.about)], ends, vectors, (data for data, _ in texts.values())):
            crc = zlib.crc32(chunk, crc)
            file.write(chunk)
        file.seek(0)
        file.write(_header(layout, selection.about, f"{crc:08x}"))


def _packed(cells: Texts) -> tuple[bytes, npt.NDArray[np.int64]]:
    encoded = [(cell or "").encode() for cell in cells]
    return b"".join(encoded), np.cumsum([len(cell) for cell in encoded], dtype="<i8")


def _header(layout: Mapping[str, tuple[str, list[int]]], about: Mapping[str, Any], crc: str = NO_CRC) -> bytes:
    """Return the header, as https://github.com/huggingface/safetensors describes it; the checksum is its first number."""
    width = {"I64": 8, "F16": 2, "U8": 1}
    sealed = json.dumps({"crc32": crc, "format": FORMAT, **about})
    header: dict[str, Any] = {"__metadata__": {METADATA: sealed}}
    start = 0
    for name, (kind, shape) in layout.items():
        stop = start + width[kind] * int(np.prod(shape))
        header[name] = {"dtype": kind, "shape": shape, "data_offsets": [start, stop]}
        start = stop
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text

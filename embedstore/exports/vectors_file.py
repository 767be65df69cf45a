"""A `.safetensors` file of vectors with their fields; `embedstore import` reads it again.

Tensors: `vectors` (n, d) float16, and each column as `sealed` says, under the metadata `embedstore.vectors`.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from pathlib import Path

import numpy as np

from embedstore.exports.sealed import END, TEXT, packed, write_sealed
from embedstore.exports.selection import Selection

FORMAT = 1
METADATA, VECTORS = "embedstore.vectors", "vectors"


def write(selection: Selection, path: Path) -> None:
    """Write a `.safetensors` file; of the vectors only one block is in memory."""
    texts = {name: packed(cells) for name, cells in selection.texts().items()}
    layout: dict[str, tuple[str, list[int]]] = {}
    for name in texts:
        layout[f"{END}{name}"] = ("I64", [len(selection)])
    layout[VECTORS] = ("F16", [len(selection), selection.dim])
    for name, (data, _) in texts.items():
        layout[f"{TEXT}{name}"] = ("U8", [len(data)])
    ends: Iterator[bytes] = (end.tobytes() for _, end in texts.values())
    vectors = (np.ascontiguousarray(block, "<f2").tobytes() for block in selection.blocks())
    chunks = chain(ends, vectors, (data for data, _ in texts.values()))
    write_sealed(path, METADATA, {"format": FORMAT, **selection.about}, layout, chunks)

"""A `.npy` file of vectors with a CSV file of the same name beside it; `embedstore import` reads the two again.

Row N of the one is row N below the header of the other. The CSV has the columns id, path, label, mode, group, split and the
attributes; an empty cell is a missing text. It is for programs: a cell that begins with `=`, `+`, `-` or `@` is written as it
is, and a spreadsheet would take it for a formula.
"""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np

from embedstore.errors import SettingsError
from embedstore.exports.selection import Selection


def write(selection: Selection, path: Path) -> None:
    """Write vectors (n, d) float16 to `path` and their fields to the CSV file beside it.

    Raises:
        SettingsError: an attribute's name has outer blanks, which an import of the CSV file would not keep.
    """
    texts = selection.texts()
    if blank := next((name for name in texts if name != name.strip()), None):
        raise SettingsError(
            f"The attribute '{blank}' has blanks around its name, which a CSV file does not keep; export to .parquet or "
            ".safetensors."
        )
    with path.with_suffix(".csv").open("w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file, lineterminator="\r\n")  # so that texts with either are put in quotes
        rows.writerow(texts)
        rows.writerows(zip(*texts.values(), strict=True))
    array = np.lib.format.open_memmap(path, mode="w+", dtype=np.float16, shape=(len(selection), selection.dim))
    first = 0
    for block in selection.blocks():
        array[first : first + len(block)] = block
        first += len(block)
    array.flush()

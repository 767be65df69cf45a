"""Rows as arrays: which of them a version sees, and which block each lies in."""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from embedstore.store.layout import BLOCK, NEVER

Rows = npt.NDArray[np.void]  # of `layout.ROW`


def by_block(rows: npt.NDArray[np.int64]) -> Iterator[tuple[int, npt.NDArray[np.int64]]]:
    """Yield each block that some rows (n,) lie in, ascending, and the places of these rows in `rows`."""
    order = np.argsort(rows, kind="stable")
    blocks, starts = np.unique(rows[order] // BLOCK, return_index=True)
    for block, start, end in zip(blocks.tolist(), starts, np.append(starts, len(rows))[1:], strict=True):
        yield block, order[start:end]


def visible(rows: Rows, version: int) -> npt.NDArray[np.bool_]:
    """Return which rows are part of a version."""
    return np.asarray((rows["born"] <= np.uint64(version)) & (np.uint64(version) < rows["died"]))


def staged(rows: Rows) -> npt.NDArray[np.bool_]:
    """Return which rows were written and neither published nor swept."""
    return np.asarray((rows["born"] == np.uint64(NEVER)) & (rows["died"] == np.uint64(NEVER)) & rows["key"].any(axis=1))

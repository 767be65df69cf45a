"""NumPy's `.npy`: vectors (n, d), and a CSV file beside them for all else."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import repeat
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from embedstore.errors import SourceError
from embedstore.imports.source import BATCH, Batch, Options, Origin, as_float16, batch_of
from embedstore.imports.tables import CsvTable, check_counts, refuse_near_miss
from embedstore.store.fields import Texts

_FLOATS = (np.float16, np.float32, np.float64)


class NpyVectors:
    """The vectors of a `.npy` file, mapped, never loaded as a whole; nothing in it is executed.

    Attributes:
        path: of the file.
        count, dim: its shape.
    """

    def __init__(self, path: Path):
        self.path = path
        try:
            array = np.lib.format.open_memmap(path, mode="r")  # reads no other format, and no pickles
        except OSError as error:
            raise SourceError(f"'{path}' can't be read: {error.strerror or error}; check the path.") from error
        except Exception as error:  # whatever a damaged or hostile header raises
            raise SourceError(
                f"'{path}' is no whole .npy file of numbers ({type(error).__name__}); write it again with: "
                "numpy.save(path, vectors)"
            ) from error
        if array.ndim != 2 or 0 in array.shape:
            raise SourceError(f"'{path}' has the shape {array.shape}; expected (n, d), one row a vector.")
        if array.dtype.type not in _FLOATS:
            raise SourceError(
                f"'{path}' holds {array.dtype.name}; expected float16, float32 or float64: vectors as the teacher gave them."
            )
        self._array: npt.NDArray[Any] = array
        self.count, self.dim = map(int, array.shape)

    def read(self, first: int, stop: int) -> npt.NDArray[np.float16]:
        """Return the vectors (n, d) of some rows."""
        return as_float16(np.asarray(self._array[first:stop]), first, self.path)


class NpySource:
    """A `.npy` file with the CSV file that belongs to it; see `source.Source`.

    Args:
        path: of the vectors: (n, d) of float16, float32 or float64.
        options: `fields` is the CSV file; where none is given, it is the one of the same name beside the vectors, if there is
            one. Without any, rows have an id and nothing else.

    Raises:
        SourceError: a file can't be used, or they have not the same number of rows.
    """

    origin: Origin | None = None
    kind = ""

    def __init__(self, path: Path, options: Options):
        if options.column is not None:
            raise SourceError(f"'{path}' has no columns, since a .npy file holds vectors only; leave --column out.")
        self.path, self._options = path, options
        self._vectors = NpyVectors(path)
        self.count, self.dim = self._vectors.count, self._vectors.dim
        beside = path.with_suffix(".csv")
        fields = options.fields or (beside if beside.is_file() else None)
        self._table = CsvTable(fields) if fields else None
        self.texts = self._table.path if self._table else path
        self.left_out: tuple[str, ...] = self._table.left_out if self._table else ()
        if self._table:
            check_counts(self._vectors, self._table)
            refuse_near_miss(self._table.columns, self._table.path)

    def batches(self) -> Iterator[Batch]:
        """Yield all rows in their order."""
        texts: Iterator[dict[str, Texts]] = self._table.chunks() if self._table else repeat({})
        for first, columns in zip(range(0, self.count, BATCH), texts, strict=False):
            vectors = self._vectors.read(first, first + BATCH)
            yield batch_of(columns, vectors, first, self.path, texts=self.texts, options=self._options)

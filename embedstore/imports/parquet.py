"""Parquet: a column of vectors, and columns of texts, numbers or dates beside it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from math import isnan
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from embedstore.errors import MissingPackageError, SourceError
from embedstore.exports.parquet_file import ABOUT
from embedstore.imports.source import BATCH, Batch, Options, Origin, as_float16, batch_of, origin_of
from embedstore.imports.tables import refuse_near_miss
from embedstore.store.fields import Texts


class ParquetTable:
    """A Parquet file that is read some thousands of rows at a time.

    Attributes:
        path: of the file.
        count: its rows.
        vectors: names of the columns that hold lists of floating-point numbers.
        texts: names of the columns whose cells are single: texts, numbers, dates, truth values.
        about: what `embedstore export` wrote into it, as JSON; None in a file of another program.
    """

    def __init__(self, path: Path):
        try:
            import pyarrow.parquet
        except ImportError as error:
            raise MissingPackageError("Reading Parquet needs pyarrow: pip install 'embedstore[parquet]'") from error
        self.path = path
        self._open = pyarrow.parquet.ParquetFile
        with self._file() as file:
            self.count: int = file.metadata.num_rows
            schema = file.schema_arrow
        self.about: bytes | None = (schema.metadata or {}).get(ABOUT.encode())
        names: list[str] = schema.names
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise SourceError(f"'{path}' has the column '{twice[0]}' more than once; delete all but one.")
        self.vectors: list[str] = [field.name for field in schema if _holds_vectors(field.type)]
        self.texts: list[str] = [field.name for field in schema if _holds_texts(field.type)]
        self.others = [name for name in names if name not in self.vectors and name not in self.texts]

    def chunks(self, columns: Sequence[str], size: int = BATCH) -> Iterator[Any]:
        """Yield Arrow record batches of at most `size` rows with these columns."""
        with self._file() as file:
            yield from file.iter_batches(batch_size=size, columns=list(columns), use_threads=False)

    def texts_of(self, batch: Any) -> dict[str, Texts]:
        """Return column name -> texts (n,) of a batch; NaN, as data frames write it, is a missing one.

        Raises:
            SourceError: a text is not UTF-8, or a date can't be told.
        """
        found = {}
        for name in self.texts:
            try:
                found[name] = _as_texts(batch.column(name))
            except (ValueError, OSError) as error:  # Arrow's own errors are one or the other
                reason = " ".join(str(error).split())
                raise SourceError(f"The column '{name}' of '{self.path}' can't be read ({reason}); mend it.") from error
        return found

    @contextmanager
    def _file(self) -> Iterator[Any]:
        import pyarrow

        try:
            with self._open(self.path, page_checksum_verification=True) as file:
                yield file
        except (pyarrow.ArrowException, OSError) as error:
            reason = " ".join(str(error).split())
            raise SourceError(f"'{self.path}' can't be read as Parquet ({reason}); write it again.") from error


class ParquetSource:
    """A Parquet file with vectors; see `source.Source`.

    Columns of texts, numbers and dates become the sample's `id`, `path`, `label`, `mode`, `group` and `split` by their names, or
    attributes; all are texts in a store. Columns of bytes, lists or structures are left out.

    Args:
        path: of the file.
        options: `column` holds the vectors, as lists of float16, float32 or float64, of fixed size or not; where none is named,
            it is the only one of that kind.

    Raises:
        SourceError: the file can't be used.
        MissingPackageError: pyarrow is not installed.
    """

    kind = ""

    def __init__(self, path: Path, options: Options):
        if options.fields is not None:
            raise SourceError(f"'{path}' has its fields in its own columns; leave --fields out.")
        self.path = self.texts = path
        self._options = options
        self._table = ParquetTable(path)
        self._column = _chosen(self._table, options.column)
        self.origin: Origin | None = None
        if self._table.about is not None:
            try:
                about = json.loads(self._table.about)
            except (ValueError, RecursionError) as error:
                raise SourceError(f"What '{path}' says of its teacher can't be read; export it again.") from error
            self.origin = origin_of(about, path)
        refuse_near_miss(self._table.texts, path)
        self.count = self._table.count
        if not self.count:
            raise SourceError(f"'{path}' has no rows; there is nothing to import.")
        self.left_out = (*(name for name in self._table.vectors if name != self._column), *self._table.others)
        first = next(self._table.chunks([self._column], 1)).column(self._column)[0].as_py()
        self.dim = len(first or ())
        if not self.dim:
            raise SourceError(f"Vector 0 of '{path}' (counted from 0) is empty; leave the row out.")

    def batches(self) -> Iterator[Batch]:
        """Yield all rows in their order."""
        first = 0
        for batch in self._table.chunks([self._column, *self._table.texts]):
            vectors = as_float16(_matrix(batch.column(self._column), self.dim, first, self.path), first, self.path)
            columns = self._table.texts_of(batch)
            yield batch_of(columns, vectors, first, self.path, texts=self.path, options=self._options)
            first += len(vectors)


def _as_texts(array: Any) -> Texts:
    import pyarrow.compute

    if pyarrow.types.is_temporal(array.type):  # Python's own dates know no nanoseconds
        array = pyarrow.compute.cast(array, pyarrow.string())
    cells = array.to_pylist()
    return [None if cell is None or (isinstance(cell, float) and isnan(cell)) else str(cell) for cell in cells]


def _matrix(array: Any, dim: int, first: int, path: Path) -> npt.NDArray[Any]:
    """Return a column of lists as (n, d)."""
    import pyarrow.compute

    lengths = pyarrow.compute.list_value_length(array).fill_null(0).to_numpy(zero_copy_only=False)
    if (lengths != dim).any():
        at = int(np.argmax(lengths != dim))
        raise SourceError(
            f"Vector {first + at} of '{path}' (counted from 0) has {lengths[at]} numbers, but the first has {dim}; all must be "
            "of one teacher."
        )
    values: npt.NDArray[Any] = array.flatten().to_numpy(zero_copy_only=False)
    return values.reshape(len(array), dim)


def _chosen(table: ParquetTable, column: str | None) -> str:
    if column is None and len(table.vectors) == 1:
        return table.vectors[0]
    if column is not None and column in table.vectors:
        return column
    found = ", ".join(f"'{name}'" for name in table.vectors) or "none"
    if column is None:
        raise SourceError(
            f"'{table.path}' has {len(table.vectors) or 'no'} columns with lists of floating-point numbers ({found}); one must "
            "hold the vectors, name it: --column NAME"
        )
    raise SourceError(
        f"'{table.path}' has no column '{column}' with lists of floating-point numbers (it has: {found}); name one of these."
    )


def _holds_vectors(kind: Any) -> bool:
    from pyarrow import types

    is_list = types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind)
    return bool(is_list and types.is_floating(kind.value_type))


def _holds_texts(kind: Any) -> bool:
    from pyarrow import types

    if types.is_dictionary(kind):
        kind = kind.value_type
    is_text = types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind)
    is_number = types.is_boolean(kind) or types.is_integer(kind) or types.is_floating(kind) or types.is_decimal(kind)
    return bool(is_text or is_number or types.is_temporal(kind) or types.is_null(kind))

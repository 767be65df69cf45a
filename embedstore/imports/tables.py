"""The texts beside vectors: a CSV file, read in chunks."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import IO, Any

from embedstore.errors import SourceError
from embedstore.images import near_miss
from embedstore.imports.source import BATCH, row_name
from embedstore.store.fields import Texts

NO_NAME = "(no name)"


class CsvTable:
    """A CSV file with a header: UTF-8, commas, one row a vector, in the same order.

    Cells are taken as they are, outer blanks too: the file is for programs. One that begins with `=`, `+`, `-` or `@` is a text
    like any other here, but a spreadsheet would take it for a formula.

    Attributes:
        path: of the file.
        columns: names, without outer blanks; a column without a name, as some programs write their row numbers, is not read.
        count: rows below the header.
        left_out: what is not read.
    """

    def __init__(self, path: Path):
        self.path = path
        with self._rows() as rows:
            self._header = [name.strip() for name in next(rows, [])]
            self._check_header()
            self.count = 0
            for cells in rows:
                self.count += bool(cells)
                if cells and len(cells) != len(self._header):
                    raise SourceError(
                        f"{row_name(self.count - 1, path)} has {len(cells)} cells, but the header has {len(self._header)}; put a "
                        "text that contains a comma in quotes."
                    )
        self.columns = [name for name in self._header if name]
        self.left_out: tuple[str, ...] = () if all(self._header) else (NO_NAME,)

    def chunks(self, size: int = BATCH) -> Iterator[dict[str, Texts]]:
        """Yield column name -> texts (n,) for `size` rows at a time."""
        with self._rows() as rows:
            next(rows, None)
            waiting: list[list[str]] = []
            for cells in rows:
                if cells:
                    waiting.append(cells)
                if len(waiting) == size:
                    yield self._by_column(waiting)
                    waiting = []
            if waiting:
                yield self._by_column(waiting)

    def _by_column(self, rows: list[list[str]]) -> dict[str, Texts]:
        columns = zip(self._header, zip(*rows, strict=True), strict=True)
        return {name: list(cells) for name, cells in columns if name}

    def _check_header(self) -> None:
        named = [name for name in self._header if name]
        if not named:
            raise SourceError(f"'{self.path}' has no header; write the names of the columns into its first row.")
        twice = [name for name, times in Counter(named).items() if times > 1]
        if twice:
            raise SourceError(f"'{self.path}' has the column '{twice[0]}' more than once; delete all but one.")
        if len(self._header) == 1 and (";" in named[0] or "\t" in named[0]):
            raise SourceError(f"'{self.path}' does not separate its cells by commas; save it as CSV with commas.")

    def _rows(self) -> AbstractContextManager[Any]:
        return csv_rows(lambda: self.path.open("rb"), f"'{self.path}'")


@contextmanager
def csv_rows(source: Callable[[], IO[bytes]], shown: str) -> Iterator[Any]:
    """Yield the `csv.reader` of a file in UTF-8 with commas; what goes wrong inside is told as a sentence.

    Args:
        source: opens the file.
        shown: how a sentence calls it.

    Raises:
        SourceError: the file can't be read, or is no such table.
    """
    try:
        with source() as file, io.TextIOWrapper(file, "utf-8-sig", newline="") as text:
            yield csv.reader(text, strict=True)
    except UnicodeDecodeError as error:
        raise SourceError(
            f"{shown} is not UTF-8 (byte {error.start}); save it as 'CSV UTF-8', which Excel offers."
        ) from error
    except csv.Error as error:
        raise SourceError(f"{shown} is no CSV file: {error}; save it as CSV with commas.") from error
    except OSError as error:
        raise SourceError(f"{shown} can't be read: {error.strerror}; check the path.") from error


def refuse_near_miss(columns: Sequence[str], path: Path) -> None:
    """Raise where a column has the name of a field but for capitals: it would become an attribute without a word."""
    if (miss := near_miss(columns)) is not None:
        raise SourceError(f"'{path}' has a column '{miss[0]}'; did you mean '{miss[1]}'? Rename it.")


def check_counts(vectors: Any, texts: Any) -> None:
    """Raise where two parts, each with a `path` and a `count`, have not the same number of rows."""
    if vectors.count != texts.count:
        raise SourceError(
            f"'{vectors.path}' has {vectors.count} vectors, but '{texts.path}' has {texts.count} rows; they must be of one "
            "export, one row a vector, in the same order (the first row of a CSV is its header)."
        )

"""Ids, and texts for them, from a CSV file or from what another command prints."""

import io
import sys
from collections.abc import Sequence
from pathlib import Path

from embedstore.errors import SettingsError
from embedstore.imports.tables import csv_rows
from embedstore.store.fields import as_stored

STDIN = Path("-")


def read_ids(source: Path, column: str | None = None) -> tuple[list[str], list[str] | None]:
    """Return the column `id` of a CSV file with a header, and another of its columns without outer blanks; see `read_columns`.

    None in its place: the file has no such column.
    """
    ids, found = read_columns(source, [] if column is None else [column])
    texts = found.get(column or "")
    return ids, None if texts is None else [text.strip() for text in texts]


def read_columns(source: Path, columns: Sequence[str]) -> tuple[list[str], dict[str, list[str]]]:
    """Return the column `id` of a CSV file with a header, and others of its columns, those that it has; `-` is stdin.

    Where there is no `id`, the column `path` has the ids. All cells are taken as they stand there.

    Raises:
        SourceError: the file can't be read, or is no CSV.
        SettingsError: it has no ids.
    """
    shown = "the standard input" if source == STDIN else f"'{source}'"
    with csv_rows(
        lambda: io.BytesIO(sys.stdin.buffer.read()) if source == STDIN else source.open("rb"), shown
    ) as reader:
        header = [name.strip() for name in next(reader, [])]
        rows = [(reader.line_num, cells) for cells in reader if cells]
    key = "path" if "path" in header and "id" not in header else "id"
    for name in (key, *columns):
        if header.count(name) > 1:
            raise SettingsError(f"{shown} has the column '{name}' more than once; delete all but one.")
    if key not in header:
        found = ", ".join(header) or "none"
        raise SettingsError(
            f"{shown} has no column 'id' in its first row (its columns: {found}); add one with the ids."
        )
    if not rows:
        raise SettingsError(f"{shown} has no rows below its header; give one row for each id.")
    for line, cells in rows:
        if len(cells) != len(header):
            raise SettingsError(
                f"Line {line} of {shown} has {len(cells)} cells, but the header has {len(header)}; put a text that contains "
                "a comma in quotes."
            )
    return _cells(header, rows, key), {name: _cells(header, rows, name) for name in columns if name in header}


def one_text_each(ids: Sequence[str], texts: Sequence[str | None]) -> dict[str, str | None]:
    """Return id -> text.

    Raises:
        SettingsError: an id is there twice with two texts.
    """
    given: dict[str, str | None] = {}
    for sample_id, text in zip(map(as_stored, ids), texts, strict=True):
        if given.setdefault(sample_id, text) != text:
            raise SettingsError(
                f"The id '{sample_id}' is given both '{given[sample_id] or ''}' and '{text or ''}'; leave one of them."
            )
    return given


def _cells(header: list[str], rows: list[tuple[int, list[str]]], name: str) -> list[str]:
    at = header.index(name)
    return [cells[at] for _, cells in rows]

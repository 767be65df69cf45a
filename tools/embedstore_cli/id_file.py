"""Ids, and texts for them, from a CSV file or from what another command prints."""

import csv
import io
import sys
from collections.abc import Sequence
from pathlib import Path

from embedstore.errors import SettingsError
from embedstore.store.reading import as_stored

STDIN = Path("-")


def read_ids(source: Path, column: str | None = None) -> tuple[list[str], list[str] | None]:
    """Return the column `id` of a CSV file with a header, and another of its columns where it has that; `-` is stdin.

    Ids are taken as they stand there, other cells without outer blanks.

    Raises:
        SettingsError: the file can't be read, is no such table, or has no rows.
    """
    shown = "the standard input" if source == STDIN else f"'{source}'"
    try:
        data = sys.stdin.buffer.read() if source == STDIN else source.read_bytes()
        reader = csv.reader(io.StringIO(data.decode("utf-8-sig"), newline=""), strict=True)
        header = [name.strip() for name in next(reader, [])]
        rows = [(reader.line_num, cells) for cells in reader if cells]
    except UnicodeDecodeError as error:
        raise SettingsError(f"{shown} is not UTF-8 (byte {error.start}); save it as 'CSV UTF-8'.") from error
    except OSError as error:
        raise SettingsError(f"{shown} can't be read: {error.strerror}; check the path.") from error
    except csv.Error as error:
        raise SettingsError(f"{shown} is no CSV file: {error}; save it as CSV with commas.") from error
    for name in ("id", column):
        if header.count(name or "") > 1 and name:
            raise SettingsError(f"{shown} has the column '{name}' more than once; delete all but one.")
    if "id" not in header:
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
    ids = _cells(header, rows, "id")
    if column is None or column not in header:
        return ids, None
    return ids, [text.strip() for text in _cells(header, rows, column)]


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

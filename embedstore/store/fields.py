"""What is known of samples: one text per row and field, many rows at a time or one sample as a `Record`."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from embedstore.images import FIELDS

Texts = list[str | None]  # of a column; None where a row has none

ID, URI = "id", "uri"  # the uri stands there only where it is not the id
ATTRIBUTE, SAID = "attribute:", "said:"  # a field of the user's own; what folder or manifest said last of a field


def as_stored(text: str) -> str:
    """Return a text in the Unicode form that ids, fields and their names have in a store."""
    return text if text.isascii() else unicodedata.normalize("NFC", text)


def spelt(name: str) -> str:
    """Return the field that holds label, mode, group, split or, under any other name, an attribute."""
    return name if name in FIELDS else ATTRIBUTE + as_stored(name)


@dataclass(frozen=True)
class Field:
    """A text per row, or None: each text is kept once (ids perhaps twice, see `join_blocks`), and the rows hold its place.

    Attributes:
        texts: the texts that occur, and perhaps others. A tuple: Python's garbage collector, which comes by the more often the
            more work is done, walks through every list of millions, but through a tuple of texts once.
        codes: (n,) place of each row's text in `texts`, -1 where it has none.
    """

    texts: tuple[str, ...]
    codes: npt.NDArray[np.int32]

    def __len__(self) -> int:
        return len(self.codes)

    def __getitem__(self, rows: npt.NDArray[np.integer] | npt.NDArray[np.bool_]) -> Field:
        """Return the field of some rows only."""
        return Field(self.texts, self.codes[rows])

    def at(self, row: int) -> str | None:
        """Return one row's text."""
        code = int(self.codes[row])
        return None if code < 0 else self.texts[code]

    def to_list(self) -> list[str | None]:
        """Return the text of each row."""
        known = [*self.texts, None]
        return [known[code] for code in self.codes.tolist()]

    def equals(self, text: str | None) -> npt.NDArray[np.bool_]:
        """Return (n,) which rows have this text, or none."""
        if text is None:
            return np.asarray(self.codes < 0)
        codes = [code for code, known in enumerate(self.texts) if known == text]  # several: of ids, see `join_blocks`
        return np.asarray(np.isin(self.codes, codes))


def join_blocks(
    blocks: Iterator[tuple[int, list[str], npt.NDArray[np.int32]]], count: int, size: int, *, distinct: bool = False
) -> Field:
    """Make one field of its blocks: number, texts, and codes (size,); rows of a block that is not there have no text.

    Args:
        blocks: in any order.
        count: rows in all.
        size: rows in a block.
        distinct: do not look for a block's texts in the others, which is quicker. A text of two blocks is then kept twice; of
            ids that are only those of replaced samples.
    """
    codes = np.full(-(-count // size) * size, -1, np.int32)
    known: dict[str, int] = {}
    apart: list[str] = []
    for block, texts, own in blocks:
        if distinct:
            places = np.append(np.arange(len(apart), len(apart) + len(texts), dtype=np.int32), np.int32(-1))
            apart += texts
        else:
            places = np.array([known.setdefault(text, len(known)) for text in texts] + [-1], np.int32)
        codes[block * size : (block + 1) * size] = places[own]
    return Field(tuple(apart if distinct else known), codes[:count])


@dataclass(slots=True)
class Record:
    """One sample as a version describes it, and the row that holds its vectors."""

    id: str
    uri: str
    row: int
    content: bytes
    label: str | None = None
    mode: str | None = None
    group: str | None = None
    split: str | None = None
    attributes: dict[str, str] | None = None
    source: dict[str, str] | None = None  # what the folder or manifest said last, so that only its changes count


def fields_of(record: Record) -> dict[str, str]:
    """Return a record's texts by the names of their fields; what it lacks is left out."""
    own = {ID: record.id, URI: None if record.uri == record.id else record.uri}
    own |= {name: getattr(record, name) for name in FIELDS}
    own |= {ATTRIBUTE + name: text for name, text in (record.attributes or {}).items()}
    own |= {SAID + name: text for name, text in (record.source or {}).items()}
    return {name: text for name, text in own.items() if text is not None}


def record_of(row: int, content: bytes, fields: Mapping[str, str | None]) -> Record:
    """Return the record of a row from the texts of its fields; the opposite of `fields_of`."""
    sample_id = fields[ID] or ""
    return Record(
        sample_id,
        fields.get(URI) or sample_id,
        row,
        content,
        **{name: fields.get(name) for name in FIELDS},
        attributes=_below(ATTRIBUTE, fields) or None,
        source=_below(SAID, fields) or None,
    )


def _below(prefix: str, fields: Mapping[str, str | None]) -> dict[str, str]:
    return {name[len(prefix) :]: text for name, text in fields.items() if name.startswith(prefix) and text is not None}

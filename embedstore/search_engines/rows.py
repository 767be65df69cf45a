"""A store's samples as rows of a collection: its name, its columns, and the texts in them."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING

from embedstore.images import FIELDS
from embedstore.search_engines.engine import ID, URI
from embedstore.store.fields import ATTRIBUTE, Texts

if TYPE_CHECKING:
    from embedstore.analysis.exact_search import Positions
    from embedstore.store.reading import StoreReader


class Rows:
    """The texts of all samples, by column.

    Args:
        store: to read.

    Attributes:
        columns: field of the store -> column.
        longest: column -> bytes of its longest text.
    """

    def __init__(self, store: StoreReader) -> None:
        self.columns = columns_of(store)
        self._codes = {column: store.text_field(name).codes for name, column in self.columns.items()}
        self._texts: dict[str, Texts] = {}
        for name, column in self.columns.items():
            self._texts[column] = [*store.text_field(name).texts, None]  # the last, where a code of -1 leads
        self.longest = {
            column: max((len(text.encode()) for text in texts if text is not None), default=0)
            for column, texts in self._texts.items()
        }
        self.longest[URI] = max(self.longest[ID], self.longest[URI])

    def at(self, positions: Positions) -> Mapping[str, Texts]:
        """Return column -> texts (m,) of the samples at some positions; a uri that is the id is told as such."""
        found = {column: self._taken(column, positions) for column in self._texts}
        found[URI] = [uri or own for uri, own in zip(found[URI], found[ID], strict=True)]
        return found

    def _taken(self, column: str, positions: Positions) -> Texts:
        texts = self._texts[column]
        return [texts[code] for code in self._codes[column][positions].tolist()]


def columns_of(store: StoreReader) -> dict[str, str]:
    """Return field -> column: its own name; of an attribute `attribute_` and its name, or its number where that can't be."""
    columns = {name: name for name in (ID, URI, *FIELDS)}
    for number, name in enumerate(store.attribute_names):
        column = f"attribute_{name if re.fullmatch('[A-Za-z0-9_]{1,100}', name) else number}"
        while column in columns.values():
            column += "_"
        columns[ATTRIBUTE + name] = column
    return columns


def collection_of(store: StoreReader) -> str:
    """Return the collection's name after the store: the folder's, without `.store`, in letters that engines take."""
    name = store.path.resolve().name
    plain = re.sub(r"[^A-Za-z0-9]+", "_", name.removesuffix(".store")).strip("_")[:150]
    if plain and not plain[0].isdigit():
        return plain
    return f"store_{plain or hashlib.blake2b(name.encode(errors='surrogatepass'), digest_size=4).hexdigest()}"

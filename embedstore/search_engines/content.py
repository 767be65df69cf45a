"""What a store holds at a version, in a few letters: to tell whether a copy elsewhere is still a copy of it.

No hash hangs on the order of the rows, which a compaction or a rollback changes and an export does not keep.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from embedstore.images import FIELDS
from embedstore.store.fields import ATTRIBUTE, URI, Field
from embedstore.store.layout import pack

if TYPE_CHECKING:
    from embedstore.store.reading import StoreReader

Numbers = npt.NDArray[np.uint64]


def place_of(store: StoreReader) -> str:
    """Return a hash of the store's path: an export tells nobody where the store lies."""
    return hashlib.blake2b(str(store.path.resolve()).encode(errors="surrogatepass"), digest_size=16).hexdigest()


def history_of(store: StoreReader, version: int) -> str:
    """Return a hash of what made a store's versions up to one; of one that it does not have, too."""
    entries = [entry for entry in store.look(lambda tables: tables.log()) if entry["version"] <= version]
    return hashlib.blake2b(pack([version, entries]), digest_size=16).hexdigest()


def fields_digest(store: StoreReader) -> str:
    """Return a hash of all ids with their uris, labels, modes, groups, splits and attributes; it reads no vector."""
    keys = np.ascontiguousarray(store.alive["key"]).view(np.uint64).reshape(-1, 2)
    rows = _mixed(_mixed(keys[:, 0]) + keys[:, 1])
    for name in (URI, *FIELDS, *(ATTRIBUTE + name for name in store.attribute_names)):
        field = store.text_field(name)
        if (field.codes >= 0).any():  # an attribute that nobody has any more is none
            rows = _mixed(rows + _hashes(name, field))
    return f"{int(rows.sum(dtype=np.uint64)):016x}"


class VectorsDigest:
    """A hash of vectors and whose they are, block by block.

    Args:
        store: that they are read from.
    """

    def __init__(self, store: StoreReader) -> None:
        self._keys = store.alive["key"]
        self._sum = 0

    def add(self, positions: npt.NDArray[np.int64], block: npt.NDArray[np.float16]) -> None:
        """Take the vectors (m, d) at some positions (m,) into account."""
        little = np.ascontiguousarray(block, "<f2")
        for key, vector in zip(self._keys[positions], little, strict=True):
            row = hashlib.blake2b(key.tobytes() + vector.tobytes(), digest_size=16).digest()
            self._sum += int.from_bytes(row, "little")

    def hexdigest(self) -> str:
        """Return the hash of what was added."""
        return f"{self._sum % 2**128:032x}"


def vectors_digest(store: StoreReader, view: int) -> str:
    """Return the hash of all vectors of a view; it reads them all."""
    digest = VectorsDigest(store)
    for positions, block in store.scan(view=view):
        digest.add(positions, block)
    return digest.hexdigest()


def _hashes(name: str, field: Field) -> Numbers:
    """Return a number (n,) for each row's text in a field; only texts that occur are looked at."""
    used = np.unique(field.codes)
    hashes = np.zeros(len(field.texts) + 1, np.uint64)  # the last, where a code of -1 leads, is of no text
    for code in used[used >= 0].tolist():
        text = hashlib.blake2b(f"{name}\0{field.texts[code]}".encode(errors="surrogatepass"), digest_size=8).digest()
        hashes[code] = int.from_bytes(text, "little")
    return hashes[field.codes]


def _mixed(numbers: Numbers) -> Numbers:
    """Return numbers whose every bit hangs on every bit of what came: the last steps of SplitMix64 (Steele et al., 2014)."""
    mixed = numbers + np.uint64(0x9E3779B97F4A7C15)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    result: Numbers = mixed ^ (mixed >> np.uint64(31))
    return result

"""What an export says of itself, and hashes of what a store holds: whether a copy elsewhere is still a copy of it.

No hash hangs on the order of the rows, which a compaction or a rollback changes and an export does not keep.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from embedstore.errors import SearchEngineError
from embedstore.images import FIELDS
from embedstore.store.fields import ATTRIBUTE, URI, Field
from embedstore.store.layout import pack

if TYPE_CHECKING:
    from embedstore.store.reading import StoreReader

Numbers = npt.NDArray[np.uint64]

FORMAT = 1


@dataclass(frozen=True)
class ExportRecord:
    """An export, as it stands beside its rows in the engine.

    Attributes:
        version: of the store.
        path, history: hashes of the store's path, and of what made its versions up to this one.
        fields, vectors: hashes of the samples' ids and texts, and of their vectors.
        teacher, fingerprint: whose vectors they are.
        view: which; 0 is the plain picture.
        count, dim: of the vectors.
        kind, effort: of the index, and how hard it is to be searched; None where there is no choice.
        recall: share of the 10 nearest that it found when it was measured; None where there was nothing to find.
        columns: field of the store -> column of the collection.
    """

    version: int
    path: str
    history: str
    fields: str
    vectors: str
    teacher: str
    fingerprint: str
    view: int
    count: int
    dim: int
    kind: str
    effort: int | None
    recall: float | None
    columns: dict[str, str]

    def to_json(self) -> str:
        """Return it as a text."""
        return json.dumps({"format": FORMAT, **asdict(self)}, ensure_ascii=False)

    @classmethod
    def from_json(cls, text: str) -> ExportRecord:
        """Read what `to_json` gave.

        Raises:
            SearchEngineError: it is something else, or of a later release.
        """
        try:
            values: dict[str, Any] = json.loads(text)
            said = values.pop("format")
            if said != FORMAT:
                raise SearchEngineError(
                    f"The export is of format {said}, and this release reads {FORMAT}; export the store again with "
                    "--overwrite, or take the release that wrote it."
                )
            record = cls(**values)
            kinds: dict[str, Any] = {
                "version": int,
                "view": int,
                "count": int,
                "dim": int,
                "kind": str,
                "columns": dict,
            }
            kinds |= {"effort": int | None, "recall": float | None}
            if not all(isinstance(getattr(record, name), kind) for name, kind in kinds.items()):
                raise TypeError("a value of another type")
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise SearchEngineError(
                "What the collection says of itself is not what an export wrote; export the store again with --overwrite."
            ) from error
        return record

    def holds(self, store: StoreReader) -> bool:
        """Return whether it holds what a store holds at its version.

        Ids and texts are compared each time. Vectors are taken for the same where the store lies where it was and has the
        history that it had; else they are all read, and compared.
        """
        if (self.fingerprint, self.dim, self.count) != (store.fingerprint, store.dim, len(store)):
            return False
        if self.fields != fields_digest(store):
            return False
        same = self.version == store.version and self.is_of(store)
        return same or self.vectors == vectors_digest(store, self.view)

    def has_history_of(self, store: StoreReader) -> bool:
        """Return whether what made the store's versions, up to this one, is what made this one.

        Versions are dated to the second, so two stores that were made by the same steps at once can't be told apart by that.
        """
        return self.history == history_digest(store, self.version)

    def is_of(self, store: StoreReader) -> bool:
        """Return whether it is of this store, at the path where it was; of a copy or of one moved it is not sure."""
        return self.path == path_digest(store) and self.has_history_of(store)


def path_digest(store: StoreReader) -> str:
    """Return a hash of the store's path: an export tells nobody where the store lies."""
    return hashlib.blake2b(str(store.path.resolve()).encode(errors="surrogatepass"), digest_size=16).hexdigest()


def history_digest(store: StoreReader, version: int) -> str:
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

"""What an export says of itself: which store, which version, which vectors, and how it is to be asked."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from embedstore.errors import SearchEngineError
from embedstore.search_engines.content import history_of, place_of

if TYPE_CHECKING:
    from embedstore.store.reading import StoreReader

FORMAT = 1


@dataclass(frozen=True)
class ExportRecord:
    """An export, as it stands beside its rows in the engine.

    Attributes:
        version: of the store.
        place, history: hashes of the store's path, and of what made its versions up to this one.
        fields, vectors: hashes of the samples' ids and texts, and of their vectors.
        teacher, fingerprint: whose vectors they are.
        view: which; 0 is the plain picture.
        count, dim: of the vectors.
        kind, effort: of the index, and how hard it is to be searched; None where there is no choice.
        recall: share of the 10 nearest that it found when it was measured; None where there was nothing to find.
        columns: field of the store -> column of the collection.
    """

    version: int
    place: str
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
                    f"The export is of format {said}, and this release reads {FORMAT}; export the store again, or take the "
                    "release that wrote it."
                )
            record = cls(**values)
            kinds = {"version": int, "view": int, "count": int, "dim": int, "kind": str, "columns": dict}
            if not all(isinstance(getattr(record, name), kind) for name, kind in kinds.items()):
                raise TypeError("a value of another type")
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise SearchEngineError(
                "What the collection says of itself is not what an export wrote; export the store again."
            ) from error
        return record

    def has_history_of(self, store: StoreReader) -> bool:
        """Return whether what made the store's versions, up to this one, is what made this one.

        Versions are dated to the second, so two stores that were made by the same steps at once can't be told apart by that.
        """
        return self.history == history_of(store, self.version)

    def is_of(self, store: StoreReader) -> bool:
        """Return whether it is of this store, at the path where it was; of a copy or of one moved it is not sure."""
        return self.place == place_of(store) and self.has_history_of(store)

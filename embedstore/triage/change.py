"""What a triage or an undo changes: a few texts of a few samples."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from embedstore.store.fields import spelt

if TYPE_CHECKING:
    from embedstore.store.changes import StoreWriter
    from embedstore.store.embedding_store import EmbeddingStore

WAIT_SECONDS = 10  # for another writer: longer than any change by hand takes, short enough for who waits at a screen


@dataclass(frozen=True)
class Change:
    """What changes, or would.

    Attributes:
        fields: label, mode, group, split or an attribute -> id -> the text before and after, None where there is none. Only
            what differs is in it.
        version: the version that was made; None where nothing differs, or nothing was written.
    """

    fields: dict[str, dict[str, tuple[str | None, str | None]]]
    version: int | None = None

    @property
    def samples(self) -> int:
        """How many samples it touches."""
        return len({sample_id for texts in self.fields.values() for sample_id in texts})

    @classmethod
    def towards(cls, store: EmbeddingStore, fields: Mapping[str, Mapping[str, str | None]]) -> Change:
        """Return the change after which the store has some texts: field -> id -> text."""
        found: dict[str, dict[str, tuple[str | None, str | None]]] = {}
        for name, texts in fields.items():
            before = store.text_field(spelt(name))
            pairs = zip(texts.items(), store.positions(list(texts)).tolist(), strict=True)
            changed = {sample_id: (before.at(at), text) for (sample_id, text), at in pairs if before.at(at) != text}
            if changed:
                found[name] = changed
        return cls(found)

    def write(self, store: EmbeddingStore, writing: StoreWriter, details: Mapping[str, int]) -> Change:
        """Write it, and return it with the version that it becomes at the end of the `with`.

        Args:
            store: as `writing` began from it.
            writing: the open change.
            details: how much of what, for the log.
        """
        for name, texts in self.fields.items():
            writing.set(name, {sample_id: after for sample_id, (_, after) in texts.items()})
        writing.note(details)
        return replace(self, version=store.version + 1 if self.fields else None)

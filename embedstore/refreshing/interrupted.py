"""Interrupted: a refresh that ended between two of its steps, and what the store knew before it."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress

from embedstore.store.embedding_store import EmbeddingStore, open_store
from embedstore.store.fields import Record
from embedstore.store.versions import BEFORE, STEP, STEPS


def unfinished(store: EmbeddingStore) -> int | None:
    """Return the version before a refresh that was interrupted after one of its steps, where that is the newest one."""
    with suppress(IndexError):
        details: Mapping[str, int] = store.log()[-1].details
        if STEP in details and details[STEP] < details[STEPS]:
            return int(details[BEFORE])
    return None


def records_before(store: EmbeddingStore) -> list[Record]:
    """Return what the store knew before such a refresh, of pictures that left with its first step, too; nothing without one."""
    version = unfinished(store)
    if version is None:
        return []
    with open_store(store.path, version) as earlier:  # the first step tagged it, so that it is kept
        return list(earlier.records())

"""Two people at once: who decides on what has changed meanwhile is told so, and writes nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from embedstore.errors import ConflictError, StoreError
from embedstore.store.fields import spelt

if TYPE_CHECKING:
    from embedstore.store.embedding_store import EmbeddingStore


def refuse_changed(store: EmbeddingStore, since: int, watched: Mapping[str, Sequence[str]]) -> None:
    """Raise where some samples are not what they were at an earlier version.

    Args:
        store: at its newest version.
        since: the version that a person looked at.
        watched: id -> fields that must be as they were, and with them the picture.

    Raises:
        ConflictError: a sample is another, or gone, or nothing tells; the message names it. One that was never there is none.
        StoreError: there was no such version.
    """
    from embedstore.store.embedding_store import open_store

    if since == store.version:
        return
    if (entry := next((one for one in store.log() if one.number == since), None)) and not entry.readable:
        raise ConflictError(
            f"Version {since} was removed by a compaction, so nothing tells what changed since; nothing was written. Look "
            "again at what is there now."
        )
    with open_store(store.path, since) as seen:
        now, then = store.find(list(watched)), seen.find(list(watched))
        for (sample_id, names), at, before in zip(watched.items(), now.tolist(), then.tolist(), strict=True):
            if at < 0 and before < 0:
                continue
            if at < 0:
                raise ConflictError(
                    f"The sample '{sample_id}' is not in the store any more, and you looked at version {since}; nothing was "
                    "written. Take the decision on it back."
                )
            born = int(store.alive["born"][at])  # which a compaction keeps, other than the number of the row
            if before < 0 or born > since:
                raise _conflict(store, sample_id, "was added" if before < 0 else "got another picture", born, since)
            for name in names:
                text = store.text_field(spelt(name)).at(at)
                if text != seen.text_field(spelt(name)).at(before):
                    what = f"has the {name} '{text}' now" if text is not None else f"has no {name} any more"
                    raise _conflict(store, sample_id, what, store.changed_by([sample_id], name)[0], since)


def _conflict(store: EmbeddingStore, sample_id: str, what: str, version: int, since: int) -> StoreError:
    return ConflictError(
        f"The sample '{sample_id}' {what}, by {in_words(store, version)}, and you looked at version {since}; nothing was "
        "written. Look at it again, and decide anew."
    )


def in_words(store: EmbeddingStore, version: int) -> str:
    """Return a version with what made it; where a compaction removed the one before, nobody knows which of them it was."""
    log = {entry.number: entry for entry in store.log()}
    if version - 1 in log and not log[version - 1].readable:
        return f"version {version} or one before it that a compaction removed"
    return f"version {version} ({log[version].action})" if version in log else f"version {version}"

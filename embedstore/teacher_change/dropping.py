"""Dropping the teachers that are not in use: a compaction that leaves their vectors out."""

from __future__ import annotations

import os

from embedstore.errors import StoreError
from embedstore.store.compaction import CompactionReport, Progress, compact
from embedstore.store.embedding_store import EmbeddingStore
from embedstore.store.tables import Tables
from embedstore.store.versions import is_refresh_tag
from embedstore.store.writing import writer


def drop_old(path: str | os.PathLike[str], progress: Progress | None = None) -> CompactionReport:
    """Remove the vectors of all teachers but the one in use, and compact the store; there is no way back from it.

    Versions that were made with another teacher's vectors can't be read afterwards, all others can; a new teacher that is half
    done begins anew. Summaries of dropped teachers stay until they are deleted; the tags by which refreshes could be rolled back
    go with the versions that they name. A kill leaves the store as it was, or as it is to be.

    Args:
        path: the store.
        progress: called with (blocks done, blocks in all).

    Raises:
        StoreError: the store has vectors of one teacher only, or a tag that a person gave names a version that would be lost.
        StoreLockedError: another process writes, or makes an index.
    """
    with EmbeddingStore(path) as store, writer(store.path) as session:
        store.refresh()

        def look(tables: Tables) -> tuple[set[str], list[str]]:
            of = {int(entry["version"]): str(entry["space"]) for entry in tables.log()}
            lost = [name for name, version in tables.tags().items() if of.get(version) != store.fingerprint]
            tags = [name for name in lost if not is_refresh_tag(name)]
            return {column.space for column in tables.columns()} - {store.fingerprint}, tags

        others, tags = session.read(look)
        if not others:
            raise StoreError(
                f"The store '{store.path}' has vectors of '{store.teacher}' only, which are in use; there is nothing to drop."
            )
        if tags:
            named = ", ".join(f"'{name}'" for name in tags)
            raise StoreError(
                f"The store '{store.path}' has tags of versions that need the vectors which are to be dropped ({named}); delete "
                f"them first, each with: embedstore tag '{store.path}' NAME --delete"
            )
        return compact(store.path, session, progress, only=store.fingerprint)

"""Summaries that a refresh has put others in place of: kept as NAME@VERSION, for a rollback; see `summaries.names`."""

from __future__ import annotations

from collections.abc import Mapping

from embedstore.store.tables import Tables
from embedstore.summaries import Summary
from embedstore.summaries.names import kept_name, split_name


def put_refreshed(tables: Tables, name: str, data: bytes) -> None:
    """Give a name to another summary, and keep the one that had it."""
    before = tables.summary(name)
    if before is not None:
        summary = Summary.from_bytes(before)
        tables.put_summary(kept_name(summary.name, summary.store_version), before)
    tables.put_summary(name, data)


def older_summaries(tables: Tables, target: int) -> dict[str, int]:
    """Return what takes its name back where a store goes back to a version: name -> of which version it is.

    That is the newest of a name that was there by then, where the one of this name now was made later.
    """
    back: dict[str, int] = {}
    for name, versions in _kept(tables).items():
        data = tables.summary(name)
        earlier = [version for version in versions if version <= target]
        if earlier and (data is None or Summary.from_bytes(data).store_version > target):
            back[name] = max(earlier)
    return back


def set_back(tables: Tables, summaries: Mapping[str, int]) -> None:
    """Do what `older_summaries` said; those that had the names stay as NAME@VERSION."""
    for name, version in summaries.items():
        kept = kept_name(name, version)
        data = tables.summary(kept)
        assert data is not None  # noqa: S101  it was there in the same version of the store
        put_refreshed(tables, name, data)
        tables.drop_summary(kept)


def drop_superseded(tables: Tables, version: int) -> None:
    """Delete the kept summaries that no rollback to a version or a later one would bring back."""
    for name, versions in _kept(tables).items():
        newest = max((made_of for made_of in versions if made_of <= version), default=0)
        for made_of in versions:
            if made_of < newest:
                tables.drop_summary(kept_name(name, made_of))


def _kept(tables: Tables) -> dict[str, list[int]]:
    """Return name -> the versions that its kept summaries were made of."""
    kept: dict[str, list[int]] = {}
    for name, version in map(split_name, tables.summary_names()):
        if version is not None:
            kept.setdefault(name, []).append(version)
    return kept

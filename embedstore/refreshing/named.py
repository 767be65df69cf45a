"""Names of saved summaries: a refreshed one takes the name, and the one before stays as NAME@VERSION, byte for byte.

VERSION is that of the store which it was made of. No name that people give has an '@', so nothing is ever taken twice.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from embedstore.store.tables import Tables
from embedstore.summaries import Summary

AT = "@"


def kept_name(summary: Summary) -> str:
    """Return the name under which a summary stays once another has taken its own."""
    return f"{summary.name}{AT}{summary.store_version}"


def put_refreshed(tables: Tables, name: str, data: bytes) -> None:
    """Give a name to another summary, and keep the one that had it."""
    before = tables.summary(name)
    if before is not None:
        tables.put_summary(kept_name(Summary.from_bytes(before)), before)
    tables.put_summary(name, data)


def older_summaries(tables: Tables, target: int) -> dict[str, tuple[str, int]]:
    """Return what takes its name back where a store goes back to a version: name -> where it is kept, of which version it is.

    That is the newest of a name that was there by then, where the one of this name now was made later.
    """
    kept: dict[str, list[int]] = {}
    for known in tables.summary_names():
        name, found, version = known.rpartition(AT)
        if found and version.isdigit():
            kept.setdefault(name, []).append(int(version))
    back: dict[str, tuple[str, int]] = {}
    for name, versions in kept.items():
        data = tables.summary(name)
        earlier = [version for version in versions if version <= target]
        if earlier and (data is None or Summary.from_bytes(data).store_version > target):
            back[name] = f"{name}{AT}{max(earlier)}", max(earlier)
    return back


def set_back(tables: Tables, summaries: Mapping[str, tuple[str, int]]) -> None:
    """Do what `older_summaries` said; those that had the names stay as NAME@VERSION."""
    for name, (kept, _) in summaries.items():
        data = tables.summary(kept)
        assert data is not None  # noqa: S101  it was there in the same version of the store
        put_refreshed(tables, name, data)
        tables.drop_summary(kept)


def drop_before(tables: Tables, version: int, names: Iterable[str]) -> list[str]:
    """Delete the kept summaries of some names that were made of versions before one; return which."""
    wanted, dropped = set(names), []
    for known in tables.summary_names():
        name, found, made_of = known.rpartition(AT)
        if found and made_of.isdigit() and name in wanted and int(made_of) < version:
            tables.drop_summary(known)
            dropped.append(known)
    return dropped

"""Summaries that a refresh has put others in place of: kept as NAME@VERSION, for a rollback; see `summaries.names`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from embedstore.store.tables import Tables
from embedstore.store.versions import TARGET
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

    That is the one that had the name then, where it has made room for another since. One that was made by hand in place of
    another leaves nothing to go back to.
    """
    rollbacks = _rollbacks(tables)
    found = {name: _older(tables, name, versions, target, rollbacks) for name, versions in _kept(tables).items()}
    return {name: version for name, version in found.items() if version is not None}


def summary_at(tables: Tables, name: str, target: int) -> bytes | None:
    """Return the summary that had a name at a version, where it has made room for another since; else the one that has it now."""
    versions = _kept(tables).get(name)
    version = None if versions is None else _older(tables, name, versions, target, _rollbacks(tables))
    return tables.summary(name if version is None else kept_name(name, version))


def _older(tables: Tables, name: str, kept: Iterable[int], target: int, rollbacks: Mapping[int, int]) -> int | None:
    """Return of which version the kept summary is that had a name at a version; None where it has the name still, or none had."""
    data = tables.summary(name)
    now = [] if data is None else [Summary.from_bytes(data).store_version]
    then = _newest([*kept, *now], target, rollbacks)
    return None if then in now else then


def later_summaries(tables: Tables, target: int) -> dict[str, int]:
    """Return the summaries that stay although their versions go out of sight, where a store goes back: name -> of which they are.

    None was kept that they took the place of: they came later, or were made by hand in place of another.
    """
    back = older_summaries(tables, target)
    names = [name for name in tables.summary_names() if split_name(name)[1] is None and name not in back]
    made = {
        name: Summary.from_bytes(data).store_version for name in names if (data := tables.summary(name)) is not None
    }
    return {name: version for name, version in made.items() if _newest([version], target, _rollbacks(tables)) is None}


def set_back(tables: Tables, summaries: Mapping[str, int]) -> None:
    """Do what `older_summaries` said; those that had the names stay as NAME@VERSION."""
    for name, version in summaries.items():
        kept = kept_name(name, version)
        data = tables.summary(kept)
        assert data is not None  # noqa: S101  it was there in the same version of the store
        put_refreshed(tables, name, data)
        tables.drop_summary(kept)


def drop_superseded(tables: Tables, version: int) -> None:
    """Delete the kept summaries that no rollback to a version, to a later one or to one with a tag would bring back."""
    rollbacks = _rollbacks(tables)
    ends = [version, *(made for made in rollbacks if made > version), *tables.tags().values()]
    for name, versions in _kept(tables).items():
        needed = {_newest(versions, end, rollbacks) for end in ends}
        for made_of in versions:
            if made_of < version and made_of not in needed:
                tables.drop_summary(kept_name(name, made_of))


def _rollbacks(tables: Tables) -> dict[int, int]:
    """Return the versions that rollbacks have made -> the version that each looks like."""
    return {entry["version"]: entry["details"][TARGET] for entry in tables.log() if TARGET in entry["details"]}


def _newest(versions: Iterable[int], end: int, rollbacks: Mapping[int, int]) -> int | None:
    """Return the newest of some versions that a store at version `end` had seen; None where it had seen none.

    What came between a rollback and the version that it went back to was out of sight by then.
    """
    versions = list(versions)
    while True:
        start = max((made for made in rollbacks if made <= end), default=0)
        seen = [version for version in versions if start <= version <= end]
        if seen or start not in rollbacks:
            return max(seen, default=None)
        end = rollbacks[start]


def _kept(tables: Tables) -> dict[str, list[int]]:
    """Return name -> the versions that its kept summaries were made of."""
    kept: dict[str, list[int]] = {}
    for name, version in map(split_name, tables.summary_names()):
        if version is not None:
            kept.setdefault(name, []).append(version)
    return kept

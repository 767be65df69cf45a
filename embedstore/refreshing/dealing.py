"""Dealing: the sides of the split that a refresh gives to samples without one."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from embedstore.errors import SettingsError
from embedstore.store.fields import Record

_SPREAD = ("test", "val", "train", "aside")  # to which side a copy goes first, where others of its bytes are on several
_GROUPS = (
    "train",
    "val",
    "test",
)  # to which side a group goes on that is torn already, so that no more of it is tested


def sides_of(records: Iterable[Record], side: str | None, before: Iterable[Record]) -> dict[str, str]:
    """Return id -> side of those without one: that of their group; else of a group mate's very picture; else the one asked for.

    So a part never comes to two sides, and a copy of a test picture is learned only where its part is learned already. This
    holds for copies and group mates that come together, too. A copy of what was set aside is set aside, and one of a picture
    that leaves goes to the side that this had.

    Args:
        records: of all samples.
        side: that is asked for; None: none is given.
        before: of all samples as they were before.

    Raises:
        SettingsError: no sample has a side yet.
    """
    if side is None:
        return {}
    everyone = list(records)
    if all(record.split is None for record in everyone):
        raise SettingsError(
            f"No sample has a side of the split, so none can go to '{side}' beside others; write a split first: embedstore split "
            "STORE"
        )
    now, left = _pictures(everyone), _pictures(before)
    stay = set().union(*now.values())
    pictures = {name: now[name] | (left[name] - stay) for name in _SPREAD}
    waiting = defaultdict[str, list[Record]](list)
    for one in everyone:
        if one.split is None:
            waiting[_part(one)].append(one)
    taken = {(one.group, one.split) for one in everyone if one.group}
    found: dict[str, str] = {}  # part -> side
    for part, members in waiting.items():
        if own := next((name for name in _GROUPS if (members[0].group, name) in taken), None):
            found[part] = own
            pictures[own] |= _contents(members)
    _spread(waiting, pictures, found)
    return {one.id: found.get(_part(one), side) for one in everyone if one.split is None}


def _spread(waiting: Mapping[str, Sequence[Record]], pictures: Mapping[str, set[bytes]], found: dict[str, str]) -> None:
    """Find the sides of parts that have a picture of another part, from part to part, until no more is told."""
    who = defaultdict[bytes, list[str]](list)
    for part, members in waiting.items():
        for content in _contents(members):
            who[content].append(part)
    for own in _SPREAD:
        reached = list(pictures[own])
        while reached:
            for part in who.pop(reached.pop(), ()):
                if part not in found:
                    found[part] = own
                    reached += _contents(waiting[part])


def _part(record: Record) -> str:
    return f"group {record.group}" if record.group else f"sample {record.id}"


def _pictures(records: Iterable[Record]) -> dict[str, set[bytes]]:
    """Return side -> the pictures that are on it, by their bytes."""
    found: dict[str, set[bytes]] = {name: set() for name in _SPREAD}
    for one in records:
        if one.split is not None:
            found[one.split] |= _contents([one])
    return found


def _contents(records: Iterable[Record]) -> set[bytes]:
    """Return the bytes of pictures; vectors without one have zeros."""
    return {one.content for one in records if any(one.content)}

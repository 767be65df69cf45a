"""Dealing: the sides of the split that a refresh gives to samples without one."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from embedstore.errors import SettingsError
from embedstore.store.fields import Record

_SPREAD = ("test", "val", "train", "aside")  # to which side a copy goes first, where others of its bytes are on several
_GROUPS = ("train", "val", "test")  # to which side a group goes that is torn already: no more of it is tested


def sides_of(records: Iterable[Record], side: str | None, left: Mapping[bytes, str]) -> dict[str, str]:
    """Return id -> side of those without one: that of their group; else of a group mate's very picture; else the one asked for.

    So a part never comes to two sides, and a copy of a test picture is learned only where its part is learned already. This
    holds for copies and group mates that come together, too. A copy of what was set aside is set aside, and one of a picture
    that has left goes to the side that this had.

    Args:
        records: of all samples.
        side: that is asked for; None: none is given.
        left: the bytes of pictures as they were before -> their side; see `sides_by_picture`.

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
    told = {**left, **sides_by_picture((one.content, one.split) for one in everyone)}
    waiting = defaultdict[str, list[Record]](list)
    for one in everyone:
        if one.split is None:
            waiting[_part(one)].append(one)
    taken = {(one.group, one.split) for one in everyone if one.group}
    found: dict[str, str] = {}  # part -> side
    dealt: list[tuple[bytes, str]] = []
    for part, members in waiting.items():
        if own := next((name for name in _GROUPS if (members[0].group, name) in taken), None):
            found[part] = own
            dealt += ((content, own) for content in _contents(members))
    _spread(waiting, sides_by_picture([*told.items(), *dealt]), found)
    return {one.id: found.get(_part(one), side) for one in everyone if one.split is None}


def sides_by_picture(some: Iterable[tuple[bytes, str | None]]) -> dict[bytes, str]:
    """Return the bytes of pictures -> their side, of several the first of test, val, train and aside.

    Args:
        some: the bytes of a picture, zeros for vectors without one, and the side of its sample.
    """
    found: dict[bytes, str] = {}
    for content, side in some:
        if side is not None and any(content):
            found[content] = min(side, found.get(content, side), key=_SPREAD.index)
    return found


def _spread(waiting: Mapping[str, Sequence[Record]], told: Mapping[bytes, str], found: dict[str, str]) -> None:
    """Find the sides of parts that have a picture of another part, from part to part, until no more is told."""
    who = defaultdict[bytes, list[str]](list)
    for part, members in waiting.items():
        for content in _contents(members):
            who[content].append(part)
    for own in _SPREAD:
        reached = [content for content, side in told.items() if side == own]
        while reached:
            for part in who.pop(reached.pop(), ()):
                if part not in found:
                    found[part] = own
                    reached += _contents(waiting[part])


def _part(record: Record) -> str:
    return f"group {record.group}" if record.group else f"sample {record.id}"


def _contents(records: Iterable[Record]) -> set[bytes]:
    """Return the bytes of pictures; vectors without one have zeros."""
    return {one.content for one in records if any(one.content)}

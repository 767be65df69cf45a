"""Dealing: the sides of the split that a refresh gives to samples without one."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from embedstore.errors import SettingsError
from embedstore.store.fields import Record

SPREAD = ("test", "val", "train", "aside")  # to which side a copy goes first, where others of its bytes are on several


def sides_of(records: Iterable[Record], side: str | None, before: Iterable[Record] = ()) -> dict[str, str]:
    """Return id -> side of those without one: that of their group; else of a group mate's very picture; else the one asked for.

    So a part never comes to two sides, and a copy of a test picture is learned only where its part is learned already. This
    holds for copies and group mates that come together, too. A copy of what was set aside is set aside, and one of a picture
    that leaves goes to the side that this had. Of a group that is torn already, its first side of train, val and test is taken,
    so that no more of it is tested.

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
    sides_of_group: dict[str, set[str]] = defaultdict(set)
    for one in everyone:
        if one.group and one.split not in (None, "aside"):
            sides_of_group[one.group].add(one.split)
    now, left = _pictures(everyone), _pictures(before)
    stay = set().union(*now.values())
    pictures = {name: now[name] | (left[name] - stay) for name in SPREAD}
    parts: dict[str, list[Record]] = defaultdict(list)  # those without a side
    for one in everyone:
        if one.split is None:
            parts[f"group {one.group}" if one.group else f"sample {one.id}"].append(one)
    found: dict[str, str] = {}

    def give(part: str, own: str) -> None:
        members = parts.pop(part)
        found.update((one.id, own) for one in members)
        pictures[own] |= _contents(members)

    for part, members in list(parts.items()):
        taken = sides_of_group.get(members[0].group or "", ())
        if own := next((name for name in ("train", "val", "test") if name in taken), None):
            give(part, own)
    for own in SPREAD:  # from part to part, as long as one has a picture of another
        while reached := [part for part, members in parts.items() if _contents(members) & pictures[own]]:
            for part in reached:
                give(part, own)
    for part in list(parts):
        give(part, side)
    return {one.id: found[one.id] for one in everyone if one.id in found}


def _pictures(records: Iterable[Record]) -> dict[str, set[bytes]]:
    """Return side -> the pictures that are on it, by their bytes."""
    found: dict[str, set[bytes]] = {name: set() for name in SPREAD}
    for one in records:
        if one.split is not None:
            found[one.split] |= _contents([one])
    return found


def _contents(records: Iterable[Record]) -> set[bytes]:
    """Return the bytes of pictures; vectors without one have zeros."""
    return {one.content for one in records if any(one.content)}

"""Dealing: the sides of the split that a refresh gives to samples without one."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from embedstore.errors import SettingsError
from embedstore.store.fields import Record


def sides_of(records: Iterable[Record], side: str | None, before: Iterable[Record] = ()) -> dict[str, str]:
    """Return id -> side of those without one: that of their group; else of a group mate's very picture; else the one asked for.

    So a part never comes to two sides, and a copy of a test picture is learned only where its part is learned already. A copy
    of what was set aside is set aside, and one of a picture that leaves goes to the side that this had. Of a group that is torn
    already, its first side of train, val and test is taken, so that no more of it is tested.

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
    of_picture: dict[bytes, set[str]] = defaultdict(set)
    for one in everyone:
        if one.split is not None and any(one.content):
            of_picture[one.content].add(one.split)
    left: dict[bytes, set[str]] = defaultdict(set)
    for one in before:
        if one.split is not None and any(one.content):
            left[one.content].add(one.split)
    of_picture = left | of_picture
    waiting: dict[str, list[Record]] = defaultdict(list)  # part -> those without a side
    for one in everyone:
        if one.split is None:
            waiting[f"group {one.group}" if one.group else f"sample {one.id}"].append(one)
    found: dict[str, str] = {}
    for part in waiting.values():
        seen = set().union(*(of_picture.get(one.content, ()) for one in part))
        copied = next((name for name in ("test", "val", "train", "aside") if name in seen), None)
        taken = sides_of_group.get(part[0].group or "", ())
        own = next((name for name in ("train", "val", "test") if name in taken), None) or copied or side
        found |= {one.id: own for one in part}
    return {one.id: found[one.id] for one in everyone if one.id in found}

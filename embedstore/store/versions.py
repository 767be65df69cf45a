"""The history of a store: what made each version, which can still be read, and the names that people gave them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from embedstore.errors import StoreError
from embedstore.store.fields import as_stored
from embedstore.store.layout import Head
from embedstore.store.tables import Tables, head_of
from embedstore.visible import visible

# Details of the log that are no counts: which step of how many made the version, and the version before the first of a refresh's;
# and the version that a rollback went back to.
STEP, STEPS, BEFORE, TARGET = "step", "of steps", "refresh since", "rolled back to"

REFRESH_TAG = (
    "before-refresh-"  # with the number of a version: a refresh gives such tags, and drops them when they are old
)

_LONGEST_TAG = 100


@dataclass(frozen=True)
class Version:
    """One version of a store.

    Attributes:
        number: counts from 1; version 0 is the empty store.
        time: when it was made, UTC, as ISO 8601.
        action: what made it, such as `build` or `delete`.
        details: how much of what.
        tags: its names.
        readable: whether it can be opened, or a compaction has removed it.
    """

    number: int
    time: str
    action: str
    details: Mapping[str, int]
    tags: tuple[str, ...]
    readable: bool


def history(tables: Tables) -> list[Version]:
    """Return all versions, oldest first."""
    compacted, tags = tables.compacted(), tables.tags()
    return [
        Version(
            entry["version"],
            entry["time"],
            entry["action"],
            entry["details"],
            tuple(name for name, number in tags.items() if number == entry["version"]),
            compacted.left(entry["version"]),
        )
        for entry in tables.log()
    ]


def number_of(tables: Tables, asked: int | str) -> int:
    """Return the number of a version, given by that or by a tag; whether the store has a version of that number is not looked at.

    Raises:
        StoreError: there is no such tag, or it is neither a number nor a text.
    """
    if isinstance(asked, bool) or not isinstance(asked, int | np.integer | str):
        raise StoreError(f"The version is {asked!r}; give its number, as a whole one, or the name of a tag.")
    if not isinstance(asked, str):
        return int(asked)
    return tables.tags()[tag_named(tables, asked)]


def tag_named(tables: Tables, asked: str) -> str:
    """Return a tag as the store spells it, given in any Unicode form.

    Raises:
        StoreError: there is no such tag.
    """
    tags = tables.tags()
    name = _spelt(tags, asked)
    if name is None:
        known = ", ".join(tags) or "none; give one with: embedstore tag"
        raise StoreError(f"The store has no tag '{asked}' (it has: {known}).")
    return name


def head_at(tables: Tables, asked: int | str) -> Head:
    """Return the head of a version, given by its number or by a tag.

    Raises:
        StoreError: there is no such version or tag, a compaction has removed it, or it is neither a number nor a text.
    """
    asked, newest = number_of(tables, asked), tables.head().version
    entry = tables.log_entry(asked) if 0 <= asked <= newest else None
    if entry is None:
        raise StoreError(f"The store has no version {asked}; it has 0 to {newest}.")
    compacted = tables.compacted()
    if not compacted.left(asked):
        kept = ", ".join(str(version) for version in compacted.kept) or "none"
        raise StoreError(
            f"Version {asked} was removed by a compaction; of the versions before {compacted.version} are left: {kept}. "
            "A tag keeps a version: embedstore tag STORE NAME."
        )
    return head_of(entry)


def refuse_tag(tables: Tables, name: str) -> None:
    """Raise where a name can't be a new tag.

    Raises:
        StoreError: it is empty, too long, a number, not visible, one of those that refreshes give, or taken.
    """
    if is_refresh_tag(name):
        raise StoreError(
            f"The name '{name}' can't be a tag: refreshes give names like this to versions and take them away again; "
            "choose another."
        )
    if not name or visible(name) != name or len(name) > _LONGEST_TAG or name.lstrip("-").isdigit():
        raise StoreError(
            f"The name {name!r} can't be a tag; give up to {_LONGEST_TAG} visible characters that are not only digits."
        )
    tags = tables.tags()
    if (taken := _spelt(tags, name)) is not None:
        raise StoreError(f"The tag '{name}' names version {tags[taken]} already; delete it first, or choose another.")


def is_refresh_tag(tag: str) -> bool:
    """Return whether a refresh gave this tag, and no person."""
    return tag.startswith(REFRESH_TAG) and tag.removeprefix(REFRESH_TAG).isdigit()


def _spelt(tags: Mapping[str, int], name: str) -> str | None:
    """Return a tag as a store spells it, which may be older than the rule that names have one form; None: it has no such tag."""
    spelt = {as_stored(tag): tag for tag in tags} | {tag: tag for tag in tags}
    return spelt.get(name, spelt.get(as_stored(name)))

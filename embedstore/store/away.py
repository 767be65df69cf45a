"""Away: folders of which nothing tells whether their pictures moved or were copied, such as a disk that is not mounted."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path, PurePath, PurePosixPath

from embedstore.images import PICTURE_SUFFIXES, leaves
from embedstore.store.fields import Record


def came(known: Mapping[str, Record], contents: Mapping[str, bytes]) -> set[bytes]:
    """Return the bytes that a listed picture has got; both are as in `identities.identify`."""
    return {content for one, content in contents.items() if one not in known or known[one].content != content}


def away(
    root: Path, unlisted: Iterable[str], known: Mapping[str, Record], contents: Mapping[str, bytes]
) -> tuple[str, ...]:
    """Return those of some samples that are not listed, though a listed picture has got their bytes, whose folder is away.

    A folder is away where it is not there, or where it had several pictures and holds none any more: a disk that is not mounted
    looks like an empty folder. Where most of its pictures have other names by now, it was moved.

    Args:
        root: the image folder.
        unlisted: ids of samples that are not listed.
        known: what the store has: id -> record.
        contents: id -> the hash of each listed file that can be used.
    """
    moving = came(known, contents)
    asked = [one for one in unlisted if known[one].content in moving and not leaves(known[one].uri)]
    if not asked:
        return ()
    held = defaultdict[PurePath, list[bytes]](list)
    for record in known.values():
        held[PurePosixPath(record.uri).parent].append(record.content)
    folders = {PurePosixPath(known[one].uri).parent for one in asked}
    lost = {folder for folder in folders if _is_away(root / folder, held[folder], moving)}
    return tuple(one for one in asked if PurePosixPath(known[one].uri).parent in lost)


def _is_away(folder: Path, held: list[bytes], moving: Collection[bytes]) -> bool:
    if 2 * sum(content in moving for content in held) > len(held):
        return False
    try:
        names = os.listdir(folder)
    except OSError:
        return True
    return len(held) > 1 and not any(PurePath(name).suffix.lower() in PICTURE_SUFFIXES for name in names)

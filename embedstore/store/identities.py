"""Identities: which sample a listed picture is. Its bytes tell, for a name may be given to another picture."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import cached_property

from embedstore.store.fields import Record


@dataclass(frozen=True)
class Identities:
    """Which sample each listed picture is.

    Attributes:
        before: id -> what the store has of the picture, under this id or another; a new picture is not in it.
        moved: those of `before` that had another id.
        overwritten: ids of samples whose picture is nowhere any more, while a picture that the store knows has their name.
    """

    before: Mapping[str, Record]
    moved: Mapping[str, Record]
    overwritten: tuple[str, ...]

    @cached_property
    def elsewhere(self) -> set[str]:
        """Ids of samples whose picture has another name now."""
        return {record.id for record in self.moved.values()}


def identify(
    known: Mapping[str, Record], lost: Mapping[str, Record], contents: Mapping[str, bytes], gone: Collection[str]
) -> Identities:
    """Tell which sample each listed picture is.

    A name that has the bytes that it had is the same sample. Bytes that one name has lost and one other has got are a picture
    that was renamed or moved, also where names were swapped or numbered anew. What people said of it goes along: a verdict, a
    corrected label, its side and its part; and it leaves under its old id, or the store had one picture twice, under two labels
    where it was moved to another folder to correct it. Where several names have lost the same bytes, it is a sample whose name
    is gone, and the newest of these. Where several have got them, nothing tells which of them it became: each is a new picture,
    and so is a copy of a known picture under a known name. Any other bytes under a known name are its picture, taken again.

    Args:
        known: what the store has: id -> record.
        lost: id -> what is known of a sample whose vectors a repair had to give up, and so not its bytes.
        contents: id -> the hash of each listed file that can be used.
        gone: ids of `known` that have no picture under their name any more.
    """
    left, came = defaultdict[bytes, list[Record]](list), defaultdict[bytes, list[str]](list)
    for one, record in known.items():
        # Zeros: vectors without a picture.
        if any(record.content) and (one in gone or contents.get(one, record.content) != record.content):
            left[record.content].append(record)
    for one, content in contents.items():
        if one not in lost and (one not in known or known[one].content != content):
            came[content].append(one)
    moved = {
        came[content][0]: max(left[content], key=lambda record: (record.id in gone, record.row))
        for content in left.keys() & came.keys()
        if len(came[content]) == 1
    }
    elsewhere = {record.id for record in moved.values()}
    contents_before = {record.content for record in known.values()}
    before = {**lost, **moved}
    for one in contents.keys() & known.keys() - moved.keys():
        stays = contents[one] == known[one].content
        if stays or (one not in elsewhere and contents[one] not in contents_before):
            before[one] = known[one]
    overwritten = (
        one for one in contents if one in known and one not in elsewhere and before.get(one) is not known[one]
    )
    return Identities(before, moved, tuple(overwritten))

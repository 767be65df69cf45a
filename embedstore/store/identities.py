"""Identities: which sample a listed picture is. Its bytes tell, for a name may be given to another picture."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from embedstore.store.embedding_store import EmbeddingStore
from embedstore.store.fields import Record
from embedstore.store.sides import is_dirt, sides_after
from embedstore.verdicts import KINDS, VERDICT


@dataclass(frozen=True)
class Identities:
    """Which sample each listed picture is.

    Attributes:
        before: id -> what the store has of the picture, under this id or another; a new picture is not in it.
        moved: those of `before` that had another id.
        overwritten: ids of samples whose picture is under several new names, while any other has their name, or under no other
            name, while another picture that the store knows has theirs.
        verdicts_dropped: ids of pictures that were taken again, of which `before` lacks the verdict on the old one.
        sides_lost: those of them that were dirt, of which nothing tells any more on which side of the split they were.
        fields_given: id -> label, mode and attributes that a person gave to the old one, by their names, of pictures that were
            taken again. They stay until the source says something else.
    """

    before: Mapping[str, Record]
    moved: Mapping[str, Record]
    overwritten: tuple[str, ...]
    verdicts_dropped: tuple[str, ...]
    sides_lost: tuple[str, ...]
    fields_given: Mapping[str, Mapping[str, str]]

    @cached_property
    def elsewhere(self) -> set[str]:
        """Ids of samples whose picture has another name now."""
        return {record.id for record in self.moved.values()}

    def sides_unknown(self, after: Mapping[str, Record]) -> tuple[str, ...]:
        """Return ids of those of `sides_lost` to which the source gives no side either; `after` is as in `fields_kept`."""
        return tuple(one for one in self.sides_lost if after[one].split is None)

    def fields_kept(self, after: Mapping[str, Record]) -> dict[str, tuple[str, ...]]:
        """Return id -> names of those of `fields_given` that it has still; `after` is id -> the record that is to be written."""
        kept = {
            one: tuple(name for name, text in given.items() if _told(after[one]).get(name) == text)
            for one, given in self.fields_given.items()
        }
        return {one: names for one, names in kept.items() if names}


def identify(
    store: EmbeddingStore,
    known: Mapping[str, Record],
    lost: Mapping[str, Record],
    contents: Mapping[str, bytes],
    gone: Collection[str],
) -> Identities:
    """Tell which sample each listed picture is.

    A name that has the bytes that it had is the same sample. Bytes that one name has lost and one other has got are a picture
    that was renamed or moved, also where names were swapped or numbered anew. What people said of it goes along: a verdict, a
    corrected label, its side and its part; and it leaves under its old id, or the store had one picture twice, under two labels
    where it was moved to another folder to correct it. Where several names have lost the same bytes, it is a sample whose name
    is gone, and the newest of these. Where several have got them, nothing tells which of them it became: each is a new picture,
    and so is what its own name has now, and a copy of a known picture under a known name. Any other bytes under a known name
    are its picture, taken again: a verdict was on the old one, so it is dropped, and one that was dirt goes back to its side of
    the split. Of vectors that were imported nobody knows the bytes: the first picture under such a name is the sample's,
    whatever it is a copy of.

    Args:
        store: at the version that the pictures are compared with.
        known: what the store has: id -> record.
        lost: id -> what is known of a sample whose vectors a repair had to give up, and so not its bytes.
        contents: id -> the hash of each listed file that can be used.
        gone: ids of `known` that have no picture under their name any more.
    """
    imported = {one for one, record in known.items() if not any(record.content)}
    left, came = defaultdict[bytes, list[Record]](list), defaultdict[bytes, list[str]](list)
    for one, record in known.items():
        if one not in imported and (one in gone or contents.get(one, record.content) != record.content):
            left[record.content].append(record)
    for one, content in contents.items():
        if one not in lost and one not in imported and (one not in known or known[one].content != content):
            came[content].append(one)
    moved = {
        came[content][0]: max(left[content], key=lambda record: (record.id in gone, record.row))
        for content in left.keys() & came.keys()
        if len(came[content]) == 1
    }
    elsewhere = {record.id for record in moved.values()}
    contents_before = {record.content for record in known.values()}
    before = {**lost, **moved}
    taken_again: list[Record] = []
    for one in sorted(contents.keys() & known.keys() - moved.keys()):
        record = known[one]
        if one in imported or contents[one] == record.content:
            before[one] = record
        elif one not in elsewhere and contents[one] not in contents_before and len(came.get(record.content, ())) < 2:
            before[one] = record
            taken_again.append(record)
    free_of_verdict, sides_lost = _without_verdict(store, taken_again)
    overwritten = (
        one for one in contents if one in known and one not in elsewhere and (one in moved or one not in before)
    )
    return Identities(
        before | free_of_verdict,
        moved,
        tuple(overwritten),
        tuple(free_of_verdict),
        sides_lost,
        {one.id: _given(one) for one in taken_again},
    )


def _told(record: Record) -> dict[str, str]:
    """Return label, mode and attributes of a sample, by their names."""
    told = {"label": record.label, "mode": record.mode} | (record.attributes or {})
    return {name: text for name, text in told.items() if text is not None}


def _given(record: Record) -> dict[str, str]:
    """Return what of these a person gave, and not the folder or the manifest."""
    said = {name.removeprefix("attribute "): text for name, text in (record.source or {}).items()}
    return {name: text for name, text in _told(record).items() if said.get(name) != text}


def _without_verdict(store: EmbeddingStore, records: Sequence[Record]) -> tuple[dict[str, Record], tuple[str, ...]]:
    """Return id -> record without its verdict, of those that have one of a person, and ids of those whose side is lost.

    What a manifest said stays.
    """
    judged: dict[str, Record] = {}
    for record in records:
        verdict = (record.attributes or {}).get(VERDICT)
        if verdict in KINDS and verdict != (record.source or {}).get(f"attribute {VERDICT}"):
            judged[record.id] = record
    dirt = [one for one, record in judged.items() if is_dirt(record.split, (record.attributes or {}).get(VERDICT))]
    told = sides_after(store, dirt, {}, skip_untold=True)
    sides = dict.fromkeys(dirt) | told  # where nothing tells the side any more, it has none, so that it is dealt anew
    free = {
        one: replace(
            record,
            split=sides.get(one, record.split),
            attributes={name: text for name, text in (record.attributes or {}).items() if name != VERDICT} or None,
        )
        for one, record in judged.items()
    }
    return free, tuple(one for one in dirt if one not in told)

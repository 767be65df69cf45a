"""Merging: what a folder or a manifest says of a sample, with what the store has of it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping
from dataclasses import replace

from embedstore.images import FIELDS, Sample
from embedstore.store.fields import Record
from embedstore.verdicts import VERDICT


def merge(before: Record | None, sample: Sample, row: int, content: bytes) -> Record:
    """Return the sample's new record: of its fields only those change of which the source says something new.

    So a label that a technician put right in the store survives the next build from the same folder, and a folder tree,
    which knows no splits, leaves those that the store has. A cell that is and was empty says nothing. What a person set aside
    as dirt stays there, whatever side it is given.

    Args:
        before: what the store has of it, under this id or, of a file that was renamed, under another; None: nothing.
        sample: what the source says.
        row: of its vectors.
        content: the hash of its file.
    """
    said = {name: getattr(sample, name) for name in FIELDS if name in sample.given}
    said |= {f"attribute {name}": sample.attributes.get(name) for name in sorted(sample.given - set(FIELDS))}
    said_before = {} if before is None or before.source is None else before.source
    source = {name: value for name, value in {**said_before, **said}.items() if value is not None}
    if before is None:
        return Record(
            sample.id, sample.uri, row, content, sample.label, sample.mode, sample.group, sample.split,
            dict(sample.attributes) or None, source or None,
        )  # fmt: skip
    after = replace(before, id=sample.id, uri=sample.uri, row=row, content=content, source=source or None)
    attributes = dict(before.attributes or {})
    is_dirt = (before.split, attributes.get(VERDICT)) == ("aside", "dirt")
    for name, value in said.items():
        if said_before.get(name) == value or (name == "split" and is_dirt):
            continue
        if name in FIELDS:
            setattr(after, name, value)
        elif value is None:
            attributes.pop(name.removeprefix("attribute "), None)
        else:
            attributes[name.removeprefix("attribute ")] = value
    after.attributes = attributes or None
    return after


def renamed(known: Mapping[str, Record], listed: Collection[str], contents: Mapping[str, bytes]) -> dict[str, Record]:
    """Return id -> record of new samples whose file the store has under another id that is not listed any more.

    What people said of it goes along: a verdict, a corrected label, its side and its part; and it leaves under its old id, or the
    store had one picture twice, under two labels where it was moved to another folder to correct it. Of several that are gone
    it is the newest. Where several new files have the same bytes, nothing tells which of them it became.

    Args:
        known: what the store has: id -> record.
        listed: ids of all that folder or manifest name.
        contents: id -> the hash of each listed file that can be used.
    """
    gone, came = defaultdict[bytes, list[str]](list), defaultdict[bytes, list[str]](list)
    for one, record in known.items():
        if one not in listed and any(record.content):  # zeros: vectors without a picture
            gone[record.content].append(one)
    for one, content in contents.items():
        if one not in known:
            came[content].append(one)
    return {
        came[content][0]: max((known[one] for one in gone[content]), key=lambda record: record.row)
        for content in gone.keys() & came.keys()
        if len(came[content]) == 1
    }

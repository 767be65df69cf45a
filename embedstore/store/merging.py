"""Merging: what a folder or a manifest says of a sample, with what the store has of it."""

from __future__ import annotations

from dataclasses import replace

from embedstore.images import FIELDS, Sample
from embedstore.store.fields import Record
from embedstore.store.sides import is_dirt
from embedstore.verdicts import VERDICT


def merge(before: Record | None, sample: Sample, row: int, content: bytes) -> Record:
    """Return the sample's new record: of its fields only those change of which the source says something new.

    So a label that a technician put right in the store survives the next build from the same folder, and a folder tree,
    which knows no splits, leaves those that the store has. A cell that is and was empty says nothing. What a person set aside
    as dirt stays there, whatever side it is given.

    Args:
        before: what the store has of it, see `identities.identify`; None: nothing.
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
    stays_aside = is_dirt(before.split, attributes.get(VERDICT))
    for name, value in said.items():
        if said_before.get(name) == value or (name == "split" and stays_aside):
            continue
        if name in FIELDS:
            setattr(after, name, value)
        elif value is None:
            attributes.pop(name.removeprefix("attribute "), None)
        else:
            attributes[name.removeprefix("attribute ")] = value
    after.attributes = attributes or None
    return after

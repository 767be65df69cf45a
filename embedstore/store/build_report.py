"""What a build tells of what it did."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class BuildReport:
    """What a build did."""

    version: int
    samples: int
    new: int  # samples that were not there before
    changed: int  # samples whose picture is another
    updated: int  # samples of which only the label or another field changed
    removed: int  # samples that left: with `prune`, or since their file has another name now
    gone: int  # samples whose picture is not there any more, kept
    embedded: int  # (sample, view) pairs that went through the teacher in this run
    resumed: int  # samples that an interrupted run had embedded already
    views: int
    views_incomplete: int  # views that samples without a picture lack, so that no reader sees them yet
    outputs: dict[str, int]  # of the teacher: name -> dimension
    outputs_incomplete: list[str]  # outputs that samples without a picture lack, likewise
    set_aside: int
    kept: int  # pictures whose pixels are kept for students
    not_kept: int  # pictures for which there was no room
    ignored: int  # files that are no pictures by their ending
    teacher: str
    seconds: float
    broken: int = 0  # samples that keep the vectors they have, though their picture is among those set aside
    moved: int = 0  # pictures that the store had under another name: what was known of them went along
    overwritten: int = 0  # samples that left as another picture has their name, see `identities.Identities`
    verdicts_dropped: tuple[str, ...] = ()  # ids of pictures taken again, so that the verdict on the old one went
    sides_unknown: tuple[str, ...] = ()  # of these, ids of former dirt of which nothing tells the side
    # Of pictures taken again: id -> names of label, mode and attributes that a person gave to the old one, and that stay.
    fields_kept: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    shards: int = 0  # that an engine on several machines made and handed over in this run
    shards_resumed: int = 0  # that lay there from an interrupted run, and went into the store without being made again
    shards_repeated: int = 0  # that were made again, for a worker, a node or a run was lost while it made them

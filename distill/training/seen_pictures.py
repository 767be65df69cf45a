"""What became of the pictures that a saved summary saw: its store may have renamed them, or have others under their names.

As in `renamed`, the version that the summary was made of tells, as long as that is kept.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from distill.source import Source
from distill.training.renamed import contents_in
from embedstore import Sample, Summary


@dataclass(frozen=True)
class SeenSince:
    """What became of the pictures that a summary saw.

    Attributes:
        renamed: id -> the name under which it is held out now.
        retaken: ids that have other pictures now.
        untraced: ids that the store lacks; it may have their pictures under other names.
    """

    renamed: dict[str, str] = field(default_factory=dict)
    retaken: list[str] = field(default_factory=list)
    untraced: list[str] = field(default_factory=list)


def seen_since(summary: Summary, store: Source, samples: Sequence[Sample], held_out: Mapping[str, int]) -> SeenSince:
    """Return what became since of the pictures that a summary saw in an earlier version of a store; nothing in this version.

    Args:
        summary: of the store.
        store: that a run learns from.
        samples: all of the store.
        held_out: positions, by id, of those that the run does not learn from.
    """
    if summary.store_version == store.version:
        return SeenSince()
    at_of = {sample.id: at for at, sample in enumerate(samples)}
    gone = [one for one in summary.seen if one not in at_of]
    then = contents_in(store, summary.store_version)
    if then is None:
        return SeenSince(untraced=gone)
    retaken = [one for one in summary.seen if one in at_of and then.get(one) != store.content_at(at_of[one])]
    # Zeros are the content of vectors that were given without a picture.
    name_of = {content: one for one, at in held_out.items() if any(content := store.content_at(at))}
    renamed = {one: name_of[then[one]] for one in [*gone, *retaken] if then.get(one) in name_of}
    return SeenSince(renamed, retaken, [one for one in gone if not any(then.get(one, b""))])

"""Where the pictures are now that a saved summary saw: its store may have renamed them, or have others under their names.

As in `training.renamed`, the version that the summary was made of tells, as long as that is kept.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

from distill.source import Source, contents_in
from embedstore import Sample, Summary


@dataclass(frozen=True)
class SeenSince:
    """What became of the pictures that a summary saw.

    Attributes:
        places: id -> positions of its picture now, also of one that was taken again; those that have left are not there.
        replaced: ids that have other bytes now.
        retaken: of these, the ids of pictures that were taken again: the old bytes are gone, and the new ones nobody had.
        untraced: ids that the store lacks; it may have their pictures under other names.
    """

    places: dict[str, list[int]]
    replaced: list[str] = field(default_factory=list)
    retaken: list[str] = field(default_factory=list)
    untraced: list[str] = field(default_factory=list)


def seen_since(summary: Summary, store: Source, samples: Sequence[Sample]) -> SeenSince:
    """Return what became since of the pictures that a summary saw in an earlier version of a store.

    Args:
        summary: of the store.
        store: as it is asked now.
        samples: all of the store.
    """
    at_of = {sample.id: at for at, sample in enumerate(samples)}
    places = {one: [at_of[one]] for one in summary.seen if one in at_of}
    if summary.store_version == store.version:
        return SeenSince(places)
    gone = [one for one in summary.seen if one not in at_of]
    then = contents_in(store, summary.store_version)
    if then is None:
        return SeenSince(places, untraced=gone)
    replaced = [one for one, (at,) in places.items() if then.get(one) != store.content_at(at)]
    since = SeenSince(places, replaced)
    known = {content for content in then.values() if any(content)}  # zeros: vectors that were given without a picture
    now = defaultdict[bytes, list[int]](list)
    for at in range(len(samples) if gone or replaced else 0):
        now[store.content_at(at)].append(at)
    for one in [*gone, *replaced]:
        was = then.get(one, b"")
        has = store.content_at(at_of[one]) if one in at_of else b""
        if was in known and was in now:
            places[one] = now[was]
        elif was in known and has in known:  # another picture has its name, and it has left
            del places[one]
        elif one in at_of:
            since.retaken.append(one)
        elif was not in known:
            since.untraced.append(one)
    return since

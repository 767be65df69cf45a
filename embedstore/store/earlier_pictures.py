"""Where the pictures are now that an earlier version of a store had: their bytes tell, for a name may be given to another one."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypeVar

from embedstore.store.embedding_store import EmbeddingStore, open_store

if TYPE_CHECKING:
    from embedstore.images import Sample
    from embedstore.summaries import Summary


class Pictures(Protocol):
    """What is asked of a store; an exported summary answers it as well, but has no earlier version."""

    @property
    def path(self) -> Path: ...  # noqa: D102
    @property
    def version(self) -> int: ...  # noqa: D102
    @property
    def samples(self) -> Sequence[Sample]: ...  # noqa: D102
    def content_at(self, position: int) -> bytes: ...  # noqa: D102


S = TypeVar("S", bound=Pictures)


@dataclass(frozen=True)
class PicturesSince:
    """What became of pictures that an earlier version of a store had.

    Attributes:
        places: id -> positions of its picture now, also of one that was taken again; those that have left are not there. Several
            where it was renamed and has copies now that it had not then.
        same: id -> position of the very picture now, where no copy leaves that in doubt: its name has the bytes still, or the
            picture alone had them, and one sample alone has them now.
        replaced: ids that have other bytes now.
        retaken: of these, the ids of pictures that were taken again: but for copies the old bytes are gone, and the new ones
            nobody had.
        untraced: ids that the store lacks; it may have their pictures under other names.
        copies: positions of all other samples with the bytes of one of the pictures -> its id.
    """

    places: dict[str, list[int]]
    same: dict[str, int]
    replaced: list[str] = field(default_factory=list)
    retaken: list[str] = field(default_factory=list)
    untraced: list[str] = field(default_factory=list)
    copies: dict[int, str] = field(default_factory=dict)


def pictures_since(then: Pictures | None, now: Pictures, ids: Collection[str]) -> PicturesSince:
    """Return what became of some pictures.

    Args:
        then: the store at the earlier version; None where that is not kept: then each name is taken for the picture that had it.
        now: the store as it is asked now.
        ids: of the earlier version.
    """
    at_of = {sample.id: at for at, sample in enumerate(now.samples)}
    places = {one: [at_of[one]] for one in ids if one in at_of}
    same = {one: at for one, (at,) in places.items()}
    gone = [one for one in ids if one not in at_of]
    has_now = defaultdict[bytes, list[int]](list)
    for at in range(len(at_of)):
        has_now[now.content_at(at)].append(at)
    if then is None:
        contents = {one: now.content_at(at) for one, at in same.items()}
        return PicturesSince(places, same, untraced=gone, copies=_copies(contents, places, has_now))
    contents = {sample.id: then.content_at(at) for at, sample in enumerate(then.samples)}
    known = Counter(content for content in contents.values() if any(content))  # zeros: vectors without a picture
    # The first picture that comes under the name of such vectors is theirs, unless it was known as another one.
    given = {one for one, content in contents.items() if not any(content)}
    first = {one for one, at in same.items() if one in given and now.content_at(at) not in known}
    replaced = [one for one, at in same.items() if contents.get(one) != now.content_at(at) and one not in first]
    since = PicturesSince(places, same, replaced)
    others = {at for one, at in at_of.items() if one not in places and contents.get(one) == now.content_at(at)}
    for one in [*gone, *replaced]:
        at_name = same.pop(one, None)
        was = contents.get(one, b"")
        has = b"" if at_name is None else now.content_at(at_name)
        # A copy that was there already is another picture, and is none of those that are asked for.
        if was in known and (found := [at for at in has_now.get(was, ()) if at not in others]):
            places[one] = found
            if known[was] == len(found) == 1:
                same[one] = found[0]
        elif was in known and has in known:  # another picture has its name, and it has left
            del places[one]
        elif at_name is not None:
            since.retaken.append(one)
        elif was not in known:
            since.untraced.append(one)
    since.copies.update(_copies({one: contents.get(one, b"") for one in ids}, places, has_now))
    return since


def _copies(
    contents: Mapping[str, bytes], places: Mapping[str, list[int]], has_now: Mapping[bytes, list[int]]
) -> dict[int, str]:
    """Return positions of samples that have one of some contents, but for given places -> whose content it is."""
    placed = {at for found in places.values() for at in found}
    return {
        at: one
        for one, content in contents.items()
        if any(content)
        for at in has_now.get(content, ())
        if at not in placed
    }


def seen_since(summary: Summary, store: Pictures) -> PicturesSince:
    """Return what became since of the pictures that a summary saw in an earlier version of a store."""
    with kept_version(store, summary.store_version) as then:
        return pictures_since(then, store, summary.seen)


@contextmanager
def kept_version(store: S, version: int | None) -> Iterator[S | EmbeddingStore | None]:
    """Open an earlier version of a store for as long as the context lasts; None where that is not kept, and of a file."""
    if store.version == version:
        yield store
    elif isinstance(store, EmbeddingStore) and is_kept(store, version):
        with open_store(store.path, version) as then:
            yield then
    else:
        yield None


def is_kept(store: EmbeddingStore, version: int | None) -> bool:
    """Return whether a store has a version, which no compaction has removed."""
    return any(one.number == version and one.readable for one in store.log())

"""Earlier pictures: where those are now that a version of a store had, and how it called those of now. Their bytes tell."""

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
            picture alone lost them, and one sample alone got them.
        replaced: ids that have other bytes now.
        retaken: of these, the ids of pictures that were taken again: the new bytes nobody had, and the old ones nobody got, or
            those whose names are gone, which had them, too.
        untraced: ids that the store lacks; it may have their pictures under other names.
        copies: positions of all other samples with the bytes of one of the pictures -> its id, or that of one of several.
    """

    places: dict[str, list[int]]
    same: dict[str, int]
    replaced: list[str] = field(default_factory=list)
    retaken: list[str] = field(default_factory=list)
    untraced: list[str] = field(default_factory=list)
    copies: dict[int, str] = field(default_factory=dict)

    @property
    def positions(self) -> set[int]:
        """All of `places`; many ids with the same bytes have one list, which is read once."""
        return set().union(*{id(found): found for found in self.places.values()}.values())


def pictures_since(then: Pictures | None, now: Pictures, ids: Collection[str]) -> PicturesSince:
    """Return what became of some pictures; of each the same, whichever others are asked for, but for `copies`.

    Args:
        then: the store at the earlier version; None where that is not kept: then each name is taken for the picture that had it.
        now: the store as it is asked now.
        ids: of the earlier version.
    """
    has = _contents(now)
    at_of = {one: at for at, one in enumerate(has)}
    places = {one: [at_of[one]] for one in ids if one in at_of}
    same = {one: at for one, (at,) in places.items()}
    gone = [one for one in ids if one not in at_of]
    if then is None:
        since = PicturesSince(places, same, untraced=gone)
        since.copies.update(_copies({one: has[one] for one in same}, since.positions, has))
        return since
    had = _contents(then)
    known = {content for content in had.values() if any(content)}  # zeros: vectors without a picture
    # The first picture that comes under the name of such vectors is theirs, unless it was known as another one.
    given = {one for one, content in had.items() if not any(content)}
    first = {one for one in same if one in given and has[one] not in known}
    replaced = [one for one in same if had.get(one) != has[one] and one not in first]
    since = PicturesSince(places, same, replaced)
    # A copy that has stayed where it was is another picture.
    came = defaultdict[bytes, list[int]](list)
    for one, content in has.items():
        if had.get(one) != content:
            came[content].append(at_of[one])
    of_gone_names = Counter(content for one, content in had.items() if one not in has)

    def taken_again(one: str) -> bool:
        """Tell whether a name has bytes that nobody had, and the names that are gone suffice for those who got its old ones."""
        new = one in had and one in has and had[one] != has[one] and has[one] not in known
        return new and len(came.get(had[one], ())) <= of_gone_names[had[one]]

    left = Counter(content for one, content in had.items() if has.get(one) != content and not taken_again(one))
    for one in [*gone, *replaced]:
        name_taken = same.pop(one, None) is not None
        was = had.get(one, b"")
        if was in known and was in came and not taken_again(one):
            places[one] = came[was]
            if left[was] == len(came[was]) == 1:
                (same[one],) = came[was]
        elif was in known and name_taken and has[one] in known:  # another picture has its name, and it has left
            del places[one]
        elif name_taken:
            since.retaken.append(one)
        elif was not in known:
            since.untraced.append(one)
    since.copies.update(_copies({one: had.get(one, b"") for one in ids}, since.positions, has))
    return since


def names_before(earlier: EmbeddingStore, later: EmbeddingStore, ids: Sequence[str]) -> dict[str, list[str]]:
    """Return the ids that the pictures of some samples had at an earlier version; those that it does not have are left out.

    A picture that has its name still has only that. Others have the names that lost their bytes, oldest first; else those of
    the copies that have them still; and where the bytes are new, the name that they have now, for they were taken again under
    it, unless it was another picture's.

    Args:
        earlier: the store at that version.
        later: the store at the version that has these samples.
        ids: of these samples.
    """
    found: dict[str, list[str]] = {}
    now, then = later.positions(ids).tolist(), earlier.find(ids).tolist()
    for one, at, was in zip(ids, now, then, strict=True):
        if was >= 0 and later.content_at(at) == earlier.content_at(was):
            found[one] = [one]
    rest = {one: was >= 0 for one, was in zip(ids, then, strict=True) if one not in found}
    if not rest:
        return found  # mostly, and then no list of all ids is needed
    had, has = _contents(earlier), _contents(later)
    left, stayed = defaultdict[bytes, list[str]](list), defaultdict[bytes, list[str]](list)
    for one, content in had.items():
        (stayed if has.get(one) == content else left)[content].append(one)
    others = other_pictures(earlier, later, [one for one, was_there in rest.items() if was_there])
    for one, was_there in rest.items():
        content = has[one]
        if any(content) and (names := left.get(content) or stayed.get(content)):
            found[one] = names
        elif was_there and one not in others:
            found[one] = [one]
    return found


def other_pictures(earlier: EmbeddingStore, later: EmbeddingStore, ids: Collection[str]) -> set[str]:
    """Return which of some names have another picture later, but for one that was taken again; both versions have them."""
    since = pictures_since(earlier, later, ids)
    return set(since.replaced) - set(since.retaken)


def _contents(store: Pictures) -> dict[str, bytes]:
    """Return id -> the hash of the file, in the order of the positions."""
    ids = store.ids if isinstance(store, EmbeddingStore) else [sample.id for sample in store.samples]
    return {one: store.content_at(at) for at, one in enumerate(ids)}


def _copies(contents: Mapping[str, bytes], placed: Collection[int], has: Mapping[str, bytes]) -> dict[int, str]:
    """Return positions of samples that have one of some contents, but for given places -> one whose content it is."""
    owner = {content: one for one, content in contents.items() if any(content)}
    return {at: owner[content] for at, content in enumerate(has.values()) if content in owner and at not in placed}


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

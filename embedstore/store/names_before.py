"""Names before: under which id an earlier version has a picture. Its bytes tell, for a name may be given to another picture."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from embedstore.store.embedding_store import EmbeddingStore


def other_pictures(earlier: EmbeddingStore, later: EmbeddingStore, ids: Sequence[str]) -> set[str]:
    """Return which of some samples have the picture of another name, or whose own has another name; both versions have them.

    A picture that was taken again is none of these, for what was said of it stays; nor is one whose bytes are not known.
    """
    old, new = _contents(earlier), _contents(later)
    known, came = set(old.values()), {content for one, content in new.items() if old.get(one) != content}
    return {
        one
        for one in ids
        if old[one] != new[one] and any(old[one]) and any(new[one]) and (new[one] in known or old[one] in came)
    }


def names_before(earlier: EmbeddingStore, later: EmbeddingStore, ids: Sequence[str]) -> dict[str, list[str]]:
    """Return the ids that the pictures of some samples had at an earlier version; those that it does not have are left out.

    A picture that has its name still has only that. Others have all the names of their bytes, oldest first; and where these are
    new, the name that they have now, for they were taken again under it, unless it was another picture's.

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
    rest = [one for one in ids if one not in found]
    if not rest:
        return found  # mostly, and then no list of all ids is needed
    new, names = _contents(later), defaultdict[bytes, list[str]](list)
    for one, content in _contents(earlier).items():
        names[content].append(one)
    there = [one for one, was in zip(ids, then, strict=True) if was >= 0]
    others = other_pictures(earlier, later, there)
    for one in rest:
        if any(new[one]) and new[one] in names:
            found[one] = names[new[one]]
        elif one in there and one not in others:
            found[one] = [one]
    return found


def _contents(store: EmbeddingStore) -> Mapping[str, bytes]:
    """Return id -> the hash of the file."""
    return dict(zip(store.ids, map(bytes, store.alive["content"]), strict=True))

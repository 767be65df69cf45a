"""Sides: to which part of the split samples go that are no dirt after all."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from embedstore.errors import StoreError
from embedstore.store.fields import SAID, spelt
from embedstore.verdicts import VERDICT

if TYPE_CHECKING:
    from embedstore.store.embedding_store import EmbeddingStore

ASIDE = "aside"


def texts_of(store: EmbeddingStore, name: str, ids: Sequence[str]) -> list[str | None]:
    """Return what samples have in a field, by its name as `fields` spells it."""
    field = store.text_field(name)
    return [field.at(at) for at in store.positions(ids).tolist()]


def sides_after(
    store: EmbeddingStore, ids: Sequence[str], groups: Mapping[str, str | None], *, skip_untold: bool = False
) -> dict[str, str | None]:
    """Return the splits of samples that were set aside as dirt, and are none.

    Each goes where the others of its group are by now, so that no group is torn; where there are none, or they are torn
    already, back to where it was. One that was aside before it was called dirt stays so.

    Args:
        store: to be changed.
        ids: of these samples.
        groups: id -> group of the samples that get another one.
        skip_untold: leave out samples of which nothing tells where they were, in place of an error.

    Raises:
        StoreError: a compaction removed what tells where one was.
    """
    if not ids:
        return {}
    before = _sides_before(store, ids, dict(zip(ids, texts_of(store, SAID + "split", ids), strict=True)))
    if not skip_untold and (untold := [one for one in ids if one not in before]):
        raise StoreError(
            f"The sample '{untold[0]}' was set aside as dirt, and nothing tells any more where it was before; give it a side "
            f"first: embedstore relabel '{store.path}' ID train --field split"
        )
    group_of = dict(zip(store.ids, store.field("group"), strict=True)) | dict(groups)
    taken = defaultdict[str | None, set[str]](set)
    for one, split in zip(store.ids, store.field("split"), strict=True):
        if split not in (None, ASIDE):
            taken[group_of[one]].add(str(split))
    sides: dict[str, str | None] = {}
    for one in sorted(before):
        side, group = before[one], group_of[one]
        if side != ASIDE and group is not None:
            if len(taken[group]) == 1:
                (side,) = taken[group]
            elif side is not None:
                taken[group].add(side)
        sides[one] = side
    return sides


def _sides_before(reader: EmbeddingStore, ids: Sequence[str], said: Mapping[str, str | None]) -> dict[str, str | None]:
    """Return the splits that samples had before they were set aside as dirt, or what the manifest has said of them since.

    Those of which a compaction removed what tells are left out.

    Args:
        reader: at a version at which they are aside.
        ids: of these samples.
        said: id -> what the manifest has said last.
    """
    from embedstore.store.embedding_store import open_store

    met = defaultdict[int, list[str]](list)
    set_aside = map(max, reader.changed_by(ids, "split"), reader.changed_by(ids, VERDICT))
    for one, version in zip(ids, set_aside, strict=True):
        met[version - 1].append(one)
    sides: dict[str, str | None] = {}
    for version, some in met.items():
        try:
            earlier = open_store(reader.path, version)
        except StoreError:
            continue
        with earlier:
            there = [one for one, at in zip(some, earlier.find(some).tolist(), strict=True) if at >= 0]
            names = ("split", spelt(VERDICT), SAID + "split")
            aside = []  # already, so this version only gave another picture
            for one, split, verdict, then in zip(
                there, *(texts_of(earlier, name, there) for name in names), strict=True
            ):
                if (split, verdict) == (ASIDE, "dirt"):
                    aside.append(one)
                else:
                    sides[one] = split if said[one] in (None, then) else said[one]
            if aside:
                sides |= _sides_before(earlier, aside, said)
    return sides

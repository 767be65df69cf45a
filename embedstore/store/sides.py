"""Sides: to which part of the split samples go that are no dirt after all."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from embedstore.errors import StoreError
from embedstore.store.earlier_pictures import names_before
from embedstore.store.fields import SAID, spelt
from embedstore.store.versions import TARGET
from embedstore.verdicts import VERDICT

if TYPE_CHECKING:
    from embedstore.store.embedding_store import EmbeddingStore

ASIDE = "aside"

_TELL = ("split", spelt(VERDICT), SAID + "split")  # the fields that tell on which side a sample was


def is_dirt(split: str | None, verdict: str | None) -> bool:
    """Return whether a sample of this split and verdict is dirt that was set aside."""
    return (split, verdict) == (ASIDE, "dirt")


def texts_of(store: EmbeddingStore, name: str, ids: Sequence[str]) -> list[str | None]:
    """Return what samples have in a field, by its name as `fields` spells it."""
    field = store.text_field(name)
    return [field.at(at) for at in store.positions(ids).tolist()]


def sides_after(
    store: EmbeddingStore, ids: Sequence[str], groups: Mapping[str, str | None], *, skip_untold: bool = False
) -> dict[str, str | None]:
    """Return the splits of samples that were set aside as dirt, and are none.

    Each goes where the others of its group are by now, so that no group is torn; where there are none, or they are torn
    already, back to where it was, by the bytes of its picture. One that was aside before it was called dirt stays so. Where no
    sample is on a side there is none to go back to.

    Args:
        store: to be changed.
        ids: of these samples.
        groups: id -> group of the samples that get another one.
        skip_untold: leave out samples of which nothing tells where they were, in place of an error.

    Raises:
        StoreError: nothing tells any more where one was, mostly since a compaction removed it.
    """
    if not ids:
        return {}
    said = dict(zip(ids, texts_of(store, SAID + "split", ids), strict=True))
    before = _sides_before(store, {one: one for one in ids}, said)
    if not store.counts("split").keys() - {None, ASIDE}:
        before = dict.fromkeys(ids) | before
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


def _sides_before(
    reader: EmbeddingStore, names: Mapping[str, str], said: Mapping[str, str | None]
) -> dict[str, str | None]:
    """Return the splits that samples had before they were set aside as dirt, or what the manifest has said of them since.

    Each is followed from version to version by the bytes of its picture, as its name may have been another's. Those of which a
    compaction removed what tells are left out.

    Args:
        reader: at a version at which they are aside.
        names: id -> the one that the sample has at that version.
        said: id -> what the manifest has said last.
    """
    from embedstore.store.embedding_store import open_store

    log = reader.log()
    readable = {entry.number for entry in log if entry.readable}
    gone_back_to = {entry.number: entry.details[TARGET] for entry in log if TARGET in entry.details}
    met = defaultdict[int, list[str]](list)
    ids = list(names.values())
    set_aside = map(max, reader.changed_by(ids, "split"), reader.changed_by(ids, VERDICT))
    for one, version in zip(names, set_aside, strict=True):
        met[gone_back_to.get(version, version - 1)].append(one)
    sides: dict[str, str | None] = {}
    while met:
        version = max(met)
        some = met.pop(version)
        if version < 1:  # it came as dirt, and the manifest said so, or a repair brought it back
            sides |= {one: said[one] for one in some if said[one] is not None}
        elif version in readable:
            with open_store(reader.path, version) as earlier:
                before = _names_before(earlier, reader, {one: names[one] for one in some})
                if absent := [one for one in some if one not in before]:
                    met[version - 1] += absent
                aside = {}  # already, so this version only gave another picture or another name
                texts = (texts_of(earlier, name, list(before.values())) for name in _TELL)
                for one, split, verdict, then in zip(before, *texts, strict=True):
                    if is_dirt(split, verdict):
                        aside[one] = before[one]
                    else:
                        sides[one] = split if said[one] in (None, then) else said[one]
                if aside:
                    sides |= _sides_before(earlier, aside, said)
    return sides


def _names_before(earlier: EmbeddingStore, reader: EmbeddingStore, names: Mapping[str, str]) -> dict[str, str]:
    """Return id -> the name that the picture of each sample had at an earlier version; of copies the one that was dirt."""
    before: dict[str, str] = {}
    all_names = names_before(earlier, reader, list(names.values()))
    for one, name in names.items():
        if found := all_names.get(name):
            texts = (texts_of(earlier, field, found) for field in _TELL)
            dirt = [was for was, split, verdict, _ in zip(found, *texts, strict=True) if is_dirt(split, verdict)]
            before[one] = (dirt or found)[-1]
    return before

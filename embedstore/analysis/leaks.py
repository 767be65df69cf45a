"""Leaks: pictures of one part on several sides of the written split, so that figures look better than they are."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from embedstore.store.embedding_store import EmbeddingStore

_ASIDE = (None, "aside")  # such a sample is on no side and binds nothing


@dataclass(frozen=True)
class Leaks:
    """What the written split tears apart.

    Attributes:
        torn_sets: sets of twins with pictures on several sides; ids.
        torn_groups: groups with pictures on several sides; names.
        fixed_sets: how many of the sets the manifest's own split tears; `EmbeddingStore.split` keeps what it gave.
        fixed_groups: how many of the groups it tears.
        pictures: how many val and test hold: side -> number; a side without pictures is left out.
        twins_in_train: how many of those have a picture of their set in train: side -> number.
    """

    torn_sets: list[list[str]]
    torn_groups: list[str]
    fixed_sets: int
    fixed_groups: int
    pictures: dict[str, int]
    twins_in_train: dict[str, int]


def find_leaks(store: EmbeddingStore, sets: Sequence[Sequence[str]]) -> Leaks:
    """Compare sets of twins (their ids, see `Twins.sets`) and the store's groups with its split."""
    samples = store.samples
    side = {sample.id: sample.split for sample in samples if sample.split not in _ASIDE}
    given = dict(zip(store.ids, store.given("split"), strict=True))
    fixed = {name: value for name, value in side.items() if given[name] == value}

    def torn(ids: Iterable[str], sides: dict[str, str]) -> bool:
        return len({sides[name] for name in ids if name in sides}) > 1

    groups = defaultdict(list)
    for sample in samples:
        if sample.group is not None:
            groups[sample.group].append(sample.id)
    torn_sets = [list(ids) for ids in sets if torn(ids, side)]
    torn_groups = sorted(group for group, ids in groups.items() if torn(ids, side))
    pictures = Counter(side.values())
    beside_train = Counter(
        side[name] for ids in torn_sets if "train" in map(side.get, ids) for name in ids if name in side
    )
    held_out = [name for name in ("test", "val") if pictures[name]]
    return Leaks(
        torn_sets,
        torn_groups,
        sum(torn(ids, fixed) for ids in torn_sets),
        sum(torn(groups[group], fixed) for group in torn_groups),
        {name: pictures[name] for name in held_out},
        {name: beside_train[name] for name in held_out},
    )

"""Groups: which samples get another one when some are named, and others united."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from embedstore.errors import StoreError
from embedstore.store.fields import as_stored

if TYPE_CHECKING:
    from embedstore.store.reading import StoreReader


def regrouped(store: StoreReader, groups: Mapping[str, str], merge: Mapping[str, str]) -> dict[str, str | None]:
    """Return id -> group of the samples whose group is another then; see `EmbeddingStore.set_groups`, as for the errors."""
    moves: dict[str | None, str | None] = {as_stored(old): as_stored(new) for old, new in merge.items()}
    for group, into in moves.items():
        if not into or into in moves:
            raise StoreError(
                f"The group '{group}' can't go into '{into}'; give a name, and of a group that goes nowhere itself."
            )
    named = dict(zip(store.positions(list(groups)).tolist(), map(as_stored, groups.values()), strict=True))
    changed: dict[str, str | None] = {}
    for position, (sample_id, group) in enumerate(zip(store.ids, store.field("group"), strict=True)):
        asked = named.get(position, group)
        before, after = moves.get(group, group), moves.get(asked, asked)
        if position in named and (not asked or before not in (None, after)):
            raise StoreError(
                f"The sample '{sample_id}' can't get the group '{asked}' (it has {group or 'none'}); give a "
                "name, and only to samples without a group."
            )
        if group != after:
            changed[sample_id] = after
    return changed

"""Pictures of a finished run that its store has under other names now: found by their bytes, since a run knows names only.

What the bytes were is told by the version of the store that the run learned from, as long as that is kept.
"""

from __future__ import annotations

import warnings
from collections import defaultdict
from collections.abc import Collection, Mapping, Set
from pathlib import Path
from typing import Any

from distill.source import Source, contents_in
from distill.training.same_run import CONTENTS


class RenamedWarning(UserWarning):
    """Pictures of a run were found in its store under other names."""


def renamed_pictures(
    source: Source, begun: Mapping[str, Any], wanted: Collection[str], known: Set[str]
) -> tuple[dict[str, int], list[str]]:
    """Return where the source has pictures under other names now, id -> position, and the ids of those that it lacks.

    A name may be gone, or be that of another picture now. Its picture is found where it alone had its bytes, and one sample alone
    has them now. A name that has new bytes, which are no other picture's of the run, is a picture that was taken again.

    Args:
        source: that a finished run is asked on.
        begun: what the run says of the store that it learned from.
        wanted: ids of the run that it is asked on.
        known: all ids of the run.
    """
    at_of = {sample.id: at for at, sample in enumerate(source.samples)}  # at once: one by one, each would look at all
    lacking = [sample_id for sample_id in wanted if sample_id not in at_of]
    if not lacking and source.version == begun.get("version"):
        return {}, []
    contents = contents_in(source, begun.get("version"), begun[CONTENTS]) or {} if CONTENTS in begun else {}
    owners, now = defaultdict[bytes, list[str]](list), defaultdict[bytes, list[int]](list)
    for sample_id, content in contents.items():
        if any(content):  # zeros: vectors that were given without a picture
            owners[content].append(sample_id)
    for at in range(len(at_of) if owners else 0):
        now[source.content_at(at)].append(at)
    found: dict[str, int] = {}
    lost: list[str] = []
    for sample_id in wanted:
        was = contents.get(sample_id, b"")
        has = source.content_at(at_of[sample_id]) if sample_id in at_of else None
        if was not in owners or has == was:
            continue
        if len(owners[was]) == len(now[was]) == 1:
            found[sample_id] = now[was][0]
        elif has is not None and known.isdisjoint(owners.get(has, ())):
            continue
        else:
            lost.append(sample_id)
    return found, [*(one for one in lacking if one not in found and one not in lost), *lost]


def warn_of_renamed(run: Path, source: Source, found: Mapping[str, int]) -> None:
    """Say that pictures of a run were found under other names."""
    if not found:
        return
    old, at = next(iter(found.items()))
    warnings.warn(
        f"The store '{source.path}' has {len(found)} pictures of the run in '{run}' under other names now (such as '{old}', now "
        f"'{source.sample_at(at).id}'); they were found by their content, and the run calls them as before.",
        RenamedWarning,
        stacklevel=2,
    )

"""Pictures of a finished run that its store has under other names now: found by their bytes, since a run knows names only.

What the bytes were is told by the version of the store that the run learned from, as long as that is kept.
"""

from __future__ import annotations

import warnings
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from distill.source import Source, contents_of
from distill.training.same_run import CONTENTS
from embedstore import EmbeddingStore
from embedstore import open as open_store


class RenamedWarning(UserWarning):
    """Pictures of a run were found in its store under other names."""


def renamed_pictures(
    source: Source, begun: Mapping[str, Any], gone: Sequence[str], known: Collection[str]
) -> dict[str, int]:
    """Return where the source has pictures whose ids are gone, as far as their bytes tell: id -> position.

    One is found where it alone of those that are gone had these bytes, and one new sample alone has them now.

    Args:
        source: that a finished run is asked on.
        begun: what the run says of the store that it learned from.
        gone: ids of the run that the source does not have.
        known: all ids of the run: what has one of these is another of its pictures.
    """
    contents = _contents_then(source, begun, gone)
    were, now = defaultdict[bytes, list[str]](list), defaultdict[bytes, list[int]](list)
    for sample_id, content in contents.items():
        if any(content):  # zeros: vectors that were given without a picture
            were[content].append(sample_id)
    for at, sample in enumerate(source.samples if were else ()):
        if (content := source.content_at(at)) in were and sample.id not in known:
            now[content].append(at)
    return {ids[0]: now[content][0] for content, ids in were.items() if len(ids) == len(now[content]) == 1}


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


def _contents_then(source: Source, begun: Mapping[str, Any], ids: Sequence[str]) -> dict[str, bytes]:
    """Return the content hashes of samples in the version that a run learned from; none where that is not kept."""
    version = begun.get("version")
    if not isinstance(source, EmbeddingStore) or CONTENTS not in begun:
        return {}
    if not any(one.number == version and one.readable for one in source.log()):
        return {}
    with open_store(source.path, version) as then:
        if contents_of(then) != begun[CONTENTS]:  # of another store, or of one that was built anew
            return {}
        return {one: then.content_at(int(at)) for one, at in zip(ids, then.positions(ids), strict=True)}

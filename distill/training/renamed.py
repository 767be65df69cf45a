"""Pictures of a finished run that its store has under other names now: found by their bytes, since a run knows names only.

What the bytes were is told by the version of the store that the run learned from, as long as that is kept.
"""

from __future__ import annotations

import warnings
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from distill.source import Source, contents_of
from distill.training.same_run import CONTENTS
from embedstore import EmbeddingStore
from embedstore.store.earlier_pictures import kept_version, pictures_since

S = TypeVar("S", bound=Source)


class RenamedWarning(UserWarning):
    """Pictures of a run were found in its store under other names."""


def renamed_pictures(
    source: Source, begun: Mapping[str, Any], wanted: Collection[str]
) -> tuple[dict[str, int], list[str]]:
    """Return where the source has pictures under other names now, id -> position, and the ids of those that it lacks.

    A name may be gone, or be that of another picture now. Its picture is found where it alone had its bytes, and one sample alone
    has them now. A name that has new bytes, which no other picture had, is a picture that was taken again: it is neither.

    Args:
        source: that a finished run is asked on.
        begun: what the run says of the store that it learned from.
        wanted: ids of the run that it is asked on.
    """
    with learned_from(source, begun) as then:
        since = pictures_since(then, source, wanted)
    names = [sample.id for sample in source.samples]  # at once: one by one, each would look at all
    found = {one: at for one, at in since.same.items() if names[at] != one}
    stayed = since.same.keys() | since.retaken
    return found, [one for one in wanted if one not in stayed]


@contextmanager
def learned_from(source: S, begun: Mapping[str, Any]) -> Iterator[S | EmbeddingStore | None]:
    """Open the version that a run learned from for as long as the context lasts.

    None where that is not kept, where the store was built anew since, and of a run of a release that did not note what it had.

    Args:
        source: that the run is asked on.
        begun: what the run says of the store that it learned from.
    """
    with kept_version(source, begun.get("version")) as then:
        yield then if then is not None and contents_of(then) == begun.get(CONTENTS) else None


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

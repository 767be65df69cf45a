"""Which version of its store a run, or a comparison, learns from: the newest where it begins, its own where it goes on.

Whoever trains asks here and tells the answer to what it starts, so that a store may be changed meanwhile, and nothing learns
from two versions.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from distill.source import Source, opened_source
from distill.training import run_directory
from distill.training.ranks import ALONE, Ranks
from embedstore import EmbeddingStore
from embedstore import open as open_store
from embedstore.errors import TrainingError


class VersionWarning(UserWarning):
    """What goes on learns from an earlier version of its store than the newest."""


def of_run(store: str | os.PathLike[str], run: Path) -> int | None:
    """Return which version of a store the run in a directory was begun with; None where it is still to begin.

    Raises:
        TrainingError: the run's description is damaged.
    """
    return next(iter(_versions(store, [run])), None)


def of_runs(store: str | os.PathLike[str], runs: Path) -> int | None:
    """Return which version of a store the runs in the directories below one were begun with; None where there is none.

    Raises:
        TrainingError: a run's description is damaged, or they were begun with several versions.
    """
    found = sorted(_versions(store, runs.iterdir() if runs.is_dir() else ()))
    if len(found) > 1:
        raise TrainingError(
            f"The runs in '{runs}' were begun with versions {', '.join(map(str, found))} of the store '{store}', and figures of "
            "two versions can't be compared; begin again in another directory."
        )
    return found[0] if found else None


@contextmanager
def opened_to_train(
    store: str | os.PathLike[str],
    run: Path,
    *,
    resume: bool,
    version: int | None = None,
    ranks: Ranks = ALONE,
) -> Iterator[Source]:
    """Open what the run in a directory learns from, for as long as the context lasts; see `opened_source`.

    Args:
        store: path of a store or of a summary file.
        run: the run's directory.
        resume: go on with it, with its own version; a warning says so where that is not the newest.
        version: of the store, where whoever starts the run has decided.
        ranks: that train it; the first alone needs the run's directory.
    """
    begun = ranks.agree(lambda: of_run(store, run) if resume and version is None else None)
    with opened_source(store, begun if version is None else version) as source:
        if begun is not None and ranks.first:
            warn_of_newer(source, run)
        yield source


def warn_of_newer(source: Source, place: Path) -> str | None:
    """Warn that what goes on in a directory learns from an earlier version than the newest, and return the sentence, if so."""
    if not isinstance(source, EmbeddingStore):
        return None
    with open_store(source.path) as store:
        newest = store.version
    if newest == source.version:
        return None
    said = (
        f"What is in '{place}' goes on with version {source.version} of the store '{source.path}', with which it was begun; the "
        f"newest is version {newest}: to learn from that, begin in another directory."
    )
    warnings.warn(said, VersionWarning, stacklevel=2)
    return said


def _versions(store: str | os.PathLike[str], runs: Iterable[Path]) -> set[int]:
    """Return the versions of a store that runs were begun with; those of another store are refused where they go on."""
    begun: list[Mapping[str, Any]] = [
        run_directory.read(run)["store"] for run in runs if (run / run_directory.RUN).is_file()
    ]
    path = str(Path(store).resolve())
    return {one["version"] for one in begun if one.get("path") == path and type(one.get("version")) is int}

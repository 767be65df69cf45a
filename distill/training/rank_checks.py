"""Whether several ranks can train one run, and were all asked for the same one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from distill.training.batches import steps_of
from distill.training.ranks import Ranks
from distill.training.settings import Settings
from embedstore.errors import SettingsError


def refuse_ranks(ranks: Ranks, settings: Settings, samples: int, described: Mapping[str, Any]) -> None:
    """Refuse what several ranks can't train, and ranks that would train something else than the first.

    Args:
        ranks: all of them, more than one.
        settings: of this rank's run.
        samples: it learns from.
        described: what `description.describe` says of it.

    Raises:
        SettingsError: they can't train it together.
    """
    first = ranks.agree(lambda: described)
    for part in ("settings", "store"):
        for name, expected in first[part].items():
            if described[part].get(name) != expected and name != "path":  # of a machine of its own
                raise SettingsError(
                    f"Rank {ranks.rank} has {name} = {described[part].get(name)}, but rank 0 has {expected}; give all processes "
                    "the same command and the same store."
                )
    if settings.policy == "live-teacher":
        raise SettingsError("The policy 'live-teacher' asks its teacher in one process; train it without torchrun.")
    smallest = samples // steps_of(samples, settings.batch)
    if smallest < ranks.size:
        raise SettingsError(
            f"The smallest batch has {smallest} pictures, which {ranks.size} processes can't share; start fewer: torchrun "
            f"--nproc-per-node {smallest}"
        )

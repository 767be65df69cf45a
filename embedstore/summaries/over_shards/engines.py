"""What maps steps over shards, by name: `shards` in this process, `ray` on a cluster."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from embedstore.errors import SettingsError
from embedstore.summaries.over_shards.shards import InProcess, ShardEngine

SHARDS, RAY = "shards", "ray"
ENGINES = (SHARDS, RAY)


@contextmanager
def shard_engine(name: str | None, address: str | None = None) -> Iterator[ShardEngine | None]:
    """Have the use of an engine while inside; None where none is named.

    Args:
        name: one of `ENGINES`.
        address: of a Ray cluster; see `ray_cluster.connected`.

    Raises:
        SettingsError: the engine is unknown, or has no address.
        EngineError: the cluster can't be reached.
        MissingPackageError: Ray is not installed.
    """
    if name not in (None, *ENGINES):
        raise SettingsError(f"The engine '{name}' is unknown; use one of {', '.join(ENGINES)}, or none.")
    if address is not None and name != RAY:
        raise SettingsError(f"An address '{address}' was given, but no cluster to find there; give --engine {RAY} too.")
    if name != RAY:
        yield InProcess() if name == SHARDS else None
        return
    from embedstore.engines.ray_cluster import connected
    from embedstore.summaries.over_shards.on_ray import OnRay

    with connected(address):
        yield OnRay()

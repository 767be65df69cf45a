"""Engines: where a build reads, cuts and embeds its pictures. Whatever the engine, one process writes the store.

    local    threads and one teacher, in the process that writes
    ray      tasks and teachers on the nodes of a Ray cluster, which hand their work over as shards

`engine.Engine` says what one is.
"""

from embedstore.engines.engine import Embedded, Engine, Job, Request
from embedstore.engines.local import LocalEngine
from embedstore.engines.ray_engine import CROPS, RayEngine
from embedstore.errors import SettingsError

LOCAL, RAY = "local", "ray"

__all__ = ["Embedded", "Engine", "Job", "LocalEngine", "RayEngine", "Request", "engine_named"]


def engine_named(
    name: str, *, address: str | None = None, crops: int | None = None, cores: int | None = None
) -> Engine | None:
    """Return the engine of a name; None for the one of this process, which a build makes itself.

    Args:
        name: `local` or `ray`.
        address: of a Ray cluster; see `ray_cluster.connected`.
        crops: (sample, view) pairs in a shard, about; 1,000 where not given.
        cores: of each teacher, where the cluster has no GPU; see `RayEngine`.

    Raises:
        SettingsError: there is no such engine, or it takes no such setting.
    """
    if name == RAY:
        return RayEngine(address, crops=CROPS if crops is None else crops, cores=cores)
    if name != LOCAL:
        raise SettingsError(f"The engine '{name}' is unknown; use {LOCAL} or {RAY}.")
    given = {"address": address, "crops in a shard": crops, "cores of a teacher": cores}
    for what, value in given.items():
        if value is not None:
            raise SettingsError(
                f"The {what} ({value}) is a setting of the engine '{RAY}'; choose that, or leave it out."
            )
    return None

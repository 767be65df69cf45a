"""Steps over shards on a Ray cluster: each node opens the store by its path, to read, and gives back partial results."""

from __future__ import annotations

import socket
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from embedstore.engines.ray_cluster import first_line, require_ray
from embedstore.errors import EmbedstoreError, EngineError, NotAStoreError
from embedstore.summaries.over_shards.shards import SHARD, Place, Read, Run, Shard

_AHEAD = 2  # shards for each core that are given out before a result is taken


@dataclass(frozen=True)
class OnRay:
    """Every core of the cluster that this process is connected to takes a shard at a time; see `ray_cluster.connected`.

    A task whose worker or node died is run again by Ray, elsewhere: a step only reads.
    """

    samples: int = SHARD

    def over(self, shards: Sequence[Shard]) -> Run:
        """Give the shards to the cluster, once; see `ShardEngine.over`.

        What is returned raises an `EngineError` where the cluster fails, or whatever a step raises.
        """
        ray = require_ray()
        held = [ray.put(shard) for shard in shards]
        task = ray.remote(_work)
        ahead = _AHEAD * max(1, int(ray.cluster_resources().get("CPU", 1)))

        def run(step: Callable[..., Any], *said: Any) -> Iterator[Any]:
            same = ray.put(said)  # once for all shards
            waiting: deque[Any] = deque()
            for shard in held:
                waiting.append(task.remote(step, shard, same))
                if len(waiting) >= ahead:
                    yield _taken(ray, waiting.popleft())
            while waiting:
                yield _taken(ray, waiting.popleft())

        return run


def _work(step: Callable[..., Any], shard: Shard, said: tuple[Any, ...]) -> Any:
    return step(shard, _reader(shard.place), *said)


@lru_cache(maxsize=1)
def _reader(place: Place) -> Read:
    """Open a store once in each worker, for all of its shards and steps."""
    try:
        return place.reader()
    except NotAStoreError as error:
        raise EngineError(
            f"The machine '{socket.gethostname()}' of the Ray cluster does not see the store at '{place.path}'; all must see it "
            "under that path, as on a network drive."
        ) from error


def _taken(ray: Any, result: Any) -> Any:
    try:
        return ray.get(result)
    except ray.exceptions.RayTaskError as error:
        cause = error.cause
        if isinstance(cause, EmbedstoreError):
            raise cause from error
        raise EngineError(
            f"A step on the Ray cluster failed ({type(cause).__name__}: {first_line(cause)}); the fault is ours, report it, "
            "please."
        ) from error
    except ray.exceptions.RayError as error:
        raise EngineError(
            f"The Ray cluster failed ({type(error).__name__}); see its logs, and give the command again."
        ) from error

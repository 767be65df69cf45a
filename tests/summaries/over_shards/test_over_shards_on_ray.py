"""Summaries on a Ray cluster: the same bytes as in this process, errors as sentences, and a node that dies costs nothing."""

import os
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from engines.ray_nodes import started_cluster
from toy_shards import COUNT, PARAMETERS, over, shards_of, toy_store, training_over

import embedstore
from embedstore.errors import EngineError, StoreError
from embedstore.summaries import summarize
from embedstore.summaries.over_shards.on_ray import OnRay
from embedstore.summaries.over_shards.shards import InProcess, Read, Shard
from embedstore.summaries.over_shards.sums import label_sums

ray = pytest.importorskip("ray", reason="the extra 'ray' carries it")


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("on ray") / "store"
    toy_store(path).close()
    return path


def steps() -> tuple[Any, Any]:
    """Return two steps that travel as a whole: workers can't import a test.

    One says slowly who works on which samples, the other is a fault of ours.
    """

    def process_of(shard: Shard, read: Read) -> tuple[int, list[int]]:
        time.sleep(0.1)
        read(shard.rows[:1], 0)
        return os.getpid(), shard.numbers.tolist()

    def failing(shard: Shard, read: Read) -> None:
        raise ZeroDivisionError("by nothing")

    return process_of, failing


@pytest.mark.cluster
def test_a_cluster_that_is_started_here_gives_the_same_bytes(path: Path) -> None:
    from embedstore.engines.ray_cluster import connected

    with embedstore.open(path) as store, connected(cores=1):
        for name in ("class-distribution", "rare-samples"):
            on_ray = store.summarize(name, engine="ray", seed=3, **PARAMETERS.get(name, {}))
            assert on_ray.to_bytes() == over(store, name, COUNT).to_bytes()
        training = training_over(store)
        shards = shards_of(training)
        process_of, failing = steps()
        run = OnRay().over(shards)
        workers, numbers = zip(*run(process_of), strict=True)
        assert os.getpid() not in workers
        assert [one for part in numbers for one in part] == list(range(COUNT))
        with pytest.raises(EngineError, match=r"A step on the Ray cluster failed \(ZeroDivisionError: by nothing\)"):
            list(run(failing))
        gone = [replace(shards[0], rows=shards[0].rows + 10**6)]
        with pytest.raises(StoreError, match="lacks block"):
            list(OnRay().over(gone)(label_sums, 3, store.dim))


@pytest.fixture
def two_nodes(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Any, Any]]:
    """Have a cluster, and of its two nodes the one that is not the head."""
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    cluster, (other,) = started_cluster(2)
    try:
        yield cluster, other
    finally:
        ray.shutdown()
        cluster.shutdown()


@pytest.mark.cluster
def test_a_node_that_dies_on_the_way_costs_its_shards_and_no_more(path: Path, two_nodes: tuple[Any, Any]) -> None:
    from embedstore.engines.ray_cluster import connected

    cluster, other = two_nodes
    with embedstore.open(path) as store, connected(cluster.address) as nodes:
        assert len(nodes) == 2
        training = training_over(store, 14)
        shards = shards_of(training)
        process_of, _ = steps()
        run = OnRay().over(shards)
        assert len({worker for worker, _ in run(process_of)}) == 2
        results = run(process_of)
        numbers = list(next(results)[1])
        cluster.remove_node(other, allow_graceful=False)
        for _, part in results:
            numbers += part
        assert numbers == list(range(COUNT))
        expected = summarize(store, "rare-samples", seed=3, engine=InProcess(), **PARAMETERS["rare-samples"])
        found = summarize(store, "rare-samples", seed=3, engine=OnRay(14), **PARAMETERS["rare-samples"])
        assert found.to_bytes() == expected.to_bytes()

"""Builds on a Ray cluster of several node processes, of which one, a worker or the driver is killed on the way."""

import json
import os
import signal
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from engines.ray_nodes import Nodes, nodes
from helpers import snapshot, write_pictures

import embedstore
from embedstore.engines import Embedded, RayEngine
from embedstore.engines.shards import Shards, ShardWarning

pytestmark = [
    pytest.mark.cluster,
    *(pytest.mark.filterwarnings(f"ignore::{kind}:ray") for kind in ("DeprecationWarning", "FutureWarning")),
]

NAMES = [f"{label}/{number:02}.png" for label in ("good", "crack") for number in range(30)]
VIEWS, CROPS = 1, 6  # 60 pictures of two views in 20 shards of three
EACH = CROPS // (VIEWS + 1)


@pytest.fixture
def images(tmp_path: Path) -> Path:
    write_pictures(tmp_path / "images", NAMES)
    return tmp_path / "images"


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Nodes]:
    pytest.importorskip("ray", reason="needs the extra 'ray'")
    with nodes(tmp_path) as started:
        yield started


def seen(store: Path) -> dict[str, Any]:
    with embedstore.open(store) as opened:
        return snapshot(opened)


def expected(tmp_path: Path, images: Path) -> dict[str, Any]:
    embedstore.build(tmp_path / "local", images, teacher="pixels", views=VIEWS)
    return seen(tmp_path / "local")


def ended(process: Any) -> dict[str, Any]:
    """Wait for a build; return its report."""
    out, err = process.communicate(timeout=90)
    assert process.returncode == 0, err
    report: dict[str, Any] = json.loads(out)
    return report


def test_a_node_and_a_worker_that_are_killed_cost_a_shard_each(cluster: Nodes, tmp_path: Path, images: Path) -> None:
    process = cluster.build(tmp_path / "s", images, "--teacher", "pixels", "--views", VIEWS, "--shard-crops", CROPS)
    cluster.await_calls(5)
    cluster.kill_node()
    cluster.kill_teacher()
    report = ended(process)
    assert seen(tmp_path / "s") == expected(tmp_path, images)
    assert (report["samples"], report["embedded"], report["shards"]) == (60, 120, 20)
    calls = cluster.calls()
    assert len({pid for pid, _ in calls}) >= 3  # teachers on several nodes, and one anew
    again = sum(views for _, views in calls) - 120
    assert 0 < again <= 2 * CROPS
    assert again // CROPS <= report["shards_repeated"] <= 2  # a shard may be begun, and not come to the teacher
    assert not (tmp_path / "s.shards").exists()


def test_a_driver_that_is_killed_is_resumed_on_the_cluster_and_here(
    cluster: Nodes, tmp_path: Path, images: Path
) -> None:
    process = cluster.build(tmp_path / "s", images, "--teacher", "pixels", "--views", VIEWS, "--shard-crops", CROPS)
    cluster.await_calls(6)
    process.kill()
    process.communicate()
    report = ended(cluster.build(tmp_path / "s", images, "--views", VIEWS, "--shard-crops", CROPS))
    again = sum(views for _, views in cluster.calls()) - 120
    assert 0 <= again <= 3 * CROPS  # one of each teacher
    assert report["embedded"] + EACH * 2 * report["shards_resumed"] <= 120
    assert report["samples"] == 60
    assert seen(tmp_path / "s") == expected(tmp_path, images)
    assert not (tmp_path / "s.shards").exists()

    write_pictures(images, [f"pore/{number:02}.png" for number in range(30)], seed=5)
    process = cluster.build(tmp_path / "s", images, "--shard-crops", CROPS)
    before = len(cluster.calls())
    cluster.await_calls(before + 4)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert (process.returncode, "goes on from there" in err) == (130, True)
    done = embedstore.build(tmp_path / "s", images)  # the engine of this process
    assert 0 < done.resumed <= 30 - EACH
    assert done.embedded == 2 * (30 - done.resumed)
    assert seen(tmp_path / "s")["samples"].keys() == {*NAMES, *(f"pore/{number:02}.png" for number in range(30))}
    assert not (tmp_path / "s.shards").exists()


def test_a_cluster_of_ones_own_listens_on_this_machine_alone_and_ends(tmp_path: Path, images: Path) -> None:
    ray = pytest.importorskip("ray", reason="needs the extra 'ray'")
    listening = set()
    before = _listening()

    def look(done: int, total: int) -> None:
        listening.update(_listening() - before)

    result = embedstore.build(
        tmp_path / "s", images, teacher="pixels", views=0, engine=RayEngine(crops=10), progress=look
    )
    assert (result.samples, result.shards, ray.is_initialized()) == (60, 6, False)
    assert listening
    assert {address for address, _ in listening} <= {
        "0100007F",
        "0000000000000000FFFF00000100007F",
        "0" * 24 + "01000000",
    }


def _listening() -> set[tuple[str, str]]:
    """Return address and port, as the kernel writes them, of all that listens to the network here."""
    found = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        if not os.path.exists(table):
            pytest.skip("this system does not say who listens")
        rows = [line.split() for line in Path(table).read_text().splitlines()[1:]]
        found |= {tuple(row[1].split(":")) for row in rows if row[3] == "0A"}
    return found


def test_a_shard_that_is_damaged_on_its_way_is_made_again(
    tmp_path: Path, images: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("ray", reason="needs the extra 'ray'")
    read, damaged = Shards.read, set[str]()

    def damaging(shards: Shards, key: str) -> list[Embedded] | None:
        if len(damaged) < 2:
            file = shards.folder / f"{key}.safetensors"
            file.write_bytes(file.read_bytes()[:-1] + b"?")
            damaged.add(key)
        return read(shards, key)

    monkeypatch.setattr(Shards, "read", damaging)
    with warnings.catch_warnings(record=True) as recorded:  # of Ray's own, too, where this test is the first
        warnings.simplefilter("always")
        report = embedstore.build(
            tmp_path / "s", images, teacher="pixels", views=VIEWS, engine=RayEngine(crops=30, cores=1)
        )
    told = [str(one.message) for one in recorded if one.category is ShardWarning]
    aside, others = (
        "it was set aside, and its pictures are embedded again",
        "(2) are damaged shards or those of another store",
    )
    assert [aside in one for one in told] == [True, True, False]
    assert others in told[-1]
    assert (report.samples, report.embedded, report.shards, len(damaged)) == (60, 120, 4, 2)
    assert seen(tmp_path / "s") == expected(tmp_path, images)
    assert {path.stem for path in (tmp_path / "s.shards").iterdir()} == damaged

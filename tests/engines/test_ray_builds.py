"""Builds on a Ray cluster of one node, which is started on this machine for them: the same store as without."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from helpers import noise_picture, python_environment, snapshot, write_picture, write_pictures
from typer.testing import CliRunner

import embedstore
from embedstore.engines import RayEngine
from embedstore.engines.ray_cluster import connected
from embedstore.errors import EngineError, SettingsError
from embedstore.store import BuildReport
from embedstore.store.kept_pictures import open_kept
from embedstore_cli.main import app

pytestmark = [
    pytest.mark.cluster,
    *(pytest.mark.filterwarnings(f"ignore::{kind}:ray") for kind in ("DeprecationWarning", "FutureWarning")),
]

NAMES = [f"{label}/{number}.png" for label in ("good", "crack") for number in range(10)]
SIDE = 16


@pytest.fixture(scope="module")
def cluster() -> Iterator[None]:
    pytest.importorskip("ray", reason="needs the extra 'ray'")
    with connected(cores=2) as nodes:
        assert [(node.cores, node.gpus) for node in nodes] == [(2, 0)]
        yield


@pytest.fixture
def images(tmp_path: Path) -> Path:
    write_pictures(tmp_path / "images", NAMES)
    (tmp_path / "images" / "good" / "bad.png").write_bytes(b"no picture")
    return tmp_path / "images"


def seen(path: Path) -> dict[str, Any]:
    with embedstore.open(path) as store:
        kept = open_kept(path, store.recipe.student_side)
        contents = sorted(record.content for record in store.records())
        pictures = None if kept is None else [p if p is None else p.tobytes() for p in kept.get(contents)]
        if kept is not None:
            kept.close()
        return snapshot(store) | {"contents": contents, "pictures": pictures}


def told(report: BuildReport) -> dict[str, Any]:
    return {name: value for name, value in asdict(report).items() if name not in {"seconds", "shards"}}


SLOW_ONCE = """
import os, sys, time

if any("dashboard" in one and one.endswith("agent.py") for one in sys.orig_argv):
    try:
        os.close(os.open(os.environ["SLOW_ONCE"], os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        pass
    else:
        time.sleep(18)
"""
STARTED = """
import warnings
warnings.simplefilter("error", ResourceWarning)
from embedstore.engines.ray_cluster import connected
with connected(cores=1) as nodes:
    print([node.name for node in nodes])
"""


def test_a_process_of_rays_that_a_slow_disk_holds_up_costs_a_second_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ray waits 15 seconds for it, then fails after 30."""
    pytest.importorskip("ray", reason="needs the extra 'ray'")
    (tmp_path / "sitecustomize.py").write_text(SLOW_ONCE)
    monkeypatch.setenv("SLOW_ONCE", str(tmp_path / "once"))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), python_environment()["PYTHONPATH"]]))
    done = subprocess.run([sys.executable, "-c", STARTED], check=False, capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stdout) == (0, "['127.0.0.1']\n"), done.stderr
    assert "still running" not in done.stderr
    assert (tmp_path / "once").exists()


def test_a_ray_build_gives_the_store_that_a_local_one_gives_step_by_step(
    cluster: None, tmp_path: Path, images: Path
) -> None:
    """From nothing, then with changed and new pictures and kept pixels and more views, then with nothing to do."""
    ray, local, steps = tmp_path / "ray", tmp_path / "local", list[tuple[int, int]]()

    def build(changes: int, **options: Any) -> None:
        engine = RayEngine(crops=15, cores=1)
        reports = [
            embedstore.build(local, images, prune=True, **options),
            embedstore.build(
                ray, images, prune=True, engine=engine, progress=lambda *step: steps.append(step), **options
            ),
        ]
        assert told(reports[0]) == told(reports[1])
        assert seen(local) == seen(ray)
        assert reports[1].shards == changes
        listed = len(NAMES) + 1
        assert steps == [(number, listed) for number in range(1, listed + 1)]
        steps.clear()
        assert not (tmp_path / "ray.shards").exists()

    build(4, teacher="pixels", views=2, keep_images=SIDE)  # 5 pictures of 3 views in each
    write_picture(images / "good" / "0.png", noise_picture(70))
    (images / "crack" / "1.png").rename(images / "crack" / "new.png")
    (images / "good" / "bad.png").write_bytes(b"no picture still")
    build(
        4, views=4
    )  # in portions of 15 by what is known: a changed picture lacks more than that, and its portion is split
    build(0)


def test_both_engines_take_in_shards_that_lie_in_a_folder_of_ones_own(
    cluster: None, tmp_path: Path, images: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A driver that ends after the first shard it took leaves the others, finished or not."""
    taken = 0

    def stop(done: int, total: int) -> None:
        nonlocal taken
        taken = done
        if done >= 5:
            raise KeyboardInterrupt

    shards = tmp_path / "handed over"
    with pytest.raises(KeyboardInterrupt):
        embedstore.build(
            tmp_path / "s", images, teacher="pixels", views=2, engine=RayEngine(crops=9, cores=1), shards=shards, progress=stop
        )  # fmt: skip
    assert (taken, shards.is_dir()) == (5, True)
    report = embedstore.build(tmp_path / "s", images, views=2, shards=shards)
    assert report.resumed >= 4
    assert report.embedded == 3 * (20 - report.resumed)
    embedstore.build(tmp_path / "local", images, teacher="pixels", views=2)
    assert seen(tmp_path / "s") == seen(tmp_path / "local")
    assert not shards.exists()


def test_what_a_node_can_not_do_ends_the_build_in_one_sentence(cluster: None, tmp_path: Path, images: Path) -> None:
    embedstore.build(tmp_path / "s", images, teacher="pixels", views=0)
    (tmp_path / "no folder").write_text("a file")
    with pytest.raises(EngineError, match=r"The folder of shards '.*no folder' can't be used \(File exists\)"):
        embedstore.build(tmp_path / "s", images, views=1, engine=RayEngine(), shards=tmp_path / "no folder")
    with embedstore.open(tmp_path / "s") as store, store.write("none"):
        pass


def test_cores_that_no_node_has_are_refused_and_leave_no_store(cluster: None, tmp_path: Path, images: Path) -> None:
    with pytest.raises(
        EngineError, match=r"A teacher is to get 3 of a node's cores, but no node of the .* more than 2 "
    ):
        embedstore.build(tmp_path / "s", images, teacher="pixels", engine=RayEngine(cores=3))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["images"]


def test_a_connection_that_is_there_is_used_and_no_other_beside_it(cluster: None) -> None:
    with connected("auto") as nodes:
        assert len(nodes) == 1
    with pytest.raises(
        SettingsError, match=r"is connected to the Ray cluster at '127.0.0.1:\d+', and 'head:6379' is to be used"
    ):
        connected("head:6379").__enter__()


def test_the_command_builds_by_an_engine(cluster: None, tmp_path: Path, images: Path) -> None:
    def run(*arguments: object) -> Any:
        return CliRunner().invoke(app, ["build", str(tmp_path / "s"), str(images), *map(str, arguments)])

    made = run(
        "--engine", "ray", "--teacher", "pixels", "--views", 0, "--shard-crops", 12, "--teacher-cores", 1, "--json"
    )
    assert made.exit_code == 0, made.output
    report = json.loads(made.stdout)
    assert (report["samples"], report["shards"], report["shards_repeated"], report["set_aside"]) == (20, 2, 0, 1)
    shutil.rmtree(tmp_path / "s")
    refused = run("--engine", "local", "--shard-crops", 12)
    assert isinstance(refused.exception, SettingsError)

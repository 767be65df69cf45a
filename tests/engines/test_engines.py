"""What holds for a build whatever its engine: the same store, and pictures that are looked at no more often than they must be."""

import json
import shutil
import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from helpers import CountingTeacher, noise_picture, snapshot, write_picture, write_pictures
from typer.testing import CliRunner

import embedstore
from embedstore.engines import Engine, RayEngine, engine_named, ray_cluster
from embedstore.engines.ray_cluster import Node, connected
from embedstore.errors import EngineError, MissingPackageError, SettingsError, TeacherError
from embedstore.store import BuildReport
from embedstore.store.kept_pictures import open_kept
from embedstore_cli.main import app

pytestmark = [pytest.mark.filterwarnings(f"ignore::{kind}:ray") for kind in ("DeprecationWarning", "FutureWarning")]

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


# Before any connection: one that is there is used.


@pytest.mark.parametrize(
    ("address", "kind", "message"),
    [
        ("127.0.0.1:1", EngineError, "Nothing answers at '127.0.0.1:1' "),
        ("nowhere", SettingsError, "The address 'nowhere' is none of a Ray cluster; give HOST:PORT"),
        ("ray://head:10001", SettingsError, "is none of a Ray cluster; give HOST:PORT"),
        ("head:port", SettingsError, "is none of a Ray cluster; give HOST:PORT"),
        ("", SettingsError, "The address '' is none of a Ray cluster"),  # of a variable that is not set
    ],
)
def test_an_address_that_does_not_answer_is_told_at_once(address: str, kind: type[Exception], message: str) -> None:
    pytest.importorskip("ray", reason="needs the extra 'ray'")
    with pytest.raises(kind, match=message), connected(address):
        pass


def test_a_cluster_of_ones_own_that_would_listen_to_others_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[str] = []

    class Ray:
        """Of a release in which the setting has no effect."""

        __version__ = "9.9"

        def init(self, **_: object) -> None:
            started.append("init")

        def shutdown(self) -> None:
            started.append("shutdown")

    pytest.importorskip("ray", reason="needs the extra 'ray'")
    monkeypatch.setattr(ray_cluster, "alive_nodes", lambda: [Node("one", "192.0.2.7", 2, 0)])
    with pytest.raises(EngineError, match=r"Ray 9\.9 starts no cluster that listens on this machine alone"):
        ray_cluster._start(Ray(), None)
    assert started == ["init", "shutdown"]


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


def test_a_teacher_that_is_an_object_stays_at_home(tmp_path: Path, images: Path) -> None:
    with pytest.raises(TeacherError, match="was given as an object, which stays in this process; name it by its spec"):
        embedstore.build(tmp_path / "s", images, teacher=CountingTeacher(), engine=RayEngine())
    assert not (tmp_path / "s").exists()


def test_engines_have_names_and_refuse_settings_that_are_not_theirs() -> None:
    assert engine_named("local") is None
    engine: Engine | None = engine_named("ray", address="10.0.0.1:6379", crops=50, cores=2)
    assert isinstance(engine, RayEngine)
    with pytest.raises(SettingsError, match="The engine 'spark' is unknown; use local or ray"):
        engine_named("spark")
    with pytest.raises(SettingsError, match=r"The address \(auto\) is a setting of the engine 'ray'"):
        engine_named("local", address="auto")
    with pytest.raises(SettingsError, match="The number of crops in a shard is 0; expected 1 to 100000"):
        engine_named("ray", crops=0)
    with pytest.raises(SettingsError, match="The number of cores of a teacher is 0; expected 1 to 1024"):
        engine_named("ray", cores=0)


def test_without_ray_a_build_says_what_to_install(
    tmp_path: Path, images: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(MissingPackageError, match=r"pip install 'embedstore\[ray\]'"):
        embedstore.build(tmp_path / "s", images, teacher="pixels", engine=RayEngine())


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

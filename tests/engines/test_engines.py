"""What is refused before an engine begins, and how a cluster of one's own is started; no cluster is needed."""

import sys
from pathlib import Path

import pytest
from helpers import CountingTeacher, write_pictures

import embedstore
from embedstore.engines import Engine, RayEngine, engine_named, ray_cluster
from embedstore.engines.ray_cluster import Node, connected
from embedstore.errors import EngineError, MissingPackageError, SettingsError, TeacherError

pytestmark = [pytest.mark.filterwarnings(f"ignore::{kind}:ray") for kind in ("DeprecationWarning", "FutureWarning")]

NAMES = [f"{label}/{number}.png" for label in ("good", "crack") for number in range(10)]
SIDE = 16


@pytest.fixture
def images(tmp_path: Path) -> Path:
    write_pictures(tmp_path / "images", NAMES)
    (tmp_path / "images" / "good" / "bad.png").write_bytes(b"no picture")
    return tmp_path / "images"


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


@pytest.mark.parametrize("failures", [1, 2])
def test_a_start_that_fails_is_tried_once_more_after_what_it_began_is_ended(
    failures: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("ray", reason="needs the extra 'ray'")
    from ray._private import node

    did: list[str] = []

    class RayNode:
        """As Ray's own: what it began is known to it alone."""

        def __init__(self) -> None:
            did.append("began")
            if did.count("began") <= failures:
                raise RuntimeError("The current node timed out during startup. This could happen because")

        def kill_all_processes(self, *, check_alive: bool, allow_graceful: bool) -> None:
            did.append("ended")

    class Ray:
        def init(self, **_: object) -> None:
            RayNode()

        def shutdown(self) -> None:
            did.append("shut down")

    monkeypatch.setattr(node, "Node", RayNode)
    monkeypatch.setattr(ray_cluster, "alive_nodes", lambda: [Node("one", "127.0.0.1", 2, 0)])
    if failures == 1:
        ray_cluster._start(Ray(), None)
        assert did == ["began", "ended", "shut down", "began"]
    else:
        with pytest.raises(
            EngineError, match=r"^No Ray cluster can be started on this machine \(The current node timed"
        ):
            ray_cluster._start(Ray(), None)
        assert did == ["began", "ended", "shut down"] * 2


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

"""What the steps on the nodes of a Ray cluster do with a portion, called by hand: no cluster is needed."""

import time
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers import by_hand, encoded, noise_picture, write_pictures

import embedstore
from embedstore import Recipe, load_teacher
from embedstore.engines import Embedded, Job, Request, ray_engine
from embedstore.engines.ray_cluster import Node
from embedstore.engines.ray_engine import RayEngine
from embedstore.engines.shards import Shards
from embedstore.errors import EngineError, TeacherMismatchError
from embedstore.pictures import content_hash
from embedstore.store.own_teacher import description_of
from embedstore.teachers.pixels import PixelTeacher

pytest.importorskip("ray", reason="needs the extra 'ray'")

from embedstore.engines import ray_tasks

NAMES = [f"{number}.png" for number in range(6)]


@pytest.fixture
def job(tmp_path: Path) -> Job:
    write_pictures(tmp_path / "images", NAMES)
    (tmp_path / "s.shards").mkdir()
    teacher = load_teacher("pixels")
    return Job(
        store=tmp_path / "s", root=tmp_path / "images", recipe=Recipe(student_side=16), views=2, fingerprint=teacher.fingerprint,
        space=description_of(teacher), teacher=None, shards=tmp_path / "s.shards",
    )  # fmt: skip


def cut(
    job: Job, *, crops: int = 6, kept: list[bytes] | None = None, release: str | None = None
) -> list[ray_tasks.Row]:
    requests = [Request(name, name, {}) for name in NAMES]
    cutter = ray_tasks.Cutter(job, release or embedstore.__version__, crops)
    return list(cutter.cut(ray_tasks.portion_row(requests, kept)))


def refused(rows: list[ray_tasks.Row]) -> Exception:
    (row,) = rows
    error = ray_tasks.error_of(row)
    assert error is not None
    return error


def test_a_portion_is_cut_and_embedded_in_shards_of_the_size_that_was_asked_for(job: Job) -> None:
    content = content_hash((job.root / NAMES[0]).read_bytes())
    rows = cut(job, kept=[content])
    embedder = ray_tasks.Embedder(job, threads=1)
    found: dict[str, Embedded] = {}
    for row in map(embedder, rows):
        assert ray_tasks.error_of(row) is None
        pictures = Shards(job).read(row["key"])
        assert pictures is not None
        assert len(pictures) == 2  # of three views each
        found |= {picture.id: picture for picture in pictures}
    assert list(found) == NAMES
    for name, picture in found.items():
        assert (picture.views, picture.problem) == ((0, 1, 2), None)
        assert (picture.pixels is None) == (name == NAMES[0])  # it is kept already
        for view in range(3):
            expected = by_hand(PixelTeacher(), job.root, name, name, view, job.recipe)
            assert (picture.vectors["embedding"][view] == expected.astype(np.float16)).all()


def test_a_shard_that_is_done_is_not_embedded_again(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = cut(job, crops=100)
    first = ray_tasks.Embedder(job, threads=1)(rows[0])
    monkeypatch.setattr(PixelTeacher, "embed", lambda *_: pytest.fail("embedded again"))
    again = ray_tasks.Embedder(job, threads=1)(rows[0])
    assert again == first
    assert Shards(job).times_begun(first["key"]) == 1


def test_a_node_that_is_not_what_the_build_needs_says_so(job: Job) -> None:
    error = refused(cut(job, release="0.0.1"))
    assert isinstance(error, EngineError)
    assert "the build runs 0.0.1; install the same release on all nodes" in str(error)
    gone = job.root.parent / "elsewhere"
    for other, what, option in ((replace(job, root=gone), "image folder", "IMAGES"), (replace(job, shards=gone), "folder of shards", "--shards")):  # fmt: skip  # noqa: E501
        sentence = str(refused(cut(other)))
        assert sentence.startswith(f"The {what} '{gone}' is not there on the node '")
        assert sentence.endswith(f"under this path, and name that by {option}.")


def test_an_error_of_the_teacher_ends_the_build_in_one_sentence(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = cut(job, crops=100)
    other = ray_tasks.Embedder(replace(job, fingerprint="0" * 32), threads=1)
    error = refused([other(rows[0])])
    assert isinstance(error, TeacherMismatchError)
    assert "give all nodes the same weights and releases" in str(error)

    def fail(*_: object) -> Any:
        raise RuntimeError("CUDA error: out of memory\nCompile with ...")

    monkeypatch.setattr(PixelTeacher, "embed", fail)
    failed = ray_tasks.Embedder(job, threads=1)(rows[0])
    error = refused([failed])
    assert type(error) is EngineError
    assert "(RuntimeError: CUDA error: out of memory); mend that, then run the command again" in str(error)
    assert ray_tasks.Embedder(job, threads=1)(failed) is failed  # what failed before passes by


def test_pictures_that_only_a_node_can_not_read_end_the_build_and_others_are_set_aside(job: Job) -> None:
    run = ray_engine._Run(job, lambda content: False, 10, 1)
    request = Request(NAMES[0], NAMES[0], {})
    with pytest.raises(EngineError, match=r"can't read '0.png' in '.*' \(can't be read: gone\), but this one finds it"):
        run._answers(Embedded(NAMES[0], problem="can't be read: gone"), request)
    (job.root / "folder.png").mkdir()
    for uri in ("x.png", "folder.png"):  # which this process can't read either
        assert run._answers(Embedded("x", problem="can't be read"), Request("x", uri, {}))


def test_a_shard_answers_what_was_asked_and_nothing_else(job: Job) -> None:
    run = ray_engine._Run(job, lambda content: False, 10, 1)
    request = Request(NAMES[0], NAMES[0], {b"known": (2,), b"whole": ()})
    for content, views, fits in (
        (b"known", (2,), True), (b"known", (0, 1, 2), False), (b"whole", (), True),
        (b"new", (0, 1, 2), True), (b"new", (2,), False),
    ):  # fmt: skip
        assert run._answers(Embedded(NAMES[0], content, views), request) is fits
    assert not run._answers(Embedded("stranger", b"new", (0, 1, 2)), None)


def test_portions_are_as_large_as_what_their_pictures_lack(job: Job) -> None:
    requests = [Request(str(n), str(n), lacking) for n, lacking in enumerate([{}, {b"a": (1, 2)}, {b"b": ()}, {}, {}])]
    portions = [[r.id for r in part] for part in ray_engine._portions(requests, views=2, crops=6)]
    assert portions == [["0", "1", "2"], ["3", "4"]]  # 3 + 2 + 1, then 3 + 3
    assert list(ray_engine._portions([], views=2, crops=6)) == []


def test_a_teacher_gets_what_was_asked_or_what_the_largest_node_has() -> None:
    def nodes(*cores: int, gpus: int = 0) -> list[Node]:
        return [Node("id", "name", number, gpus) for number in cores]

    assert [ray_engine._cores(nodes(2, 8), asked) for asked in (None, 3, 8)] == [4, 3, 8]
    assert ray_engine._cores(nodes(0, 2), None) == 2
    for given, asked in ((nodes(2, 4), 8), (nodes(0), None)):
        with pytest.raises(
            EngineError, match=f"no node of the Ray cluster has more than {given[-1].cores} for its tasks"
        ):
            ray_engine._cores(given, asked)
    assert ray_engine._cores(nodes(0, 2, gpus=1), None) == 4  # which a GPU makes no use of


def test_that_no_teacher_begins_is_told_after_a_while(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray_engine, "_REMARK_SECONDS", 0.05)
    run = ray_engine._Run(job, lambda content: False, 10, 1)

    def wait() -> list[str]:
        with warnings.catch_warnings(record=True) as told, ray_engine._remarking(run._begun, "a GPU"):
            warnings.simplefilter("always")
            time.sleep(0.3)
        return [str(one.message) for one in told]

    (sentence,) = wait()
    assert "No teacher has begun on the Ray cluster in 0 s; each needs a GPU, which other work may hold." in sentence
    run.shards.begin(run.shards.key([]))
    assert wait() == []


def test_an_engine_that_gets_nothing_to_do_connects_to_nothing(job: Job) -> None:
    assert list(RayEngine("127.0.0.1:1").embed([], job, lambda content: False)) == []


def test_the_pixels_of_a_large_picture_travel_whole(job: Job) -> None:
    (job.root / "large.png").write_bytes(encoded(noise_picture(3, (60, 40))))
    requests = [Request("large.png", "large.png", {})]
    cutter = ray_tasks.Cutter(job, embedstore.__version__, 10)
    (row,) = cutter.cut(ray_tasks.portion_row(requests, []))
    (picture,) = ray_tasks._unpacked(row["portion"])
    assert picture.pixels is not None
    assert picture.pixels.shape == (24, 16, 3)

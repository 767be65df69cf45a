"""Shards: what is written is what is read, whole or not at all, and what a run left is taken in by the next one."""

import json
import os
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers import CountingTeacher, snapshot, write_pictures
from safetensors.numpy import save

import embedstore
from embedstore import Recipe
from embedstore.engines.cutting import Cut, cut, embed
from embedstore.engines.engine import Embedded, Job, Request
from embedstore.engines.shard_file import unpacked
from embedstore.engines.shards import DAMAGED, Shards, ShardWarning, folder_of, left_behind, remove_all, sweep
from embedstore.errors import CorruptStoreError, EngineError
from embedstore.store import BuildReport
from embedstore.store.own_teacher import description_of

NAMES = [f"{label}/{number}.png" for label in ("good", "crack") for number in range(6)]


@pytest.fixture
def job(tmp_path: Path) -> Job:
    write_pictures(tmp_path / "images", NAMES)
    teacher = CountingTeacher(early=True)
    shards = tmp_path / "s.shards"
    for folder in (shards, tmp_path / "s"):
        folder.mkdir()
    return Job(
        store=tmp_path / "s", root=tmp_path / "images", recipe=Recipe(), views=2, fingerprint=teacher.fingerprint,
        space=description_of(teacher), teacher=None, shards=shards,
    )  # fmt: skip


def cuts(job: Job, names: list[str], lacking: dict[bytes, tuple[int, ...]] | None = None, **wants: bool) -> list[Cut]:
    pixels = wants.get("pixels", False)
    return [cut(Request(name, name, lacking or {}), job, lambda content: pixels) for name in names]


def embedded(job: Job, pictures: list[Cut]) -> list[Embedded]:
    return embed(pictures, CountingTeacher(early=True), job.outputs)


def assert_same(found: list[Embedded] | None, expected: list[Embedded]) -> None:
    assert found is not None
    for one, other in zip(found, expected, strict=True):
        assert (one.id, one.content, one.views, one.problem) == (other.id, other.content, other.views, other.problem)
        assert one.vectors.keys() == other.vectors.keys()
        for name, values in other.vectors.items():
            assert one.vectors[name].dtype == np.float16
            assert (one.vectors[name] == values).all()
        assert (one.pixels is None) == (other.pixels is None)
        assert other.pixels is None or np.array_equal(one.pixels, other.pixels)  # type: ignore[arg-type]


def test_a_shard_holds_vectors_pixels_and_problems_as_they_were(job: Job) -> None:
    (job.root / "bad.png").write_bytes(b"no picture")
    pictures = cuts(job, [*NAMES, "bad.png", "gone.png"], pixels=True)
    answers = embedded(job, pictures)
    assert [p.problem for p in answers[-2:]] == [
        "is not a picture in a known format",
        "can't be read: No such file or directory",
    ]
    shards = Shards(job)
    key = shards.key(pictures)
    shards.begin(key)
    assert (shards.done(), shards.unfinished(), shards.is_done(key)) == ([], [key], False)
    shards.write(key, answers)
    assert (shards.done(), shards.unfinished(), shards.is_done(key), shards.times_begun(key)) == ([key], [], True, 1)
    assert_same(shards.read(key), answers)
    shards.take(key)  # whoever is late finds that nothing is to be done
    assert (shards.is_done(key), shards.done(), [path.name for path in job.shards.iterdir()]) == (
        True,
        [],
        [f"{key}.taken"],
    )
    shards.begin(key)
    assert sweep(job) == 0
    assert list(job.shards.iterdir()) == []


def test_a_key_is_of_content_and_of_nothing_else(job: Job) -> None:
    def key(job: Job, pictures: list[Cut]) -> str:
        return Shards(job).key(pictures)

    pictures = cuts(job, NAMES)
    first = key(job, pictures)
    assert key(replace(job, views=7, teacher="another name", root=job.root / "."), pictures[::-1]) == first
    others = {
        key(job, pictures[1:]),
        key(job, cuts(job, NAMES, pixels=True)),
        key(job, [replace(pictures[0], views=(0, 1)), *pictures[1:]]),
        key(replace(job, fingerprint="0" * 32), pictures),
        key(replace(job, recipe=Recipe(seed=1)), pictures),
        key(replace(job, space=job.space | {"outputs": {"embedding": 12}}), pictures),
        key(replace(job, space=job.space | {"input_size": 17}), pictures),
        key(replace(job, store=job.store / "other"), pictures),
    }
    write_pictures(job.root, NAMES[:1], seed=9)
    others.add(key(job, cuts(job, NAMES)))
    assert len(others - {first}) == 9


@pytest.mark.parametrize(
    "damage",
    [
        lambda data, marker: (data[:-1] + bytes([data[-1] ^ 1]), marker),
        lambda data, marker: (data[: len(data) // 2], marker),
        lambda data, marker: (data, b"{"),
        lambda data, marker: (data, b"[]"),
        lambda data, marker: (b"x", json.dumps({"checksum": "4c8a9f2cf7c5ed6a5d7de1c5a8a7b9ad"}).encode()),
    ],
)
def test_a_damaged_shard_is_set_aside_and_told(job: Job, damage: Any) -> None:
    shards, pictures = Shards(job), cuts(job, NAMES)
    key = shards.key(pictures)
    shards.write(key, embedded(job, pictures))
    data, marker = job.shards / f"{key}.safetensors", job.shards / f"{key}.done"
    new_data, new_marker = damage(data.read_bytes(), marker.read_bytes())
    data.write_bytes(new_data)
    marker.write_bytes(new_marker)
    with pytest.warns(ShardWarning, match=r"is damaged \(it fails its checksum\); it was set aside"):
        assert list(left_behind(job)) == []
    assert [path.name for path in job.shards.iterdir()] == [f"{key}{DAMAGED}"]
    with pytest.warns(ShardWarning, match=r"whose names begin with 32 hex digits \(1\) are damaged shards or"):
        remove_all(job)


def test_a_shard_of_other_shapes_is_refused_though_its_checksum_fits(job: Job) -> None:
    shards, pictures = Shards(job), cuts(job, NAMES)
    answers = embedded(job, pictures)
    other = Shards(replace(job, space=job.space | {"outputs": {"embedding": 4, "early": 12}}))
    for answer in answers:
        answer.vectors = {"embedding": answer.vectors["early"], "early": answer.vectors["embedding"]}
    key = shards.key(pictures)
    other.write(key, answers)
    with pytest.warns(ShardWarning, match=r"its vectors of 'embedding' are \(36, 4\) float16"):
        assert shards.read(key) is None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"vectors": np.nan}, "its vectors of 'embedding' are not finite"),
        ({"id": None}, r"it is no shard \(AttributeError\)"),
        ({"id": "\ud800"}, r"it is no shard \(UnicodeEncodeError\)"),
        ({"content": "00"}, r"it is no shard \(ValueError\)"),
        ({"content": ""}, r"it is no shard \(ValueError\)"),  # vectors of an unknown picture
        ({"views": [0, 2, 1]}, r"it is no shard \(ValueError\)"),
        ({"views": [0, 1, 1]}, r"it is no shard \(ValueError\)"),
        ({"views": [0, 1, 65_536]}, r"it is no shard \(ValueError\)"),
        ({"views": [False, True, 2]}, r"it is no shard \(ValueError\)"),
        ({"views": [0, 1]}, r"its vectors of 'embedding' are \(3, 12\) float16"),
        ({"problem": "has both"}, r"it is no shard \(ValueError\)"),
        ({"problem": {}, "views": []}, r"it is no shard \(ValueError\)"),
        ({"about": b"[" * 100_000}, r"it is no shard \(RecursionError\)"),
        ({"about": b"5"}, r"it is no shard \(TypeError\)"),
        ({"pixels": np.zeros((4, 4, 3), np.float32)}, r"pixels are \(4, 4, 3\) float32"),
        ({"pixels": np.zeros((4, 4, 4), np.uint8)}, r"pixels are \(4, 4, 4\) uint8"),
        ({"pixels": np.zeros((4, 0, 3), np.uint8)}, r"pixels are \(4, 0, 3\) uint8"),
    ],
)
def test_what_this_program_never_wrote_is_refused_though_its_checksum_fits(
    job: Job, change: dict[str, Any], message: str
) -> None:
    (picture,) = embedded(job, cuts(job, NAMES[:1]))
    assert picture.content is not None
    said = {"id": picture.id, "content": picture.content.hex(), "views": [0, 1, 2], "problem": None} | {
        name: value for name, value in change.items() if name in {"id", "content", "views", "problem"}
    }
    about = change.get("about", json.dumps([said]).encode())
    tensors = {f"vectors:{name}": values.copy() for name, values in picture.vectors.items()}
    tensors["vectors:embedding"][1, 1] = change.get("vectors", 0.5)
    if "pixels" in change:
        tensors["pixels:0"] = change["pixels"]
    data = save(tensors | {"about": np.frombuffer(about, np.uint8)})
    with pytest.raises(CorruptStoreError, match=message):
        unpacked(data, job.outputs)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs pipes")
def test_what_is_a_link_or_a_pipe_is_not_opened(job: Job) -> None:
    shards, pictures = Shards(job), cuts(job, NAMES)
    key, secret = shards.key(pictures), job.root / "secret"
    shards.write(key, embedded(job, pictures))
    data = job.shards / f"{key}.safetensors"
    data.replace(secret)
    data.symlink_to(secret)
    (job.shards / f"{key[:-1]}x.done").symlink_to(secret)  # no key
    with pytest.warns(ShardWarning, match="is a link or no file"):
        assert list(left_behind(job)) == []
    before = secret.read_bytes()
    (job.shards / f"{key}.begun").symlink_to(secret)
    with pytest.raises(OSError, match="symbolic links"):
        shards.begin(key)
    assert secret.read_bytes() == before
    shards.write(key, embedded(job, pictures))
    (job.shards / f"{key}.done").unlink()
    os.mkfifo(job.shards / f"{key}.done")  # which who opens it waits for
    with pytest.warns(ShardWarning, match="it fails its checksum"):
        assert shards.read(key) is None


def test_a_folder_beside_the_store_that_somebody_else_put_there_is_refused(
    job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    shards, pictures = Shards(job), cuts(job, NAMES)
    shards.write(shards.key(pictures), embedded(job, pictures))
    lstat = Path.lstat

    def foreign(path: Path) -> Any:
        found = lstat(path)
        if path != job.shards:
            return found
        return os.stat_result([*found[:4], 4242, *found[5:]])

    monkeypatch.setattr(Path, "lstat", foreign)
    with pytest.raises(EngineError, match="belongs to neither you nor the owner of the store"):
        list(left_behind(job))
    named = job.shards.with_name("named")
    job.shards.rename(named)
    assert len(list(left_behind(replace(job, shards=named)))) == 1  # by --shards: whoever names it trusts it


def test_what_was_begun_is_counted_and_removed_and_others_files_are_left(job: Job) -> None:
    shards, pictures = Shards(job), cuts(job, NAMES)
    key = shards.key(pictures)
    shards.begin(key)
    (job.shards / f"{key}.safetensors").write_bytes(b"half")
    (job.shards / f".{key}.safetensors.new-77").write_bytes(b"less")
    theirs = Shards(replace(job, store=job.store / "other"))
    theirs.begin(theirs.key(pictures))
    assert sweep(job) == 1
    assert [path.name for path in job.shards.iterdir()] == [f"{theirs.key(pictures)}.begun"]
    (job.shards / "holiday.jpg").write_bytes(b"of a person")
    with pytest.warns(ShardWarning, match=r"\(1\) are .* or those of another store"):
        remove_all(job)
    theirs.drop(theirs.key(pictures))
    remove_all(job)  # which says nothing of what is no shard
    assert [path.name for path in job.shards.iterdir()] == ["holiday.jpg"]
    (job.shards / "holiday.jpg").unlink()
    remove_all(job)
    assert not job.shards.exists()


def test_a_folder_that_can_not_be_written_is_told_in_one_sentence(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    shards, pictures = Shards(job), cuts(job, NAMES)
    shards.write(shards.key(pictures), embedded(job, pictures))

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "unlink", refuse)
    with pytest.raises(EngineError, match=r"The folder of shards '.*' can't be used \(Permission denied\); see who"):
        list(left_behind(job))


def seen(path: Path) -> dict[str, Any]:
    with embedstore.open(path) as store:
        return snapshot(store)


def test_a_shard_that_is_in_the_store_by_now_is_taken_in_once(job: Job, tmp_path: Path) -> None:
    """As after a kill between the commit of its rows and its removal, before a version shows them and after it."""
    path = tmp_path / "s"
    embedstore.build(tmp_path / "whole", job.root, teacher=CountingTeacher(early=True), views=2)
    kept = job.shards.rename(tmp_path / "kept")
    shards, pictures = Shards(replace(job, shards=kept)), cuts(job, NAMES[:5])
    shards.write(shards.key(pictures), embedded(job, pictures))

    def again(teacher: CountingTeacher) -> BuildReport:
        shutil.copytree(kept, job.shards, dirs_exist_ok=True)
        return embedstore.build(path, job.root, teacher=teacher, views=2)

    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            again(CountingTeacher(early=True, stop_after=0))
    report = again(CountingTeacher(early=True))
    assert (report.shards_resumed, report.resumed, report.embedded) == (1, 5, 3 * (12 - 5))
    report = again(CountingTeacher(early=True))
    assert (report.version, report.shards_resumed, report.embedded) == (1, 1, 0)
    assert seen(path) == seen(tmp_path / "whole")
    with embedstore.open(path) as store:
        assert sorted(store.rows.tolist()) == list(range(12))
    assert embedstore.verify(path).findings == ()


def test_a_build_takes_in_what_a_run_left(job: Job, tmp_path: Path) -> None:
    """Without any cluster: a store that was begun, and shards that somebody made for it."""
    path = tmp_path / "s"
    teacher = CountingTeacher(early=True)
    embedstore.build(tmp_path / "whole", job.root, teacher=CountingTeacher(early=True), views=2)
    with pytest.raises(KeyboardInterrupt):
        embedstore.build(path, job.root, teacher=CountingTeacher(early=True, stop_after=0), views=2)
    assert folder_of(path) == job.shards
    shards = Shards(job)
    parts = NAMES[:3], NAMES[3:5], NAMES[5:7]
    for part in parts:
        pictures = cuts(job, list(part))
        shards.write(shards.key(pictures), embedded(job, pictures))
    shards.begin(shards.key(cuts(job, NAMES[7:])))
    write_pictures(job.root, NAMES[:1], seed=4)  # one changed since
    embedstore.build(tmp_path / "changed", job.root, teacher=CountingTeacher(early=True), views=2)
    report = embedstore.build(path, job.root, teacher=teacher)
    assert (report.shards_resumed, report.shards_repeated, report.shards, report.resumed) == (3, 1, 0, 6)
    assert teacher.seen == report.embedded == 3 * (12 - 6)
    assert seen(path) == seen(tmp_path / "changed")
    assert not job.shards.exists()

    more = replace(job, views=3)  # of a later build, of which a shard holds the new view alone
    shards.folder.mkdir()
    with embedstore.open(path) as store:
        lacking = {record.content: (3,) for record in store.records()}
    pictures = cuts(more, NAMES[:4], lacking)
    assert {picture.views for picture in pictures} == {(3,)}
    shards.write(shards.key(pictures), embedded(more, pictures))
    teacher = CountingTeacher(early=True)
    report = embedstore.build(path, job.root, teacher=teacher, views=3, shards=job.shards)
    assert (report.shards_resumed, report.views, report.embedded, teacher.seen) == (1, 3, 8, 8)
    embedstore.build(tmp_path / "changed", job.root, teacher=CountingTeacher(early=True), views=3)
    assert seen(path) == seen(tmp_path / "changed")

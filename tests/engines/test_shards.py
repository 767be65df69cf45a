"""Shards: what is written is what is read, whole or not at all, and what a run left is taken in by the next one."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers import CountingTeacher, snapshot, write_pictures

import embedstore
from embedstore import Recipe
from embedstore.engines.cutting import Cut, cut, embed
from embedstore.engines.engine import Embedded, Job, Request
from embedstore.engines.shards import DAMAGED, Shards, ShardWarning, folder_of, left_behind, remove_all, sweep
from embedstore.errors import EngineError
from embedstore.store.own_teacher import description_of

NAMES = [f"{label}/{number}.png" for label in ("good", "crack") for number in range(6)]


@pytest.fixture
def job(tmp_path: Path) -> Job:
    write_pictures(tmp_path / "images", NAMES)
    teacher = CountingTeacher(early=True)
    shards = tmp_path / "s.shards"
    shards.mkdir()
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
    with pytest.warns(ShardWarning, match="holds other files, such as damaged shards"):
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
    with pytest.warns(ShardWarning, match="those of another store"):
        remove_all(job)
    theirs.drop(theirs.key(pictures))
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

"""Add: named pictures come in as a build would bring them, and nothing else is looked at or changed."""

import csv
import os
import re
import shutil
import unicodedata
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers import CountingTeacher, assert_same_to_a_float16_step, by_hand, snapshot, write_pictures

import embedstore
from embedstore.engines import local
from embedstore.errors import ImagesError, SettingsError, StoreError, StoreLockedError, TeacherMismatchError
from embedstore.store import compaction, embedding_pass
from embedstore.store.writing import writer

NAMES = [f"{label}/{number}.png" for label in ("good", "crack") for number in range(3)]
FRESH = ["scratch/1.png", "scratch/deep/2.png", "good/9.png"]


@pytest.fixture(autouse=True)
def small_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a few pictures take several batches and commits."""
    monkeypatch.setattr(local, "_CROPS_AT_ONCE", 4)
    monkeypatch.setattr(embedding_pass, "_COMMIT_ROWS", 2)


@pytest.fixture
def images(tmp_path: Path) -> Path:
    write_pictures(tmp_path / "images", NAMES)
    return tmp_path / "images"


@pytest.fixture
def path(images: Path) -> Path:
    """A store of six pictures with one view, at version 1; three more pictures came to the folder since."""
    embedstore.build(images.parent / "store", images, teacher=CountingTeacher(), views=1)
    write_pictures(images, FRESH, seed=1)
    return images.parent / "store"


def add(path: Path, *names: str | Path, teacher: Any = None, **options: Any) -> embedstore.BuildReport:
    """Add pictures by their paths below the image folder."""
    root = path.parent / "images"
    return embedstore.add(path, [root / name for name in names], teacher=teacher or CountingTeacher(), **options)


def seen(path: Path) -> dict[str, Any]:
    with embedstore.open(path) as store:
        return snapshot(store)


def labels(path: Path) -> dict[str, str | None]:
    with embedstore.open(path) as store:
        return dict(zip(store.ids, store.labels, strict=True))


# What is added


def test_added_pictures_are_as_the_definition_says_and_all_else_stays(path: Path, images: Path) -> None:
    before = seen(path)
    os.remove(images / "crack" / "0.png")
    write_pictures(images, ["good/0.png"], seed=2)  # changed, but not named
    (images / "good" / "2.png").write_bytes(b"broken, but not named")
    teacher = CountingTeacher()
    report = add(path, "scratch", "good/9.png", teacher=teacher)
    assert (report.version, report.samples, report.new, report.changed, report.updated) == (2, 9, 3, 0, 0)
    assert (report.removed, report.gone, report.set_aside, report.views, report.embedded) == (0, 0, 0, 1, 6)
    assert teacher.seen == 6
    after = seen(path)
    assert {name: after["samples"][name] for name in NAMES} == before["samples"]
    for view in range(2):
        assert {name: after["vectors"][view][name] for name in NAMES} == before["vectors"][view]
    with embedstore.open(path) as store:
        assert store.ids[6:] == ["good/9.png", "scratch/1.png", "scratch/deep/2.png"]
        assert [store.sample(name).label for name in FRESH] == ["scratch", "deep", "good"]
        for name in FRESH:
            for view in range(2):
                expected = by_hand(CountingTeacher(), images, name, name, view, store.recipe)
                assert_same_to_a_float16_step(store.vectors([name], view=view)[0], expected)
        assert (store.log()[-1].action, dict(store.log()[-1].details)) == ("add", {"new": 3})


def test_adding_all_by_parts_equals_a_build(path: Path, images: Path, tmp_path: Path) -> None:
    for name in FRESH:
        add(path, name)
    embedstore.build(tmp_path / "built", images, teacher=CountingTeacher(), views=1)
    added, built = seen(path), seen(tmp_path / "built")
    assert (added["samples"], added["vectors"]) == (built["samples"], built["vectors"])
    teacher = CountingTeacher()
    report = embedstore.build(path, images, teacher=teacher)
    assert (teacher.seen, report.version) == (0, 4)  # nothing is left to be done


def test_what_is_named_twice_or_inside_of_another_is_added_once(path: Path) -> None:
    report = add(path, "scratch", "scratch/deep/2.png", "scratch/deep", "scratch/deep/../1.png", "scratch/1.png")
    assert (report.new, report.samples) == (2, 8)
    assert add(path, ".").new == 1  # the whole folder


def test_one_path_needs_no_list_and_may_be_relative(path: Path, images: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(images / "scratch")
    assert embedstore.add(path, "deep", teacher=CountingTeacher()).new == 1
    assert embedstore.add(path, Path("1.png"), teacher=CountingTeacher()).new == 1
    assert embedstore.add(path, "../good/9.png", teacher=CountingTeacher()).new == 1
    assert set(FRESH) < set(labels(path))


def test_a_known_picture_costs_nothing_and_a_changed_one_is_embedded_again(path: Path, images: Path) -> None:
    before = seen(path)
    teacher = CountingTeacher()
    assert add(path, "good/0.png", "crack", teacher=teacher).version == 1
    assert teacher.seen == 0
    assert seen(path) == before
    with embedstore.open(path) as store, store.write() as changes:
        changes.set("split", {"good/1.png": "val"})
    write_pictures(images, ["good/1.png"], seed=5)
    report = add(path, "good/0.png", "good/1.png", teacher=teacher)
    assert (report.version, report.changed, report.new, teacher.seen) == (3, 1, 0, 2)
    with embedstore.open(path) as store:
        assert store.sample("good/1.png").split == "val"
        assert_same_to_a_float16_step(
            store.vectors(["good/1.png"])[0], by_hand(teacher, images, "good/1.png", "good/1.png", 0, store.recipe)
        )


def test_the_stores_own_teacher_is_loaded_where_none_is_given(images: Path) -> None:
    embedstore.build(images.parent / "store", images, teacher="pixels", views=0)
    write_pictures(images, FRESH, seed=1)
    report = embedstore.add(images.parent / "store", images / "scratch")
    assert (report.new, report.teacher, report.views) == (2, "pixels", 0)


# Labels and manifests


def test_a_given_label_is_kept_by_later_builds(path: Path, images: Path) -> None:
    add(path, "scratch", "good/0.png", label=" Kratzer\u0308 ")
    expected = {
        "scratch/1.png": "Kratzer̈",
        "scratch/deep/2.png": "Kratzer̈",
        "good/0.png": "Kratzer̈",
        "good/1.png": "good",
    }
    assert {name: labels(path)[name] for name in expected} == {
        name: unicodedata.normalize("NFC", label) for name, label in expected.items()
    }
    before = labels(path)
    embedstore.build(path, images, teacher=CountingTeacher())
    assert {name: label for name, label in labels(path).items() if name != "good/9.png"} == before
    assert add(path, "scratch").updated == 0


def test_a_label_that_a_technician_put_right_survives(path: Path) -> None:
    with embedstore.open(path) as store, store.write() as changes:
        changes.set("label", {"good/0.png": "crack"})
    report = add(path, "good")
    assert (report.new, report.updated) == (1, 0)
    assert labels(path)["good/0.png"] == "crack"


def write_manifest(path: Path, *rows: str) -> Path:
    manifest = path.parent / "fresh.csv"
    manifest.write_text("\n".join(["path,id,label,mode,group,split,line", *rows]), "utf-8")
    return manifest


def test_a_manifest_tells_what_is_known_of_named_pictures(path: Path) -> None:
    manifest = write_manifest(
        path, "scratch/1.png,P1,kratzer,fine,part 1,val,7", "good/9.png,,,,,,", "scratch/deep/2.png,P2,kratzer,,,,"
    )
    before = seen(path)["samples"]
    report = add(path, "scratch/1.png", "good", manifest=write_manifest(path, *manifest.read_text().split("\n")[1:]))
    assert report.new == 2
    after = seen(path)["samples"]
    assert {name: after[name] for name in NAMES} == before  # `good` holds more than the manifest, which stays as it is
    sample = after["P1"]
    assert (sample.uri, sample.label, sample.mode, sample.group, sample.split, dict(sample.attributes)) == (
        "scratch/1.png", "kratzer", "fine", "part 1", "val", {"line": "7"},
    )  # fmt: skip
    assert after["good/9.png"].label is None
    assert "P2" not in after
    assert add(path, manifest=manifest).new == 1  # without pictures: all that the manifest names
    assert seen(path)["samples"]["P2"].label == "kratzer"


def test_a_picture_that_has_an_id_of_its_own_keeps_it(images: Path) -> None:
    manifest = images.parent / "all.csv"
    with manifest.open("w", newline="") as file:
        csv.writer(file).writerows([("path", "id"), *((name, f"P{number}") for number, name in enumerate(NAMES))])
    path = images.parent / "store"
    embedstore.build(path, images, manifest=manifest, teacher=CountingTeacher(), views=1)
    write_pictures(images, ["good/0.png", "good/7.png"], seed=3)
    report = add(path, "good")
    assert (report.new, report.changed, report.samples) == (1, 1, 7)
    assert sorted(labels(path)) == ["P0", "P1", "P2", "P3", "P4", "P5", "good/7.png"]
    with embedstore.open(path) as store:
        expected = by_hand(CountingTeacher(), images, "good/0.png", "P0", 1, store.recipe)
        assert_same_to_a_float16_step(store.vectors(["P0"], view=1)[0], expected)


def test_a_picture_whose_path_is_the_id_of_another_is_refused(images: Path) -> None:
    manifest = images.parent / "all.csv"
    manifest.write_text("path,id\ngood/0.png,good/9.png\n")
    path = images.parent / "store"
    embedstore.build(path, images, manifest=manifest, teacher=CountingTeacher())
    write_pictures(images, ["good/9.png"], seed=3)
    before = seen(path)
    with pytest.raises(
        ImagesError, match=r"'good/9\.png' .* is the id of another picture, 'good/0\.png'; name it in a manifest"
    ):
        add(path, "good/9.png")
    assert seen(path) == before


# Bad pictures


def test_bad_pictures_are_set_aside_beside_those_of_earlier_builds(images: Path) -> None:
    (images / "good" / "torn.png").write_bytes(b"no picture")
    path = images.parent / "store"
    embedstore.build(path, images, teacher=CountingTeacher(), views=1)
    write_pictures(images, FRESH, seed=1)
    (images / "scratch" / "empty.png").write_bytes(b"")
    (images / "scratch" / "note.txt").write_text("x")
    report = add(path, "scratch")
    assert (report.new, report.set_aside, report.ignored) == (2, 1, 1)
    assert sorted(seen(path)["aside"]) == ["good/torn.png", "scratch/empty.png"]
    write_pictures(images, ["good/torn.png"], seed=2)
    assert add(path, "good/torn.png").new == 1
    assert sorted(seen(path)["aside"]) == ["scratch/empty.png"]
    report = add(path, "scratch/empty.png")
    assert (report.version, report.set_aside, report.embedded) == (3, 1, 0)
    with embedstore.open(path) as store:
        assert store.version == 3
        (images / "good" / "0.png").write_bytes(b"torn too")
    before = seen(path)
    assert add(path, "good/0.png").set_aside == 1
    assert seen(path)["samples"] == before["samples"]
    assert seen(path)["vectors"] == before["vectors"]


# Interruption


@pytest.mark.parametrize("stop_after", [0, 2, 4, 5])
def test_an_interrupted_add_goes_on_where_it_was(path: Path, tmp_path: Path, stop_after: int) -> None:
    before = seen(path)
    with pytest.raises(KeyboardInterrupt):
        add(path, "scratch", "good/9.png", teacher=CountingTeacher(stop_after=stop_after))
    assert seen(path) == before
    resumed = CountingTeacher()
    report = add(path, "scratch", "good/9.png", teacher=resumed)
    embedded_before = stop_after // 4 * 4
    assert (resumed.seen, report.resumed, report.new) == (6 - embedded_before, embedded_before // 2, 3)
    embedstore.build(tmp_path / "built", tmp_path / "images", teacher=CountingTeacher(), views=1)
    assert seen(path)["vectors"] == seen(tmp_path / "built")["vectors"]
    with embedstore.open(path) as store:
        assert store.unfinished() == 0


def test_what_an_interrupted_build_left_is_neither_lost_nor_shown(path: Path, images: Path) -> None:
    with pytest.raises(KeyboardInterrupt):  # sorted: good/9 and scratch/1 were embedded
        embedstore.build(path, images, teacher=CountingTeacher(stop_after=4))
    with embedstore.open(path) as store:
        assert store.unfinished() == 2
    report = add(path, "scratch/deep/2.png", "scratch/1.png")
    assert (report.new, report.resumed, report.embedded) == (2, 1, 2)
    assert "good/9.png" not in labels(path)
    with embedstore.open(path) as store:
        assert store.unfinished() == 1
    report = embedstore.build(path, images, teacher=CountingTeacher())
    assert (report.new, report.resumed, report.embedded) == (1, 1, 0)


def test_what_was_left_of_a_picture_that_changed_since_is_swept(path: Path, images: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        add(path, "scratch", teacher=CountingTeacher(stop_after=2))
    with pytest.raises(KeyboardInterrupt):
        add(path, "scratch", "good/9.png", teacher=CountingTeacher(stop_after=4))
    write_pictures(images, ["good/9.png"], seed=7)
    with embedstore.open(path) as store:
        assert store.unfinished() == 2
    report = add(path, "good/9.png")
    assert (report.new, report.resumed, report.embedded) == (1, 0, 2)
    with embedstore.open(path) as store:
        assert store.unfinished() == 1  # of the folder `scratch`


# What is refused


def other_folder(path: Path) -> Path:
    write_pictures(path.parent / "elsewhere", ["good/5.png"])
    return path.parent / "elsewhere"


def linked_folder(path: Path) -> Path:
    (path.parent / "images" / "link").symlink_to(other_folder(path))
    return path.parent / "images" / "link"


@pytest.mark.parametrize("which", [other_folder, lambda path: other_folder(path) / "good" / "5.png", linked_folder,
                                   lambda path: linked_folder(path) / "good" / "5.png", lambda path: path.parent])  # fmt: skip
def test_pictures_elsewhere_are_told_where_to_go(path: Path, which: Callable[[Path], Path]) -> None:
    before, given = seen(path), which(path)
    with pytest.raises(
        ImagesError,
        match=re.escape(
            f"'{given}' is not in the store's image folder; copy it to '{path.parent / 'images'}', into the"
        ),
    ):
        embedstore.add(path, [path.parent / "images" / "scratch", given], teacher=CountingTeacher())
    assert seen(path) == before


def test_a_link_is_followed_as_a_build_does(path: Path, images: Path) -> None:
    (images / "good" / "same.png").symlink_to(images / "scratch" / "1.png")
    (images / "good" / "out.png").symlink_to(other_folder(path) / "good" / "5.png")
    (images / "scratch" / "lost.png").symlink_to(images / "nowhere.png")
    report = add(path, "good/same.png", "good/out.png", "scratch/lost.png")
    assert (report.new, report.set_aside) == (1, 2)
    assert labels(path)["good/same.png"] == "good"
    shutil.move(images, path.parent / "real")
    images.symlink_to(path.parent / "real")
    embedstore.build(path, images, teacher=CountingTeacher())
    write_pictures(images, ["good/12.png"], seed=8)
    assert add(path, "good/12.png").new == 1


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["nowhere.png"], r"nowhere\.png' does not exist; give what is below '.*images'\."),
        (["scratch", "nowhere"], r"nowhere' does not exist"),
        (["a\0b"], "does not exist"),
        (["x" * 5000], "does not exist"),
        ([".hidden/1.png"], r"begin with a dot are passed over; rename '\.hidden'\."),
        (["good/.1.png"], r"begin with a dot are passed over; rename '\.1\.png'\."),
        (["notes"], r"No images under '.*notes' \(it holds 1 x '\.txt'\); expected files ending in"),
        (["notes/a.txt"], r"No images under '.*a\.txt' \(it holds 1 x '\.txt'\); expected files ending in"),
    ],
)  # fmt: skip
def test_what_is_no_picture_of_the_folder_is_told(path: Path, images: Path, names: list[str], message: str) -> None:
    write_pictures(images, [".hidden/1.png", "good/.1.png"])
    (images / "notes").mkdir()
    (images / "notes" / "a.txt").write_text("x")
    before = seen(path)
    with pytest.raises(ImagesError, match=message):
        add(path, *names)
    assert seen(path) == before


def test_a_path_as_the_store_names_it_is_recognised(path: Path, images: Path) -> None:
    with pytest.raises(ImagesError, match=rf"'good/9\.png' does not exist; did you mean '{images / 'good/9.png'}'\?"):
        embedstore.add(path, "good/9.png", teacher=CountingTeacher())


def test_settings_that_contradict_or_say_nothing_are_refused(path: Path) -> None:
    manifest = write_manifest(path, "scratch/1.png,,,,,,")
    for message, call in {
        "No pictures were named; give pictures or folders, or a manifest": lambda: add(path),
        "label 'x' was given beside a manifest": lambda: add(path, "scratch", label="x", manifest=manifest),
        "label ' ' is empty": lambda: add(path, "scratch", label=" "),
    }.items():
        with pytest.raises(SettingsError, match=message):
            call()
    with pytest.raises(ImagesError, match=r"has no row for 'good', 'scratch/deep/2\.png', relative to"):
        add(path, "scratch/1.png", "scratch/deep/2.png", "good", manifest=manifest)


def test_a_store_that_can_take_no_pictures_says_so(path: Path, images: Path, tmp_path: Path) -> None:
    with pytest.raises(TeacherMismatchError, match="was filled by the teacher 'counting'"):
        add(path, "scratch", teacher=CountingTeacher(kind="another"))
    embedstore.create(tmp_path / "declared", teacher="model", dim=12, images=images).close()
    with pytest.raises(TeacherMismatchError, match="were imported as those of the teacher 'model'"):
        embedstore.add(tmp_path / "declared", images / "scratch")
    with pytest.raises(KeyboardInterrupt):
        embedstore.build(tmp_path / "begun", images, teacher=CountingTeacher(stop_after=6))
    with pytest.raises(
        StoreError, match=r"first build of the store .* was not finished; run the same embedstore build"
    ):
        embedstore.add(tmp_path / "begun", images / "scratch", teacher=CountingTeacher())
    with pytest.raises(StoreError, match="does not exist; make one with: embedstore build"):
        embedstore.add(tmp_path / "none", images / "scratch")
    with writer(path), pytest.raises(StoreLockedError):
        add(path, "scratch")
    shutil.move(images, tmp_path / "moved")
    with pytest.raises(
        ImagesError, match=r"image folder '.*images' of the store .* is not there; put it back, or tell"
    ):
        embedstore.add(path, tmp_path / "moved" / "scratch", teacher=CountingTeacher())
    with embedstore.open(tmp_path / "begun") as store:
        assert store.unfinished() == 2


def test_adding_compacts_where_that_pays(path: Path, images: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compaction, "_SMALLEST", 10)
    for seed in (4, 5, 6, 7):
        write_pictures(images, NAMES, seed=seed)
        add(path, "good/0.png", "good/1.png", "good/2.png", "crack")
    with embedstore.open(path) as store:
        assert (store.generation.name, store.row_total, len(store), store.version) == (
            "0002",
            12,
            6,
            5,
        )  # and those of the version before
        expected = np.stack([by_hand(CountingTeacher(), images, name, name, 1, store.recipe) for name in store.ids])
        assert_same_to_a_float16_step(store.vectors(view=1), expected)

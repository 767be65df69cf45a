"""Building: what goes into a store is what the teacher says of each view, once, and a second build knows it."""

import csv
import os
import re
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from helpers import (
    CountingTeacher,
    assert_same_to_a_float16_step,
    by_hand,
    encoded,
    forget,
    noise_picture,
    run_python,
    snapshot,
    write_picture,
    write_pictures,
)

import embedstore
from embedstore import Recipe
from embedstore.engines import local
from embedstore.errors import ImagesError, SettingsError, TeacherMismatchError
from embedstore.store import BuildReport, embedding_pass
from embedstore.store.rows import staged, visible

NAMES = [f"{label}/{number}.png" for label in ("good", "crack", "pore") for number in range(4)]


@pytest.fixture
def images(tmp_path: Path) -> Path:
    write_pictures(tmp_path / "images", NAMES)
    return tmp_path / "images"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "store"


def write_manifest(path: Path, rows: Sequence[dict[str, str]]) -> Path:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


def view(path: Path) -> dict[str, Any]:
    with embedstore.open(path) as store:
        return snapshot(store)


def counts(report: BuildReport) -> dict[str, int]:
    """Return the numbers of a report that are not 0, but for the ones every build has."""
    values = asdict(report)
    for name in ("version", "samples", "views", "outputs", "teacher", "seconds"):
        del values[name]
    return {name: value for name, value in values.items() if value}


def fields(path: Path, name: str) -> dict[str, str | None]:
    with embedstore.open(path) as store:
        return {sample.id: getattr(sample, name) for sample in store.samples}


# The vectors


@pytest.mark.parametrize("recipe", [Recipe(), Recipe(seed=7, fit="letterbox", turns=False)])
def test_every_vector_is_what_the_teacher_says_of_that_view(path: Path, images: Path, recipe: Recipe) -> None:
    teacher = CountingTeacher()
    report = embedstore.build(path, images, teacher=teacher, views=3, recipe=recipe)
    assert (report.version, report.samples, report.views, teacher.seen) == (1, 12, 3, 48)
    assert counts(report) == {"new": 12, "embedded": 48}
    with embedstore.open(path) as store:
        assert store.recipe == recipe
        assert sorted(store.ids) == sorted(NAMES)
        for number in range(4):
            vectors = store.vectors(view=number)
            for sample_id, vector in zip(store.ids, vectors, strict=True):
                expected = by_hand(CountingTeacher(), images, sample_id, sample_id, number, recipe)
                assert_same_to_a_float16_step(vector, expected)


def test_the_views_of_a_sample_hang_on_its_id_not_on_its_path(path: Path, images: Path, tmp_path: Path) -> None:
    manifest = write_manifest(tmp_path / "m.csv", [{"path": "good/0.png", "id": "part 7"}])
    embedstore.build(path, images, manifest=manifest, teacher=CountingTeacher(), views=1)
    with embedstore.open(path) as store:
        expected = by_hand(CountingTeacher(), images, "good/0.png", "part 7", 1, store.recipe)
        assert_same_to_a_float16_step(store.vectors(["part 7"], view=1)[0], expected)
        assert store.sample("part 7").uri == "good/0.png"


def test_every_output_of_the_teacher_is_kept(path: Path, images: Path) -> None:
    embedstore.build(path, images, teacher=CountingTeacher(early=True), views=1)
    with embedstore.open(path) as store:
        for number in (0, 1):
            early = store.vectors(view=number, output="early")
            plain = store.vectors(view=number)
            assert early.shape == (12, 4)
            first_four = plain[:, :4] / np.linalg.norm(plain[:, :4], axis=1, keepdims=True)
            assert np.abs(early - first_four).max() < 2e-3


def test_many_pictures_fill_several_batches_commits_and_blocks(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(local, "_CROPS_AT_ONCE", 7)
    monkeypatch.setattr(embedding_pass, "_COMMIT_ROWS", 50)
    names = [f"{number:03d}.png" for number in range(300)]
    write_pictures(tmp_path / "images", names)
    steps: list[tuple[int, int]] = []
    teacher = CountingTeacher()
    embedstore.build(
        path, tmp_path / "images", teacher=teacher, views=1, progress=lambda done, total: steps.append((done, total))
    )
    assert steps == [(number, 300) for number in range(1, 301)]
    assert teacher.calls == 75  # 4 pictures of 2 views make 8 crops, the first number from 7 on
    assert view(path) == {**build_at_once(tmp_path, CountingTeacher(), views=1), "version": 1}


def build_at_once(tmp_path: Path, teacher: CountingTeacher, views: int, name: str = "at once") -> dict[str, Any]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(local, "_CROPS_AT_ONCE", 10**6)
        patch.setattr(embedding_pass, "_COMMIT_ROWS", 10**6)
        embedstore.build(tmp_path / name, tmp_path / "images", teacher=teacher, views=views)
    return view(tmp_path / name)


# The second build


def test_a_second_build_calls_the_teacher_zero_times_and_keeps_the_version(path: Path, images: Path) -> None:
    embedstore.build(path, images, teacher=CountingTeacher(), views=2)
    before = view(path)
    teacher = CountingTeacher()
    report = embedstore.build(path, images, teacher=teacher)
    assert (report.version, report.embedded, teacher.calls) == (1, 0, 0)
    assert counts(report) == {}
    assert view(path) == before


def test_a_second_build_needs_no_teacher_at_all(path: Path, images: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    embedstore.build(path, images, teacher="pixels")
    monkeypatch.setattr(embedding_pass, "load_described", lambda space, outputs: pytest.fail(f"loaded {space}"))
    assert embedstore.build(path, images).embedded == 0


def test_a_later_build_loads_the_stores_own_teacher_where_none_is_given(path: Path, images: Path) -> None:
    embedstore.build(path, images, teacher="pixels", views=0)
    write_pictures(images, ["good/new.png"], seed=5)
    report = embedstore.build(path, images)
    assert counts(report) == {"new": 1, "embedded": 1}
    assert report.teacher == "pixels"


def test_a_changed_picture_is_embedded_again_and_only_it(path: Path, images: Path) -> None:
    embedstore.build(path, images, teacher=CountingTeacher(), views=1)
    before = view(path)
    write_pictures(images, ["crack/2.png"], seed=9)
    teacher = CountingTeacher()
    report = embedstore.build(path, images, teacher=teacher)
    assert (report.version, report.samples, teacher.seen) == (2, 12, 2)
    assert counts(report) == {"changed": 1, "embedded": 2}
    after = view(path)
    for number in (0, 1):
        expected = by_hand(CountingTeacher(), images, "crack/2.png", "crack/2.png", number, Recipe())
        assert_same_to_a_float16_step(np.frombuffer(after["vectors"][number].pop("crack/2.png"), np.float32), expected)
        del before["vectors"][number]["crack/2.png"]
    assert after["vectors"] == before["vectors"]
    assert after["samples"] == before["samples"]


def test_the_version_before_a_change_still_sees_the_old_row(path: Path, images: Path) -> None:
    embedstore.build(path, images, teacher=CountingTeacher(), views=0)
    with embedstore.open(path) as old:
        before = {sample_id: row.tobytes() for sample_id, row in zip(old.ids, old.vectors(), strict=True)}
        row_before = {record.id: record.row for record in old.records()}
        write_pictures(images, ["crack/2.png"], seed=9)
        os.remove(images / "pore" / "3.png")
        embedstore.build(path, images, teacher=CountingTeacher(), prune=True)
        forget(old)
        assert old.version == 1
        assert {sample_id: row.tobytes() for sample_id, row in zip(old.ids, old.vectors(), strict=True)} == before
        rows = old._read(lambda tables: tables.rows())
    records = {}
    for version in (0, 1, 2):
        with embedstore.open(path, version=version) as at:
            records[version] = {record.id: record.row for record in at.records()}
    assert len(rows) == 13
    assert [int(visible(rows, version).sum()) for version in (0, 1, 2)] == [0, 12, 11]
    changed, gone = row_before["crack/2.png"], row_before["pore/3.png"]
    assert [(int(rows[row]["born"]), int(rows[row]["died"])) for row in (changed, gone)] == [(1, 2), (1, 2)]
    assert visible(rows, 1)[[changed, gone, 12]].tolist() == [True, True, False]
    assert visible(rows, 2)[[changed, gone, 12]].tolist() == [False, False, True]
    assert records[0] == {}
    assert records[1] == row_before
    assert records[2] == {name: row for name, row in row_before.items() if name != "pore/3.png"} | {"crack/2.png": 12}


def test_a_new_picture_is_added_and_the_others_left_alone(path: Path, images: Path) -> None:
    embedstore.build(path, images, teacher=CountingTeacher(), views=2)
    before = view(path)
    write_pictures(images, ["good/new.png", "scratch/new.png"], seed=3)
    teacher = CountingTeacher()
    report = embedstore.build(path, images, teacher=teacher)
    assert (report.version, teacher.seen) == (2, 6)
    assert counts(report) == {"new": 2, "embedded": 6}
    after = view(path)
    assert {name: after["samples"][name].label for name in ("good/new.png", "scratch/new.png")} == {
        "good/new.png": "good",
        "scratch/new.png": "scratch",
    }
    for number in range(3):
        assert {name: after["vectors"][number][name] for name in NAMES} == before["vectors"][number]
        expected = by_hand(CountingTeacher(), images, "good/new.png", "good/new.png", number, Recipe())
        assert_same_to_a_float16_step(np.frombuffer(after["vectors"][number]["good/new.png"], np.float32), expected)


def test_a_picture_that_is_gone_leaves_only_with_prune(path: Path, images: Path) -> None:
    embedstore.build(path, images, teacher=CountingTeacher(), views=1)
    before = view(path)
    os.remove(images / "crack" / "0.png")
    report = embedstore.build(path, images, teacher=CountingTeacher())
    assert report.version == 1
    assert counts(report) == {"gone": 1}
    assert view(path) == before
    report = embedstore.build(path, images, teacher=CountingTeacher(), prune=True)
    assert (report.version, report.samples) == (2, 11)
    assert counts(report) == {"removed": 1}
    after = view(path)
    assert set(after["samples"]) == set(NAMES) - {"crack/0.png"}
    write_pictures(images, ["crack/0.png"], seed=4)
    report = embedstore.build(path, images, teacher=CountingTeacher())
    assert counts(report) == {"new": 1, "embedded": 2}
    assert set(view(path)["samples"]) == set(NAMES)


def test_more_views_embed_only_the_new_ones(path: Path, images: Path) -> None:
    embedstore.build(path, images, teacher=CountingTeacher(), views=2)
    before = view(path)
    teacher = CountingTeacher()
    report = embedstore.build(path, images, teacher=teacher, views=4)
    assert (report.views, report.embedded, teacher.seen) == (4, 24, 24)
    after = view(path)
    assert after["version"] == 1  # no row or record changed
    assert set(after["vectors"]) == {0, 1, 2, 3, 4}
    assert {number: after["vectors"][number] for number in range(3)} == before["vectors"]
    for number in (3, 4):
        for name in NAMES:
            expected = by_hand(CountingTeacher(), images, name, name, number, Recipe())
            assert_same_to_a_float16_step(np.frombuffer(after["vectors"][number][name], np.float32), expected)
    for fewer in (None, 0, 2):
        report = embedstore.build(path, images, teacher=CountingTeacher(), views=fewer)
        assert (report.views, report.embedded) == (4, 0)


def test_views_that_a_gone_picture_cant_get_stay_out_of_sight(path: Path, images: Path) -> None:
    embedstore.build(path, images, teacher=CountingTeacher(), views=2)
    before = view(path)
    os.remove(images / "crack" / "0.png")
    report = embedstore.build(path, images, teacher=CountingTeacher(), views=4)
    assert (report.version, report.views) == (1, 2)
    assert counts(report) == {"gone": 1, "embedded": 22, "views_incomplete": 2}
    assert view(path) == before
    with embedstore.open(path) as store, pytest.raises(embedstore.EmbedstoreError, match="no view 3"):
        store.vectors(view=3)
    teacher = CountingTeacher()
    report = embedstore.build(path, images, teacher=teacher, views=4, prune=True)
    assert (report.views, report.views_incomplete, teacher.calls) == (4, 0, 0)
    assert set(view(path)["vectors"]) == {0, 1, 2, 3, 4}


def test_the_views_are_two_where_not_given(path: Path, images: Path) -> None:
    assert embedstore.build(path, images, teacher=CountingTeacher()).views == 2


def test_without_views_only_the_whole_picture_is_kept(path: Path, images: Path) -> None:
    report = embedstore.build(path, images, teacher=CountingTeacher(), views=0)
    assert (report.views, report.embedded) == (0, 12)
    assert embedstore.build(path, images, teacher=CountingTeacher()).views == 0


# What the source says of a sample


def rows_of(names: Sequence[str] = NAMES, **columns: Any) -> list[dict[str, str]]:
    return [
        {"path": name, **{column: value(name) if callable(value) else value for column, value in columns.items()}}
        for name in names
    ]


def test_a_label_that_the_manifest_changes_changes_only_records(path: Path, images: Path, tmp_path: Path) -> None:
    manifest = write_manifest(tmp_path / "m.csv", rows_of(label="good", line="1"))
    embedstore.build(path, images, manifest=manifest, teacher=CountingTeacher(), views=1)
    before = view(path)
    rows = rows_of(label=lambda name: "bad" if name == "crack/1.png" else "good", line="1")
    rows[-1]["line"] = ""
    teacher = CountingTeacher()
    report = embedstore.build(path, images, manifest=write_manifest(manifest, rows), teacher=teacher)
    assert (report.version, teacher.calls) == (2, 0)
    assert counts(report) == {"updated": 2}
    after = view(path)
    assert after["vectors"] == before["vectors"]
    assert after["samples"]["crack/1.png"].label == "bad"
    assert after["samples"][NAMES[-1]].attributes == {}
    assert {name for name in NAMES if after["samples"][name] != before["samples"][name]} == {"crack/1.png", NAMES[-1]}
    with embedstore.open(path) as store:
        assert len(store._read(lambda tables: tables.rows())) == 12
    with embedstore.open(path, version=1) as store:
        assert set(store.labels) == {"good"}


def relabel(path: Path, **labels: str) -> None:
    """Put labels right in the store, as a technician's tool would."""
    with embedstore.open(path) as store, store.write("relabel") as writing:
        writing.set("label", {f"{key.replace('_', '/')}.png": label for key, label in labels.items()})


def test_a_label_put_right_in_the_store_stays_until_the_source_says_something_new(
    path: Path, images: Path, tmp_path: Path
) -> None:
    manifest = write_manifest(tmp_path / "m.csv", rows_of(label="good"))
    embedstore.build(path, images, manifest=manifest, teacher=CountingTeacher(), views=0)
    relabel(path, crack_1="bad", crack_2="bad")
    report = embedstore.build(path, images, manifest=manifest, teacher=CountingTeacher())
    assert (report.version, counts(report)) == (2, {})
    assert fields(path, "label")["crack/1.png"] == "bad"
    write_manifest(manifest, rows_of(label=lambda name: "pore" if name == "crack/1.png" else "good"))
    report = embedstore.build(path, images, manifest=manifest, teacher=CountingTeacher())
    assert counts(report) == {"updated": 1}
    labels = fields(path, "label")
    assert [labels[f"crack/{number}.png"] for number in range(4)] == ["good", "pore", "bad", "good"]


def test_a_label_put_right_survives_a_change_of_the_picture(path: Path, images: Path) -> None:
    embedstore.build(path, images, teacher=CountingTeacher(), views=0)
    relabel(path, crack_1="pore")
    write_pictures(images, ["crack/1.png"], seed=8)
    embedstore.build(path, images, teacher=CountingTeacher())
    assert fields(path, "label")["crack/1.png"] == "pore"


def test_a_folder_knows_no_splits_and_erases_none(path: Path, images: Path) -> None:
    embedstore.build(path, images, teacher=CountingTeacher(), views=0)
    with embedstore.open(path) as store:
        written = store.split(seed=3).splits
    assert set(written.values()) == {"train", "val", "test"}
    write_pictures(images, ["good/0.png"], seed=2)  # a changed picture keeps its split as well
    embedstore.build(path, images, teacher=CountingTeacher(), views=1)
    assert fields(path, "split") == written


def test_a_manifest_with_empty_cells_erases_nothing_that_it_never_spoke_of(
    path: Path, images: Path, tmp_path: Path
) -> None:
    embedstore.build(path, images, teacher=CountingTeacher(), views=0)
    with embedstore.open(path) as store:
        written = store.split().splits
    manifest = write_manifest(tmp_path / "m.csv", rows_of(split="", mode="", group="", line=""))
    report = embedstore.build(path, images, manifest=manifest, teacher=CountingTeacher())
    assert (report.version, counts(report)) == (2, {})
    assert fields(path, "split") == written


def test_a_cell_that_is_emptied_takes_back_what_it_said(path: Path, images: Path, tmp_path: Path) -> None:
    manifest = write_manifest(tmp_path / "m.csv", rows_of(label="x", mode="m", group="g", split="val", line="1"))
    embedstore.build(path, images, manifest=manifest, teacher=CountingTeacher(), views=0)
    write_manifest(manifest, rows_of(label="", mode="", group="", split="", line=""))
    report = embedstore.build(path, images, manifest=manifest, teacher=CountingTeacher())
    assert counts(report) == {"updated": 12}
    for sample in view(path)["samples"].values():
        assert (sample.label, sample.mode, sample.group, sample.split, sample.attributes) == (None,) * 4 + ({},)


def test_the_split_of_a_manifest_is_kept_by_build_and_split(path: Path, images: Path, tmp_path: Path) -> None:
    given = {"good/0.png": "aside", "good/1.png": "test", "crack/0.png": "train", "pore/0.png": "val"}
    manifest = write_manifest(tmp_path / "m.csv", rows_of(split=lambda name: given.get(name, "")))
    embedstore.build(path, images, manifest=manifest, teacher=CountingTeacher(), views=0)
    assert fields(path, "split") == {name: given.get(name) for name in NAMES}
    for seed in range(4):
        with embedstore.open(path) as store:
            store.split(seed=seed)
        embedstore.build(path, images, manifest=manifest, teacher=CountingTeacher())
        splits = fields(path, "split")
        assert {name: splits[name] for name in given} == given
        assert None not in splits.values()


def test_all_that_a_manifest_says_is_kept(path: Path, images: Path, tmp_path: Path) -> None:
    manifest = write_manifest(
        tmp_path / "m.csv",
        [
            {
                "path": "good/0.png",
                "id": "部品 1",
                "label": "良",
                "mode": "m",
                "group": "g",
                "split": "val",
                "line": "二",
            }
        ],
    )
    embedstore.build(path, images, manifest=manifest, teacher=CountingTeacher(), views=0)
    (sample,) = view(path)["samples"].values()
    assert (sample.id, sample.uri, sample.label, sample.mode) == ("部品 1", "good/0.png", "良", "m")
    assert (sample.group, sample.split, sample.attributes) == ("g", "val", {"line": "二"})


def test_a_picture_that_moved_under_its_own_id_is_not_embedded_again(path: Path, images: Path, tmp_path: Path) -> None:
    manifest = write_manifest(tmp_path / "m.csv", [{"path": "good/0.png", "id": "a"}])
    embedstore.build(path, images, manifest=manifest, teacher=CountingTeacher(), views=1)
    os.rename(images / "good/0.png", images / "moved.png")
    write_manifest(manifest, [{"path": "moved.png", "id": "a"}])
    report = embedstore.build(path, images, manifest=manifest, teacher=CountingTeacher())
    assert counts(report) == {"updated": 1}
    assert fields(path, "uri") == {"a": "moved.png"}


def test_the_image_root_is_that_of_the_last_build(path: Path, images: Path, tmp_path: Path) -> None:
    embedstore.build(path, images, teacher=CountingTeacher(), views=0)
    with embedstore.open(path) as store:
        assert store.image_root == images.resolve()
        os.rename(images, tmp_path / "elsewhere")
        report = embedstore.build(path, tmp_path / "elsewhere", teacher=CountingTeacher())
        store.refresh()
        assert (report.embedded, report.version, store.image_root) == (0, 1, (tmp_path / "elsewhere").resolve())


# Pictures that can't be used


def test_what_is_no_picture_is_set_aside_with_its_reason_and_the_run_goes_on(path: Path, images: Path) -> None:
    (images / "good" / "0.png").write_bytes(b"no picture")
    (images / "crack" / "1.png").write_bytes(b"")
    whole = encoded(noise_picture(1, (64, 64)))
    (images / "pore" / "2.png").write_bytes(whole[: len(whole) // 2])
    (images / "notes.txt").write_text("x")
    report = embedstore.build(path, images, teacher=CountingTeacher(), views=1)
    assert report.samples == 9
    assert counts(report) == {"new": 9, "embedded": 18, "set_aside": 3, "ignored": 1}
    aside = view(path)["aside"]
    assert aside.pop("pore/2.png").startswith("can't be decoded: ")
    assert aside == {"good/0.png": "is not a picture in a known format", "crack/1.png": "the file is empty"}
    with embedstore.open(path) as store:
        assert [entry["path"] for entry in store.set_aside] == ["crack/1.png", "good/0.png", "pore/2.png"]
    report = embedstore.build(path, images, teacher=CountingTeacher())
    assert (report.version, counts(report)) == (1, {"set_aside": 3, "ignored": 1})


def test_a_picture_that_was_repaired_leaves_the_list(path: Path, images: Path) -> None:
    (images / "good" / "0.png").write_bytes(b"no picture")
    (images / "crack" / "0.png").write_bytes(b"no picture")
    embedstore.build(path, images, teacher=CountingTeacher(), views=0)
    write_pictures(images, ["good/0.png"])
    report = embedstore.build(path, images, teacher=CountingTeacher())
    assert counts(report) == {"new": 1, "embedded": 1, "set_aside": 1}
    assert set(view(path)["aside"]) == {"crack/0.png"}
    os.remove(images / "crack" / "0.png")
    report = embedstore.build(path, images, teacher=CountingTeacher())
    assert (report.version, counts(report), view(path)["aside"]) == (2, {}, {})


def test_a_known_picture_that_gets_damaged_keeps_its_vectors_even_with_prune(path: Path, images: Path) -> None:
    embedstore.build(path, images, teacher=CountingTeacher(), views=1)
    before = view(path)
    (images / "good" / "0.png").write_bytes(b"no picture")
    report = embedstore.build(path, images, teacher=CountingTeacher(), prune=True, views=2)
    assert (report.version, report.samples) == (1, 12)
    assert counts(report) == {"embedded": 11, "set_aside": 1, "broken": 1, "views_incomplete": 1}
    after = view(path)
    assert after.pop("aside") == {"good/0.png": "is not a picture in a known format"}
    assert after == {name: value for name, value in before.items() if name != "aside"}


def test_pictures_that_are_all_unusable_are_an_error_and_leave_no_store(path: Path, tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    for name in ("b.png", "a.png"):
        (tmp_path / "images" / name).write_bytes(b"")
    with pytest.raises(ImagesError) as caught:
        embedstore.build(path, tmp_path / "images", teacher=CountingTeacher())
    assert str(caught.value) == (
        f"None of the 2 pictures under '{tmp_path / 'images'}' can be used (the first, 'a.png': the file is empty); "
        "nothing was stored."
    )
    assert os.listdir(tmp_path) == ["images"]


class SometimesNotFinite(CountingTeacher):
    """Gives a vector that is no vector for pictures that begin black."""

    def __init__(self, wrong: float):
        super().__init__()
        self.wrong = wrong

    def embed(self, pictures: npt.NDArray[np.uint8]) -> dict[str, npt.NDArray[np.float32]]:
        found = super().embed(pictures)
        found["embedding"][pictures.reshape(len(pictures), -1).max(1) == 0, 3] = self.wrong
        return found


@pytest.mark.parametrize("wrong", [np.nan, np.inf, -np.inf, 1e6])
def test_a_vector_that_float16_cant_hold_sets_its_picture_aside(path: Path, images: Path, wrong: float) -> None:
    write_picture(images / "good" / "0.png", noise_picture(0, (4, 4), "L").point(lambda level: 0))
    for _ in range(2):
        report = embedstore.build(path, images, teacher=SometimesNotFinite(wrong), views=1)
        assert (report.version, report.samples, report.set_aside) == (1, 11, 1)
        found = view(path)
        assert found["aside"] == {"good/0.png": "the teacher gave a vector that is not finite"}
        assert all(np.isfinite(np.frombuffer(row, np.float32)).all() for row in found["vectors"][1].values())
    report = embedstore.build(path, images, teacher=CountingTeacher())
    assert counts(report) == {"new": 1, "embedded": 2}


# Teachers and recipes


def test_another_teacher_is_refused_naming_both_and_changes_nothing(path: Path, images: Path) -> None:
    embedstore.build(path, images, teacher=CountingTeacher(name="first"), views=0)
    before = view(path)
    write_pictures(images, ["good/new.png"], seed=5)
    other = CountingTeacher(name="second", kind="another")
    with pytest.raises(TeacherMismatchError) as caught:
        embedstore.build(path, images, teacher=other)
    first = CountingTeacher().fingerprint
    assert str(caught.value) == (
        f"The store '{path}' was filled by the teacher 'first' (fingerprint {first[:12]}), but 'second' (fingerprint "
        f"{other.fingerprint[:12]}) was given; use the store's teacher, or build another store."
    )
    assert other.calls == 0
    assert view(path) == before
    with pytest.raises(TeacherMismatchError, match="'pixels'"):
        embedstore.build(path, images, teacher="pixels")


def test_a_teacher_under_another_name_is_the_same_teacher(path: Path, images: Path) -> None:
    embedstore.build(path, images, teacher=CountingTeacher(name="first"), views=0)
    write_pictures(images, ["good/new.png"], seed=5)
    report = embedstore.build(path, images, teacher=CountingTeacher(name="renamed"))
    assert counts(report) == {"new": 1, "embedded": 1}
    assert report.teacher == "first"


def test_another_recipe_is_refused(path: Path, images: Path) -> None:
    embedstore.build(path, images, teacher=CountingTeacher(), views=1, recipe=Recipe(seed=4))
    with pytest.raises(SettingsError, match=r"another recipe \(seed 4, not 5\), and a recipe never changes; leave the"):
        embedstore.build(path, images, teacher=CountingTeacher(), recipe=Recipe(seed=5))
    assert embedstore.build(path, images, teacher=CountingTeacher(), recipe=Recipe(seed=4)).embedded == 0
    assert embedstore.build(path, images, teacher=CountingTeacher()).embedded == 0


# Small and odd sources


def test_names_in_any_writing_work(path: Path, tmp_path: Path) -> None:
    names = [
        "良品/部品 1.png",
        "欠陥/😀.png",
        'it\'s "so"/50% [a] {b} & c;.png',
        "with space/ü.png",
        "a" * 200 + "/" + "b" * 200 + "/" + "c" * 200 + ".png",  # longer than LMDB's keys
    ]
    write_pictures(tmp_path / "画像 ✓", names)
    for _ in range(2):
        report = embedstore.build(tmp_path / "貯蔵 '🗄'", tmp_path / "画像 ✓", teacher=CountingTeacher(), views=1)
    assert report.embedded == 0
    assert fields(tmp_path / "貯蔵 '🗄'", "label") == {name: name.split("/")[-2] for name in names}
    with embedstore.open(tmp_path / "貯蔵 '🗄'") as store:
        expected = by_hand(CountingTeacher(), tmp_path / "画像 ✓", names[1], names[1], 1, store.recipe)
        assert_same_to_a_float16_step(store.vectors([names[1]], view=1)[0], expected)


@pytest.mark.parametrize(
    ("names", "labels"),
    [
        (["good/1.png", "good/2.png"], {"good"}),
        (["good/1.png"], {"good"}),
        (["1.png", "2.png", "3.png"], {None}),
        (["1.png", "good/2.png"], {None, "good"}),
    ],
    ids=["one class", "one sample", "no labels", "some labels"],
)
def test_a_store_of_little_is_a_store(path: Path, tmp_path: Path, names: list[str], labels: set[str | None]) -> None:
    write_pictures(tmp_path / "images", names)
    report = embedstore.build(path, tmp_path / "images", teacher=CountingTeacher())
    assert (report.samples, report.embedded) == (len(names), 3 * len(names))
    assert set(fields(path, "label").values()) == labels


def test_an_empty_directory_becomes_a_store(path: Path, images: Path) -> None:
    path.mkdir()
    embedstore.build(path, images, teacher=CountingTeacher(), views=0)
    assert sorted(os.listdir(path)) == ["CURRENT", "generations", "writer.lock"]
    assert sorted(os.listdir(path.parent)) == ["images", "store"]


def test_the_report_says_how_long_it_took(path: Path, images: Path) -> None:
    report = embedstore.build(path, images, teacher=CountingTeacher(), views=0)
    assert 0 < report.seconds < 60


# No torch


WITHOUT_TORCH = """
import sys

class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {"torch", "torchvision", "timm", "open_clip", "sklearn", "faiss", "scipy"}:
            raise ImportError(f"{name} must not be imported here")

sys.meta_path.insert(0, Refuse())
from pathlib import Path
import embedstore

images, path = Path(sys.argv[1]), sys.argv[2]
report = embedstore.build(path, images, teacher="pixels", views=1)
with embedstore.open(path) as store:
    store.split()
    summary = store.summarize("class-mean", name="means", split="train")
    (hits,) = store.search(store.vectors(["good/0.png"]), top=1, where={"label": "good"})
print(report.embedded, len(summary.labels), hits[0].id, *sorted(n for n in sys.modules if n.startswith("torch")))
"""


def test_a_store_is_built_split_summarised_and_asked_without_torch(path: Path, images: Path) -> None:
    done = run_python(WITHOUT_TORCH, images, path)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.split() == ["24", "3", "good/0.png"]


def test_a_build_leaves_no_staged_row(path: Path, images: Path) -> None:
    embedstore.build(path, images, teacher=CountingTeacher(), views=1)
    with embedstore.open(path) as store:
        assert store.unfinished() == 0
        assert not staged(store._read(lambda tables: tables.rows())).any()


# Another folder


def test_a_folder_that_is_not_the_stores_is_refused_and_changes_nothing(path: Path, tmp_path: Path) -> None:
    """Its pictures would come in again under other ids, as twins of those that are there."""
    for number in range(4):
        write_picture(tmp_path / "photos" / "good" / f"{number}.png", noise_picture(number))
    embedstore.build(path, tmp_path / "photos", teacher="pixels")
    before = view(path)
    with pytest.raises(ImagesError, match="Only 0 of the store's 4 pictures are under"):
        embedstore.build(path, tmp_path / "photos" / "good")
    assert view(path) == before


def test_a_folder_that_was_moved_is_taken(path: Path, tmp_path: Path) -> None:
    for number in range(4):
        write_picture(tmp_path / "photos" / "good" / f"{number}.png", noise_picture(number))
    embedstore.build(path, tmp_path / "photos", teacher="pixels")
    (tmp_path / "photos").rename(tmp_path / "moved")
    (tmp_path / "moved" / "good" / "0.png").unlink()
    report = embedstore.build(path, tmp_path / "moved")
    assert (report.embedded, report.gone) == (0, 1)
    with embedstore.open(path) as store:
        assert store.image_root == (tmp_path / "moved").resolve()


def test_an_interrupted_first_build_goes_on_with_its_own_folder_or_where_that_was_moved(
    path: Path, images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(local, "_CROPS_AT_ONCE", 2)
    with pytest.raises(KeyboardInterrupt):
        embedstore.build(path, images, teacher=CountingTeacher(stop_after=6), views=0)
    with embedstore.open(path) as store:
        begun = store.unfinished()
    assert begun > 1
    write_pictures(tmp_path / "photos", ["good/a.png", "good/b.png"], seed=4)
    said = rf"was interrupted with {begun} pictures of '{re.escape(str(images))}', and 0 of them are under '.*photos'; give"
    with pytest.raises(ImagesError, match=said):
        embedstore.build(path, tmp_path / "photos", teacher=CountingTeacher())
    images.rename(tmp_path / "moved")
    report = embedstore.build(path, tmp_path / "moved", teacher=CountingTeacher(), views=0)
    assert (report.resumed, report.samples) == (begun, 12)

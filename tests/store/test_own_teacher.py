"""More than one vector a view: a store keeps further outputs of its teacher, and gets them later where it lacks them."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from damaged_stores import examined
from helpers import CountingTeacher, noise_picture, snapshot, write_picture, write_pictures

import embedstore
from embedstore import EmbeddingStore, Recipe
from embedstore.engines import local
from embedstore.errors import EmbedstoreError, ImagesError, StoreError, TeacherError, TeacherMismatchError
from embedstore.pictures import decode
from embedstore.store import embedding_pass
from embedstore.store.own_teacher import description_of
from embedstore.teachers import load_teacher
from embedstore.views import draw_view, render

NAMES = [f"{label}/{number}.png" for label in ("good", "crack") for number in range(6)]


class OtherNumbers(CountingTeacher):
    """The same teacher by its fingerprint; its numbers are a little different, as on another machine."""

    def embed(self, pictures: npt.NDArray[np.uint8]) -> dict[str, npt.NDArray[np.float32]]:
        return {name: vectors * np.float32(0.9) for name, vectors in super().embed(pictures).items()}


@pytest.fixture
def images(tmp_path: Path) -> Path:
    write_pictures(tmp_path / "images", NAMES)
    return tmp_path / "images"


@pytest.fixture
def path(tmp_path: Path, images: Path) -> Path:
    """Return a store of 12 samples with the plain and two augmented views, of the embedding alone."""
    embedstore.build(tmp_path / "store", images, teacher=CountingTeacher(), views=2)
    return tmp_path / "store"


def assert_early(store: EmbeddingStore, images: Path, ids: Sequence[str] | None = None) -> None:
    """Assert that the output `early` of every sample and view is what the teacher says of that view."""
    teacher = CountingTeacher(early=True)
    for view in range(store.views + 1):
        chosen = store.ids if ids is None else list(ids)
        for sample_id, vector in zip(chosen, store.vectors(chosen, view=view, output="early"), strict=True):
            picture = decode((images / sample_id).read_bytes())
            pixels = render(picture, draw_view(store.recipe, sample_id, view), 16, store.recipe.fit)
            np.testing.assert_allclose(vector, teacher.embed(pixels[None])["early"][0], atol=1e-3)


def test_a_store_gets_an_output_that_it_lacks_and_the_rest_stays(path: Path, images: Path) -> None:
    with embedstore.open(path) as store:
        before = snapshot(store)
        assert store.outputs == {"embedding": 12}
    teacher = OtherNumbers(early=True)
    report = embedstore.build(path, images, teacher=teacher, outputs=["early"])
    assert (teacher.seen, report.embedded, report.new) == (36, 36, 0)
    assert (report.outputs, report.outputs_incomplete) == ({"embedding": 12, "early": 4}, [])
    with embedstore.open(path) as store:
        assert snapshot(store) == before  # not one bit of what was there
        assert store.outputs == {"embedding": 12, "early": 4}
        for view in range(3):
            expected = store.vectors(view=view)[:, :4]
            expected = 0.9 * expected / np.linalg.norm(expected, axis=1, keepdims=True)
            np.testing.assert_allclose(store.vectors(view=view, output="early"), expected, atol=2e-3)
    assert examined(path).clean


def test_later_builds_keep_all_outputs_that_the_store_has(path: Path, images: Path) -> None:
    embedstore.build(path, images, teacher=CountingTeacher(early=True), outputs=["early"])
    write_picture(images / "good/new.png", noise_picture(99))
    write_picture(images / "good/0.png", noise_picture(98))
    teacher = CountingTeacher(early=True)
    report = embedstore.build(path, images, teacher=teacher, views=3)
    assert (report.new, report.changed, report.views) == (1, 1, 3)
    assert teacher.seen == 2 * 4 + 11
    with embedstore.open(path) as store:
        assert store.outputs == {"embedding": 12, "early": 4}
        assert_early(store, images)
    again = embedstore.build(path, images)  # loads no teacher, since nothing is missing
    assert (again.embedded, again.outputs) == (0, {"embedding": 12, "early": 4})
    teacher = CountingTeacher(early=True)
    write_picture(images / "crack/new.png", noise_picture(97))
    embedstore.add(path, images / "crack", teacher=teacher)
    assert teacher.seen == 4
    with embedstore.open(path) as store:
        assert_early(store, images)
        store.compact()
        assert_early(store, images)
    assert examined(path).clean


def test_an_interrupted_build_goes_on_and_shows_nothing_half_done(
    path: Path, images: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(local, "_CROPS_AT_ONCE", 6)
    monkeypatch.setattr(embedding_pass, "_COMMIT_ROWS", 4)
    teacher = CountingTeacher(early=True, stop_after=24)
    with pytest.raises(KeyboardInterrupt):
        embedstore.build(path, images, teacher=teacher, outputs=["early"])
    assert teacher.seen == 24
    assert examined(path).clean
    with embedstore.open(path) as store:
        assert store.outputs == {"embedding": 12}
        with pytest.raises(
            StoreError,
            match=r"^Not all samples of the store '.*' have view 1 of the output 'early' yet; run the same emb",
        ):
            store.vectors(view=1, output="early")
        store.compact()  # keeps the half that is there
    teacher = CountingTeacher(early=True)
    report = embedstore.build(path, images, teacher=teacher)  # the store knows what it is to keep
    assert (teacher.seen, report.outputs) == (12, {"embedding": 12, "early": 4})
    with embedstore.open(path) as store:
        assert_early(store, images)


def test_samples_without_a_picture_keep_an_output_from_being_read(path: Path, images: Path) -> None:
    (images / "good/3.png").unlink()
    report = embedstore.build(path, images, teacher=CountingTeacher(early=True), outputs=["early"])
    assert (report.gone, report.outputs, report.outputs_incomplete) == (1, {"embedding": 12}, ["early"])
    assert report.views == 2
    message = r"run the same embedstore build again; where pictures are gone .* remove the samples with --prune\.$"
    with embedstore.open(path) as store, pytest.raises(StoreError, match=message):
        store.vectors(output="early")
    report = embedstore.build(path, images, prune=True)
    assert (report.embedded, report.removed, report.outputs_incomplete) == (0, 1, [])
    with embedstore.open(path) as store:
        assert_early(store, images)


def test_an_earlier_version_has_the_output_only_where_its_samples_do(path: Path, images: Path) -> None:
    with embedstore.open(path) as store:
        store.tag("before")
    write_picture(images / "good/0.png", noise_picture(98))
    embedstore.build(path, images, teacher=CountingTeacher(early=True), outputs=["early"])
    with embedstore.open(path, version="before") as store:
        assert store.outputs == {"embedding": 12}
        for output in ("early", "late"):
            message = (
                rf"no view 0 of the output '{output}' at version 1, and earlier versions get no more; open the newest"
            )
            with pytest.raises(StoreError, match=message):
                store.vectors(output=output)
    with embedstore.open(path) as store:
        assert_early(store, images)


def test_of_a_new_store_the_outputs_can_be_chosen(tmp_path: Path, images: Path) -> None:
    for number, (outputs, expected) in enumerate([(None, 2), ([], 1), (["early"], 2), (["embedding", "early"], 2)]):
        report = embedstore.build(
            tmp_path / f"s{number}", images, teacher=CountingTeacher(early=True), outputs=outputs, views=0
        )
        assert list(report.outputs) == ["embedding", "early"][:expected]


# Refusals


def test_a_teacher_that_lacks_an_output_of_the_store_is_refused(path: Path, images: Path, tmp_path: Path) -> None:
    message = (
        r"^The teacher 'counting' gives the outputs embedding, but the store is to keep embedding, early; give one that has all "
        r"of them, as load_teacher\(SPEC, outputs=\['early'\]\) does\.$"
    )
    for place in (path, tmp_path / "new"):
        with pytest.raises(TeacherError, match=message):
            embedstore.build(place, images, teacher=CountingTeacher(), outputs=["early"])
    assert not (tmp_path / "new").exists()
    embedstore.build(path, images, teacher=CountingTeacher(early=True), outputs=["early"])
    write_picture(images / "good/new.png", noise_picture(99))
    for change in (embedstore.build, embedstore.add):
        with pytest.raises(TeacherError, match="the store is to keep embedding, early;"):
            change(path, images, teacher=CountingTeacher())
    with pytest.raises(TeacherError, match=r"is to keep embedding, early, late; .* outputs=\['early', 'late'\]\) does"):
        embedstore.build(path, images, teacher=CountingTeacher(), outputs=["late"])
    with embedstore.open(path) as store:
        assert len(store) == 12


@pytest.mark.parametrize(("dim", "definition"), [(4, "the last four"), (5, "the first four"), (4, "")])
def test_an_output_that_is_something_else_under_the_same_name_is_refused(
    path: Path, images: Path, dim: int, definition: str
) -> None:
    embedstore.build(path, images, teacher=CountingTeacher(early=True), outputs=["early"])
    other = CountingTeacher(early=True)
    other.outputs["early"], other.definitions = dim, {"early": definition} if definition else {}
    expected = f"{dim} numbers" + f", {definition}" * bool(definition)
    message = (
        rf"^The output 'early' of the store '.*' is 4 numbers, the first four, but the teacher 'counting' gives {expected}; "
        r"use the releases of embedstore and of its packages that built the store, or build another store\.$"
    )
    with pytest.raises(TeacherMismatchError, match=message):
        embedstore.build(path, images, teacher=other, views=3)
    assert other.seen == 0


def elsewhere(images: Path) -> Path:
    write_pictures(images.parent / "elsewhere", ["good/a.png", "good/b.png"], seed=5)
    return images.parent / "elsewhere"


@pytest.mark.parametrize("case", ["folder", "teacher", "definition", "kept output", "students", "fault"])
def test_a_build_that_is_refused_changes_nothing(path: Path, images: Path, case: str) -> None:
    teacher, late = CountingTeacher(early=True), ["late"]
    embedstore.build(path, images, teacher=teacher, outputs=["early"])
    teacher.outputs["late"] = 3
    options: dict[str, Any] = {
        "images": images,
        "outputs": late,
        "teacher": teacher,
        "keep_images": Recipe.student_side,
    }
    match case:
        case "folder":
            options["images"] = elsewhere(images)
        case "teacher":
            options["teacher"] = CountingTeacher(kind="another", early=True)
        case "definition":
            teacher.definitions = {"early": "the last four"}
        case "kept output":
            del teacher.outputs["early"]
        case "students":
            options["keep_images"] = Recipe.student_side + 1
        case "fault":
            teacher.stop_after, teacher.stop_with = teacher.seen, MemoryError
            del options["keep_images"]
    with embedstore.open(path) as store:
        before = snapshot(store), store.space
    with pytest.raises(MemoryError if case == "fault" else EmbedstoreError):
        embedstore.build(path, **options)
    with embedstore.open(path) as store:
        assert (snapshot(store), store.space) == before
    assert not (path / "pictures").exists()
    report = embedstore.build(path, images, teacher=CountingTeacher(early=True))  # that never heard of the other output
    assert (report.embedded, report.outputs) == (0, {"embedding": 12, "early": 4})


def test_a_store_without_samples_is_not_promised_an_output_by_pictures_that_cant_be_read(path: Path) -> None:
    stopped, broken = path.parent / "stopped", path.parent / "broken"
    write_pictures(broken, ["good/0.png"])
    with pytest.raises(KeyboardInterrupt):
        embedstore.build(stopped, broken, teacher=CountingTeacher(stop_after=0))
    (broken / "good/0.png").write_bytes(b"no picture")
    with pytest.raises(ImagesError, match="None of the 1 pictures"):
        embedstore.build(stopped, broken, teacher=CountingTeacher(early=True), outputs=["early"])
    with embedstore.open(stopped) as store:
        assert list(store.space["outputs"]) == ["embedding"]


def test_an_output_that_is_asked_for_while_no_picture_can_be_read_comes_with_the_pictures(
    path: Path, images: Path
) -> None:
    for name in NAMES:
        (images / name).write_bytes(b"no picture")
    report = embedstore.build(path, images, teacher=CountingTeacher(early=True), outputs=["early"])
    assert (report.embedded, report.set_aside, report.outputs_incomplete) == (0, 12, ["early"])
    write_pictures(images, NAMES)
    report = embedstore.build(path, images, teacher=CountingTeacher(early=True))
    assert (report.embedded, report.outputs) == (36, {"embedding": 12, "early": 4})
    with embedstore.open(path) as store:
        assert_early(store, images)


@pytest.mark.parametrize("text", ["early", "early, late"])
def test_outputs_are_no_text(path: Path, images: Path, text: str) -> None:
    names = text.split(", ")
    message = rf"^The outputs are the text '{text}'; give a list of names: outputs={re.escape(str(names))}\.$"
    for place in (path, path.with_name("new")):
        with pytest.raises(TeacherError, match=message):
            embedstore.build(place, images, teacher=CountingTeacher(early=True), outputs=text)
    with pytest.raises(TeacherError, match=message):
        load_teacher("pixels", text)


class Plain:
    """A teacher as somebody may write it, with no more than what a teacher must have."""

    name, input_size, outputs = "plain", 16, {"embedding": 12, "early": 4}
    fingerprint = CountingTeacher().fingerprint

    def embed(self, pictures: npt.NDArray[np.uint8]) -> dict[str, npt.NDArray[np.float32]]:
        return CountingTeacher(early=True).embed(pictures)


def test_a_teacher_need_not_define_its_outputs(path: Path, images: Path) -> None:
    embedstore.build(path, images, teacher=Plain(), outputs=["early"])
    embedstore.build(path.with_name("new"), images, teacher=Plain(), views=0)
    for place in (path, path.with_name("new")):
        with embedstore.open(place) as store:
            assert "definitions" not in store.space
            assert_early(store, images)
    write_picture(images / "good/new.png", noise_picture(99))
    assert embedstore.add(path, images / "good/new.png", teacher=Plain()).new == 1
    with pytest.raises(
        TeacherMismatchError, match="is 4 numbers, but the teacher 'counting' gives 4 numbers, the first"
    ):
        embedstore.build(path, images, teacher=CountingTeacher(early=True))


def test_another_teacher_brings_no_output(path: Path, images: Path) -> None:
    with pytest.raises(TeacherMismatchError, match="was filled by the teacher 'counting'"):
        embedstore.build(path, images, teacher=CountingTeacher(kind="another", early=True), outputs=["early"])
    with embedstore.open(path) as store:
        assert store.space == description_of(CountingTeacher())


def test_an_output_that_no_teacher_gives_makes_no_store_and_changes_none(tmp_path: Path, images: Path) -> None:
    with pytest.raises(TeacherError, match="The output 'late' is unknown"):
        embedstore.build(tmp_path / "new", images, teacher="pixels", outputs=["late"])
    assert not (tmp_path / "new").exists()
    embedstore.build(tmp_path / "s", images, teacher="pixels", views=0)
    with pytest.raises(TeacherError, match="The teacher 'pixels' can't give grid: it has no stages"):
        embedstore.build(tmp_path / "s", images, outputs=["grid"])
    with embedstore.open(tmp_path / "s") as store:
        assert list(store.space["outputs"]) == ["embedding"]


def test_an_output_that_the_store_does_not_keep(path: Path) -> None:
    message = r"keeps no output 'grid' \(it has embedding\); add it with: embedstore build '.*' IMAGES --outputs grid$"
    with embedstore.open(path) as store, pytest.raises(StoreError, match=message):
        store.vectors(output="grid")

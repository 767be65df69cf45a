"""Pixels for the student: the same crop that the teacher saw, of the very picture that it saw."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from helpers import smooth_picture, write_picture
from PIL import Image

import embedstore
from distill.training import pictures as pictures_module
from distill.training.pictures import StudentPictures
from embedstore import EmbeddingStore
from embedstore.errors import TrainingError
from embedstore.pictures import read_picture
from embedstore.store import embedding_pass
from embedstore.teachers.pixels import PixelTeacher
from embedstore.views import WHOLE, Recipe, draw_view, render, student_picture

VIEWS = 4
RECIPES = {"squash": Recipe(seed=3), "letterbox": Recipe(seed=4, fit="letterbox", student_side=100)}


@pytest.fixture(params=RECIPES)
def built(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[EmbeddingStore]:
    """Pictures of many shapes, larger and smaller than what students cut from, grey and coloured; none is kept."""
    for number, (size, mode) in enumerate(
        [((640, 480), "RGB"), ((200, 700), "L"), ((90, 60), "RGB"), ((300, 300), "L")]
    ):
        write_picture(tmp_path / "images" / f"{number}.png", smooth_picture(number, size, mode))
    embedstore.build(
        tmp_path / "toy.store", tmp_path / "images", teacher="pixels", views=VIEWS, recipe=RECIPES[request.param]
    )
    with embedstore.open(tmp_path / "toy.store") as store:
        yield store


def cut_all(store: EmbeddingStore, view: int, size: int, images: Path | None = None) -> np.ndarray:
    """Return each sample's cut of one view."""
    pictures = StudentPictures(store, size, images)
    try:
        cut = pictures.cut(range(len(store)), [draw_view(store.recipe, name, view) for name in store.ids])
        return cut.permute(0, 2, 3, 1).numpy()
    finally:
        pictures.close()


@pytest.mark.parametrize("view", range(VIEWS + 1))
def test_pixels_are_the_view_of_the_picture_resized_once(view: int, built: EmbeddingStore) -> None:
    found = cut_all(built, view, 64)
    for at, sample in enumerate(built.samples):
        picture, _ = read_picture(built.image_root / sample.uri)
        expected = render(
            student_picture(picture, built.recipe), draw_view(built.recipe, sample.id, view), 64, built.recipe.fit
        )
        np.testing.assert_allclose(found[at].astype(int), expected.astype(int), atol=2)


def test_kept_pictures_give_the_pixels_of_the_files_and_need_none(built: EmbeddingStore) -> None:
    from_files = [cut_all(built, view, 64) for view in range(VIEWS + 1)]
    report = embedstore.build(built.path, built.image_root, keep_images=built.recipe.student_side)
    assert (report.kept, report.not_kept, report.embedded) == (4, 0, 0)
    built.image_root.rename(built.image_root.with_name("away"))
    for view, expected in enumerate(from_files):
        np.testing.assert_array_equal(cut_all(built, view, 64), expected)


def test_what_is_not_kept_is_read_from_its_file(built: EmbeddingStore, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = cut_all(built, 1, 64)
    monkeypatch.setattr(embedding_pass, "MOST_BYTES", 100_000)
    report = embedstore.build(built.path, built.image_root, keep_images=built.recipe.student_side)
    assert report.kept > 0
    assert report.not_kept == 4 - report.kept > 0
    np.testing.assert_array_equal(cut_all(built, 1, 64), expected)


def test_the_teachers_vector_of_a_view_is_of_the_students_pixels(built: EmbeddingStore) -> None:
    teacher = PixelTeacher()
    of_student = [teacher.embed(cut_all(built, view, teacher.input_size))["embedding"] for view in range(VIEWS + 1)]
    for sample in range(len(built)):
        stored = np.stack([built.vectors(view=view)[sample] for view in range(VIEWS + 1)])
        alike = np.stack([vectors[sample] for vectors in of_student]) @ stored.T
        assert np.diag(alike).min() > 0.999
        assert alike.argmax(axis=1).tolist() == list(range(VIEWS + 1))


def test_the_student_sees_the_teachers_crop_at_its_own_size(built: EmbeddingStore) -> None:
    for view in range(VIEWS + 1):
        found = cut_all(built, view, 96)
        for at, sample in enumerate(built.samples):
            picture, _ = read_picture(built.image_root / sample.uri)
            small = np.asarray(Image.fromarray(found[at]).resize((32, 32), Image.Resampling.BOX), np.float64)
            away = [
                np.abs(small - render(picture, draw_view(built.recipe, sample.id, other), 32, built.recipe.fit)).mean()
                for other in range(VIEWS + 1)
            ]
            assert away.pop(view) < min(away) / 2  # the bars of a letterbox are rounded to other pixels


@pytest.mark.parametrize("bound", [0, 200_000])
def test_a_bound_on_memory_changes_no_pixel(built: EmbeddingStore, bound: int, monkeypatch: pytest.MonkeyPatch) -> None:
    free = cut_all(built, 1, 32)
    monkeypatch.setattr(pictures_module, "MOST_KEPT_BYTES", bound)
    np.testing.assert_array_equal(cut_all(built, 1, 32), free)


def kept(store: EmbeddingStore, runs: int = 1) -> int:
    """Return how many bytes of pictures are still to be had when their files are gone."""
    pictures = StudentPictures(store, 32, runs=runs)
    everyone = list(range(len(store)))
    try:
        pictures.cut(everyone, [WHOLE] * len(everyone))
        found = 0
        for at in everyone:
            file = store.image_root / store.sample_at(at).uri
            resized = student_picture(read_picture(file)[0], store.recipe)
            file.rename(file.with_suffix(".gone"))
            try:
                pictures.cut([at], [WHOLE])
                found += resized.width * resized.height * len(resized.getbands())
            except TrainingError:
                pass
            file.with_suffix(".gone").rename(file)
        return found
    finally:
        pictures.close()


def test_memory_is_bounded(built: EmbeddingStore, monkeypatch: pytest.MonkeyPatch) -> None:
    everything = kept(built)
    monkeypatch.setattr(pictures_module, "MOST_KEPT_BYTES", everything - 1)
    assert 0 < kept(built) < everything
    monkeypatch.setattr(pictures_module, "MOST_KEPT_BYTES", 3 * everything - 1)
    assert kept(built, runs=2) == everything
    assert 0 < kept(built, runs=3) < everything
    monkeypatch.setattr(pictures_module, "MOST_KEPT_BYTES", 0)
    assert kept(built) == 0


def test_many_pictures_come_in_the_order_asked(store: EmbeddingStore) -> None:
    order = np.random.default_rng(0).permutation(len(store))[:40]
    pictures = StudentPictures(store, 32)
    try:
        together = pictures.cut(order, [WHOLE] * 40)
        for at, position in enumerate(order):
            alone = pictures.cut([position], [WHOLE])[0]
            np.testing.assert_allclose(alone.int(), together[at].int(), atol=1)  # sums of another order
    finally:
        pictures.close()


def test_a_picture_that_changed_since_it_was_embedded_is_refused(built: EmbeddingStore) -> None:
    write_picture(built.image_root / "2.png", smooth_picture(99, (90, 60)))
    with pytest.raises(
        TrainingError, match=r"'2.png' is another than the one that was embedded; run: embedstore build"
    ):
        cut_all(built, 0, 32)


def test_a_missing_picture_is_refused(built: EmbeddingStore) -> None:
    (built.image_root / "1.png").unlink()
    with pytest.raises(TrainingError, match=r"'1.png' under .* can't be read: No such file"):
        cut_all(built, 0, 32)


@pytest.mark.parametrize(
    "uri", ["../outside.png", "ABSOLUTE", "a/../../outside.png", "C:outside.png", "a\\..\\b.png", "a\0.png"]
)
def test_a_picture_outside_of_the_image_folder_is_refused(
    built: EmbeddingStore, uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Even where the very picture that was embedded lies there."""
    inside = built.image_root / "1.png"
    named = uri.replace("ABSOLUTE", str(inside))
    if "\0" not in named:
        target = built.image_root / named
        (built.image_root / "a").mkdir()
        target.write_bytes(inside.read_bytes())
    hostile = replace(built.sample_at(1), uri=named)
    monkeypatch.setattr(EmbeddingStore, "sample_at", lambda self, position: hostile)
    pictures = StudentPictures(built, 32)
    try:
        with pytest.raises(
            TrainingError, match=r"^'.*' names the picture '.*', which is outside of the image folder; do"
        ):
            pictures.cut([1], [WHOLE])
    finally:
        pictures.close()


def test_a_missing_folder_is_refused_and_another_can_be_told(built: EmbeddingStore) -> None:
    before = cut_all(built, 1, 32)
    moved = built.image_root.rename(built.image_root.with_name("moved"))
    with pytest.raises(TrainingError, match=r"The image folder '.*images' is not there; .*--images DIR"):
        cut_all(built, 1, 32)
    np.testing.assert_array_equal(cut_all(built, 1, 32, moved), before)

"""More than one vector a view: a store keeps further outputs of its teacher, and gets them later where it lacks them."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from damaged_stores import examined
from helpers import CountingTeacher, noise_picture, snapshot, write_picture, write_pictures

import embedstore
from embedstore import EmbeddingStore
from embedstore.errors import StoreError, TeacherError, TeacherMismatchError
from embedstore.pictures import decode
from embedstore.store import embedding_pass
from embedstore.store.own_teacher import description_of
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
    monkeypatch.setattr(embedding_pass, "_CROPS_AT_ONCE", 6)
    monkeypatch.setattr(embedding_pass, "_COMMIT_ROWS", 4)
    teacher = CountingTeacher(early=True, stop_after=24)
    with pytest.raises(KeyboardInterrupt):
        embedstore.build(path, images, teacher=teacher, outputs=["early"])
    assert teacher.seen == 24
    assert examined(path).clean
    with embedstore.open(path) as store:
        assert store.outputs == {"embedding": 12}
        with pytest.raises(
            StoreError, match=r"has no view 1 of the output 'early'.*add it with: embedstore build .* --vi"
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
        with pytest.raises(StoreError, match="has no view 0 of the output 'early'"):
            store.vectors(output="early")
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
        r"^The teacher 'counting' was loaded with the outputs embedding, but 'early' is to be kept, too; load it with: "
        r"load_teacher\(SPEC, outputs=\['early'\]\)$"
    )
    with pytest.raises(TeacherError, match=message):
        embedstore.build(path, images, teacher=CountingTeacher(), outputs=["early"])
    with pytest.raises(TeacherError, match=r"outputs=\['embedding', 'early'\]\)$"):
        embedstore.build(tmp_path / "new", images, teacher=CountingTeacher(), outputs=["early"])
    assert not (tmp_path / "new").exists()
    embedstore.build(path, images, teacher=CountingTeacher(early=True), outputs=["early"])
    write_picture(images / "good/new.png", noise_picture(99))
    for change in (embedstore.build, embedstore.add):
        with pytest.raises(TeacherError, match="'early' is to be kept, too"):
            change(path, images, teacher=CountingTeacher())
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

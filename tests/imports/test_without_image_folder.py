"""A store that was imported without a word of its image folder: its pictures never come in a second time."""

import re
from pathlib import Path

import numpy as np
import pytest
from helpers import CountingTeacher, write_pictures

import embedstore
from embedstore.errors import ImagesError
from embedstore.exports import export
from embedstore.imports import import_vectors

NAMES = ["bad/3.png", "good/1.png", "good/2.png"]


@pytest.fixture
def imported(tmp_path: Path) -> Path:
    """A store beside the folder `photos` that its pictures lie in, whose import was not told of that."""
    write_pictures(tmp_path / "photos", NAMES)
    embedstore.build(tmp_path / "built", tmp_path / "photos", teacher=CountingTeacher(), views=0)
    with embedstore.open(tmp_path / "built") as store:
        export(store, tmp_path / "v.safetensors")
    import_vectors(tmp_path / "imported", tmp_path / "v.safetensors")
    return tmp_path / "imported"


def refused(store: Path, folder: Path) -> str:
    return "^" + re.escape(
        f"The pictures of '{store}' lie under '{folder / 'photos'}', and those that are there would come in under other names "
        f"from '{folder}'; say first where they are: embedstore build '{store}' '{folder / 'photos'}'"
    )


def test_a_refresh_asks_for_the_folder_and_takes_it(imported: Path, tmp_path: Path) -> None:
    teacher = CountingTeacher()
    for dry_run in (True, False):
        with pytest.raises(ImagesError, match=refused(imported, tmp_path)):
            embedstore.refresh(imported, teacher=teacher, dry_run=dry_run)
    assert teacher.calls == 0
    report = embedstore.refresh(imported, teacher=teacher, images=tmp_path / "photos")
    assert report.pictures is not None
    assert (report.pictures.new, report.pictures.gone, report.pictures.embedded) == (0, 0, 3)
    with embedstore.open(imported) as store:
        assert (sorted(store.ids), store.image_root) == (NAMES, tmp_path / "photos")
    assert embedstore.refresh(imported, teacher=teacher).pictures is None  # from now on it knows the folder


def test_an_added_picture_waits_until_the_folder_is_known(imported: Path, tmp_path: Path) -> None:
    new, teacher = tmp_path / "photos" / "good" / "4.png", CountingTeacher()
    write_pictures(tmp_path / "photos", ["good/4.png"], seed=1)
    with pytest.raises(ImagesError, match=refused(imported, tmp_path)):
        embedstore.add(imported, [new], teacher=teacher)
    import_vectors(tmp_path / "told", tmp_path / "v.safetensors", images=tmp_path / "photos")
    embedstore.add(tmp_path / "told", [new], teacher=teacher)
    with embedstore.open(imported) as refusing, embedstore.open(tmp_path / "told") as told:
        assert (sorted(refusing.ids), sorted(told.ids)) == (NAMES, [*NAMES, "good/4.png"])
        np.testing.assert_array_equal(told.vectors(NAMES), refusing.vectors(NAMES))


def test_a_build_from_the_folder_that_the_store_lies_in_is_refused(imported: Path, tmp_path: Path) -> None:
    write_pictures(tmp_path, ["good/1.png"])  # one of three is too few
    with pytest.raises(ImagesError, match=refused(imported, tmp_path)):
        embedstore.build(imported, tmp_path, teacher=CountingTeacher())
    report = embedstore.build(imported, tmp_path / "photos", teacher=CountingTeacher())
    assert (report.new, report.gone, report.samples) == (0, 0, 3)


def test_a_store_that_lies_among_its_pictures_needs_no_word_of_them(imported: Path, tmp_path: Path) -> None:
    import_vectors(tmp_path / "photos" / "store", tmp_path / "v.safetensors")
    report = embedstore.refresh(tmp_path / "photos" / "store", teacher=CountingTeacher())
    assert report.pictures is not None
    assert (report.pictures.new, report.pictures.gone, report.pictures.samples) == (0, 0, 3)


def test_a_built_store_may_lose_most_of_its_pictures(imported: Path, tmp_path: Path) -> None:
    for name in NAMES[:2]:
        (tmp_path / "photos" / name).unlink()
    report = embedstore.build(tmp_path / "built", tmp_path / "photos", teacher=CountingTeacher())
    assert (report.gone, report.samples) == (2, 3)


def test_a_store_whose_pictures_are_elsewhere_takes_new_ones(imported: Path, tmp_path: Path) -> None:
    (tmp_path / "photos").rename(tmp_path.parent / f"{tmp_path.name} elsewhere")
    write_pictures(tmp_path / "new", ["good/4.png"], seed=1)
    assert embedstore.add(imported, [tmp_path / "new/good/4.png"], teacher=CountingTeacher()).new == 1
    import_vectors(tmp_path / "told", tmp_path / "v.safetensors", images=tmp_path / "new")
    assert embedstore.add(tmp_path / "told", [tmp_path / "new/good/4.png"], teacher=CountingTeacher()).new == 1
    with embedstore.open(tmp_path / "told") as store:
        assert sorted(store.ids) == [*NAMES, "good/4.png"]

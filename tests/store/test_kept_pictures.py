"""Kept pictures: a cache of what students cut from, by the hash of the file, bounded, checked, and never in the way."""

from pathlib import Path

import numpy as np
import pytest
from helpers import CountingTeacher, noise_picture, write_picture

import embedstore
from embedstore.errors import CorruptStoreError, SettingsError
from embedstore.pictures import read_picture
from embedstore.store.kept_pictures import FOLDER, KeptPictures, make_kept, open_kept, to_keep
from embedstore.views import Recipe

NAMES = [f"{label}/{number}.png" for label in ("good", "bad") for number in range(5)]
SIDE = 16


@pytest.fixture
def images(tmp_path: Path) -> Path:
    for number, name in enumerate(NAMES):
        write_picture(
            tmp_path / "images" / name, noise_picture(number, (40, 30 + number), "RGB" if number % 3 else "L")
        )
    return tmp_path / "images"


def build(path: Path, images: Path, **options: object) -> embedstore.store.BuildReport:
    return embedstore.build(path, images, teacher=CountingTeacher(), views=1, **options)


def kept_of(path: Path) -> KeptPictures:
    found = open_kept(path)
    assert found is not None
    return found


def expected(images: Path, name: str) -> np.ndarray:
    return to_keep(read_picture(images / name)[0], Recipe(student_side=SIDE))


def assert_keeps(path: Path, images: Path, names: list[str]) -> None:
    kept = kept_of(path)
    try:
        contents = [read_picture(images / name)[1] for name in names]
        assert kept.contents() == set(contents)
        for name, found in zip(names, kept.get(contents), strict=True):
            np.testing.assert_array_equal(found, expected(images, name))
    finally:
        kept.close()


def test_a_build_keeps_every_picture_resized_once(tmp_path: Path, images: Path) -> None:
    report = build(tmp_path / "s", images, keep_images=SIDE)
    assert (report.kept, report.not_kept) == (10, 0)
    with embedstore.open(tmp_path / "s") as store:
        assert store.recipe.student_side == SIDE
    assert min(expected(images, NAMES[0]).shape[:2]) == SIDE
    assert_keeps(tmp_path / "s", images, NAMES)


def test_a_store_keeps_none_unless_asked_and_goes_on_as_it_was_asked(tmp_path: Path, images: Path) -> None:
    path = tmp_path / "s"
    assert build(path, images, recipe=Recipe(student_side=SIDE)).kept == 0
    assert open_kept(path) is None
    assert build(path, images, keep_images=SIDE).kept == 10
    write_picture(images / "good" / "0.png", noise_picture(77, (33, 44)))
    (images / "bad" / "4.png").unlink()
    write_picture(images / "good" / "new.png", noise_picture(78, (33, 44)))
    assert build(path, images, prune=True).kept == 10
    assert_keeps(path, images, [*NAMES[:-1], "good/new.png"])
    assert build(path, images, keep_images=0).kept == 0
    assert not (path / FOLDER).exists()


def test_added_pictures_are_kept_too(tmp_path: Path, images: Path) -> None:
    build(tmp_path / "s", images, keep_images=SIDE)
    new = write_picture(images / "good" / "new.png", noise_picture(78, (33, 44)))
    embedstore.add(tmp_path / "s", new, teacher=CountingTeacher())
    assert_keeps(tmp_path / "s", images, [*NAMES, "good/new.png"])


def test_another_size_than_the_recipes_is_refused(tmp_path: Path, images: Path) -> None:
    build(tmp_path / "s", images, keep_images=SIDE)
    with pytest.raises(
        SettingsError, match="cut their views from pictures of 16 px, which never changes; keep those with 16"
    ):
        build(tmp_path / "s", images, keep_images=32)
    with pytest.raises(SettingsError, match="short side is 3 px; expected 16 or more"):
        build(tmp_path / "t", images, keep_images=3)


def test_an_interrupted_build_loses_no_picture(tmp_path: Path, images: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        embedstore.build(tmp_path / "s", images, teacher=CountingTeacher(stop_after=0), views=1, keep_images=SIDE)
    assert build(tmp_path / "s", images).kept == 10
    assert_keeps(tmp_path / "s", images, NAMES)


def test_a_changed_byte_is_found(tmp_path: Path, images: Path) -> None:
    path = tmp_path / "s"
    build(path, images, keep_images=SIDE)
    pixels = expected(images, NAMES[0])
    file = path / FOLDER / "data.mdb"
    data = bytearray(file.read_bytes())
    at = data.rindex(pixels.tobytes())  # before that, in pages that were freed
    data[at + 5] ^= 1
    file.write_bytes(bytes(data))
    kept = kept_of(path)
    try:
        with pytest.raises(CorruptStoreError, match="'pictures' fails its checksum"):
            kept.get([read_picture(images / NAMES[0])[1]])
    finally:
        kept.close()


@pytest.mark.parametrize("rubbish", [b"", b"no database" * 5000])
def test_what_can_not_be_used_is_told_and_made_again_by_a_build(tmp_path: Path, images: Path, rubbish: bytes) -> None:
    path = tmp_path / "s"
    build(path, images, keep_images=SIDE)
    (path / FOLDER / "data.mdb").write_bytes(rubbish)
    with pytest.raises(
        CorruptStoreError, match=r"kept pictures of '.*' can't be read .*; remove the folder '.*pictures'"
    ):
        open_kept(path)
    assert build(path, images, keep_images=SIDE).kept == 10
    assert_keeps(path, images, NAMES)


def test_a_foreign_value_is_told(tmp_path: Path, images: Path) -> None:
    path = tmp_path / "s"
    build(path, images, keep_images=SIDE)
    kept = make_kept(path)
    try:
        kept._environment.write(
            lambda transaction: transaction.put(
                b"x" * 16, embedstore.store.layout.seal(b"x" * 16, b"short"), db=kept._environment.database(b"pictures")
            )
        )
        with pytest.raises(CorruptStoreError, match=r"A kept picture in '.*' is none"):
            kept.get([b"x" * 16])
    finally:
        kept.close()

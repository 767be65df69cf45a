"""Kept pictures: a cache of what students cut from, by the hash of the file, bounded, checked, and never in the way."""

import shutil
import struct
from pathlib import Path

import numpy as np
import pytest
from helpers import CountingTeacher, noise_picture, write_picture

import embedstore
from embedstore.engines import cutting, local
from embedstore.errors import CorruptStoreError, SettingsError, StoreError
from embedstore.pictures import read_picture
from embedstore.store import embedding_pass
from embedstore.store.kept_pictures import FOLDER, KeptPictures, open_kept, to_keep
from embedstore.store.layout import seal
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
    found = open_kept(path, SIDE)
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
    assert open_kept(path, SIDE) is None
    assert build(path, images, keep_images=SIDE).kept == 10
    write_picture(images / "good" / "0.png", noise_picture(77, (33, 44)))
    (images / "bad" / "4.png").unlink()
    write_picture(images / "good" / "new.png", noise_picture(78, (33, 44)))
    before = kept_of(path).contents()
    assert build(path, images, prune=True).kept == 10
    now = {read_picture(images / name)[1] for name in [*NAMES[:-1], "good/new.png"]}
    assert kept_of(path).contents() == before | now  # a rollback may bring back what earlier versions had
    with embedstore.open(path) as store:
        store.compact()
    assert build(path, images).kept == 10
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


def test_an_interrupted_build_keeps_what_it_has_embedded(
    tmp_path: Path, images: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(local, "_CROPS_AT_ONCE", 4)
    with pytest.raises(KeyboardInterrupt):
        embedstore.build(tmp_path / "s", images, teacher=CountingTeacher(stop_after=8), views=1, keep_images=SIDE)
    kept = kept_of(tmp_path / "s")
    assert len(kept.contents()) == 4  # two batches of two
    kept.close()
    assert build(tmp_path / "s", images).kept == 10
    assert_keeps(tmp_path / "s", images, NAMES)


def test_where_pictures_can_not_be_kept_nothing_else_is_lost(
    tmp_path: Path, images: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(kept: KeptPictures, pictures: object) -> None:
        raise StoreError("the disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(KeptPictures, "put", full)
        with pytest.raises(StoreError, match="the disk is full"):
            build(tmp_path / "s", images, keep_images=SIDE)
    report = build(tmp_path / "s", images)
    assert (report.resumed, report.embedded, report.kept) == (10, 0, 10)


def test_beyond_the_bound_pictures_are_counted_and_not_even_decoded(
    tmp_path: Path, images: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    build(tmp_path / "s", images, keep_images=SIDE)
    for number in range(3):
        write_picture(images / "good" / f"new {number}.png", noise_picture(80 + number, (33, 44)))
    monkeypatch.setattr(embedding_pass, "MOST_BYTES", 1)
    monkeypatch.setattr(cutting, "to_keep", None)
    report = build(tmp_path / "s", images)
    assert (report.samples, report.kept, report.not_kept) == (13, 10, 3)


def test_a_changed_byte_is_told_with_what_to_do(tmp_path: Path, images: Path) -> None:
    path = tmp_path / "s"
    build(path, images, keep_images=SIDE)
    file = path / FOLDER / str(SIDE) / "data.mdb"
    data = bytearray(file.read_bytes())
    at = data.rindex(expected(images, NAMES[0]).tobytes())  # before that, in pages that were freed
    data[at + 5] ^= 1
    file.write_bytes(bytes(data))
    kept = kept_of(path)
    try:
        with pytest.raises(CorruptStoreError, match=r"keeps for students are damaged; remove the folder '.*pictures'"):
            kept.get([read_picture(images / NAMES[0])[1]])
    finally:
        kept.close()
    shutil.rmtree(path / FOLDER)
    assert build(path, images, keep_images=SIDE).kept == 10


@pytest.mark.parametrize("rubbish", [b"", b"no database" * 5000])
def test_what_can_not_be_used_is_told_with_what_to_do(tmp_path: Path, images: Path, rubbish: bytes) -> None:
    path = tmp_path / "s"
    build(path, images, keep_images=SIDE)
    (path / FOLDER / str(SIDE) / "data.mdb").write_bytes(rubbish)
    for attempt in (
        lambda: open_kept(path, SIDE),
        lambda: build(path, images),
        lambda: build(path, images, keep_images=SIDE),
    ):
        with pytest.raises(CorruptStoreError, match=r"keeps for students are damaged; remove the folder '.*pictures'"):
            attempt()
    assert build(path, images, keep_images=0).kept == 0
    assert build(path, images, keep_images=SIDE).kept == 10
    assert_keeps(path, images, NAMES)


@pytest.mark.parametrize(
    "head",
    [b"short", struct.pack("<IIB", 9, 9, 3), struct.pack("<IIB", 1, 2, 2) + b"1234", struct.pack("<IIB", 0, 9, 3)],
)
def test_a_foreign_value_is_told(tmp_path: Path, images: Path, head: bytes) -> None:
    build(tmp_path / "s", images, keep_images=SIDE)
    kept, key = kept_of(tmp_path / "s"), b"x" * 16
    try:
        environment = kept._environment
        environment.write(
            lambda transaction: transaction.put(key, seal(key, head), db=environment.database(b"pictures"))
        )
        with pytest.raises(CorruptStoreError, match="keeps for students are damaged"):
            kept.get([key])
    finally:
        kept.close()


@pytest.mark.parametrize("where", ["pictures", f"pictures/{SIDE}", f"pictures/{SIDE}/data.mdb"])
def test_a_link_is_followed_by_nobody(tmp_path: Path, images: Path, where: str) -> None:
    other = tmp_path / "other"
    build(other, images, keep_images=SIDE)
    path = tmp_path / "s"
    build(path, images, recipe=Recipe(student_side=SIDE))
    (path / where).parent.mkdir(parents=True, exist_ok=True)
    (path / where).symlink_to(other / where)
    for attempt in (lambda: open_kept(path, SIDE), lambda: build(path, images, keep_images=SIDE)):
        with pytest.raises(CorruptStoreError, match=r"is a link, which no store has; remove it"):
            attempt()
    assert_keeps(other, images, NAMES)


def test_what_a_killed_build_left_half_made_is_in_nobodys_way(tmp_path: Path, images: Path) -> None:
    path = tmp_path / "s"
    build(path, images, recipe=Recipe(student_side=SIDE))
    (path / FOLDER / f".new-{SIDE}").mkdir(parents=True)
    (path / FOLDER / f".new-{SIDE}" / "data.mdb").write_bytes(b"")
    assert open_kept(path, SIDE) is None
    assert build(path, images).kept == 0
    assert build(path, images, keep_images=SIDE).kept == 10
    assert [found.name for found in (path / FOLDER).iterdir()] == [str(SIDE)]


def test_two_sizes_at_once_are_refused(tmp_path: Path, images: Path) -> None:
    with pytest.raises(SettingsError, match="The recipe has pictures of 64 px for students, and 16 px are to be kept"):
        build(tmp_path / "s", images, recipe=Recipe(student_side=64), keep_images=SIDE)

"""Which picture another teacher sees: the kept one where nothing is lost by it, the file, or the smaller kept one, told."""

from pathlib import Path

import numpy as np
import pytest
from helpers import CountingTeacher, assert_same_to_a_float16_step, by_hand, smooth_picture, write_picture

import embedstore
from embedstore.errors import CorruptStoreError
from embedstore.pictures import decode
from embedstore.store.stored_pictures import stored_pictures
from embedstore.views import student_picture

SIZES = {
    "good/small.png": (40, 50),
    "good/same.png": (64, 90),
    "good/large.png": (200, 130),
}  # kept at a short side of 64


@pytest.fixture(params=["L", "RGB"])
def store(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    for seed, (name, size) in enumerate(SIZES.items()):
        write_picture(tmp_path / "images" / name, smooth_picture(seed, size, request.param))
    embedstore.build(tmp_path / "store", tmp_path / "images", teacher=CountingTeacher(), views=1, keep_images=64)
    return tmp_path / "store"


def seen(store: Path) -> dict[str, tuple[np.ndarray, bool]]:
    with embedstore.open(store) as opened, stored_pictures(opened) as pictures:
        found = {record.id: pictures.get(record.content, record.uri) for record in opened.records()}
    return {name: (np.asarray(picture), reduced) for name, (picture, reduced) in found.items()}


def test_pictures_are_those_of_the_files_pixel_for_pixel(store: Path) -> None:
    root = store.parent / "images"
    for name, (pixels, reduced) in seen(store).items():
        np.testing.assert_array_equal(pixels, np.asarray(decode((root / name).read_bytes())))
        assert not reduced


def test_where_files_are_gone_kept_pictures_stand_in_and_smaller_ones_are_told(store: Path) -> None:
    root = store.parent / "images"
    files = {name: decode((root / name).read_bytes()) for name in SIZES}
    with embedstore.open(store) as opened:
        recipe = opened.recipe
    root.rename(store.parent / "elsewhere")
    found = seen(store)
    assert [found[name][1] for name in SIZES] == [False, True, True]  # of that very size nobody can tell
    for name, (pixels, _) in found.items():
        np.testing.assert_array_equal(pixels, np.asarray(student_picture(files[name], recipe)))
    report = embedstore.migrate(store, CountingTeacher("second", "second"))
    assert report.reduced == ["good/large.png", "good/same.png"]
    assert (report.switched, report.missing) == (True, {})
    with embedstore.open(store) as opened:
        for view in (0, 1):
            name = "good/small.png"
            expected = by_hand(
                CountingTeacher("second", "second"), store.parent / "elsewhere", name, name, view, recipe
            )
            assert_same_to_a_float16_step(opened.vectors([name], view=view)[0], expected)


def test_a_small_kept_picture_needs_no_file(store: Path) -> None:
    (store.parent / "images/good/small.png").write_bytes(b"not a picture any more")
    (store.parent / "images/good/large.png").write_bytes(b"nor is this")
    found = seen(store)
    assert not found["good/small.png"][1]
    assert found["good/large.png"][1]  # the picture that was embedded, smaller, and not what the file is now


def test_damaged_kept_pictures_are_told_in_one_sentence(store: Path) -> None:
    data = store / "pictures/64/data.mdb"
    damaged = data.read_bytes()[:4096]
    data.write_bytes(damaged)
    with pytest.raises(CorruptStoreError, match="keeps for students are damaged"):
        embedstore.migrate(store, CountingTeacher("second", "second"))

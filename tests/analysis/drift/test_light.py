"""What is measured of pictures themselves: by hand, from kept pictures and from files, and what can't be measured."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from helpers import CountingTeacher, smooth_picture, unit_vectors, write_picture
from PIL import Image

import embedstore
from embedstore.analysis.drift.light import light_of, stored_lights
from embedstore.pages.words import Text
from embedstore.store.kept_pictures import to_keep


def told(found: tuple[object, Text]) -> tuple[object, str]:
    return found[0], found[1].en


def test_level_contrast_and_sharpness_are_ratios() -> None:
    pixels = np.array([[[10], [30]], [[50], [110]]], np.uint8)  # steps of 40 and 80, of 20 and 60
    level, contrast, fine = 50.5, np.std([10, 30, 50, 110]) + 0.5, 50.5
    np.testing.assert_allclose(light_of(pixels), np.log2([level, contrast / level, fine / contrast]), rtol=1e-6)
    np.testing.assert_allclose(light_of(np.repeat(pixels, 3, axis=2)), light_of(pixels), rtol=1e-6)
    assert np.isfinite(light_of(np.zeros((1, 1, 1), np.uint8))).all()


def test_light_and_focus_change_one_measure_each() -> None:
    noise = np.random.default_rng(0).normal(160, 25, (200, 160)).clip(0, 255).astype(np.uint8)
    usual = light_of(noise[:, :, None])
    np.testing.assert_allclose(
        light_of((noise * 0.7).round().astype(np.uint8)[:, :, None]) - usual, [np.log2(0.7), 0, 0], atol=0.05
    )
    flat = (160 + (noise.astype(float) - 160) / 2).round().astype(np.uint8)
    np.testing.assert_allclose(light_of(flat[:, :, None]) - usual, [0, -1, 0], atol=0.05)
    soft = smooth_picture(1, (200, 160))
    assert light_of(np.atleast_3d(soft))[2] < usual[2] - 2


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    for at in range(3):
        write_picture(tmp_path / "photos" / f"{at}.png", smooth_picture(at, (60, 40)))
    return tmp_path / "photos"


@pytest.mark.parametrize("side", [None, 32])
def test_kept_pictures_and_files_say_the_same(photos: Path, tmp_path: Path, side: int | None) -> None:
    embedstore.build(tmp_path / "s", photos, teacher=CountingTeacher(), views=0, keep_images=side)
    with embedstore.open(tmp_path / "s") as store:
        expected = [light_of(to_keep(Image.open(photos / name), store.recipe)) for name in store.ids]
        if side is not None:
            shutil.rmtree(photos)
        found, why = stored_lights(store, np.arange(3))
        assert why == Text("", "")
        np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_a_picture_that_is_gone_or_another_is_told(photos: Path, tmp_path: Path) -> None:
    embedstore.build(tmp_path / "s", photos, teacher=CountingTeacher(), views=0)
    with embedstore.open(tmp_path / "s") as store:
        write_picture(photos / "1.png", smooth_picture(9, (60, 40)))
        assert told(stored_lights(store, np.arange(3))) == (
            None,
            "'1.png': its file is another picture now, which embedstore build takes up",
        )
        (photos / "1.png").unlink()
        assert told(stored_lights(store, np.arange(3))) == (None, "'1.png': its file is gone")


def test_of_imported_vectors_nobody_knows_the_picture_though_a_file_of_that_name_is_there(
    photos: Path, tmp_path: Path
) -> None:
    vectors = unit_vectors(0, 3)
    np.save(tmp_path / "v.npy", vectors)
    (tmp_path / "v.csv").write_text("id\n" + "".join(f"{name}.png\n" for name in range(3)))
    embedstore.import_vectors(tmp_path / "s", tmp_path / "v.npy", teacher="t", images=photos)
    with embedstore.open(tmp_path / "s") as store:
        assert (store.image_root / store.sample_at(0).uri).is_file()
        assert told(stored_lights(store, np.arange(3))) == (
            None,
            "'0.png': its vectors were imported, and nothing says which picture they are of",
        )

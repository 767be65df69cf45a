import contextlib
import hashlib
import io
import struct
import tracemalloc
import warnings
import zlib

import numpy as np
import pytest
from helpers import encoded, noise_picture, write_picture
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from embedstore import pictures
from embedstore.errors import PictureError
from embedstore.pictures import MOST_PIXELS, claimed_pixels, content_hash, decode, read_picture

ORIENTATION = 0x0112  # the EXIF and TIFF tag
# How the stored rows become upright ones, by the definition of the tag.
UPRIGHT = {
    1: lambda stored: stored,
    2: lambda stored: stored[:, ::-1],
    3: lambda stored: stored[::-1, ::-1],
    4: lambda stored: stored[::-1],
    5: lambda stored: stored.swapaxes(0, 1),
    6: lambda stored: np.rot90(stored, -1),
    7: lambda stored: stored[::-1, ::-1].swapaxes(0, 1),
    8: lambda stored: np.rot90(stored, 1),
}


def pixels(data: bytes) -> tuple[str, np.ndarray]:
    picture = decode(data)
    return picture.mode, np.asarray(picture)


def assert_decodes(data: bytes, mode: str, expected: object) -> None:
    found_mode, found = pixels(data)
    assert found_mode == mode
    np.testing.assert_array_equal(found, expected)


# Channels and depths


@pytest.mark.parametrize("form", ["PNG", "BMP", "TIFF", "PPM"])
@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_8_bit_pictures_keep_their_pixels(form, mode):
    picture = noise_picture(1, mode=mode)
    assert_decodes(encoded(picture, form), mode, np.asarray(picture))


EVERY_16_BIT_VALUE = np.arange(65536, dtype=np.uint16).reshape(256, 256)


@pytest.mark.parametrize("form", ["PNG", "TIFF"])
def test_16_bit_grey_is_scaled_from_its_full_range(form):
    expected = np.rint(EVERY_16_BIT_VALUE / 257)
    assert_decodes(encoded(Image.fromarray(EVERY_16_BIT_VALUE), form), "L", expected)
    assert list(expected.flat[[0, 128, 129, 32768, 65535]]) == [0, 0, 1, 128, 255]


def test_16_bit_grey_in_the_other_byte_order():
    big = Image.frombytes("I;16B", (256, 256), EVERY_16_BIT_VALUE.astype(">u2").tobytes())
    data = encoded(big, "TIFF")
    assert data[:2] == b"MM"
    assert_decodes(data, "L", np.rint(EVERY_16_BIT_VALUE / 257))


def test_32_bit_integers_count_as_16_bit_where_they_fit():
    assert_decodes(
        encoded(Image.fromarray(EVERY_16_BIT_VALUE.astype(np.int32)), "TIFF"), "L", np.rint(EVERY_16_BIT_VALUE / 257)
    )


@pytest.mark.parametrize("mode", ["I;16", "I;16L", "I;16B", "I;16N", "I"])
@pytest.mark.parametrize("transparent", [None, 30000])
@pytest.mark.parametrize("rows", [1, 7, 256, 1000])
def test_16_bit_grey_is_the_same_whatever_is_scaled_at_once(mode, transparent, rows, monkeypatch):
    monkeypatch.setattr(pictures, "_BLOCK", 256 * rows + 5)
    order = {"I;16B": ">u2", "I;16N": "=u2", "I": "<i4"}.get(mode, "<u2")
    picture = Image.frombytes(mode, (256, 256), EVERY_16_BIT_VALUE.astype(order).tobytes())
    if transparent is not None:
        picture.info["transparency"] = transparent
    expected = np.where(transparent == EVERY_16_BIT_VALUE, 0, np.rint(EVERY_16_BIT_VALUE / 257))
    scaled = pictures._to_8_bit(picture)
    assert scaled.mode == "L"
    np.testing.assert_array_equal(np.asarray(scaled), expected)


def test_a_big_picture_of_16_bits_takes_little_more_memory_than_its_pixels():
    data = encoded(Image.new("I;16", (4000, 3000)))
    tracemalloc.start()
    try:
        decode(data)
        assert tracemalloc.get_traced_memory()[1] < 64 << 20  # 96 MB for each copy of all pixels in 64 bits
    finally:
        tracemalloc.stop()


def test_what_a_picture_claims_is_told_without_decoding_it():
    assert claimed_pixels(png_that_claims(9000, 9000)) == 81_000_000  # of which it has a few
    with pytest.raises(PictureError, match=r"^claims .*more than 89,478,485"):
        claimed_pixels(png_that_claims(10_000, 10_000))
    with pytest.raises(PictureError, match=r"^is not a picture in a known format$"):
        claimed_pixels(b"a note")


@pytest.mark.parametrize("value", [-1, 65536])
def test_32_bit_integers_beyond_16_bits_are_refused(value):
    with pytest.raises(PictureError, match=r"^has integer pixels beyond 16 bits; save it as 8- or 16-bit grey$"):
        decode(encoded(Image.fromarray(np.array([[0, value]], np.int32)), "TIFF"))


def test_floating_point_pixels_are_refused():
    with pytest.raises(PictureError, match=r"^has floating-point pixels; save it as 8- or 16-bit grey$"):
        decode(encoded(Image.fromarray(np.array([[0, 0.5]], np.float32)), "TIFF"))


def test_1_bit_becomes_black_and_white():
    picture = Image.fromarray(np.array([[True, False, True]]))
    assert picture.mode == "1"
    assert_decodes(encoded(picture), "L", [[255, 0, 255]])


def test_palette_becomes_colours():
    picture = Image.new("P", (3, 1))
    picture.putpalette([255, 0, 0, 0, 250, 0, 9, 8, 7])
    picture.putdata([2, 0, 1])
    assert_decodes(encoded(picture), "RGB", [[[9, 8, 7], [255, 0, 0], [0, 250, 0]]])


def test_cmyk_becomes_rgb():
    picture = Image.new("CMYK", (3, 1))
    picture.putdata([(0, 0, 0, 0), (255, 0, 0, 0), (0, 0, 0, 255)])
    assert_decodes(encoded(picture, "TIFF"), "RGB", [[[255, 255, 255], [0, 255, 255], [0, 0, 0]]])


def test_of_several_frames_the_first_is_taken():
    first, second = noise_picture(1, mode="L"), noise_picture(2, mode="L")
    for form in ("GIF", "TIFF"):
        data = encoded(first, form, save_all=True, append_images=[second])
        np.testing.assert_array_equal(np.asarray(decode(data).convert("L")), np.asarray(first))


def test_a_photo_with_a_preview_is_the_photo():  # what many phones call .jpg
    photo, preview = noise_picture(1), noise_picture(2)
    data = encoded(photo, "MPO", save_all=True, append_images=[preview], quality=95)
    assert_decodes(data, "RGB", np.asarray(Image.open(io.BytesIO(encoded(photo, "JPEG", quality=95)))))


# Transparency is laid on black


def test_rgba():
    picture = Image.new("RGBA", (3, 1))
    picture.putdata([(200, 100, 50, 255), (200, 100, 50, 0), (200, 100, 50, 128)])
    mode, found = pixels(encoded(picture))
    assert mode == "RGB"
    assert found[0, :2].tolist() == [[200, 100, 50], [0, 0, 0]]
    np.testing.assert_allclose(found[0, 2], np.array([200, 100, 50]) * 128 / 255, atol=1)


def test_grey_with_alpha():
    picture = Image.new("LA", (3, 1))
    picture.putdata([(200, 255), (200, 0), (200, 128)])
    mode, found = pixels(encoded(picture))
    assert mode == "L"
    assert found[0, :2].tolist() == [200, 0]
    assert abs(found[0, 2] - 200 * 128 / 255) <= 1


@pytest.mark.parametrize(
    ("mode", "values", "transparent", "expected_mode", "expected"),
    [
        ("L", [200, 90, 201], 200, "L", [0, 90, 201]),
        ("1", [255, 0, 255], 1, "L", [0, 0, 0]),
        ("RGB", [(1, 2, 3), (1, 2, 4), (1, 2, 3)], (1, 2, 3), "RGB", [[0, 0, 0], [1, 2, 4], [0, 0, 0]]),
        ("P", [0, 1, 2], 1, "RGB", [[255, 0, 0], [0, 0, 0], [9, 8, 7]]),
        ("P", [0, 1, 2], bytes([255, 255, 0]), "RGB", [[255, 0, 0], [0, 250, 0], [0, 0, 0]]),
    ],
)
def test_a_see_through_value_or_palette_entry(mode, values, transparent, expected_mode, expected):
    picture = Image.new(mode, (3, 1))
    if mode == "P":
        picture.putpalette([255, 0, 0, 0, 250, 0, 9, 8, 7])
    picture.putdata(values)
    data = encoded(picture, transparency=transparent)
    with Image.open(io.BytesIO(data)) as reread:
        assert "transparency" in reread.info
    assert_decodes(data, expected_mode, [expected])


def test_a_see_through_value_in_16_bit_grey():
    data = encoded(Image.fromarray(np.array([[65535, 30000, 30001]], np.uint16)), transparency=30000)
    assert_decodes(data, "L", [[255, 0, 117]])


# Orientation


@pytest.mark.parametrize("orientation", UPRIGHT)
@pytest.mark.parametrize("kind", ["png", "png-16", "jpeg", "tiff", "png-alpha"])
def test_exif_orientation(orientation, kind):
    stored = noise_picture(3, (7, 4))
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    if kind == "png":
        data, expected = encoded(stored, exif=exif), np.asarray(stored)
    elif kind == "png-16":
        values = np.asarray(stored)[..., 0]
        data, expected = encoded(Image.fromarray(values.astype(np.uint16) * 257), exif=exif), values
    elif kind == "jpeg":
        flat = stored.resize((56, 32), Image.Resampling.NEAREST)  # whole blocks of one colour survive compression
        data, expected = encoded(flat, "JPEG", quality=100, subsampling=0, exif=exif), np.asarray(flat)
    elif kind == "tiff":
        data, expected = encoded(stored, "TIFF", tiffinfo={ORIENTATION: orientation}), np.asarray(stored)
    else:
        data, expected = encoded(stored.convert("RGBA"), exif=exif), np.asarray(stored)
    np.testing.assert_allclose(pixels(data)[1], UPRIGHT[orientation](expected), atol=3 if kind == "jpeg" else 0)


def test_an_orientation_that_does_not_exist_changes_nothing():
    exif, stored = Image.Exif(), noise_picture(3, (7, 4))
    exif[ORIENTATION] = 9
    assert_decodes(encoded(stored, exif=exif), "RGB", np.asarray(stored))


# Files that are no pictures


def png_that_claims(width: int, height: int) -> bytes:
    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0" * 100)) + chunk(b"IEND", b"")
    )


def test_the_made_header_is_a_good_png_when_it_tells_the_truth():
    assert decode(png_that_claims(9, 10)).size == (9, 10)


@pytest.mark.parametrize("side", [10_000, 65_000])  # above Pillow's limit, where it warns, and above twice of it
@pytest.mark.parametrize("warned", ["error", "ignore"])
def test_pixel_bombs_are_refused(side, warned):
    data = png_that_claims(side, side)
    assert len(data) < 200
    with warnings.catch_warnings():
        warnings.simplefilter(warned)
        with pytest.raises(PictureError, match=r"^claims .*more than 89,478,485( pixels)?$"):
            decode(data)


def test_importing_the_module_leaves_pillow_as_it_was():
    assert Image.MAX_IMAGE_PIXELS == MOST_PIXELS
    assert not [entry for entry in warnings.filters if entry[2] is Image.DecompressionBombWarning]


def test_empty_file():
    with pytest.raises(PictureError, match=r"^the file is empty$"):
        decode(b"")


@pytest.mark.parametrize("data", [b"a note, saved as .png\n", b"\0" * 1000, b"%PDF-1.7\n", b"<svg/>"])
def test_other_files(data):
    with pytest.raises(PictureError, match=r"^is not a picture in a known format$"):
        decode(data)


def test_postscript_is_never_handed_to_an_interpreter():
    with pytest.raises(PictureError, match=r"^is not a picture in a known format$"):
        decode(encoded(noise_picture(), "EPS"))


@pytest.mark.parametrize("form", ["PNG", "JPEG", "TIFF", "BMP", "WEBP"])
def test_a_truncated_file(form):
    data = encoded(noise_picture(4, (64, 64)), form)
    with pytest.raises(PictureError, match=r"^can't be decoded: ."):
        decode(data[: len(data) * 2 // 3])


@settings(max_examples=150)
@given(st.data())
def test_damage_gives_a_picture_or_a_reason_and_never_another_error(data):
    form = data.draw(st.sampled_from(["PNG", "JPEG", "TIFF", "GIF", "BMP", "WEBP", "JPEG2000"]))
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    good = encoded(noise_picture(5, (16, 16)), form, **({"exif": exif} if form in ("PNG", "JPEG", "WEBP") else {}))
    damaged = bytearray(good[: data.draw(st.integers(0, len(good)))])
    for at, value in data.draw(st.lists(st.tuples(st.integers(0, len(good) - 1), st.integers(0, 255)), max_size=8)):
        if at < len(damaged):
            damaged[at] = value
    picture = None
    with contextlib.suppress(PictureError):
        picture = decode(bytes(damaged))
    assert picture is None or picture.mode in ("L", "RGB")


# Reading files


def test_a_file_is_read_once_into_its_picture_and_its_hash(tmp_path):
    path = write_picture(tmp_path / "写真 ö.png", noise_picture(6))
    picture, digest = read_picture(path)
    np.testing.assert_array_equal(np.asarray(picture), np.asarray(noise_picture(6)))
    assert digest == content_hash(path.read_bytes())


@pytest.mark.parametrize(("name", "reason"), [("gone.png", "No such file or directory"), ("", "Is a directory")])
def test_a_file_that_can_not_be_read(tmp_path, name, reason):
    with pytest.raises(PictureError, match=rf"^can't be read: {reason}$"):
        read_picture(tmp_path / name)


@given(st.binary(max_size=50), st.binary(max_size=50))
def test_content_hashes_are_equal_exactly_for_equal_bytes(a, b):
    assert (content_hash(a) == content_hash(b)) == (a == b)
    assert content_hash(a) == hashlib.blake2b(a, digest_size=16).digest()

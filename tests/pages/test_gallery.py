import base64
import io
import re

import numpy as np
import pytest
from drawings import HOSTILE
from helpers import encoded, noise_picture, smooth_picture, write_picture
from PIL import Image

from embedstore.errors import PictureError
from embedstore.pages import OddSample, Picture, Text, odd_samples, picture, picture_row, thumbnail
from embedstore.pages.gallery import Address

PREFIX = "data:image/webp;base64,"


def decoded(address):
    assert address.startswith(PREFIX)
    return Image.open(io.BytesIO(base64.b64decode(address.removeprefix(PREFIX), validate=True)))


@pytest.mark.parametrize(
    ("size", "side", "expected"),
    [
        ((640, 480), 160, (160, 120)),
        ((480, 640), 160, (120, 160)),
        ((100, 50), 160, (100, 50)),  # never enlarged
        ((1000, 2), 100, (100, 1)),
        ((300, 300), 64, (64, 64)),
    ],
)
def test_a_thumbnail_keeps_the_shape(size, side, expected):
    assert decoded(thumbnail(smooth_picture(1, size), side)).size == expected


def test_a_thumbnail_looks_like_its_picture(tmp_path):
    original = smooth_picture(3, (320, 240))
    small = decoded(thumbnail(write_picture(tmp_path / "a.png", original), 160)).convert("RGB")
    expected = original.resize((160, 120), Image.Resampling.BOX)
    assert np.abs(np.asarray(small, int) - np.asarray(expected, int)).mean() < 4


def test_16_bit_grey_keeps_its_shades():
    ramp = Image.fromarray(np.tile(np.linspace(0, 65535, 64).astype(np.uint16), (64, 1)))
    shades = np.asarray(decoded(thumbnail(ramp)).convert("L"), int)[32]
    assert np.abs(shades - np.linspace(0, 255, 64)).max() < 12


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr", "I;16", "HSV"])
def test_pictures_of_any_mode_are_shown_and_left_as_they_were(mode):
    given = Image.new(mode, (20, 10))
    html = picture(Picture("a", given))
    assert decoded(re.search(r'src="([^"]*)"', html)[1]).size == (20, 10) if PREFIX in html else "its mode is" in html
    assert (given.mode, given.size) == (mode, (20, 10))


def test_nothing_but_pixels_goes_into_the_page(tmp_path):
    exif = Image.Exif()
    exif[0x010E] = "taken at home"
    path = tmp_path / "a.jpg"
    path.write_bytes(encoded(smooth_picture(1), "JPEG", exif=exif, icc_profile=b"profile " * 4000))
    data = base64.b64decode(thumbnail(path).removeprefix(PREFIX))
    assert b"taken at home" not in data
    assert b"profile" not in data


def test_thumbnails_are_small():
    assert len(thumbnail(smooth_picture(1, (1200, 900)))) < 8_000


@pytest.mark.parametrize("source", [Image.new("L", (0, 0)), "missing.png"])
def test_what_is_no_picture_is_an_error(source, tmp_path):
    with pytest.raises(PictureError):
        thumbnail(source if isinstance(source, Image.Image) else tmp_path / source)


def test_a_picture_that_is_missing_says_why(tmp_path):
    (tmp_path / "text.png").write_text("no picture", "utf-8")
    assert "can&#39;t be read: No such file" in picture(Picture("a", tmp_path / "gone.png"))
    assert "is not a picture in a known format" in picture(Picture("a", tmp_path / "text.png"))
    assert "null" in picture(Picture("a", "a\0b.png"))
    for source in (None, tmp_path, Image.new("F", (2, 2))):
        html = picture(Picture("a", source))
        assert "No picture" in html
        assert "<img" not in html


def test_a_name_is_the_alternative_text_and_stands_below(tmp_path):
    html = picture(Picture("folder/a_1.png", noise_picture(), "good .81"))
    assert 'alt="folder/a_1.png"' in html
    assert "folder/<wbr>a_<wbr>1.png" in html
    assert "good .81" in html
    assert "<wbr>" not in picture(Picture("folder/a_1.png", noise_picture()), named=False)


def odd(text):
    words = Text(text, text + "ja")
    near = [Picture(text, noise_picture(1), words), Picture(text, None, text)]
    return OddSample(
        Picture(text, noise_picture(2), words), words, words, [(words, words), (text, text)], words, near, near
    )


def test_an_odd_sample_stands_beside_what_is_nearest():
    html = odd_samples([odd("cell"), odd("tile")])
    assert html.count("<article") == 2
    assert html.count("<img") == 2 * 3
    assert html.index("Nearest prototype") < html.index("Nearest samples")
    assert "最も近い代表例" in html
    assert 'aria-hidden="true"' in html


def test_an_odd_sample_with_nothing_near():
    html = odd_samples([OddSample(Picture("a", noise_picture()), "good", "It stands alone.")])
    assert "Nearest" not in html
    assert "It stands alone." in html
    assert odd_samples([]) == ""


def test_hostile_names_are_escaped():
    for html in (odd_samples([odd(HOSTILE)]), picture_row(HOSTILE, [Picture(HOSTILE, None, HOSTILE)])):
        assert "<script" not in html
        assert "onerror=alert(1)>" not in html
        assert not re.search(r"<img(?! src=\"data:image/webp)", html)


def test_a_page_that_is_served_holds_addresses_and_links():
    shown = picture(Picture("a & b", Address("/thumbnail?id=a%20%26%20b&side=160"), "good", "#sample=a%20%26%20b"))
    assert '<a href="#sample=a%20%26%20b">' in shown
    assert '<img src="/thumbnail?id=a%20%26%20b&amp;side=160" alt="a &amp; b"' in shown
    assert 'loading="lazy"' in shown
    assert "<a " not in picture(Picture("a", noise_picture()))
    assert "loading" not in picture(Picture("a", noise_picture()))


def test_the_reason_stands_above_the_sentence():
    html = odd_samples([OddSample(Picture("a", None), "good", "It stands alone.", reason="Stands apart")])
    assert html.index('<p class="reason">Stands apart</p>') < html.index("It stands alone.")

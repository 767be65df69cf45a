"""From the bytes of a file to pixels: 8- and 16-bit grey, palette, transparency, EXIF orientation, hostile files."""

import hashlib
import io
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from embedstore.errors import PictureError

MOST_PIXELS = 89_478_485  # Pillow's own limit: a quarter of a GiB of RGB
_BLOCK = 1 << 20  # pixels of 16 bits that are scaled at once, in 64 bits

# Not all that Pillow knows: it hands PostScript, whatever the file's name, to another program.
_FORMATS = ("BMP", "GIF", "JPEG", "JPEG2000", "PNG", "PPM", "TIFF", "WEBP")


def content_hash(data: bytes) -> bytes:
    """Return the 16-byte BLAKE2b digest of a file's bytes: what decides if a picture changed."""
    return hashlib.blake2b(data, digest_size=16).digest()


def read_picture(path: str | os.PathLike[str]) -> tuple[Image.Image, bytes]:
    """Read a file once; return its picture (see `decode`) and its content hash.

    Raises:
        PictureError: the file can't be read or is no picture; the message is the reason alone.
    """
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise PictureError(f"can't be read: {error.strerror}") from error
    return decode(data), content_hash(data)


def decode(data: bytes) -> Image.Image:
    """Decode a picture upright, as mode `L` (grey) or `RGB`, 8 bits a channel.

    16-bit grey is scaled from its full range (65,535 becomes 255), transparency is laid on black, and of several
    frames the first is taken.

    Raises:
        PictureError: the bytes are no picture, are cut off, or claim more than `MOST_PIXELS`.
    """
    with _opened(data) as picture:
        picture.load()
        return _to_8_bit(ImageOps.exif_transpose(picture))


def claimed_pixels(data: bytes) -> int:
    """Return how many pixels the bytes of a picture claim to have, without decoding them: what it will need in memory.

    Raises:
        PictureError: the bytes are no picture, or claim more than `MOST_PIXELS`.
    """
    with _opened(data) as picture:
        return picture.size[0] * picture.size[1]


@contextmanager
def _opened(data: bytes) -> Iterator[Image.Image]:
    """Open a picture whose size is allowed; whatever is raised on its way to pixels becomes a PictureError."""
    if not data:
        raise PictureError("the file is empty")
    try:
        with Image.open(io.BytesIO(data), formats=_FORMATS) as picture:
            width, height = picture.size
            if width * height > MOST_PIXELS:
                raise PictureError(f"claims {width:,} x {height:,} pixels, more than {MOST_PIXELS:,}")
            yield picture
    except PictureError:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise PictureError(f"claims more than {MOST_PIXELS:,} pixels") from error
    except UnidentifiedImageError as error:
        raise PictureError("is not a picture in a known format") from error
    except Exception as error:  # decoders raise anything on hostile bytes; the run must go on
        raise PictureError(f"can't be decoded: {str(error) or type(error).__name__}") from error


def _to_8_bit(picture: Image.Image) -> Image.Image:
    mode = picture.mode
    transparent = picture.info.get("transparency")  # the grey, colour or palette entries that are see-through
    if mode.startswith("I"):  # "I;16" and its byte orders; "I" is what some formats give for 16-bit grey
        return _scaled(picture, transparent)
    if mode == "F":
        raise PictureError("has floating-point pixels; save it as 8- or 16-bit grey")
    if mode in ("LA", "La") or (mode in ("1", "L") and transparent is not None):
        return _over_black(picture.convert("LA"), "L")
    if mode in ("RGBA", "RGBa", "PA") or transparent is not None:
        return _over_black(picture.convert("RGBA"), "RGB")
    if mode in ("L", "RGB"):
        return picture
    return picture.convert("L" if mode == "1" else "RGB")


def _scaled(picture: Image.Image, transparent: int | None) -> Image.Image:
    """Return 16-bit grey as 8-bit grey; some rows at a time, for a big picture takes a GiB as integers of 64 bits."""
    width, height = picture.size
    rows = max(1, _BLOCK // max(1, width))
    scaled = Image.new("L", picture.size)
    for top in range(0, height, rows):
        values = np.asarray(picture.crop((0, top, width, min(top + rows, height)))).astype(np.int64)
        if transparent is not None:
            values[values == transparent] = 0
        if values.min() < 0 or values.max() > 65535:
            raise PictureError("has integer pixels beyond 16 bits; save it as 8- or 16-bit grey")
        scaled.paste(Image.fromarray(((values * 255 + 32767) // 65535).astype(np.uint8)), (0, top))
    return scaled


def _over_black(picture: Image.Image, mode: str) -> Image.Image:
    black = Image.new(mode, picture.size)
    black.paste(picture.convert(mode), mask=picture.getchannel("A"))
    return black

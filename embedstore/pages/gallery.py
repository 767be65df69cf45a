"""Pictures: thumbnails inside the page, rows of them, and odd samples beside what is nearest to them."""

import base64
import io
import os
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup
from PIL import Image

from embedstore.errors import PictureError
from embedstore.pages.markup import part
from embedstore.pages.reasons import reason_text
from embedstore.pages.words import Text, Words
from embedstore.pictures import decode, read_picture


@dataclass(frozen=True)
class Address:
    """Where a page that is served fetches a picture by itself, instead of holding a copy."""

    href: str


Source = str | os.PathLike[str] | Image.Image | Address | None

NO_PICTURE = Text("No picture", "画像なし")
NEAREST_PROTOTYPE = Text("Nearest prototype", "最も近い代表例")
NEAREST_SAMPLES = Text("Nearest samples", "最も近い画像")


@dataclass(frozen=True)
class Picture:
    """A picture to show.

    Attributes:
        name: what identifies it, such as its id; also its alternative text.
        source: the file, the picture itself, or its address; None where there is none.
        caption: below it, beside the name; such as its label or distance.
        link: where it leads; None: nowhere.
    """

    name: str
    source: Source
    caption: Words | None = None
    link: str | None = None


@dataclass(frozen=True)
class OddSample:
    """A sample far from what speaks for it.

    Attributes:
        picture: the sample.
        label: its label.
        why: one sentence that says what is odd.
        figures: pairs of a name and its value, such as the distance and the percentile.
        prototype: the name of the nearest prototype, such as `good 3, 412 samples`.
        prototype_pictures: the samples that are most typical of it.
        neighbours: the nearest samples.
        reason: what is odd, in a few words.
    """

    picture: Picture
    label: Words
    why: Words
    figures: Sequence[tuple[Words, Words]] = ()
    prototype: Words | None = None
    prototype_pictures: Sequence[Picture] = ()
    neighbours: Sequence[Picture] = ()
    reason: Words | None = None


def thumbnail(source: str | os.PathLike[str] | Image.Image, side: int = 160, *, quality: int = 80) -> str:
    """Return a small copy as a `data:` address, for `<img src>`; see `small_copy`."""
    return "data:image/webp;base64," + base64.b64encode(small_copy(source, side, quality=quality)).decode()


def small_copy(source: str | os.PathLike[str] | Image.Image, side: int = 160, *, quality: int = 80) -> bytes:
    """Return a small copy as a WebP file that holds nothing but pixels.

    Args:
        source: a file, read as `read_picture` does, or a picture of any mode.
        side: longest side in pixels; the shape is kept, and nothing is enlarged.
        quality: of WebP, 1 to 100.

    Raises:
        PictureError: there is no such file, or no picture in it; the message is the reason alone.
    """
    picture = _eight_bit(source) if isinstance(source, Image.Image) else read_picture(source)[0]
    if not all(picture.size):
        raise PictureError("has no pixels")
    shrink = min(1.0, side / max(picture.size))
    width, height = (max(1, round(shrink * length)) for length in picture.size)
    small = picture.resize((width, height), Image.Resampling.LANCZOS, reducing_gap=3.0)
    buffer = io.BytesIO()
    small.save(buffer, "WEBP", quality=quality, method=4)
    return buffer.getvalue()


def picture(one: Picture, *, side: int = 160, named: bool = True) -> Markup:
    """Return a picture with its caption; where it can't be read, a frame of the same size that says why.

    Args:
        one: the picture.
        side: longest side of the thumbnail in pixels.
        named: show the name below it, not only as alternative text.
    """
    address, reason = None, None
    try:
        if isinstance(one.source, Address):
            address = one.source.href
        elif one.source is not None:
            address = thumbnail(one.source, side)
    except ValueError as error:  # a PictureError, or a name that no file can have
        reason = reason_text(str(error))
    later = isinstance(one.source, Address)  # fetched when it comes into sight
    return part("picture", address=address, reason=reason, missing=NO_PICTURE, one=one, named=named, later=later)


def picture_row(title: Words | None, pictures: Sequence[Picture], *, side: int = 160, named: bool = True) -> Markup:
    """Return pictures side by side under a title, such as the most typical samples of a prototype."""
    return part("picture_row", title=title, pictures=[picture(one, side=side, named=named) for one in pictures])


def card(title: Words, name: str, pictures: Sequence[Picture], facts: Sequence[tuple[Words, Words]] = ()) -> Markup:
    """Return large pictures side by side, of one sample, below what is said of it.

    Args:
        title: what it is, such as its label.
        name: what identifies it.
        pictures: of the sample, such as itself and a drawing on it.
        facts: pairs of a name and its value.
    """
    shown = [picture(one, side=480, named=False) for one in pictures]
    return part("card", title=title, name=name, facts=facts, pictures=shown)


def legend(strip: Image.Image, said: Words) -> Markup:
    """Return a strip of colours with what they mean; its alternative text is what is said of it."""
    name = said if isinstance(said, str) else said.en
    return part("legend", picture=picture(Picture(name, strip, said), side=max(strip.size), named=False))


def odd_samples(samples: Sequence[OddSample]) -> Markup:
    """Return a card each: the odd picture, why it is odd, and beside it what the summary and the store have nearest."""
    return Markup("").join(
        part(
            "odd_sample",
            one=one,
            picture=picture(one.picture, side=400, named=False),
            prototype_pictures=[picture(near, named=False) for near in one.prototype_pictures],
            neighbours=[picture(near, named=False) for near in one.neighbours],
            words={"prototype": NEAREST_PROTOTYPE, "neighbours": NEAREST_SAMPLES},
        )
        for one in samples
    )


def _eight_bit(given: Image.Image) -> Image.Image:
    if given.mode in ("L", "RGB"):
        return given
    buffer = io.BytesIO()
    try:
        given.save(buffer, "PNG")  # 16 bits, palettes and transparency then follow the rules of `decode`
    except (OSError, ValueError) as error:
        raise PictureError(f"can't be shown: its mode is {given.mode}") from error
    return decode(buffer.getvalue())

"""Replayable augmentations: (store seed, sample id, view) -> crop, turn, flip and light.

A view is a set of numbers in relative coordinates, so the teacher at 224 pixels and the student at 96 see the same crop, and
a cached embedding always belongs to what the student gets. `render` cuts one view; students cut a batch of them at once, by
`distill.training.cutting`.
"""

import hashlib
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt
from PIL import Image

from embedstore.errors import SettingsError, StoreError

RECIPE_VERSION = 1
Fit = Literal["squash", "letterbox"]
PADDING = 128  # letterbox bars: mid-grey, which most teachers' normalisation takes to about zero


@dataclass(frozen=True)
class Recipe:
    """How views are drawn; recorded in the store and never changed there.

    Attributes:
        seed: the store's seed.
        fit: how a crop reaches a square input: `squash` changes its shape, `letterbox` keeps it and pads.
        smallest_crop: a crop keeps between this share and all of the picture's area.
        turns, flips: draw quarter turns and mirrorings; switch them off where a defect has a direction.
        light: draw a gain and a gamma, as another exposure of a line camera would give.
        student_side: students cut their views from the picture resized once to this short side, in pixels.
        version: of the algorithm below.
    """

    seed: int = 0
    fit: Fit = "squash"
    smallest_crop: float = 0.35
    turns: bool = True
    flips: bool = True
    light: bool = True
    student_side: int = 256
    version: int = RECIPE_VERSION

    def __post_init__(self) -> None:
        if self.fit not in get_args(Fit):
            raise SettingsError(f"The fit '{self.fit}' is unknown; use one of {', '.join(get_args(Fit))}.")
        if not 0 < self.smallest_crop <= 1:
            raise SettingsError(f"The smallest crop is {self.smallest_crop}; expected a share above 0 and up to 1.")
        if self.student_side < 16:
            raise SettingsError(f"The student's short side is {self.student_side} px; expected 16 or more.")

    def to_dict(self) -> dict[str, Any]:
        """Return the recipe as plain values."""
        return asdict(self)

    def told_from(self, other: "Recipe") -> str:
        """Return what differs from another recipe, such as `seed 0, not 3`."""
        own, theirs = self.to_dict(), other.to_dict()
        return ", ".join(f"{name} {own[name]}, not {theirs[name]}" for name in own if own[name] != theirs[name])

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "Recipe":
        """Return the recipe that `to_dict` gave; refuse one of a later version."""
        if values.get("version") != RECIPE_VERSION:
            raise StoreError(
                f"The store's views were drawn by recipe version {values.get('version')}, this program knows version "
                f"{RECIPE_VERSION}; use the release that built the store."
            )
        return cls(**values)


@dataclass(frozen=True)
class View:
    """One view: a box in shares of width and height, then quarter turns, then a mirroring, then light."""

    left: float = 0.0
    top: float = 0.0
    width: float = 1.0
    height: float = 1.0
    turns: int = 0  # quarter turns, counter-clockwise
    mirrored: bool = False
    gain: float = 1.0
    gamma: float = 1.0


WHOLE = View()


def draw_view(recipe: Recipe, sample_id: str, number: int) -> View:
    """Return view `number` of a sample; number 0 is the whole picture.

    The draws come from a hash, not from a random generator, so they are the same on every machine and in every release.
    """
    if number == 0:
        return WHOLE
    area, shape, x, y, turn, mirror, gain, gamma = _uniforms(recipe.seed, sample_id, number)
    share = recipe.smallest_crop + area * (1 - recipe.smallest_crop)
    stretch = math.exp((2 * shape - 1) * math.log(4 / 3) / 2)  # width : height from 3:4 to 4:3 of the picture's own
    width = min(1.0, max(share, math.sqrt(share) * stretch))  # not below the share, or the height would not fit
    height = min(1.0, share / width)
    return View(
        left=x * (1 - width),
        top=y * (1 - height),
        width=width,
        height=height,
        turns=int(turn * 4) if recipe.turns else 0,
        mirrored=recipe.flips and mirror < 0.5,
        gain=2 ** ((2 * gain - 1) * 0.3) if recipe.light else 1.0,  # up to 0.3 stops either way
        gamma=2 ** ((2 * gamma - 1) * 0.3) if recipe.light else 1.0,
    )


def render(picture: Image.Image, view: View, size: int, fit: Fit) -> npt.NDArray[np.uint8]:
    """Return the view as (size, size, 3) uint8 RGB, anti-aliased.

    Args:
        picture: mode `L` or `RGB`, upright, of any size.
        view: what to cut from it.
        size: side of the square input, in pixels.
        fit: `squash` or `letterbox`.
    """
    box = (
        view.left * picture.width,
        view.top * picture.height,
        min((view.left + view.width) * picture.width, picture.width),
        min((view.top + view.height) * picture.height, picture.height),
    )
    cut = _squash(picture, box, size) if fit == "squash" else _letterbox(picture, box, size)
    if view.gain != 1 or view.gamma != 1:
        cut = cut.point(_light_table(view.gain, view.gamma) * len(cut.getbands()))
    pixels = np.asarray(cut)
    pixels = np.rot90(pixels, view.turns)
    if view.mirrored:
        pixels = pixels[:, ::-1]
    if pixels.ndim == 2:
        pixels = np.broadcast_to(pixels[:, :, None], (size, size, 3))
    return np.ascontiguousarray(pixels)


def student_picture(picture: Image.Image, recipe: Recipe) -> Image.Image:
    """Return the picture resized once to the recipe's short side: what students cut all of their views from.

    A picture that is already smaller is kept as it is, since enlarging adds nothing.
    """
    scale = recipe.student_side / min(picture.size)
    if scale >= 1:
        return picture
    width, height = (max(1, round(side * scale)) for side in picture.size)
    return picture.resize((width, height), Image.Resampling.BICUBIC)


def _squash(picture: Image.Image, box: tuple[float, float, float, float], size: int) -> Image.Image:
    return picture.resize((size, size), Image.Resampling.BICUBIC, box=box)


def _letterbox(picture: Image.Image, box: tuple[float, float, float, float], size: int) -> Image.Image:
    width, height = box[2] - box[0], box[3] - box[1]
    scale = size / max(width, height)
    # Bars of equal width, so that two sizes differ by no more than the rounding of one bar.
    left, top = (min(round((size - side * scale) / 2), (size - 1) // 2) for side in (width, height))
    inner = (size - 2 * left, size - 2 * top)
    canvas = Image.new(picture.mode, (size, size), PADDING if picture.mode == "L" else (PADDING,) * 3)
    canvas.paste(picture.resize(inner, Image.Resampling.BICUBIC, box=box), (left, top))
    return canvas


def _light_table(gain: float, gamma: float) -> list[int]:
    return [min(255, round(255 * gain * (level / 255) ** gamma)) for level in range(256)]


def _uniforms(seed: int, sample_id: str, number: int) -> list[float]:
    """Return eight numbers in [0, 1) that depend on nothing but the arguments."""
    message = f"{seed}\0{number}\0{sample_id}".encode()
    digest = hashlib.blake2b(message, digest_size=64, person=b"embedstore.view").digest()
    return [(int.from_bytes(digest[at : at + 8], "little") >> 11) / 2**53 for at in range(0, 64, 8)]

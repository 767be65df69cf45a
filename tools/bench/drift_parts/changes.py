"""Controlled changes of pictures: each is embedded and measured once, and kept, so that batches are drawn from numbers."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageEnhance, ImageFilter

from embedstore.analysis.drift.light import light_of
from embedstore.pictures import read_picture
from embedstore.store.kept_pictures import to_keep
from embedstore.teachers import load_teacher
from embedstore.teachers.protocol import EMBEDDING
from embedstore.views import WHOLE, render

if TYPE_CHECKING:
    from embedstore import EmbeddingStore
    from embedstore.teachers import Teacher

# Strengths, the weakest first: all grey levels times 1 - strength; a Gaussian blur of so many pixels of the picture.
STRENGTHS: dict[str, tuple[float, ...]] = {"brightness": (0.07, 0.15, 0.3, 0.5, 0.7), "blur": (0.5, 1.0, 2.0, 4.0)}
Numbers = dict[tuple[str, float], npt.NDArray[np.float32]]
_AT_ONCE = 32


def changed(picture: Image.Image, change: str, strength: float) -> Image.Image:
    """Return a picture as another light or another focus would have taken it."""
    if change == "brightness":
        return ImageEnhance.Brightness(picture).enhance(1 - strength)
    return picture.filter(ImageFilter.GaussianBlur(strength))


def changed_vectors(store: EmbeddingStore, images: Path, folder: Path, tell: Callable[[str], None]) -> Numbers:
    """Return (change, strength) -> vectors (n, d) of all samples in the store's order; those in `folder` are not made again."""
    teacher: Teacher | None = None

    def embedded(change: str, strength: float) -> npt.NDArray[np.float16]:
        nonlocal teacher
        if teacher is None:
            teacher = load_teacher(store.teacher)
            store.check_teacher(teacher)
        return _embedded(store, teacher, images, change, strength)

    return _kept(folder, "", embedded, tell)


def changed_lights(store: EmbeddingStore, images: Path, folder: Path, tell: Callable[[str], None]) -> Numbers:
    """Return (change, strength) -> (n, 3) what `drift.light` measures of all samples in the store's order; likewise."""

    def measured(change: str, strength: float) -> npt.NDArray[np.float64]:
        pictures = (changed(read_picture(images / sample.uri)[0], change, strength) for sample in store.samples)
        return np.stack([light_of(to_keep(picture, store.recipe)) for picture in pictures])

    return _kept(folder, ".light", measured, tell)


def _kept(
    folder: Path, ending: str, made: Callable[[str, float], npt.NDArray[np.floating]], tell: Callable[[str], None]
) -> Numbers:
    found = {}
    for change, strengths in STRENGTHS.items():
        for strength in strengths:
            path = folder / f"{change}-{strength}{ending}.npy"
            if not path.exists():
                started = time.monotonic()
                fresh = path.with_suffix(".new.npy")
                np.save(fresh, made(change, strength), allow_pickle=False)
                fresh.replace(path)  # complete or not there at all
                tell(f"{path.stem}: {time.monotonic() - started:.0f} s")
            found[change, strength] = np.load(path, allow_pickle=False).astype(np.float32)
    return found


def _embedded(
    store: EmbeddingStore, teacher: Teacher, images: Path, change: str, strength: float
) -> npt.NDArray[np.float16]:
    uris = [sample.uri for sample in store.samples]
    rows = []
    for start in range(0, len(uris), _AT_ONCE):
        pictures = (changed(read_picture(images / uri)[0], change, strength) for uri in uris[start : start + _AT_ONCE])
        crops = np.stack([render(one, WHOLE, teacher.input_size, store.recipe.fit) for one in pictures])
        rows.append(teacher.embed(crops)[EMBEDDING].astype(np.float16))
    return np.concatenate(rows)

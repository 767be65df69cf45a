"""What a picture is like before any teacher sees it: level, contrast, sharpness, which light and camera decide.

A teacher is trained to overlook light: magnetic tiles darker by 30 % lie where they were. So the pictures are measured too, at
the size in which a store keeps them: from its kept pictures, and those that it does not keep from their files.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from embedstore.analysis.drift.draws import Codes, Numbers
from embedstore.errors import PictureError
from embedstore.pages.words import Text
from embedstore.store.kept_pictures import Pixels
from embedstore.store.stored_pictures import stored_pictures

if TYPE_CHECKING:
    from embedstore.store.embedding_store import EmbeddingStore

_LEAST = 0.5  # grey levels added to each, so that black and flat pictures have a logarithm


def light_of(pixels: Pixels) -> Numbers:
    """Return (3,) of a picture (width, height, 1 or 3), as logarithms to base 2, so that differences are ratios.

    level: mean grey. contrast: standard deviation, as a share of the level. sharpness: mean difference of neighbouring pixels,
    as a share of the standard deviation. So darker pictures have another level, and nothing else.
    """
    grey = pixels.astype(np.float32).mean(axis=2)
    steps = [np.abs(np.diff(grey, axis=axis)).mean() for axis in (0, 1) if grey.shape[axis] > 1]
    level, contrast, fine = (float(one) + _LEAST for one in (grey.mean(), grey.std(), np.mean(steps or [0.0])))
    return np.log2([level, contrast / level, fine / contrast])


def stored_lights(store: EmbeddingStore, positions: Codes) -> tuple[Numbers | None, Text]:
    """Return (n, 3) of the pictures at some positions of a store, and no words; or None, and why one of them can't be measured.

    Args:
        store: whose pictures are measured.
        positions: (n,) in the store's order.

    Raises:
        CorruptStoreError: its kept pictures can't be used; the message says what to do.
    """
    found = np.zeros((len(positions), 3))
    with stored_pictures(store) as pictures:
        for at, position in enumerate(positions.tolist()):
            sample = store.sample_at(position)
            try:
                found[at] = light_of(pictures.as_kept(store.content_at(position), sample.uri))
            except PictureError as error:
                return None, Text(f"'{sample.id}': {error}", f"「{sample.id}」：{error}")
    return found, Text("", "")

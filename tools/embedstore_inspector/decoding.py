"""Pictures in memory: what a page or a reader sends costs a bounded amount of it, however well the bytes are packed."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

from PIL import Image

from embedstore.pictures import claimed_pixels, decode

# Decoding takes up to 20 bytes a pixel: a third of a GiB here, and 1.7 GiB for the largest that `decode` allows.
LARGE = 16 << 20  # pixels
_ALONE = threading.Lock()


@contextmanager
def decoded(data: bytes) -> Iterator[Image.Image]:
    """Decode a picture for as long as it is used; of large ones, there is one at a time in this process.

    Raises:
        PictureError: see `decode`.
    """
    with _ALONE if claimed_pixels(data) > LARGE else nullcontext():
        yield decode(data)

"""Pixels for the student: each picture is resized once to the recipe's short side, and views are cut from that."""

import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from distill.source import Source
from embedstore.errors import PictureError, TrainingError
from embedstore.images import leaves
from embedstore.pictures import read_picture
from embedstore.views import View, render, student_picture

MOST_KEPT_BYTES = 2 << 30  # resized pictures in memory; beyond that they are read from their files again
_THREADS = 2


class StudentPictures:
    """Cuts student views from files, keeping resized pictures in memory up to a bound.

    Args:
        store: says where the pictures are and what they were when they were embedded.
        size: side of the student's input, in pixels.
        images: the image folder, where it is not where the store remembers it.
    """

    def __init__(self, store: Source, size: int, images: Path | None = None):
        self._store, self._size = store, size
        root = images or store.image_root
        if root is None:
            raise TrainingError(
                f"The file '{store.path}' does not hold the pictures; tell where they are: --images DIR"
            )
        self._root = root
        if not self._root.is_dir():
            raise TrainingError(
                f"The image folder '{self._root}' is not there; tell where the pictures are now: --images DIR"
            )
        self._kept: dict[int, Image.Image] = {}
        self._kept_bytes = 0
        self._guard = threading.Lock()
        self._pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="distill-read")

    def close(self) -> None:
        """Stop the threads."""
        self._pool.shutdown(cancel_futures=True)

    def cut(self, positions: Sequence[int] | npt.NDArray[np.int64], views: Sequence[View]) -> npt.NDArray[np.uint8]:
        """Return the views (m, s, s, 3) of the samples at some positions in the store."""
        return np.stack(list(self._pool.map(self._cut_one, positions, views)))

    def _cut_one(self, position: int, view: View) -> npt.NDArray[np.uint8]:
        return render(self._picture(int(position)), view, self._size, self._store.recipe.fit)

    def _picture(self, position: int) -> Image.Image:
        kept = self._kept.get(position)
        if kept is not None:
            return kept
        sample = self._store.sample_at(position)
        if leaves(sample.uri):
            raise TrainingError(
                f"'{self._store.path}' names the picture '{sample.uri}', which is outside of the image folder; do not use it."
            )
        try:
            picture, content = read_picture(self._root / sample.uri)
        except PictureError as error:
            raise TrainingError(
                f"The picture '{sample.uri}' under '{self._root}' {error}; put it back, or delete the file "
                "and take it out of the store: embedstore build STORE IMAGES --prune"
            ) from error
        embedded = self._store.content_at(position)
        if any(embedded) and content != embedded:  # zeros: vectors that were given without a picture
            raise TrainingError(
                f"The picture '{sample.uri}' is another than the one that was embedded; "
                "run: embedstore build STORE IMAGES"
            )
        picture = student_picture(picture, self._store.recipe)
        size = picture.width * picture.height * len(picture.getbands())
        with self._guard:  # two threads may have read the same picture
            if position not in self._kept and self._kept_bytes + size <= MOST_KEPT_BYTES:
                self._kept[position] = picture
                self._kept_bytes += size
        return picture

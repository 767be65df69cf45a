"""Pixels for the student: each picture is resized once to the recipe's short side, and views are cut from that."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from distill.source import Source
from embedstore.errors import PictureError, TrainingError
from embedstore.images import leaves
from embedstore.pictures import read_picture
from embedstore.store.kept_pictures import Pixels, open_kept, to_keep
from embedstore.views import View

if TYPE_CHECKING:
    from torch import Tensor

MOST_KEPT_BYTES = 2 << 30  # resized pictures in memory; beyond that they are read from their files again
_THREADS = 2


class StudentPictures:
    """Cuts student views from the pictures that the store keeps; from files where it keeps none.

    What is read from files stays in memory, resized, up to a bound. Both ways give the same pixels.

    Args:
        store: says where the pictures are and what they were when they were embedded.
        size: side of the student's input, in pixels.
        images: the image folder, where it is not where the store remembers it.
    """

    def __init__(self, store: Source, size: int, images: Path | None = None):
        self._store, self._size = store, size
        self._kept = open_kept(store.path, store.recipe.student_side)
        root = images or store.image_root
        if root is None:
            raise TrainingError(
                f"The file '{store.path}' does not hold the pictures; tell where they are: --images DIR"
            )
        self._root = root
        if self._kept is None and not self._root.is_dir():
            raise self._no_folder()
        self._in_memory: dict[int, Pixels] = {}
        self._bytes_in_memory = 0
        self._guard = threading.Lock()
        self._pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="distill-read")

    def close(self) -> None:
        """Stop the threads, and let go of the kept pictures."""
        self._pool.shutdown(cancel_futures=True)
        if self._kept is not None:
            self._kept.close()

    def cut(self, positions: Sequence[int] | npt.NDArray[np.int64], views: Sequence[View]) -> Tensor:
        """Return the views (m, 3, s, s) uint8 of the samples at some positions in the store."""
        return self.cut_from(self.pixels(positions), views)

    def cut_from(self, pixels: Sequence[Pixels], views: Sequence[View]) -> Tensor:
        """Return one view of each of some pictures (m, 3, s, s) uint8; uses all of torch's threads."""
        from distill.training.cutting import cut_views  # needs PyTorch, and nothing else here does

        return cut_views(pixels, views, self._size, self._store.recipe.fit)

    def pixels(self, positions: Sequence[int] | npt.NDArray[np.int64]) -> list[Pixels]:
        """Return the pictures of the samples at some positions in the store, uncut; uses none of torch's threads."""
        at = [int(position) for position in positions]
        found: list[Pixels | None] = [None] * len(at)
        if self._kept is not None:
            found = self._kept.get([self._store.content_at(position) for position in at])
        lacking = [place for place, pixels in enumerate(found) if pixels is None]
        for place, pixels in zip(lacking, self._pool.map(self._read, [at[place] for place in lacking]), strict=True):
            found[place] = pixels
        return [pixels for pixels in found if pixels is not None]

    def _read(self, position: int) -> Pixels:
        known = self._in_memory.get(position)
        if known is not None:
            return known
        sample = self._store.sample_at(position)
        if leaves(sample.uri):
            raise TrainingError(
                f"'{self._store.path}' names the picture '{sample.uri}', which is outside of the image folder; do not use it."
            )
        if not self._root.is_dir():
            raise self._no_folder()
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
        pixels = to_keep(picture, self._store.recipe)
        with self._guard:  # two threads may have read the same picture
            if position not in self._in_memory and self._bytes_in_memory + pixels.nbytes <= MOST_KEPT_BYTES:
                self._in_memory[position] = pixels
                self._bytes_in_memory += pixels.nbytes
        return pixels

    def _no_folder(self) -> TrainingError:
        return TrainingError(
            f"The image folder '{self._root}' is not there; tell where the pictures are now: --images DIR"
        )

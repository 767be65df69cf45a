"""Pixels for the student: each picture is resized once to the recipe's short side, and views are cut from that."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from distill.source import READERS, Source, image_folder, no_folder, picture_of
from embedstore.store.kept_pictures import Pixels, open_kept, to_keep
from embedstore.views import View

if TYPE_CHECKING:
    from torch import Tensor, device

MOST_KEPT_BYTES = 2 << 30  # resized pictures in memory; beyond that they are read from their files again


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
        self._root = image_folder(store, images)
        if self._kept is None and not self._root.is_dir():
            raise no_folder(self._root)
        self._in_memory: dict[int, Pixels] = {}
        self._bytes_in_memory = 0
        self._guard = threading.Lock()
        self._pool = ThreadPoolExecutor(READERS, thread_name_prefix="distill-read")

    @property
    def folder(self) -> Path:
        """The image folder."""
        return self._root

    def close(self) -> None:
        """Stop the threads, and let go of the kept pictures."""
        self._pool.shutdown(cancel_futures=True)
        if self._kept is not None:
            self._kept.close()

    def cut(self, positions: Sequence[int] | npt.NDArray[np.int64], views: Sequence[View]) -> Tensor:
        """Return the views (m, 3, s, s) uint8 of the samples at some positions in the store."""
        return self.cut_from(self.pixels(positions), views)

    def cut_from(self, pixels: Sequence[Pixels], views: Sequence[View], device: device | None = None) -> Tensor:
        """Return one view of each of some pictures (m, 3, s, s) uint8, on a device; uses all of torch's threads."""
        from distill.training.cutting import cut_views  # needs PyTorch, and nothing else here does

        cut = cut_views(pixels, views, self._size, self._store.recipe.fit)
        return cut if device is None else cut.to(device)

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
        pixels = to_keep(picture_of(self._store, self._root, position), self._store.recipe)
        with self._guard:  # two threads may have read the same picture
            if position not in self._in_memory and self._bytes_in_memory + pixels.nbytes <= MOST_KEPT_BYTES:
                self._in_memory[position] = pixels
                self._bytes_in_memory += pixels.nbytes
        return pixels

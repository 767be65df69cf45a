"""Pixels for the student: each picture is resized once to the recipe's short side, and views are cut from that."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from distill.source import READERS, Source, image_folder, no_folder, picture_of
from distill.training.cut_cache import CutCache, Numbers
from embedstore.store.kept_pictures import Pixels, open_kept, to_keep
from embedstore.views import WHOLE, View

if TYPE_CHECKING:
    from torch import Tensor, device

MOST_KEPT_BYTES = (
    2 << 30
)  # resized pictures in memory, of all runs together; beyond that they are read from files again


@dataclass(frozen=True)
class ReadPictures:
    """A batch that is read and not yet cut.

    Attributes:
        positions: (m,) of the samples in the store.
        numbers: (m,) of their views, where views are kept.
        cut: (m, s, s, 3) the views that were cut before, where views are kept.
        lacking: (k,) which are still to be cut.
        pixels: (k) the pictures of those.
    """

    positions: Numbers
    numbers: Numbers | None
    cut: npt.NDArray[np.uint8] | None
    lacking: Numbers
    pixels: list[Pixels]


class StudentPictures:
    """Cuts student views from the pictures that the store keeps; from files where it keeps none.

    What is read from files stays in memory, resized, up to a bound. Both ways give the same pixels.

    Args:
        store: says where the pictures are and what they were when they were embedded.
        size: side of the student's input, in pixels.
        images: the image folder, where it is not where the store remembers it.
        runs: how many train at the same time, each with its own; they share the memory, and the room on the disk.
    """

    def __init__(self, store: Source, size: int, images: Path | None = None, *, runs: int = 1):
        self._store, self._size, self._runs = store, size, runs
        self._kept = open_kept(store.path, store.recipe.student_side)
        self._root = image_folder(store, images)
        if self._kept is None and not self._root.is_dir():
            raise no_folder(self._root)
        self._cache: CutCache | None = None
        self._in_memory: dict[int, Pixels] = {}
        self._bytes_in_memory, self._most_bytes = 0, MOST_KEPT_BYTES // runs
        self._guard = threading.Lock()
        self._pool = ThreadPoolExecutor(READERS, thread_name_prefix="distill-read")

    @property
    def folder(self) -> Path:
        """The image folder."""
        return self._root

    def keep_cuts(self, folder: Path, numbers: int, files: int = 1) -> None:
        """Keep views that were cut, in a file in `folder`, if it can be made: of each picture so many as are numbered.

        Of `files` processes that train one run each keeps its own.
        """
        with suppress(OSError):  # without it all is cut each time
            self._cache = CutCache(folder, len(self._store), numbers, self._size, files * self._runs)

    def close(self) -> None:
        """Stop the threads, and let go of the kept pictures and of what was cut."""
        self._pool.shutdown(cancel_futures=True)
        if self._cache is not None:
            self._cache.close()
        if self._kept is not None:
            self._kept.close()

    def cut(
        self,
        positions: Sequence[int] | Numbers,
        views: Sequence[View],
        numbers: Numbers | None = None,
        device: device | None = None,
    ) -> Tensor:
        """Return the views (m, 3, s, s) uint8 of the samples at some positions in the store; see `read`."""
        return self.cut_from(self.read(positions, numbers), views, device)

    def whole(
        self, positions: Sequence[int] | Numbers, sizes: Sequence[int], device: device | None = None
    ) -> list[Tensor]:
        """Return the whole pictures (m, 3, s, s) uint8 at some positions in the store, in each of some sizes; none is kept."""
        from distill.training.cutting import cut_views

        read = self._pixels(np.asarray(positions, np.int64))
        views, fit = [WHOLE] * len(read), self._store.recipe.fit
        return [cut_views(read, views, size, fit, device=device) for size in sizes]

    def read(self, positions: Sequence[int] | Numbers, numbers: Numbers | None = None) -> ReadPictures:
        """Read what is needed to cut a batch; uses none of torch's threads.

        Args:
            positions: (m,) of the samples in the store.
            numbers: (m,) of the views among those that may be kept; None: they are neither sought nor kept.
        """
        at = np.asarray(positions, np.int64)
        if self._cache is None or numbers is None:
            return ReadPictures(at, None, None, np.arange(len(at)), self._pixels(at))
        cut, there = self._cache.get(at, numbers)
        lacking = np.flatnonzero(~there)
        return ReadPictures(at, numbers, cut, lacking, self._pixels(at[lacking]))

    def cut_from(self, read: ReadPictures, views: Sequence[View], device: device | None = None) -> Tensor:
        """Return the views (m, 3, s, s) uint8 of pictures that were read, on a device; uses all of torch's threads."""
        from torch import from_numpy  # needs PyTorch, and nothing else here does

        from distill.training.cutting import cut_views

        if not len(read.lacking) and read.cut is not None:
            return from_numpy(read.cut).to(device).permute(0, 3, 1, 2)
        wanted = [views[place] for place in read.lacking]
        fresh = cut_views(read.pixels, wanted, self._size, self._store.recipe.fit, device=device)
        if self._cache is None or read.numbers is None or read.cut is None:
            return fresh
        lines = fresh.permute(0, 2, 3, 1).cpu().numpy()
        self._cache.put(read.positions[read.lacking], read.numbers[read.lacking], lines)
        if len(read.lacking) == len(views):
            return fresh
        read.cut[read.lacking] = lines
        return from_numpy(read.cut).to(device).permute(0, 3, 1, 2)

    def _pixels(self, positions: Numbers) -> list[Pixels]:
        """Return the pictures of the samples at some positions in the store, uncut."""
        at = positions.tolist()
        if not at:
            return []
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
            if position not in self._in_memory and self._bytes_in_memory + pixels.nbytes <= self._most_bytes:
                self._in_memory[position] = pixels
                self._bytes_in_memory += pixels.nbytes
        return pixels

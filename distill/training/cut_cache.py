"""Views that were cut once: a run replays the same few of each picture, epoch after epoch."""

import shutil
import tempfile
import threading
from contextlib import suppress
from pathlib import Path

import numpy as np
import numpy.typing as npt

Cut = npt.NDArray[np.uint8]
Numbers = npt.NDArray[np.int64]

MOST_BYTES = 8 << 30  # of the file; views beyond that are cut each time
_SHARE = 4  # of the free room on the disk the file takes at most this part, since checkpoints need some


class CutCache:
    """Views in a file that nobody else sees and that ends with the run, however that ends.

    What of it lies in memory is the system's to say, and to take back.
    Where the disk gets full it gives up, and all is cut each time.

    Args:
        folder: where the file is made.
        pictures: n, how many there are.
        numbers: how many views each may have; they are numbered from 0.
        size: side of a view, in pixels.
        files: how many processes make such a file at the same time; they share the room.
    """

    def __init__(self, folder: Path, pictures: int, numbers: int, size: int, files: int = 1):
        self._file = tempfile.TemporaryFile(dir=folder, buffering=0)  # noqa: SIM115  as long as this object
        self._slots = np.full((pictures, numbers), -1, np.int32)
        self._shape, self._bytes = (size, size, 3), size * size * 3
        room = min(MOST_BYTES, shutil.disk_usage(folder).free // _SHARE) // files
        self._used, self._room = 0, room // self._bytes
        self._guard = threading.Lock()  # a place in the file is sought and then read

    def close(self) -> None:
        """Remove the file."""
        self._file.close()

    def get(self, pictures: Numbers, numbers: Numbers) -> tuple[Cut, npt.NDArray[np.bool_]]:
        """Return views (m, s, s, 3) and which of them were there (m,); the others hold anything."""
        found = np.empty((len(pictures), *self._shape), np.uint8)
        slots = self._slots[pictures, numbers]
        there = slots >= 0
        for place in np.flatnonzero(there):
            with self._guard:
                self._file.seek(int(slots[place]) * self._bytes)
                there[place] = self._file.readinto(memoryview(found[place]).cast("B")) == self._bytes
        return found, there

    def put(self, pictures: Numbers, numbers: Numbers, cut: Cut) -> None:
        """Keep views (m, s, s, 3), as far as there is room."""
        cut = np.ascontiguousarray(cut)
        for picture, number, view in zip(pictures, numbers, cut, strict=True):
            if self._slots[picture, number] >= 0:  # it stands in two batches, which were read before either was cut
                continue
            if self._used >= self._room:
                return
            try:
                with self._guard:
                    self._file.seek(self._used * self._bytes)
                    if self._file.write(memoryview(view).cast("B")) != self._bytes:
                        raise OSError("the disk is full")
            except OSError:
                self._give_up()
                return
            self._slots[picture, number] = self._used
            self._used += 1

    def _give_up(self) -> None:
        """Give the disk back what the file has taken of it: what must be written needs it more."""
        with self._guard:
            self._slots[:] = -1
            self._used = self._room = 0
            with suppress(OSError):
                self._file.truncate(0)

"""Two little teachers whose spaces are known turns of each other, and stores that change from the one to the other."""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from helpers import CountingTeacher, write_pictures

import embedstore

NAMES = [f"{label}/{number:02}.png" for label in ("good", "crack") for number in range(12)]
TURN = np.linalg.qr(np.random.default_rng(7).normal(size=(12, 12)))[0]


class TurnedTeacher(CountingTeacher):
    """Sees what `CountingTeacher` sees, in a space that is turned by `TURN`."""

    def __init__(self, kind: str = "turned", seconds: float = 0.0, **options: Any):
        super().__init__(kind, kind, **options)
        self.seconds = seconds

    def embed(self, pictures: npt.NDArray[np.uint8]) -> dict[str, npt.NDArray[np.float32]]:
        time.sleep(self.seconds)
        return {name: (vectors @ TURN).astype(np.float32) for name, vectors in super().embed(pictures).items()}


def built(path: Path, names: Sequence[str] = NAMES, **options: Any) -> Path:
    """Build a store of tiny pictures by the first teacher, with one augmented view; return where it is."""
    write_pictures(path.parent / "images", names)
    embedstore.build(path, path.parent / "images", teacher=CountingTeacher(), views=1, **options)
    return path

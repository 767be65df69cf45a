"""Vectors that grow: labels, parts, common and rare modes, the same kind of data whatever the size.

A sample shows a part, of which there are four pictures; a part has a label and a mode. A label has a few common modes, the same
ones at every size, and rare modes of two parts each, the more the larger the data: a line that runs longer shows new kinds of
defects, not more of each. A mode is a centre beside a direction that all share (embeddings lie in a narrow cone), a part a
step from it, a picture a small step from its part.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

PICTURES, PARTS_OF_RARE = 4, 2
CHUNK = 8_192  # parts


@dataclass(frozen=True)
class Growing:
    """How the vectors are drawn.

    Attributes:
        dim: numbers in a vector.
        labels: label -> share of the parts.
        common: common modes of each label.
        rare: share of the parts that are of rare modes.
        between, part, picture: length of a mode beside the shared direction, of a part's step, of a picture's (about).
        seed: of everything.
    """

    dim: int = 64
    labels: tuple[tuple[str, float], ...] = (("good", 0.9), ("defect", 0.1))
    common: int = 8
    rare: float = 0.01
    between: float = 0.8
    part: float = 0.45
    picture: float = 0.1
    seed: int = 0

    def write(self, folder: Path, count: int) -> None:
        """Write `vectors.npy` (count, dim) float16 and `vectors.csv` with id, label, mode and group."""
        vectors = np.lib.format.open_memmap(folder / "vectors.npy", "w+", np.float16, (count, self.dim))
        with (folder / "vectors.csv").open("w", encoding="utf-8", newline="\n") as table:
            table.write("id,label,mode,group\n")
            first = 0
            for drawn, lines in self.chunks(count):
                vectors[first : first + len(drawn)] = drawn
                table.writelines(lines)
                first += len(drawn)
        vectors.flush()

    def chunks(self, count: int) -> Iterator[tuple[npt.NDArray[np.float32], list[str]]]:
        """Yield vectors (m, dim) of unit length and their lines of the table."""
        parts = -(-count // PICTURES)
        fixed = np.random.default_rng([self.seed, 1])
        shared = _directions(fixed, (self.dim,))
        common = _directions(fixed, (len(self.labels), self.common, self.dim))
        edges = np.cumsum([share for _, share in self.labels])
        for first in range(0, parts, CHUNK):
            numbers = np.arange(
                first, first + CHUNK
            )  # all of them, so that a smaller size is the beginning of a larger one
            draw = np.random.default_rng([self.seed, 2, first])
            label = np.searchsorted(edges, draw.random(len(numbers)) * edges[-1], "right")
            mode = draw.integers(0, self.common, len(numbers))
            centres = common[label, mode]
            rare = draw.random(len(numbers)) < self.rare
            rare[1::2], label[1::2] = rare[::2], label[::2]  # both parts of a rare mode
            kinds = numbers // PARTS_OF_RARE
            for kind in np.unique(kinds[rare]):
                centres[rare & (kinds == kind)] = _directions(np.random.default_rng([self.seed, 3, kind]), (self.dim,))
            middle = shared + self.between * centres + self.part * draw.standard_normal(centres.shape) / self.dim**0.5
            drawn = np.repeat(middle, PICTURES, axis=0)
            drawn += self.picture * draw.standard_normal(drawn.shape) / self.dim**0.5
            drawn /= np.linalg.norm(drawn, axis=1, keepdims=True)
            lines = [
                f"p{part}/{picture},{self.labels[own][0]},{f'rare {kind}' if odd else f'common {which}'},p{part}\n"
                for part, own, kind, odd, which in zip(
                    numbers.tolist(), label.tolist(), kinds.tolist(), rare.tolist(), mode.tolist(), strict=True
                )
                for picture in range(PICTURES)
            ]
            left = count - first * PICTURES
            yield drawn[:left].astype(np.float32), lines[:left]


def _directions(rng: np.random.Generator, shape: tuple[int, ...]) -> npt.NDArray[np.float64]:
    drawn = rng.standard_normal(shape)
    return np.asarray(drawn / np.linalg.norm(drawn, axis=-1, keepdims=True))

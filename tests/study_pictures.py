"""Made-up pictures for the tests of the study of prototypes; these put `tools/study` on the path first."""

import numpy as np
import numpy.typing as npt
from prototype_parts.pictures import Pictures

from embedstore.images import Sample
from embedstore.vectors import unit_length

DIM = 32


def pictures_of(
    vectors: npt.ArrayLike, labels: list[str], parts: list[str], modes: list[str] | None = None
) -> Pictures:
    kinds = modes or labels
    samples = [
        Sample(f"{number:04d}", f"{number:04d}", label, mode, part)
        for number, (label, mode, part) in enumerate(zip(labels, kinds, parts, strict=True))
    ]
    return Pictures(samples, np.asarray(vectors, np.float16), "good")


def with_twins(seed: int, parts: int = 120, between: float = 0.0) -> Pictures:
    """Each part photographed twice, all but the same; good and defect differ along one axis by `between` deviations."""
    random = np.random.default_rng(seed)
    labels = ["good", "good", "defect"] * (parts // 3)
    once = random.normal(size=(parts, DIM))
    once[:, 0] += between * (np.array(labels) == "defect")
    twice = np.repeat(once, 2, axis=0) + random.normal(size=(2 * parts, DIM)) * 0.02
    names = [f"part {number}" for number in range(parts)]
    return pictures_of(unit_length(twice), list(np.repeat(labels, 2)), list(np.repeat(names, 2)))

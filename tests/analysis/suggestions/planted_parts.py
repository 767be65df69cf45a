"""A store with known faults: wrong labels, a twin on the other side of the split, a hidden mode, and a student that is wrong."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from helpers import store_of

from embedstore import EmbeddingStore
from embedstore.analysis.suggestions import StudentScores
from embedstore.vectors import unit_length

DIM, PARTS = 16, 90
_RNG = np.random.default_rng(7)

# Of three parts each: two good ones, and a crack, which is long but for every fifth; a short one looks much like good.
PART = np.repeat(np.arange(PARTS), [1 + part % 2 for part in range(PARTS)])
COUNT = len(PART)
_TRUE = ["crack" if part % 3 == 0 else "good" for part in range(PARTS)]
_MODE = ["short" if part % 15 == 0 else "long" if part % 3 == 0 else "plain" for part in range(PARTS)]
_CENTRE = {"plain": np.eye(DIM)[0], "long": np.eye(DIM)[1], "short": 0.8 * np.eye(DIM)[0] + 0.3 * np.eye(DIM)[1]}
_SHAPE = np.array([_CENTRE[mode] for mode in _MODE]) + 0.05 * _RNG.normal(size=(PARTS, DIM))
VECTORS = unit_length(_SHAPE[PART] + 0.004 * _RNG.normal(size=(COUNT, DIM)))

IDS = [f"part {part:02d}/{number:03d}.png" for number, part in enumerate(PART.tolist())]
LABELS: list[str | None] = [_TRUE[part] for part in PART]
MODES = [_MODE[part] for part in PART]
GROUPS = [f"part {part}" for part in PART]
SPLITS = ["test" if part % 4 == 1 else "train" for part in PART]


def of(part: int) -> list[int]:
    """Return the pictures of a part."""
    return np.flatnonzero(part == PART).tolist()


# The only picture of a good part, one of two pictures of another, and both pictures of a third.
WRONG = [*of(4), of(7)[1], *of(13)]
for at in WRONG:
    LABELS[at] = "crack"
    MODES[at] = "long"
WRONG_IDS = {IDS[at] for at in WRONG}

# The only picture of part 20 (train) is nearly that of part 5, photographed once more under the name of another part (test).
TWIN, TWIN_OF = of(5)[0], of(20)[0]
VECTORS[TWIN] = VECTORS[TWIN_OF] + 0.001
# A part that its own group puts on two sides.
TORN = of(31)
SPLITS[TORN[0]], SPLITS[TORN[1]] = "train", "val"

# A student that was asked of the test side; it takes two long cracks for good, of one of them it is surer.
ASKED = [at for at in range(COUNT) if SPLITS[at] == "test"]
MISSED = [at for at in ASKED if MODES[at] == "long"][:2]


def make(path: Path, order: Sequence[int] | None = None, **changed: Sequence[Any]) -> EmbeddingStore:
    """Return the store, its rows in an order of choice, fields changed where given."""
    rows = np.arange(COUNT) if order is None else np.asarray(order)
    fields = {"ids": IDS, "labels": LABELS, "modes": MODES, "groups": GROUPS, "splits": SPLITS, **changed}
    return store_of(path, VECTORS[rows], **{name: [values[at] for at in rows] for name, values in fields.items()})


def student(*, held_out: bool = True) -> StudentScores:
    """Return what the student says: right with .9, and of two cracks 'good' with .99 and .7."""
    good = [0.9 if MODES[at] == "plain" else 0.1 for at in ASKED]
    for at, sure in zip(MISSED, (0.99, 0.7), strict=True):
        good[ASKED.index(at)] = sure
    return StudentScores([IDS[at] for at in ASKED], ["crack", "good"], np.array([[1 - p, p] for p in good]), held_out)

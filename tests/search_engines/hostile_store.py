"""A store whose texts try to break out of what they are put into; with copies, a vector of zeros, and samples without a label."""

from pathlib import Path

import numpy as np
from helpers import store_of, unit_vectors

from embedstore import EmbeddingStore

COUNT, DIM = 330, 8  # more than one block of rows
HOSTILE = [
    '" or 1==1 or label == "',
    "' or 1==1 --",
    "back\\slash",
    '\\" or id != "',
    "a\nb\tc\r",
    "傷/クラック é",
    "%_{x}",
    "is null",
    "\\",
]
IDS = [f"{HOSTILE[at % len(HOSTILE)]}/{at:03}" for at in range(COUNT)]
LABELS = [None if at % 7 == 0 else HOSTILE[at % 5] for at in range(COUNT)]
ATTRIBUTES = [{"照明 角度": HOSTILE[at % 3], "in": "1"} if at % 4 else {"light_1": "x"} for at in range(COUNT)]


def hostile_store(path: Path, seed: int = 0) -> EmbeddingStore:
    vectors = unit_vectors(seed, COUNT, DIM) * np.float16(1.5)  # not of unit length
    vectors[100:160] = vectors[3]  # more copies than anybody asks for at first
    vectors[200] = 0
    groups = [f"part {at // 3}" for at in range(COUNT)]
    return store_of(
        path, [vectors, unit_vectors(9, COUNT, DIM)], ids=IDS, labels=LABELS, attributes=ATTRIBUTES, groups=groups
    )

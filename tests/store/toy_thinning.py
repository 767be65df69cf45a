"""A store of given vectors, with parts, sides and attributes, to be made smaller."""

from pathlib import Path
from typing import Any

import numpy as np
from helpers import store_of, unit_vectors

COUNT, DIM, VIEWS = 300, 12, 3  # more than one block of rows
VECTORS = np.stack([unit_vectors(view, COUNT, DIM) for view in range(VIEWS + 1)])
IDS = [f"部品/{at:03}.png" for at in range(COUNT)]
LABELS = ["defect" if at % 3 == 0 else "good" for at in range(COUNT)]
GROUPS = [f"part {at // 2}" for at in range(COUNT)]
SPLITS = [("train", "train", "val", "test")[at // 2 % 4] for at in range(COUNT)]
TRAIN = np.array([split == "train" for split in SPLITS])


def stored(path: Path) -> Path:
    """Make the store; return its path."""
    attributes = [{"line": str(at % 2)} if at % 5 else {} for at in range(COUNT)]
    fields: dict[str, Any] = {"labels": LABELS, "groups": GROUPS, "splits": SPLITS, "attributes": attributes}
    store_of(path, VECTORS, ids=IDS, **fields).close()
    return path

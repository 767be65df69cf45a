"""A store of three labels, of parts with two pictures each, that is cut into shards in several ways."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from helpers import store_of

from embedstore import EmbeddingStore, Summary
from embedstore.summaries import TrainingVectors, summarize
from embedstore.summaries.over_shards.shards import InProcess, Shard
from embedstore.vectors import unit_length

COUNT, DIM = 420, 12
CUTS = (COUNT, 140, 60)  # 1, 3 and 7 shards
PARAMETERS: dict[str, dict[str, Any]] = {
    "class-distribution": {"rank": 3},
    "sub-prototypes": {"k": 4},
    "rare-samples": {"share": 0.05, "k": 4},
    "medoids": {"k": 4},
    "random-samples": {"k": 5},
}


def cloud(seed: int = 0) -> npt.NDArray[np.float16]:
    """Return vectors (2, COUNT, DIM), plain and of one view, without clear clusters, two of a part alike."""
    random = np.random.default_rng(seed)
    plain = random.normal(size=(COUNT // 2, DIM)).repeat(2, axis=0) + 0.2 * random.normal(size=(COUNT, DIM)) + 0.5
    view = plain + 0.2 * random.normal(size=plain.shape)
    return unit_length(np.stack([plain, view]).reshape(-1, DIM)).reshape(2, COUNT, DIM).astype(np.float16)


LABELS = [("common", "common", "common", "rare", "odd")[number // 2 % 5] for number in range(COUNT)]
GROUPS = [f"part {number // 2}" for number in range(COUNT)]
IDS = [f"sample {number:05d}" for number in range(COUNT)]


def toy_store(path: Path, order: Sequence[int] | None = None) -> EmbeddingStore:
    """Make it, with the rows in an order of choice."""
    at = np.arange(COUNT) if order is None else np.asarray(order)
    chosen = {"ids": IDS, "labels": LABELS, "groups": GROUPS, "modes": [f"mode {label}" for label in LABELS]}
    fields = {name: [values[one] for one in at] for name, values in chosen.items()}
    return store_of(path, cloud()[:, at], **fields)


def over(store: EmbeddingStore, strategy: str, samples: int, **parameters: Any) -> Summary:
    """Summarise over shards of so many samples, in this process."""
    return summarize(store, strategy, seed=3, engine=InProcess(samples), **PARAMETERS.get(strategy, {}) | parameters)


def gathered(store: EmbeddingStore, strategy: str, **parameters: Any) -> Summary:
    """Summarise as small stores are, label by label."""
    return summarize(store, strategy, seed=3, **PARAMETERS.get(strategy, {}) | parameters)


def shards_of(training: TrainingVectors) -> list[Shard]:
    """Return the shards of samples."""
    assert training.shards is not None
    return list(training.shards.map("", lambda shard, read: shard))


def training_over(store: EmbeddingStore, samples: int = 60) -> TrainingVectors:
    """Return all samples of a store, to be seen over shards."""
    return TrainingVectors.from_store(store, np.arange(len(store)), InProcess(samples))

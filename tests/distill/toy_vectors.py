"""Vectors put into a store by hand, for tests of target policies: four labels and none, parts, sides, views."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from helpers import store_of

from distill.targets import MIXTURE, Policy, Targets, TrainingSet
from distill.targets.making import make_policy
from embedstore import EmbeddingStore, Summary
from embedstore.summaries import summarize
from embedstore.vectors import unit_length

COUNT, DIM, VIEWS = 120, 8, 2
GOOD, DEFECT, ALONE, ONE_PART = "good", "傷", "<alone>", "one part"

# Small enough that summaries of these few samples have several prototypes a label, and common samples beside rare ones.
OPTIONS: dict[str, dict[str, Any]] = {
    "sub-prototypes": {"k": 3},
    "rare-samples": {"k": 2, "share": 0.2},
    "compressed-own": {"bytes": 2, "share": 0.2, "rare_bytes": 6},
}
WEIGHTS: dict[str, dict[str, float]] = {
    GOOD: {"own": 0.3, "sub-prototypes": 0.2, "retrieved": 0.5},
    DEFECT: {"rare-samples": 2, "none": 1, "shuffled-own": 1},
    ALONE: {"class-mean": 1},
    ONE_PART: {"none": 1},
}


def random_vectors(seed: int) -> npt.NDArray[np.float16]:
    """Return the plain and two further views of samples that lie in a few clouds, far from the origin."""
    random = np.random.default_rng(seed)
    clouds = random.normal(size=(5, DIM))[random.integers(5, size=COUNT)]
    plain = clouds + random.normal(size=(COUNT, DIM)) * 0.5 + 1.5
    return unit_length(plain + random.normal(size=(VIEWS + 1, COUNT, DIM)) * 0.4).astype(np.float16)


def _label(number: int) -> str | None:
    if number == 20:
        return ALONE
    if 40 <= number < 44:
        return ONE_PART
    return (GOOD, DEFECT, GOOD, DEFECT, GOOD, None)[number // 2 % 6]


VECTORS = random_vectors(1)
IDS = [f"部品/{number * 37 % COUNT:03}.png" for number in range(COUNT)]  # rows are not in the order of ids
LABELS = [_label(number) for number in range(COUNT)]
GROUPS = [None if number % 12 == 9 else f"part {number // 4}" for number in range(COUNT)]
SPLITS = [("train", "train", "train", "val", "test")[number // 4 % 5] for number in range(COUNT)]


def make_store(
    path: Path,
    *,
    order: npt.ArrayLike = range(COUNT),
    views: int = VIEWS,
    vectors: npt.NDArray[np.float16] = VECTORS,
    labels: Sequence[str | None] = LABELS,
) -> EmbeddingStore:
    """Make a store with its rows in some order."""
    rows = np.asarray(order)
    return store_of(
        path,
        vectors[: views + 1, rows],
        ids=[IDS[at] for at in rows],
        labels=[labels[at] for at in rows],
        groups=[GROUPS[at] for at in rows],
        splits=[SPLITS[at] for at in rows],
    )


def training_of(store: EmbeddingStore, views: int | None = None) -> TrainingSet:
    """Return the training side, with some of the views, or all."""
    return TrainingSet.from_source(store, np.flatnonzero(store.where({"split": "train"})), views)


def summary_of(training: TrainingSet, strategy: str, seed: int = 0, **parameters: Any) -> Summary:
    """Summarise the training samples as a run does."""
    assert isinstance(training.source, EmbeddingStore)
    return summarize(training.source, strategy, positions=training.positions, seed=seed, **parameters)


def fitted(
    name: str, training: TrainingSet, seed: int = 0, *, weights: Mapping[str, Mapping[str, float]] = WEIGHTS, **own: Any
) -> Policy:
    """Fit a policy as a run does."""
    policy = make_policy(
        name,
        training,
        seed=seed,
        options=OPTIONS | {name: own} if own else OPTIONS,
        weights=weights if name == MIXTURE else {},
        summary_of=lambda strategy, options: summary_of(training, strategy, seed, **options),
    )
    assert policy is not None
    return policy


def whole(policy: Policy, training: TrainingSet, view: int = 0, step: int = 0) -> Targets:
    """Return the targets of all training samples in one view."""
    everyone = np.arange(len(training))
    return policy.targets(everyone, np.full(len(training), view), step)


def said(name: str, store: EmbeddingStore, seed: int = 0, views: int | None = None) -> dict[tuple[str, int], bytes]:
    """Return all that a policy says, to the last bit, by id and view; asked in the order of ids."""
    training = training_of(store, views)
    policy = fitted(name, training, seed)
    order = np.argsort(training.ids)
    found = {}
    for view in range(training.views + 1):
        targets = policy.targets(order, np.full(len(order), view), 3)
        for at, vector, known in zip(order, targets.vectors, targets.known, strict=True):
            found[training.ids[at], view] = vector.tobytes() if known else b""
    return found


def unit(vectors: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Return rows of unit length, in double precision."""
    wide = np.asarray(vectors, np.float64)
    return wide / np.linalg.norm(wide, axis=-1, keepdims=True)


def stored(training: TrainingSet, view: int = 0) -> npt.NDArray[np.float64]:
    """Return the training samples' vectors as they were put in, by id."""
    return VECTORS[view, [IDS.index(sample_id) for sample_id in training.ids]].astype(np.float64)


def of_label(training: TrainingSet, label: str | None) -> npt.NDArray[np.int64]:
    """Return which training samples have a label."""
    return np.array([at for at, one in enumerate(training.labels) if one == label])


def everyone(shares: Mapping[str, float]) -> dict[str, Mapping[str, float]]:
    """Return the weights of a mixture that are the same for every label."""
    return dict.fromkeys((GOOD, DEFECT, ALONE, ONE_PART), shares)

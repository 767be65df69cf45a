"""From a store and a strategy to a Summary, with what it hides."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import numpy as np

from embedstore.errors import SummaryError
from embedstore.summaries.nearness import near_distances
from embedstore.summaries.strategy import Prototypes, TrainingVectors
from embedstore.summaries.summary import ClassLoss, Summary

if TYPE_CHECKING:
    import numpy.typing as npt

    from embedstore.store.embedding_store import EmbeddingStore


def summarize(
    store: EmbeddingStore,
    strategy: str,
    *,
    name: str | None = None,
    split: str | None = None,
    positions: npt.NDArray[np.int64] | None = None,
    seed: int = 0,
    **parameters: Any,
) -> Summary:
    """Make a summary of a split's labelled samples (or all, or those at some positions); see `EmbeddingStore.summarize`.

    Raises:
        SummaryError: the strategy is unknown, or there is no labelled sample to summarise.
    """
    from embedstore.summaries import STRATEGIES

    if strategy not in STRATEGIES:
        raise SummaryError(f"The strategy '{strategy}' is unknown; use one of {', '.join(STRATEGIES)}.")
    if name is not None and not re.fullmatch(r"[\w.\-]{1,100}", name):
        raise SummaryError(f"The name '{name}' can't be used; use up to 100 letters, digits, '-', '_' and '.'.")
    if positions is None:
        chosen = np.ones(len(store), bool) if split is None else store.where({"split": split})
        if not chosen.any():
            raise SummaryError(
                f"No sample of '{store.path}' is in the split '{split}'; write a split first: embedstore split '{store.path}'"
            )
        positions = np.flatnonzero(chosen)
    labelled = np.array([store.sample_at(int(at)).label is not None for at in positions], bool)
    if not labelled.any():
        raise SummaryError(f"No sample to summarise in '{store.path}' has a label; a summary needs labels.")
    training = TrainingVectors.from_store(store, positions[labelled])
    prototypes = STRATEGIES[strategy](training, seed, **parameters)
    modes = [store.sample_at(int(at)).mode for at in positions[labelled]]
    return _summary(store, training, prototypes, modes, name or strategy, strategy, seed, split, parameters)


def _summary(
    store: EmbeddingStore,
    training: TrainingVectors,
    prototypes: Prototypes,
    modes: list[str | None],
    name: str,
    strategy: str,
    seed: int,
    split: str | None,
    parameters: dict[str, Any],
) -> Summary:
    distance = np.empty(len(training.ids))
    total = np.zeros(training.dim, np.float64)
    for at, vectors in training.blocks():  # the second pass: how far each sample lies from what speaks for it
        wide = vectors.astype(np.float64)
        total += wide.sum(axis=0)
        distance[at] = np.linalg.norm(wide - prototypes.vectors[prototypes.serving[at]].astype(np.float64), axis=1)
    near = near_distances(training)
    labels = np.array(training.labels)
    radius = np.zeros(len(prototypes.labels), np.float32)
    np.maximum.at(radius, prototypes.serving, distance.astype(np.float32))
    return Summary(
        name=name,
        strategy=strategy,
        parameters=parameters,
        seed=seed,
        split=split,
        fingerprint=store.fingerprint,
        store_version=store.version,
        vectors=prototypes.vectors,
        labels=prototypes.labels,
        counts=np.bincount(prototypes.serving, minlength=len(prototypes.labels)).astype(np.int64),
        radius=radius,
        centre=(total / len(training.ids)).astype(np.float32),
        seen=training.ids,
        serving=prototypes.serving,
        fitted=prototypes.fitted,
        averaging_loss={
            label: _class_loss(label, labels == label, distance, near[label], training.ids, modes)
            for label in sorted(set(training.labels))
        },
    )


def _class_loss(
    label: str,
    chosen: npt.NDArray[np.bool_],
    distance: npt.NDArray[np.float64],
    near: float | None,
    ids: list[str],
    modes: list[str | None],
) -> ClassLoss:
    at = np.flatnonzero(chosen)
    # Of equally far samples the first by id is named, whatever the row order.
    worst = min(at, key=lambda one: (-distance[one], ids[one]))
    far = [one for one in at if near is not None and distance[one] > near]
    far_modes: dict[str, int] = {}
    for one in far:
        mode = modes[one]
        if mode is not None:
            far_modes[mode] = far_modes.get(mode, 0) + 1
    return ClassLoss(
        label=label,
        count=len(at),
        mean=float(distance[at].mean()),
        p95=float(np.percentile(distance[at], 95)),
        worst=float(distance[worst]),
        worst_id=ids[worst],
        near=near,
        far=len(far),
        far_modes=dict(sorted(far_modes.items())),
    )

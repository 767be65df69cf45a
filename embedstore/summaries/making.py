"""From a store and a strategy to a Summary, with what it hides."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from embedstore.errors import SummaryError
from embedstore.parameters import taken_by, wrong_type
from embedstore.summaries.class_loss import ClassLoss
from embedstore.summaries.over_shards.serving import serving_over
from embedstore.summaries.strategy import Prototypes, TrainingVectors
from embedstore.summaries.summary import Summary, refuse_too_large
from embedstore.vectors import Vectors, squared_distances, unit_length

if TYPE_CHECKING:
    import numpy.typing as npt

    from embedstore.store.embedding_store import EmbeddingStore
    from embedstore.summaries.over_shards.shards import Progress, ShardEngine

_NUMBERS = 4_000_000  # distances at once


def summarize(
    store: EmbeddingStore,
    strategy: str,
    *,
    name: str | None = None,
    split: str | None = None,
    positions: npt.NDArray[np.int64] | None = None,
    seed: int = 0,
    engine: ShardEngine | None = None,
    progress: Progress | None = None,
    **parameters: Any,
) -> Summary:
    """Make a summary of the labelled samples of a split, of all but those set aside, or of some positions.

    See `EmbeddingStore.summarize`.

    Raises:
        SummaryError: the strategy is unknown, there is no labelled sample to summarise, or with a name, there are too many.
    """
    from embedstore.summaries import OVER_SHARDS, STRATEGIES

    if strategy not in STRATEGIES:
        raise SummaryError(f"The strategy '{strategy}' is unknown; use one of {', '.join(STRATEGIES)}.")
    if name is not None and not re.fullmatch(r"[\w.\-]{1,100}", name):
        raise SummaryError(f"The name '{name}' can't be used; use up to 100 letters, digits, '-', '_' and '.'.")
    if positions is None:
        chosen = ~store.where({"split": "aside"}) if split is None else store.where({"split": split})
        if split is not None and not chosen.any():
            written = sorted(set(store.counts("split")) - {None}, key=str)
            if written:
                raise SummaryError(
                    f"No sample of '{store.path}' is in the split '{split}'; choose one that samples are in: "
                    f"{', '.join(map(str, written))}."
                )
            raise SummaryError(
                f"No sample of '{store.path}' is in the split '{split}'; write a split first: embedstore split "
                f"'{store.path}'"
            )
        positions = np.flatnonzero(chosen)
    labelled = store.text_field("label").codes[positions] >= 0
    if not labelled.any():
        where = f"in the split '{split}' of" if split is not None else "to summarise in"
        raise SummaryError(f"No sample {where} '{store.path}' has a label; a summary needs labels.")
    parameters = complete_parameters(strategy, parameters)
    training = TrainingVectors.from_store(store, positions[labelled], engine, progress)
    if name is not None:
        refuse_too_large(training.ids, training.views)
    gathers = training.engine is None and (training.shards is None or strategy not in OVER_SHARDS)
    told = progress if gathers else None  # each pass over shards tells of itself
    if told is not None:
        told(f"making {strategy}", 0, 1)
    prototypes = fit(strategy, training, seed, parameters)
    if told is not None:
        told(f"making {strategy}", 1, 1)
    modes = store.text_field("mode")[positions[labelled]].to_list()
    made_by = {"name": name or strategy, "strategy": strategy, "parameters": parameters, "seed": seed, "split": split}
    remarks = [*prototypes.remarks, *on_lone(store, positions[labelled])]
    return _summary(store, training, prototypes, modes, made_by | {"remarks": remarks})


def fit(strategy: str, training: TrainingVectors, seed: int, parameters: Mapping[str, Any]) -> Prototypes:
    """Let a strategy look at samples: gathered, label by label, or over shards where `TrainingVectors.shards` says so.

    Raises:
        SummaryError: an engine was asked for, and the strategy can't be made over shards.
    """
    from embedstore.summaries import OVER_SHARDS, STRATEGIES

    if training.shards is None:
        return STRATEGIES[strategy](training, seed, **parameters)
    if strategy in OVER_SHARDS:
        return OVER_SHARDS[strategy](training, training.shards, seed, **parameters)
    if training.engine is not None:
        raise SummaryError(
            f"The strategy '{strategy}' can't be made over shards; give no engine, or use one of {', '.join(OVER_SHARDS)}."
        )
    return STRATEGIES[strategy](training, seed, **parameters)


def on_lone(store: EmbeddingStore, positions: npt.NDArray[np.int64]) -> list[str]:
    """Say of how many samples the part that they show is unknown; nothing where of none."""
    alone = int((store.text_field("group").codes[positions] < 0).sum())
    if not alone:
        return []
    return [
        f"{alone} of {len(positions)} pictures have no group, so each counts as a part of its own; where several show one "
        "part, near is too small. Groups can be found with: embedstore twins"
    ]


def complete_parameters(strategy: str, parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Return a strategy's parameters, those not given by their default.

    Raises:
        SummaryError: the strategy does not take one of them, or not with a value of that type.
    """
    from embedstore.summaries import STRATEGIES

    taken = taken_by(STRATEGIES[strategy])
    unknown = sorted(parameters.keys() - taken.keys())
    if unknown:
        raise SummaryError(f"The strategy '{strategy}' takes no '{unknown[0]}'; it takes {' and '.join(taken)}.")
    wrong = wrong_type(STRATEGIES[strategy], parameters)
    if wrong is not None:
        name, expected = wrong
        raise SummaryError(f"The parameter '{name}' of '{strategy}' is {parameters[name]!r}; expected {expected}.")
    return taken | dict(parameters)


def _summary(
    store: EmbeddingStore,
    training: TrainingVectors,
    prototypes: Prototypes,
    modes: list[str | None],
    made_by: dict[str, Any],
) -> Summary:
    directions = unit_length(prototypes.vectors)  # a mean lies inside of the sphere that samples are on
    if training.shards is not None:
        serving, distance = serving_over(training.shards, directions, prototypes.labels, training.views)
    else:
        serving = _serving(training, directions, prototypes.labels)
        distance = np.empty(len(training.ids))
        for at, vectors in training.blocks(0):  # how far each sample lies from what speaks for it
            away = unit_length(vectors).astype(np.float64) - directions[serving[at, 0]]
            distance[at] = np.linalg.norm(away, axis=1)
    radius = np.zeros(len(prototypes.labels), np.float32)
    np.maximum.at(radius, serving[:, 0], distance.astype(np.float32))
    if prototypes.distances is not None:
        distance = prototypes.distances
    return Summary(
        **made_by,
        fingerprint=store.fingerprint,
        store_version=store.version,
        vectors=prototypes.vectors,
        labels=prototypes.labels,
        counts=np.bincount(serving[:, 0], minlength=len(prototypes.labels)).astype(np.int64),
        radius=radius,
        centre=training.centre,
        source=prototypes.source,
        seen=training.ids,
        serving=serving,
        fitted=prototypes.fitted,
        averaging_loss={
            label: class_loss(training, members, distance, modes, bool(prototypes.codes))
            for label, members in training.members.items()
        },
        axes=prototypes.axes,
        codes=prototypes.codes,
    )


def _serving(training: TrainingVectors, directions: Vectors, labels: list[str]) -> npt.NDArray[np.int32]:
    """Return the nearest prototype of its own label for each sample and view, (n, views + 1); of equals, the first."""
    of_label = {label: np.flatnonzero(np.array(labels) == label) for label in training.members}
    serving = np.empty((len(training.ids), training.views + 1), np.int32)
    sample_labels = np.array(training.labels)
    for view in range(training.views + 1):
        for at, vectors in training.blocks(view):
            for label, own in of_label.items():
                some = np.flatnonzero(sample_labels[at] == label)
                serving[at[some], view] = own[nearest_directions(unit_length(vectors[some]), directions[own])]
    return serving


def nearest_directions(points: Vectors, directions: Vectors) -> npt.NDArray[np.int64]:
    """Return which of some directions (k, d) is nearest to each point (n, d), all of unit length; of equals, the first."""
    found, step = np.empty(len(points), np.int64), max(1, _NUMBERS // len(directions))
    for start in range(0, len(points), step):
        found[start : start + step] = squared_distances(points[start : start + step], directions).argmin(axis=1)
    return found


def class_loss(
    training: TrainingVectors,
    members: npt.NDArray[np.int64],
    distance: npt.NDArray[np.float64],
    modes: list[str | None],
    coded: bool,
) -> ClassLoss:
    """Say what is hidden of one label, given its samples sorted by id; the same whatever the row order, to the last bit."""
    ordered = members[np.argsort(-distance[members], kind="stable")]  # of equally far, the first by id
    worst = int(ordered[0])
    near = training.near[training.labels[worst]]
    far = ordered[distance[ordered] > near] if near is not None else ordered[:0]
    far_modes = Counter(mode for one in far if (mode := modes[one]) is not None)
    all_modes = Counter(mode for one in members if (mode := modes[one]) is not None)
    return ClassLoss(
        label=training.labels[worst],
        count=len(members),
        mean=float(distance[ordered].mean()),
        p95=float(np.percentile(distance[ordered], 95)),
        worst=float(distance[worst]),
        worst_id=training.ids[worst],
        near=near,
        far=len(far),
        far_modes=dict(sorted(far_modes.items())),
        modes=dict(sorted(all_modes.items())),
        coded=coded,
    )

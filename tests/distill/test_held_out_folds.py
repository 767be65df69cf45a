"""Which two folds a run holds out, and that nothing of either reaches what it learns."""

from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import toy_vectors
from toy_vectors import COUNT, IDS, OPTIONS, VECTORS

from distill import Settings
from distill.targets import MIXTURE, POLICIES, TrainingSet
from distill.targets.making import make_policy
from distill.training.compare import val_fold_of
from distill.training.run_data import RunData, make_run_data
from distill.training.run_summary import summary_for
from embedstore import EmbeddingStore, Summary

# Which fold validates


@pytest.mark.parametrize("folds", range(3, 11))
def test_no_two_runs_of_a_seed_hold_out_the_same_folds_and_each_is_held_out_twice(folds: int) -> None:
    for seed in range(20):
        pairs = [(fold, val_fold_of(folds, fold, seed)) for fold in range(folds)]
        assert all(fold != other for fold, other in pairs)
        assert len({frozenset(pair) for pair in pairs}) == folds
        assert Counter(fold for pair in pairs for fold in pair) == dict.fromkeys(range(folds), 2)


@pytest.mark.parametrize(("folds", "seeds"), [(3, 1), (5, 2), (7, 3), (9, 4)])
def test_an_odd_number_of_folds_has_held_out_every_pair_once_after_some_seeds(folds: int, seeds: int) -> None:
    for first in range(3):  # whatever the first seed is
        pairs = Counter(
            frozenset((fold, val_fold_of(folds, fold, first + seed))) for seed in range(seeds) for fold in range(folds)
        )
        assert len(pairs) == folds * (folds - 1) // 2
        assert set(pairs.values()) == {1}


def test_the_first_seed_validates_on_the_next_fold() -> None:
    assert [val_fold_of(5, fold, 0) for fold in range(5)] == [1, 2, 3, 4, 0]
    assert [val_fold_of(5, fold, 1) for fold in range(5)] == [2, 3, 4, 0, 1]


# Nothing of either fold is learned from

LABELS = [("good", "defect", "good", None, "defect", "good")[number // 2 % 6] for number in range(COUNT)]
WEIGHTS = {
    "good": {"own": 0.3, "sub-prototypes": 0.2, "retrieved": 0.5},
    "defect": {"rare-samples": 2, "none": 1, "shuffled-own": 1},
}
ALONE = {"none", "live-teacher"}  # need no vector
FAR = np.zeros(VECTORS.shape[2], np.float16)
FAR[0] = -1


def settings_of(policy: str, fold: int, val_fold: int) -> Settings:
    return Settings(
        policy=policy,
        mixture=WEIGHTS if policy == MIXTURE else {},
        options={} if policy == "none" else OPTIONS,
        good="good",
        folds=5,
        fold=fold,
        val_fold=val_fold,
    )


def fitted(store: EmbeddingStore, settings: Settings) -> tuple[bytes, RunData, list[Summary]]:
    """Return all targets of a run, to the last bit; its data; and the summaries that were made."""
    data, made = make_run_data(store, settings), list[Summary]()
    training = TrainingSet.from_source(store, data.sides["train"])

    def summary_of(strategy: str, options: Mapping[str, Any]) -> Summary:
        made.append(summary_for(store, data, settings, strategy, options))
        return made[-1]

    policy = make_policy(
        settings.policy,
        training,
        seed=settings.seed,
        options=settings.options,
        weights=settings.mixture,
        summary_of=summary_of,
    )
    assert policy is not None
    said = b""
    for view in range(training.views + 1):
        targets = policy.targets(np.arange(len(training)), np.full(len(training), view), 3)
        said += targets.vectors[targets.known].tobytes() + targets.known.tobytes()
    return said, data, made


def far(vectors: npt.NDArray[np.float16], held_out: list[int], train: list[int]) -> None:
    vectors[:, held_out] = FAR


def twins(vectors: npt.NDArray[np.float16], held_out: list[int], train: list[int]) -> None:
    """Make each held-out sample the twin of a training sample: its nearest neighbour, and no sample is rare any more."""
    vectors[:, held_out] = vectors[:, [train[at % len(train)] for at in range(len(held_out))]]


@pytest.mark.parametrize("policy", sorted(set(POLICIES) - ALONE))
@pytest.mark.parametrize(("fold", "val_fold"), [(0, 1), (0, 2), (3, 0)])
@pytest.mark.parametrize("plant", [far, twins])
def test_what_is_planted_in_the_folds_that_are_held_out_changes_no_bit_of_a_target(
    policy: str, fold: int, val_fold: int, plant: Callable[..., None], tmp_path: Path
) -> None:
    settings = settings_of(policy, fold, val_fold)
    with toy_vectors.make_store(tmp_path / "clean", labels=LABELS) as store:
        clean, data, made = fitted(store, settings)
    sides = {side: [IDS.index(data.samples[at].id) for at in data.sides[side]] for side in ("train", "val", "test")}
    assert all(sides.values())
    held_out = {IDS[at] for side in ("val", "test") for at in sides[side]}
    for summary in made:
        assert not held_out & {*summary.seen}
    assert len(made) >= (POLICIES[policy].strategy is not None)
    for side in ("val", "test"):
        planted = VECTORS.copy()
        plant(planted, sides[side], sides["train"])
        with toy_vectors.make_store(tmp_path / side, labels=LABELS, vectors=planted) as store:
            assert fitted(store, settings)[0] == clean


@pytest.mark.parametrize("policy", sorted(set(POLICIES) - ALONE - {"random-vectors"}))
def test_the_same_outlier_in_a_training_sample_changes_targets(policy: str, tmp_path: Path) -> None:
    settings = settings_of(policy, 0, 2)
    with toy_vectors.make_store(tmp_path / "clean", labels=LABELS) as store:
        clean, data, _ = fitted(store, settings)
    planted = VECTORS.copy()
    planted[:, [IDS.index(data.samples[data.sides["train"][0]].id)]] = FAR
    with toy_vectors.make_store(tmp_path / "planted", labels=LABELS, vectors=planted) as store:
        assert fitted(store, settings)[0] != clean

"""The contract of target policies: one suite over all of them."""

from collections import Counter
from inspect import signature
from pathlib import Path

import numpy as np
import pytest
from toy_parts import quick
from toy_vectors import (
    ALONE,
    COUNT,
    DEFECT,
    DIM,
    GOOD,
    LABELS,
    ONE_PART,
    SPLITS,
    VECTORS,
    VIEWS,
    fitted,
    make_store,
    of_label,
    said,
    summary_of,
    training_of,
    whole,
)

from distill.targets import MIXTURE, POLICIES, TrainingSet
from distill.targets.making import make_policy
from distill.targets.policy import fitting_policy
from embedstore import EmbeddingStore
from embedstore.errors import SummaryError
from embedstore.summaries import STRATEGIES

# The teacher of given vectors can't be loaded; what it would say is tested in `test_live_teacher.py`.
WITH_TARGETS = [name for name in POLICIES if name not in ("none", "live-teacher")]
SINGLE = [name for name in WITH_TARGETS if name != MIXTURE]
STEADY = [name for name in SINGLE if name != "class-distribution"]  # the same target in every step
WITH_SUMMARY = [name for name in POLICIES if POLICIES[name].strategy]
WITH_VECTORS = [name for name in WITH_TARGETS if POLICIES[name].reads_vectors]
DRAWN = ["class-distribution", "random-vectors", "rotated-means", "shuffled-own", MIXTURE]  # by the seed

every_policy = pytest.mark.parametrize("name", WITH_TARGETS)
every_single_policy = pytest.mark.parametrize("name", SINGLE)


def test_the_data_has_all_that_the_contract_speaks_of(training: TrainingSet) -> None:
    counts = Counter(training.labels)
    assert counts[ALONE] == 1
    assert counts[ONE_PART] == 4
    assert {training.groups[at] for at in of_label(training, ONE_PART)} == {"group\0part 10"}
    assert min(counts[GOOD], counts[DEFECT], counts[None]) >= 8
    assert any(group.startswith("sample\0") for group in training.groups)
    assert set(SPLITS) == {"train", "val", "test"}


def test_only_none_has_no_targets_at_all(training: TrainingSet) -> None:
    assert make_policy("none", training, seed=0, options={}, weights={}, summary_of=pytest.fail) is None


@every_policy
@pytest.mark.parametrize("view", range(VIEWS + 1))
def test_targets_have_unit_length_and_the_teachers_dimension(name: str, view: int, training: TrainingSet) -> None:
    policy = fitted(name, training)
    targets = whole(policy, training, view)
    assert policy.dim == DIM
    assert (targets.vectors.dtype, targets.vectors.shape) == (np.float32, (len(training), DIM))
    assert (targets.known.dtype, targets.known.shape) == (bool, (len(training),))
    assert targets.known.any()
    np.testing.assert_allclose(np.linalg.norm(targets.vectors[targets.known], axis=1), 1, atol=1e-6)


@every_single_policy
def test_a_labelled_sample_has_a_target_and_another_where_the_policy_needs_no_label(
    name: str, training: TrainingSet
) -> None:
    labelled = np.array([label is not None for label in training.labels])
    expected = np.ones(len(training), bool) if name in WITH_VECTORS else labelled
    np.testing.assert_array_equal(whole(fitted(name, training), training).known, expected)


@every_policy
def test_targets_are_the_chosen_prototypes_where_there_are_any(name: str, training: TrainingSet) -> None:
    policy = fitted(name, training)
    for view in range(VIEWS + 1):
        targets = whole(policy, training, view)
        assert (policy.prototypes is None) == (targets.chosen is None)
        if policy.prototypes is not None and targets.chosen is not None:
            chosen = policy.prototypes[targets.chosen[targets.known]]
            np.testing.assert_array_equal(targets.vectors[targets.known], chosen)


@every_policy
def test_the_same_seed_gives_the_same_targets_to_the_last_bit(name: str, vector_store: EmbeddingStore) -> None:
    assert said(name, vector_store, seed=5) == said(name, vector_store, seed=5)


@pytest.mark.parametrize("name", DRAWN)
def test_another_seed_gives_other_targets_where_something_is_drawn(name: str, vector_store: EmbeddingStore) -> None:
    assert said(name, vector_store, seed=5) != said(name, vector_store, seed=6)


@every_single_policy
@pytest.mark.parametrize("size", [1, 7])
def test_targets_do_not_depend_on_how_a_batch_is_cut_and_ordered(name: str, size: int, training: TrainingSet) -> None:
    policy = fitted(name, training)
    random = np.random.default_rng(0)
    samples, views = random.integers(0, len(training), 60), random.integers(0, VIEWS + 1, 60)
    together = policy.targets(samples, views, 2)
    order = random.permutation(60)
    for number, start in enumerate(range(0, 60, size)):
        part = order[start : start + size]
        alone = policy.targets(samples[part], views[part], number if name in STEADY else 2)
        np.testing.assert_array_equal(alone.known, together.known[part])
        np.testing.assert_array_equal(alone.vectors[alone.known], together.vectors[part][alone.known])
        if alone.chosen is not None and together.chosen is not None:
            np.testing.assert_array_equal(alone.chosen[alone.known], together.chosen[part][alone.known])


@every_policy
def test_what_is_handed_out_is_not_what_is_kept(name: str, training: TrainingSet) -> None:
    policy = fitted(name, training)
    before = whole(policy, training).vectors.copy()
    whole(policy, training).vectors[:] = 0
    np.testing.assert_array_equal(whole(policy, training).vectors, before)


@every_policy
def test_targets_do_not_depend_on_the_order_of_rows(name: str, vector_store: EmbeddingStore, tmp_path: Path) -> None:
    order = np.random.default_rng(1).permutation(COUNT)
    with make_store(tmp_path / "other", order=order) as other:
        assert other.ids != vector_store.ids
        assert said(name, other) == said(name, vector_store)


@every_policy
def test_outliers_among_held_out_samples_change_no_target(
    name: str, vector_store: EmbeddingStore, tmp_path: Path
) -> None:
    held_out = [at for at in range(COUNT) if SPLITS[at] != "train"]
    vectors, labels = VECTORS.copy(), list(LABELS)
    vectors[:, held_out] = -VECTORS[:, held_out][:, ::-1]
    labels[held_out[0]] = "never seen"
    with make_store(tmp_path / "planted", vectors=vectors, labels=labels) as planted:
        assert said(name, planted) == said(name, vector_store)


@every_policy
def test_a_training_sample_that_changes_does_change_targets(
    name: str, vector_store: EmbeddingStore, tmp_path: Path
) -> None:
    """Else the test of held-out samples would say nothing."""
    vectors = VECTORS.copy()
    vectors[:, SPLITS.index("train")] = -VECTORS[:, SPLITS.index("train")]
    with make_store(tmp_path / "changed", vectors=vectors) as changed:
        assert (said(name, changed) == said(name, vector_store)) == (name == "random-vectors")


@every_policy
@pytest.mark.parametrize("views", range(VIEWS))
def test_a_run_may_use_fewer_views_than_the_store_has(name: str, views: int, vector_store: EmbeddingStore) -> None:
    few = said(name, vector_store, views=views)
    assert {view for _, view in few} == set(range(views + 1))
    everything = said(name, vector_store)
    assert few == {key: everything[key] for key in few}


@pytest.mark.parametrize("name", [name for name in WITH_TARGETS if name != "compressed-own"])  # fitted to all views
@pytest.mark.parametrize("views", [0, 1])
def test_a_store_of_few_views_will_do(name: str, views: int, vector_store: EmbeddingStore, tmp_path: Path) -> None:
    with make_store(tmp_path / "few", views=views) as few:
        assert said(name, few) == said(name, vector_store, views=views)


@every_policy
def test_without_samples_that_lack_a_label(name: str, tmp_path: Path) -> None:
    labels = [label or GOOD for label in LABELS]
    with make_store(tmp_path / "labelled", labels=labels) as store:
        training = training_of(store)
        known = whole(fitted(name, training), training).known
        assert known.all() or name == MIXTURE


@pytest.mark.parametrize("name", WITH_SUMMARY)
def test_a_policy_that_needs_a_summary_says_so(name: str, training: TrainingSet) -> None:
    with pytest.raises(SummaryError, match=f"'{name}' needs a summary"):
        POLICIES[name].fit(training, None, 0)


@pytest.mark.parametrize("name", POLICIES)
def test_the_defaults_of_every_option_are_values_that_are_allowed(name: str) -> None:
    kind = POLICIES[name]
    fit = STRATEGIES[kind.strategy] if kind.strategy else kind.fit
    own = {key: one.default for key, one in signature(fit).parameters.items() if one.kind is one.KEYWORD_ONLY}
    if name != MIXTURE:
        quick(policy=name, options={name: own})


@pytest.mark.parametrize("strategy", [name for name in STRATEGIES if name != "text"])
def test_every_strategy_has_a_policy_that_takes_its_summaries(strategy: str, training: TrainingSet) -> None:
    name = fitting_policy(strategy)
    policy = POLICIES[name].fit(training, summary_of(training, strategy), 0)
    assert policy is not None
    labelled = np.array([label is not None for label in training.labels])
    np.testing.assert_array_equal(whole(policy, training).known, labelled)
    assert strategy not in POLICIES or name == strategy


def test_a_policy_is_found_for_strategies_of_texts_and_of_a_later_release_too() -> None:
    assert (fitting_policy("text"), fitting_policy("of a later release")) == ("class-mean", "sub-prototypes")


@pytest.mark.parametrize(
    ("name", "strategy", "size"), [("rare-samples", "herding", {"share": 0.3}), ("sub-prototypes", "medoids", {"k": 5})]
)
def test_an_option_names_another_strategy_to_make_the_summary_by(
    name: str, strategy: str, size: dict[str, float], training: TrainingSet
) -> None:
    found = whole(fitted(name, training, strategy=strategy, **size), training)
    by_hand = POLICIES[name].fit(training, summary_of(training, strategy, **size), 0)
    assert by_hand is not None
    np.testing.assert_array_equal(found.vectors, whole(by_hand, training).vectors)
    assert not np.array_equal(found.vectors, whole(fitted(name, training), training).vectors)

"""One contract suite over every policy, and what each policy's targets are, worked out by hand."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import toy_parts
from toy_parts import Part, quick

import distill
import embedstore
from distill.targets import POLICIES, Policy, Targets, TrainingSet
from distill.training.task import check_summary, make_task
from embedstore import EmbeddingStore, Summary
from embedstore.errors import SettingsError, SummaryError
from embedstore.summaries import summarize

EVERY = sorted(POLICIES)
LABELLED_ONLY = {"class-mean", "random-vectors"}  # a sample without a label has no target there


def training_set(store: EmbeddingStore) -> TrainingSet:
    return TrainingSet.from_store(store, make_task(store, quick()).sides["train"])


def fit(name: str, training: TrainingSet, seed: int = 0) -> Policy:
    """Fit a policy as a run does; skip where it aligns nothing."""
    kind = POLICIES[name]
    summary = summarize(training.store, kind.strategy, positions=training.positions) if kind.strategy else None
    policy = kind.fit(training, summary, seed)
    if policy is None:
        pytest.skip(f"the policy '{name}' has no targets")
    return policy


def whole(policy: Policy, training: TrainingSet, view: int = 0) -> Targets:
    """Return the targets of all training samples in one view."""
    everyone = np.arange(len(training))
    return policy.targets(everyone, np.full(len(training), view))


def by_id(name: str, store: EmbeddingStore, view: int = 1) -> dict[str, list[float]]:
    training = training_set(store)
    targets = whole(fit(name, training), training, view)
    return {i: v.tolist() for i, v, known in zip(training.ids, targets.vectors, targets.known, strict=True) if known}


def unit(vectors: npt.ArrayLike) -> npt.NDArray[np.float64]:
    wide = np.asarray(vectors, np.float64)
    return wide / np.linalg.norm(wide, axis=-1, keepdims=True)


@pytest.fixture(scope="module")
def training(store: EmbeddingStore) -> TrainingSet:
    return training_set(store)


# The contract


@pytest.mark.parametrize("name", EVERY)
def test_targets_have_unit_length(name: str, training: TrainingSet) -> None:
    policy = fit(name, training)
    targets = whole(policy, training)
    assert targets.vectors.dtype == np.float32
    assert targets.vectors.shape == (len(training), policy.dim)
    np.testing.assert_allclose(np.linalg.norm(targets.vectors[targets.known], axis=1), 1, atol=1e-6)


@pytest.mark.parametrize("name", EVERY)
def test_every_sample_has_a_target_unless_the_policy_goes_by_labels_and_it_has_none(
    name: str, training: TrainingSet
) -> None:
    known = whole(fit(name, training), training).known
    labelled = np.array([label is not None for label in training.labels])
    assert labelled.sum() == 60
    assert (~labelled).sum() == 4
    np.testing.assert_array_equal(known, labelled if name in LABELLED_ONLY else np.ones(len(training), bool))


@pytest.mark.parametrize("name", EVERY)
def test_targets_are_the_chosen_prototypes_where_there_are_any(name: str, training: TrainingSet) -> None:
    policy = fit(name, training)
    targets = whole(policy, training)
    assert (policy.prototypes is None) == (targets.chosen is None)
    if policy.prototypes is not None and targets.chosen is not None:
        np.testing.assert_array_equal(targets.vectors[targets.known], policy.prototypes[targets.chosen[targets.known]])


@pytest.mark.parametrize("name", EVERY)
def test_targets_do_not_depend_on_what_else_is_in_the_batch(name: str, training: TrainingSet) -> None:
    policy = fit(name, training)
    random = np.random.default_rng(0)
    samples, views = random.integers(0, len(training), 40), random.integers(0, training.views + 1, 40)
    batch = policy.targets(samples, views)
    for at in range(40):
        alone = policy.targets(samples[at : at + 1], views[at : at + 1])
        np.testing.assert_array_equal(alone.vectors[0], batch.vectors[at])
        assert alone.known[0] == batch.known[at]


@pytest.mark.parametrize("name", EVERY)
def test_targets_are_deterministic(name: str, store: EmbeddingStore) -> None:
    assert by_id(name, store) == by_id(name, store)


@pytest.fixture(scope="module")
def other_row_order(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddingStore]:
    """The same samples, built last half first."""
    folder = tmp_path_factory.mktemp("other-order")
    rows = toy_parts.everything()
    toy_parts.write_pictures(folder / "images", rows)
    for part in (rows[50:], rows):
        manifest = toy_parts.write_manifest(folder / "parts.csv", part)
        embedstore.build(folder / "toy.store", folder / "images", manifest=manifest, teacher="pixels")
    with embedstore.open(folder / "toy.store") as opened:
        yield opened


@pytest.mark.parametrize("name", EVERY)
def test_targets_do_not_depend_on_the_order_of_rows(
    name: str, store: EmbeddingStore, other_row_order: EmbeddingStore
) -> None:
    assert store.ids != other_row_order.ids
    assert sorted(store.ids) == sorted(other_row_order.ids)
    assert by_id(name, store) == by_id(name, other_row_order)


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddingStore]:
    """The same training samples, but every held-out picture is an outlier, and there are more of them."""
    folder = tmp_path_factory.mktemp("planted")
    rows = [row if row.split == "train" else replace(row, kind="rims") for row in toy_parts.everything()]
    rows += [
        Part(f"planted{n}.png", "defect", "", f"planted-{n}", side, "rims") for n, side in enumerate(("val", "test"))
    ]
    with embedstore.open(toy_parts.make_store(folder, rows)) as opened:
        yield opened


@pytest.mark.parametrize("name", EVERY)
def test_an_outlier_among_held_out_samples_changes_no_target(
    name: str, store: EmbeddingStore, planted: EmbeddingStore
) -> None:
    held_out = [s.id for s in store.samples if s.split == "test"]
    assert not np.allclose(store.vectors(held_out), planted.vectors(held_out))
    assert by_id(name, store) == by_id(name, planted)


@pytest.mark.parametrize("name", [name for name in EVERY if POLICIES[name].strategy])
def test_a_policy_that_needs_a_summary_says_so(name: str, training: TrainingSet) -> None:
    with pytest.raises(SummaryError, match=f"'{name}' needs a summary"):
        POLICIES[name].fit(training, None, 0)


@pytest.mark.parametrize("name", [name for name in EVERY if not POLICIES[name].strategy])
def test_a_policy_that_needs_no_summary_takes_none(name: str) -> None:
    with pytest.raises(SettingsError, match=f"'{name}' takes no summary"):
        quick(policy=name, summary="class-mean")


# Values


def test_none_has_no_policy(training: TrainingSet) -> None:
    assert POLICIES["none"].fit(training, None, 0) is None


def test_the_centre_is_the_mean_of_the_plain_training_vectors(store: EmbeddingStore, training: TrainingSet) -> None:
    plain = store.vectors(training.ids).astype(np.float64)
    np.testing.assert_allclose(training.centre, plain.mean(axis=0), atol=1e-7)
    assert not np.allclose(
        training.centre, store.vectors().mean(axis=0), atol=1e-4
    )  # of all samples it would be another


@pytest.mark.parametrize("view", [0, 1, 2])
def test_own_is_the_centred_stored_vector_of_the_very_view(
    view: int, store: EmbeddingStore, training: TrainingSet
) -> None:
    centre = store.vectors(training.ids).astype(np.float64).mean(axis=0)
    targets = whole(fit("own", training), training, view).vectors
    for other in range(3):
        expected = unit(store.vectors(training.ids, view=other) - centre)
        if other == view:
            np.testing.assert_allclose(targets, expected, atol=1e-6)
        else:
            assert (np.abs(targets - expected).max(axis=1) > 0.02).all()


def test_own_reads_each_sample_in_its_own_view(store: EmbeddingStore, training: TrainingSet) -> None:
    policy = fit("own", training)
    samples, views = np.array([5, 0, 5, 5, 40]), np.array([2, 1, 0, 2, 0])
    centre = store.vectors(training.ids).astype(np.float64).mean(axis=0)
    expected = [
        unit(store.vectors([training.ids[s]], view=int(v))[0] - centre) for s, v in zip(samples, views, strict=True)
    ]
    np.testing.assert_allclose(policy.targets(samples, views).vectors, expected, atol=1e-6)


def test_class_mean_is_the_centred_mean_of_the_label(store: EmbeddingStore, training: TrainingSet) -> None:
    labels = np.array([label or "" for label in training.labels])
    plain = store.vectors(training.ids).astype(np.float64)
    centre = plain[labels != ""].mean(axis=0)
    targets = whole(fit("class-mean", training), training, view=2)  # all views of a sample share it
    for label in ("good", "defect"):
        expected = unit(plain[labels == label].mean(axis=0) - centre)
        np.testing.assert_allclose(
            targets.vectors[labels == label], np.tile(expected, ((labels == label).sum(), 1)), atol=1e-5
        )


def test_class_mean_takes_means_of_some_samples_of_each_label(store: EmbeddingStore, training: TrainingSet) -> None:
    summary = summarize(store, "class-mean", positions=training.positions, per_class=3, seed=5)
    fitted = [sample_id for sample_id, used in zip(summary.seen, summary.fitted, strict=True) if used]
    assert len(fitted) == 6
    policy = POLICIES["class-mean"].fit(training, summary, 0)
    assert policy is not None
    for label in ("good", "defect"):
        at = training.labels.index(label)
        mean = store.vectors([i for i in fitted if store.sample(i).label == label]).astype(np.float64).mean(axis=0)
        expected = unit(mean - store.vectors(summary.seen).astype(np.float64).mean(axis=0))
        np.testing.assert_allclose(policy.targets(np.array([at]), np.array([0])).vectors[0], expected, atol=1e-5)


def test_class_means_of_two_labels_are_antipodal_only_around_their_own_centre(training: TrainingSet) -> None:
    prototypes = fit("class-mean", training).prototypes
    assert prototypes is not None
    assert prototypes[0] @ prototypes[1] == pytest.approx(-1, abs=1e-4)  # which is why two class means say nothing


def test_random_vectors_are_one_per_label_and_another_for_another_seed(training: TrainingSet) -> None:
    labels = np.array([label or "" for label in training.labels])
    first, again, other = (whole(fit("random-vectors", training, seed), training).vectors for seed in (3, 3, 4))
    np.testing.assert_array_equal(first, again)
    good, defect = first[labels == "good"], first[labels == "defect"]
    assert (good == good[0]).all()
    assert (defect == defect[0]).all()
    assert abs(good[0] @ defect[0]) < 0.4  # of 192 dimensions: five standard deviations
    assert abs(good[0] @ other[labels == "good"][0]) < 0.4


def test_random_vectors_know_nothing_of_the_teacher(store: EmbeddingStore, tmp_path: Path) -> None:
    rows = [replace(row, kind="rims") for row in toy_parts.everything()]
    with embedstore.open(toy_parts.make_store(tmp_path, rows)) as other:
        assert by_id("random-vectors", other) == by_id("random-vectors", store)
        assert by_id("own", other) != by_id("own", store)


# Summaries that do not fit


@pytest.fixture
def summary(store: EmbeddingStore, training: TrainingSet) -> Summary:
    return summarize(store, "class-mean", positions=training.positions)


def test_a_summary_of_the_training_side_fits(store: EmbeddingStore, summary: Summary) -> None:
    check_summary(summary, store, make_task(store, quick()))


@pytest.mark.parametrize("side", ["val", "test", "aside"])
def test_a_summary_that_saw_a_held_out_sample_is_refused(side: str, store: EmbeddingStore) -> None:
    task = make_task(store, quick())
    leak = task.sides[side][:1]
    positions = np.sort(np.concatenate([task.sides["train"], leak]))
    saw = summarize(store, "class-mean", positions=positions)
    with pytest.raises(SummaryError, match=f"saw 1 pictures .* '{task.samples[leak[0]].id}'"):
        check_summary(saw, store, task)


def test_a_summary_of_another_teacher_is_refused(store: EmbeddingStore, summary: Summary) -> None:
    other = replace(summary, fingerprint="0123456789abcdef" * 2)
    with pytest.raises(SummaryError, match=f"0123456789ab.*{store.fingerprint[:12]}"):
        check_summary(other, store, make_task(store, quick()))


def test_an_unknown_summary_is_refused_before_anything_is_written(store: EmbeddingStore, tmp_path: Path) -> None:
    with pytest.raises(SummaryError, match="no summary 'monday'"):
        distill.train(store, tmp_path / "run", quick(policy="class-mean", summary="monday"))
    assert not (tmp_path / "run").exists()


def test_a_summary_that_lacks_a_label_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    rows = toy_parts.parts(10, 10, 0)
    store_path = toy_parts.make_store(tmp_path, [row for row in rows if row.label == "good"])
    with embedstore.open(store_path) as store:
        store.summarize("class-mean", name="monday", split="train")
    with embedstore.open(toy_parts.make_store(tmp_path, rows)) as store:  # the first defects came on Tuesday
        with pytest.raises(SummaryError, match="'monday' has no mean for the label 'defect'"):
            distill.train(store, tmp_path / "run", quick(policy="class-mean", summary="monday"))
        assert not (tmp_path / "run").exists()


def test_a_summary_of_all_samples_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    with embedstore.open(toy_parts.make_store(tmp_path, toy_parts.parts(10, 10, 0))) as store:
        store.summarize("class-mean", name="all")
        with pytest.raises(SummaryError, match="'all' saw 8 pictures"):
            distill.train(store, tmp_path / "run", quick(policy="class-mean", summary="all"))
    assert not (tmp_path / "run").exists()


def test_a_summary_with_several_prototypes_of_a_label_is_refused(training: TrainingSet, summary: Summary) -> None:
    several = replace(summary, labels=["good", "good"], strategy="sub-prototypes", name="many")
    with pytest.raises(SummaryError, match="'many' \\(sub-prototypes\\) has several prototypes"):
        POLICIES["class-mean"].fit(training, several, 0)


def test_a_summary_of_an_older_version_is_told(tmp_path: Path) -> None:
    path = toy_parts.make_store(tmp_path, toy_parts.everything())
    with embedstore.open(path) as store:
        store.summarize("class-mean", name="old", split="train")
        assert make_task_remarks(store) == []
    manifest = tmp_path / "parts.csv"
    manifest.write_text(
        manifest.read_text("utf-8").replace("stripe000.png,defect,stripe", "stripe000.png,defect,other"), "utf-8"
    )
    embedstore.build(path, tmp_path / "images", manifest=manifest)
    with embedstore.open(path) as store:
        assert make_task_remarks(store) == [
            "The summary 'old' was made of version 1 of the store, which is at version 2 now; what changed since then is "
            "not in it."
        ]


def make_task_remarks(store: embedstore.EmbeddingStore) -> list[str]:
    task = make_task(store, quick(policy="class-mean"))
    check_summary(store.summary("old"), store, task)
    return task.remarks

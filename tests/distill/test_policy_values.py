"""What each policy's targets are, worked out by brute force from the vectors that were put in."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from helpers import store_of
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from toy_vectors import (
    ALONE,
    COUNT,
    DEFECT,
    DIM,
    GOOD,
    ONE_PART,
    VECTORS,
    VIEWS,
    fitted,
    make_store,
    of_label,
    random_vectors,
    said,
    stored,
    summary_of,
    training_of,
    unit,
    whole,
)

from distill.targets import POLICIES, TrainingSet, rotated_means, shuffled_own
from distill.targets.policy import places_in
from distill.targets.retrieved import highest
from embedstore import EmbeddingStore, Summary
from embedstore.errors import SettingsError

# What is centred


def labelled_mean(training: TrainingSet) -> npt.NDArray[np.float64]:
    """Return the centre: the mean of the labelled training samples' plain vectors."""
    seen = [at for at, label in enumerate(training.labels) if label is not None]
    centre: npt.NDArray[np.float64] = stored(training)[seen].mean(axis=0)
    return centre


def test_the_centre_is_the_mean_of_the_plain_labelled_training_vectors(training: TrainingSet) -> None:
    np.testing.assert_allclose(training.centre, labelled_mean(training), atol=1e-7)
    assert not np.allclose(training.centre, stored(training).mean(axis=0), atol=1e-3)  # of all training samples
    assert not np.allclose(training.centre, VECTORS[0].astype(np.float64).mean(axis=0), atol=1e-3)  # of all samples


def test_the_centre_is_that_of_summaries_to_the_last_bit(
    training: TrainingSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("distill.targets.policy._AT_ONCE", 7)
    in_blocks = TrainingSet.from_source(training.source, training.positions).centre
    np.testing.assert_array_equal(in_blocks, training.centre)
    np.testing.assert_array_equal(in_blocks, summary_of(training, "class-mean").centre)


def test_where_nothing_has_a_label_the_centre_is_the_mean_of_all(training: TrainingSet) -> None:
    nobody = replace(training, labels=[None] * len(training))
    np.testing.assert_allclose(nobody.centre, stored(training).mean(axis=0), atol=1e-7)


# own


@pytest.mark.parametrize("view", range(VIEWS + 1))
def test_own_is_the_centred_stored_vector_of_the_very_view(view: int, training: TrainingSet) -> None:
    targets = whole(fitted("own", training), training, view).vectors
    np.testing.assert_allclose(targets, unit(stored(training, view) - labelled_mean(training)), atol=1e-6)


def test_own_reads_each_sample_in_its_own_view(training: TrainingSet) -> None:
    samples, views = np.array([5, 0, 5, 5, 40]), np.array([2, 1, 0, 2, 0])
    expected = [stored(training, view)[at] for at, view in zip(samples, views, strict=True)]
    targets = fitted("own", training).targets(samples, views).vectors
    np.testing.assert_allclose(targets, unit(np.array(expected) - labelled_mean(training)), atol=1e-6)


# class-mean


def test_class_mean_is_the_centred_mean_of_the_label_in_every_view(training: TrainingSet) -> None:
    policy = fitted("class-mean", training)
    for label in (GOOD, DEFECT, ALONE, ONE_PART):
        members = of_label(training, label)
        expected = unit(stored(training)[members].mean(axis=0) - labelled_mean(training))
        for view in range(VIEWS + 1):
            targets = whole(policy, training, view).vectors[members]
            np.testing.assert_allclose(targets, np.tile(expected, (len(members), 1)), atol=1e-5)


def test_class_mean_takes_means_of_some_samples_of_each_label(training: TrainingSet) -> None:
    summary = summary_of(training, "class-mean", seed=5, per_class=3)
    fitted_ids = [sample_id for sample_id, used in zip(summary.seen, summary.fitted, strict=True) if used]
    policy = fitted("class-mean", training, seed=5, per_class=3)
    for label, count in ((GOOD, 3), (DEFECT, 3), (ALONE, 1)):
        used = [at for at in of_label(training, label) if training.ids[at] in fitted_ids]
        assert len(used) == count
        expected = unit(stored(training)[used].mean(axis=0) - labelled_mean(training))
        np.testing.assert_allclose(whole(policy, training).vectors[used[0]], expected, atol=1e-5)


def test_two_class_means_are_antipodal_around_their_own_centre(tmp_path: Path) -> None:
    """Which is why two class means say no more than the labels do."""
    labels = [GOOD if number % 2 else DEFECT for number in range(COUNT)]
    with make_store(tmp_path / "two", labels=labels) as store:
        prototypes = fitted("class-mean", training_of(store)).prototypes
    assert prototypes is not None
    assert prototypes[0] @ prototypes[1] == pytest.approx(-1, abs=1e-4)


def test_class_mean_takes_any_summary_with_one_prototype_a_label(training: TrainingSet) -> None:
    medoids = summary_of(training, "medoids", k=1)
    policy = POLICIES["class-mean"].fit(training, medoids, 0)
    assert policy is not None
    expected = unit(medoids.vectors[medoids.labels.index(DEFECT)] - labelled_mean(training))
    np.testing.assert_allclose(whole(policy, training).vectors[of_label(training, DEFECT)[0]], expected, atol=1e-5)


# sub-prototypes


def nearest_own(
    training: TrainingSet, summary: Summary, view: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    """Return labelled samples, and for each the centred prototype of its label that is nearest in a view."""
    members = np.array([at for at, label in enumerate(training.labels) if label is not None])
    targets = []
    for at in members:
        own = [number for number, label in enumerate(summary.labels) if label == training.labels[at]]
        sample = unit(stored(training, view)[at])
        nearest = min(own, key=lambda number: float(np.linalg.norm(sample - unit(summary.vectors[number]))))
        targets.append(unit(summary.vectors[nearest].astype(np.float64) - summary.centre))
    return members, np.array(targets)


@pytest.mark.parametrize("view", range(VIEWS + 1))
@pytest.mark.parametrize("strategy", ["sub-prototypes", "medoids", "random-samples", "class-mean"])
def test_sub_prototypes_are_the_nearest_of_the_own_label_in_each_view(
    strategy: str, view: int, training: TrainingSet
) -> None:
    summary = summary_of(training, strategy, **({} if strategy == "class-mean" else {"k": 3}))
    policy = POLICIES["sub-prototypes"].fit(training, summary, 0)
    assert policy is not None
    members, expected = nearest_own(training, summary, view)
    np.testing.assert_allclose(whole(policy, training, view).vectors[members], expected, atol=1e-5)


def test_views_of_one_sample_may_be_served_by_different_prototypes(training: TrainingSet) -> None:
    policy = fitted("sub-prototypes", training)
    chosen = [whole(policy, training, view).chosen for view in range(VIEWS + 1)]
    assert chosen[0] is not None
    assert (chosen[0] != chosen[1]).any()


# rare-samples


@pytest.mark.parametrize("strategy", ["rare-samples", "random-samples", "herding"])
def test_rare_samples_keep_their_own_vectors_and_others_the_prototype_of_their_plain_view(
    strategy: str, training: TrainingSet
) -> None:
    summary = summary_of(training, strategy, share=0.2)
    policy = POLICIES["rare-samples"].fit(training, summary, 0)
    assert policy is not None
    kept = {summary.seen[at] for at in summary.source if at >= 0}
    members, by_plain_view = nearest_own(training, summary, 0)
    rare = np.array([training.ids[at] in kept for at in members])
    assert 4 <= rare.sum() < len(members) / 2
    for view in range(VIEWS + 1):
        targets = whole(policy, training, view).vectors[members]
        own = unit(stored(training, view)[members] - labelled_mean(training))
        np.testing.assert_allclose(targets[rare], own[rare], atol=1e-5)
        np.testing.assert_allclose(targets[~rare], by_plain_view[~rare], atol=1e-5)


def test_a_common_sample_may_be_served_by_a_rare_one_nearby(training: TrainingSet) -> None:
    summary = summary_of(training, "rare-samples", k=1, share=0.3)
    served = summary.source[summary.serving[:, 0]]
    assert ((served >= 0) & (served != np.arange(len(served)))).any()


# random-vectors


def test_random_vectors_are_one_per_label_and_know_nothing_of_the_teacher(
    training: TrainingSet, vector_store: EmbeddingStore, tmp_path: Path
) -> None:
    policy = fitted("random-vectors", training, 3)
    prototypes = policy.prototypes
    assert prototypes is not None
    assert prototypes.shape == (4, DIM)
    assert np.abs(prototypes @ prototypes.T - np.eye(4)).max() < 0.95
    for label in (GOOD, DEFECT):
        of_them = whole(policy, training).vectors[of_label(training, label)]
        assert (of_them == of_them[0]).all()
    with make_store(tmp_path / "other teacher", vectors=random_vectors(2)) as other:
        assert said("random-vectors", other, 3) == said("random-vectors", vector_store, 3)


# rotated-means


def test_rotated_means_keep_all_lengths_and_angles_and_point_elsewhere(
    training: TrainingSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    summary = summary_of(training, "class-mean")
    means = summary.vectors.astype(np.float64) - summary.centre
    monkeypatch.setattr(rotated_means, "PrototypePolicy", lambda vectors, _: vectors)  # before they get unit length
    turned = [np.asarray(rotated_means.fit(training, summary, seed), np.float64) for seed in range(3)]
    for one in turned:
        np.testing.assert_allclose(one @ one.T, means @ means.T, atol=1e-5)
        assert np.linalg.norm(one - means) > 0.3 * np.linalg.norm(means)
    assert np.linalg.norm(turned[0] - turned[1]) > 0.3 * np.linalg.norm(means)


def test_rotated_means_serve_as_class_means_do(training: TrainingSet) -> None:
    rotated, plain = (whole(fitted(name, training), training, 1) for name in ("rotated-means", "class-mean"))
    assert rotated.chosen is not None
    assert plain.chosen is not None
    np.testing.assert_array_equal(rotated.known, plain.known)
    np.testing.assert_array_equal(rotated.chosen[rotated.known], plain.chosen[plain.known])
    alike = rotated.vectors[rotated.known] @ rotated.vectors[rotated.known].T
    np.testing.assert_allclose(alike, plain.vectors[plain.known] @ plain.vectors[plain.known].T, atol=1e-5)


def test_rotations_are_drawn_uniformly(training: TrainingSet) -> None:
    """Each mean is then uniform on the sphere: its own mean is 0, and its second moments are those of no direction."""
    summary = summary_of(training, "class-mean")
    drawn = []
    for seed in range(800):
        policy = POLICIES["rotated-means"].fit(training, summary, seed)
        assert policy is not None
        assert policy.prototypes is not None
        drawn.append(policy.prototypes)
    turned = np.array(drawn, np.float64)  # (seeds, labels, d)
    for number in range(turned.shape[1]):
        assert np.abs(turned[:, number].mean(axis=0)).max() < 4 / np.sqrt(800 * DIM)
        moments = turned[:, number].T @ turned[:, number] / 800
        np.testing.assert_allclose(moments, np.eye(DIM) / DIM, atol=0.03)


# shuffled-own


def test_shuffled_own_passes_vectors_around_within_each_label(training: TrainingSet) -> None:
    for seed in range(5):
        policy = fitted("shuffled-own", training, seed)
        whose = None
        for view in range(VIEWS + 1):
            targets = whole(policy, training, view).vectors
            own = unit(stored(training, view) - labelled_mean(training))
            distance = np.linalg.norm(targets[:, None] - own[None], axis=2)
            found = distance.argmin(axis=1)
            np.testing.assert_allclose(distance[np.arange(len(found)), found], 0, atol=1e-5)  # in the same view
            assert whose is None or (whose == found).all()  # the same other sample in every view
            whose = found
        assert whose is not None
        assert sorted(whose) == list(range(len(training)))
        assert [training.labels[at] for at in whose] == list(training.labels)
        at_home = [training.ids[at] for at in range(len(training)) if whose[at] == at]
        assert at_home == [training.ids[of_label(training, ALONE)[0]]]
        same = [one for one in range(len(training)) if training.groups[whose[one]] == training.groups[one]]
        assert {training.labels[one] for one in same} == {ALONE, ONE_PART}  # whose other pictures are all of one part


@given(st.lists(st.integers(1, 6), min_size=1, max_size=12), st.integers(0, 99))
def test_shuffled_own_gives_as_few_as_can_be_a_picture_of_their_own_part(sizes: list[int], seed: int) -> None:
    parts = np.repeat(np.arange(len(sizes)), sizes)
    random = np.random.default_rng(seed)
    ring = random.permutation(len(parts))
    taken = shuffled_own.apart(ring, parts, random)
    assert sorted(taken) == list(range(len(parts)))
    assert ((taken != ring) | (len(parts) == 1)).all()
    assert (parts[taken] == parts[ring]).sum() == max(0, 2 * max(sizes) - len(parts))


# retrieved


def retrieved_by_brute_force(
    training: TrainingSet, view: int, alpha: float, neighbours: int, temperature: float
) -> npt.NDArray[np.float64]:
    centre = labelled_mean(training)
    plain, own = unit(stored(training) - centre), unit(stored(training, view) - centre)
    result = []
    for at in range(len(training)):
        others = [
            other
            for other in range(len(training))
            if training.labels[at] is not None
            and training.labels[other] == training.labels[at]
            and training.groups[other] != training.groups[at]
        ]
        others.sort(key=lambda other: -float(plain[at] @ plain[other]))
        others = others[:neighbours]
        if not others:
            result.append(own[at])
            continue
        weights = np.exp([plain[at] @ plain[other] / temperature for other in others])
        mixed = (weights[:, None] * plain[others]).sum(axis=0) / weights.sum()
        result.append(unit(alpha * own[at] + (1 - alpha) * mixed))
    return np.array(result)


@pytest.mark.parametrize("view", range(VIEWS + 1))
@pytest.mark.parametrize(
    ("alpha", "neighbours", "temperature"), [(0.5, 10, 0.1), (0.0, 1, 0.1), (0.2, 4, 0.02), (0.9, 1000, 5)]
)
def test_retrieved_is_what_brute_force_finds(
    view: int, alpha: float, neighbours: int, temperature: float, training: TrainingSet
) -> None:
    policy = fitted("retrieved", training, alpha=alpha, neighbours=neighbours, temperature=temperature)
    expected = retrieved_by_brute_force(training, view, alpha, neighbours, temperature)
    np.testing.assert_allclose(whole(policy, training, view).vectors, expected, atol=2e-5)


def test_retrieved_has_the_defaults_that_are_written_down(training: TrainingSet) -> None:
    expected = retrieved_by_brute_force(training, 1, 0.5, 10, 0.1)
    np.testing.assert_allclose(whole(fitted("retrieved", training), training, 1).vectors, expected, atol=2e-5)


@pytest.mark.parametrize("bytes_at_once", [1, 500])
def test_retrieved_is_the_same_for_any_size_of_its_blocks(
    bytes_at_once: int, training: TrainingSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("distill.targets.retrieved._BYTES", bytes_at_once)
    monkeypatch.setattr("distill.targets.retrieved._READ", 5)
    expected = retrieved_by_brute_force(training, 2, 0.5, 10, 0.1)
    np.testing.assert_allclose(whole(fitted("retrieved", training), training, 2).vectors, expected, atol=2e-5)


@pytest.mark.parametrize("order", [range(16), range(15, -1, -1)])
def test_of_equally_near_neighbours_the_first_by_id_are_retrieved(order: Sequence[int], tmp_path: Path) -> None:
    """On the axes, whose mean is 0, each vector is as far from all others but its opposite."""
    axes = np.concatenate([np.eye(8), -np.eye(8)])
    ids = [f"{number:02}" for number in range(16)]
    with store_of(tmp_path / "axes", axes[order], ids=[ids[at] for at in order], labels=[GOOD] * 16) as store:
        training = TrainingSet.from_source(store, np.arange(16))
        policy = fitted("retrieved", training, alpha=0.0, neighbours=3)
        found = dict(zip(training.ids, whole(policy, training).vectors, strict=True))
    for number, sample_id in enumerate(ids):
        first = [at for at in range(16) if at % 8 != number % 8][:3]
        np.testing.assert_allclose(found[sample_id], unit(axes[first].sum(axis=0)), atol=1e-6)


@settings(max_examples=200)
@given(
    hnp.arrays(
        np.float32,
        hnp.array_shapes(min_dims=2, max_dims=2, max_side=12),
        elements=st.sampled_from([-np.inf, -1, 0, 0.5, 1]),
    ),
    st.integers(1, 14),
)
def test_the_highest_are_those_of_a_stable_sort(values: npt.NDArray[np.float32], count: int) -> None:
    np.testing.assert_array_equal(highest(values, count), np.argsort(-values, axis=1, kind="stable")[:, :count])


@pytest.mark.parametrize("view", range(VIEWS + 1))
def test_retrieved_with_alpha_1_is_own_to_the_last_bit(view: int, training: TrainingSet) -> None:
    retrieved, own = (fitted("retrieved", training, alpha=1), fitted("own", training))
    np.testing.assert_array_equal(whole(retrieved, training, view).vectors, whole(own, training, view).vectors)


def test_retrieved_falls_back_to_own_where_nothing_else_is_of_the_label(training: TrainingSet) -> None:
    targets, own = (whole(fitted(name, training), training, 1).vectors for name in ("retrieved", "own"))
    for label in (ALONE, ONE_PART, None):
        members = of_label(training, label)
        np.testing.assert_array_equal(targets[members], own[members])
    assert not np.allclose(targets[of_label(training, GOOD)], own[of_label(training, GOOD)], atol=0.05)


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("alpha", -0.1, "alpha of a picture's own vector is -0.1; expected 0 to 1"),
        ("alpha", 1.1, "expected 0 to 1"),
        ("alpha", float("nan"), "expected 0 to 1"),
        ("neighbours", 0, "number of neighbours is 0; expected 1 or more"),
        ("temperature", 0, "temperature of the neighbours is 0; expected a number above 0"),
        ("temperature", float("nan"), "expected a number above 0"),
        ("temperature", float("inf"), "expected a number above 0"),
    ],
)
def test_an_option_of_retrieved_out_of_range_is_refused(
    option: str, value: float, message: str, training: TrainingSet
) -> None:
    with pytest.raises(SettingsError, match=message):
        fitted("retrieved", training, **{option: value})


@pytest.mark.parametrize("ids", [["a", "b", "c"], ["b", "c"], ["a", "b", "c", "d"], ["c", "a"], []])
def test_ids_are_found_in_a_summary_whatever_its_order(ids: list[str]) -> None:
    seen = ["b", "c", "a"]
    assert places_in(seen, ids).tolist() == [seen.index(one) if one in seen else -1 for one in ids]

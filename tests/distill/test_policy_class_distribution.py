"""The policy `class-distribution`: what is drawn, for whom, and on what alone it depends."""

import hashlib
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import toy_parts
from scipy.stats import kstest
from toy_vectors import (
    ALONE,
    DEFECT,
    DIM,
    GOOD,
    ONE_PART,
    fitted,
    make_store,
    of_label,
    stored,
    summary_of,
    training_of,
    unit,
    whole,
)

import distill
import embedstore
from distill.targets import POLICIES, TrainingSet
from distill.targets.class_distribution import ClassDistribution, normals
from distill.targets.making import make_policy
from embedstore.exports import SummaryFile, export

NAME = "class-distribution"
STEPS = 4000


def drawn_in_steps(training: TrainingSet, sample: int, **options: int) -> npt.NDArray[np.float64]:
    """Return what is drawn for a sample in many steps, before it gets unit length."""
    policy = fitted(NAME, training, **options)
    assert isinstance(policy, ClassDistribution)
    return np.array([policy.drawn(np.array([sample]), step)[0] for step in range(STEPS)], np.float64)


# What is drawn


@pytest.mark.parametrize("label", [GOOD, DEFECT, ONE_PART])
@pytest.mark.parametrize("rank", [1, 2, 16])
def test_draws_have_the_mean_and_the_covariance_of_the_label_along_its_axes(
    rank: int, label: str, training: TrainingSet
) -> None:
    members = of_label(training, label)
    own = stored(training)[members]
    centre = stored(training)[[at for at, one in enumerate(training.labels) if one is not None]].mean(axis=0)
    values, columns = np.linalg.eigh(np.cov(own, rowvar=False))
    kept = slice(max(0, DIM - rank), None)
    expected = (columns[:, kept] * values[kept]) @ columns[:, kept].T
    drawn = drawn_in_steps(training, int(members[1]), rank=rank)
    deviation = np.sqrt(np.diag(expected))
    assert (np.abs(drawn.mean(axis=0) - (own.mean(axis=0) - centre)) < 4.5 * deviation / np.sqrt(STEPS) + 1e-6).all()
    error = np.sqrt((np.outer(deviation, deviation) ** 2 + expected**2) / STEPS)
    assert (np.abs(np.cov(drawn, rowvar=False) - expected) < 4.5 * error + 1e-6).all()
    found = np.linalg.matrix_rank(drawn - drawn.mean(axis=0), tol=1e-3)
    assert found == min(rank, len(members) - 1, DIM)  # nothing is drawn beside the axes


def test_targets_are_the_directions_of_what_is_drawn(training: TrainingSet) -> None:
    policy = fitted(NAME, training, 4)
    assert isinstance(policy, ClassDistribution)
    labelled = [at for at, label in enumerate(training.labels) if label is not None]
    for step in (0, 1, 10**9):
        expected = unit(policy.drawn(np.arange(len(training)), step))
        np.testing.assert_allclose(whole(policy, training, 1, step).vectors[labelled], expected[labelled], atol=1e-6)


def test_a_label_of_one_sample_gives_its_mean_and_no_label_no_target(training: TrainingSet) -> None:
    found, means = fitted(NAME, training), fitted("class-mean", training)
    alone = of_label(training, ALONE)
    for step in range(5):
        targets = whole(found, training, 0, step)
        np.testing.assert_array_equal(targets.vectors[alone], whole(means, training).vectors[alone])
        np.testing.assert_array_equal(targets.known, [label is not None for label in training.labels])


# On what it depends


def test_every_sample_and_step_draws_anew_and_apart_from_the_others(training: TrainingSet) -> None:
    policy = fitted(NAME, training, rank=1)
    assert isinstance(policy, ClassDistribution)
    good = of_label(training, GOOD)
    axis = drawn_in_steps(training, int(good[0]), rank=1)
    axis = axis[axis[:, 0].argmax()] - axis[axis[:, 0].argmin()]
    along = np.array([policy.drawn(good, step) @ unit(axis) for step in range(400)])  # (steps, samples)
    along = (along - along.mean()) / along.std()
    count = along.shape[1]
    assert np.abs(along.mean(axis=0)).max() < 4.5 / np.sqrt(400)  # no sample has luck
    assert np.abs(along.mean(axis=1)).max() < 4.5 / np.sqrt(count)  # nor a step
    between = np.corrcoef(along, rowvar=False) - np.eye(count)
    assert np.abs(between).max() < 5 / np.sqrt(400)
    assert np.abs((along[:-1] * along[1:]).mean()) < 4.5 / np.sqrt(400 * count)


def test_the_numbers_are_standard_normal_and_differ_with_all_that_they_depend_on() -> None:
    found = np.array([normals(0, step, f"id {sample}", 8) for step in range(50) for sample in range(50)])
    assert kstest(found.ravel(), "norm").pvalue > 0.001
    assert np.abs(np.corrcoef(found, rowvar=False) - np.eye(8)).max() < 4.5 / np.sqrt(len(found))
    several = [(0, 0, "a"), (1, 0, "a"), (0, 1, "a"), (0, 0, "b"), (0, 10, "a"), (0, 1, "0\0a"), (2**32 - 1, 0, "部品")]
    assert len({normals(*one, 4).tobytes() for one in several}) == len(several)
    assert normals(3, 1, "a", 4).tolist() == normals(3, 1, "a", 9)[:4].tolist()


def test_a_draw_depends_on_seed_step_and_sample_alone(training: TrainingSet) -> None:
    policy, again, other = (fitted(NAME, training, seed) for seed in (1, 1, 2))
    targets = [whole(policy, training, 0, step).vectors for step in range(4)]
    for step in (3, 0, 2):  # in any order of asking, as a run that goes on does
        np.testing.assert_array_equal(whole(again, training, 0, step).vectors, targets[step])
        np.testing.assert_array_equal(whole(again, training, 2, step).vectors, targets[step])  # in any view
        some = np.array([30, 2, 30, 7])
        found = policy.targets(some, np.array([0, 1, 2, 0]), step).vectors
        np.testing.assert_array_equal(found, targets[step][some])
    known = whole(policy, training).known & (np.array(training.labels, object) != ALONE)
    assert (targets[0] != targets[1])[known].any(axis=1).all()
    assert (targets[0] != whole(other, training, 0, 0).vectors)[known].any(axis=1).all()


def test_nothing_asked_is_nothing_given(training: TrainingSet) -> None:
    nobody = np.array([], np.int64)
    found = fitted(NAME, training).targets(nobody, nobody, 3)
    assert (found.vectors.shape, found.known.shape) == ((0, DIM), (0,))


# Summaries and files


@pytest.mark.parametrize("name", ["class-mean", "sub-prototypes", "rotated-means"])
def test_policies_of_prototypes_take_such_a_summary_as_one_of_means(name: str, training: TrainingSet) -> None:
    told, plain = (POLICIES[name].fit(training, summary_of(training, one), 0) for one in (NAME, "class-mean"))
    assert told is not None
    assert plain is not None
    np.testing.assert_array_equal(whole(told, training, 1).vectors, whole(plain, training, 1).vectors)


def test_an_exported_summary_gives_the_targets_that_the_store_gives(tmp_path: Path) -> None:
    with make_store(tmp_path / "store") as store:
        saved = store.summarize(NAME, name="spread", split="train", rank=3)
        export(store, tmp_path / "spread.safetensors", summary="spread")
        training = training_of(store)
        expected = POLICIES[NAME].fit(training, saved, 7)
    file = SummaryFile(tmp_path / "spread.safetensors")
    there = TrainingSet.from_source(file, training.positions)
    found = make_policy(NAME, there, seed=7, options={}, weights={}, summary_of=lambda *_: file.summary("spread"))
    assert found is not None
    assert expected is not None
    for step in range(3):
        one, other = whole(found, there, 1, step), whole(expected, training, 1, step)
        np.testing.assert_array_equal(one.vectors, other.vectors)
        np.testing.assert_array_equal(one.known, other.known)


def test_a_student_is_the_same_from_a_store_from_a_file_and_after_a_stop(tmp_path: Path) -> None:
    path = toy_parts.make_store(tmp_path, toy_parts.parts(20, 10, 10))
    with embedstore.open(path) as store:
        store.summarize(NAME, name="spread", split="train", rank=4)
        export(store, tmp_path / "spread.safetensors", summary="spread")
    named = toy_parts.quick(policy=NAME, options={NAME: {"summary": "spread"}}, weight=3)

    def weights(run: distill.training.loop.Run) -> str:
        return hashlib.sha256((run.path / "student.safetensors").read_bytes()).hexdigest()

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    expected = weights(distill.train(path, tmp_path / "from store", named))
    with pytest.raises(KeyboardInterrupt):
        distill.train(path, tmp_path / "stopped", named, progress=stop)
    assert weights(distill.train(path, tmp_path / "stopped", named, resume=True)) == expected
    file, unnamed = tmp_path / "spread.safetensors", toy_parts.quick(policy=NAME, weight=3)
    assert weights(distill.train(file, tmp_path / "from file", unnamed, images=tmp_path / "images")) == expected
    made = toy_parts.quick(policy=NAME, options={NAME: {"rank": 1}}, weight=3)
    assert weights(distill.train(path, tmp_path / "rank 1", made)) != expected

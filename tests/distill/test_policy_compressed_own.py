"""The policy `compressed-own`: what its targets are, who has one, and which summaries it refuses."""

import hashlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import toy_parts
from toy_vectors import DIM, GOOD, VIEWS, fitted, make_store, of_label, summary_of, training_of, whole

import distill
import embedstore
from distill.targets import POLICIES, Policy, TrainingSet
from distill.targets.making import make_policy
from embedstore import Summary
from embedstore.errors import SettingsError, SummaryError
from embedstore.exports import SummaryFile, export

NAME = "compressed-own"


def labelled(training: TrainingSet) -> npt.NDArray[np.int64]:
    return np.array([at for at, label in enumerate(training.labels) if label is not None])


def policy_of(training: TrainingSet, summary: Summary) -> Policy:
    policy = POLICIES[NAME].fit(training, summary, 0)
    assert policy is not None
    return policy


def said(policy: Policy, training: TrainingSet) -> npt.NDArray[np.float64]:
    """Return the targets of all labelled samples in all views."""
    views = range(training.views + 1)
    return np.concatenate([whole(policy, training, view).vectors[labelled(training)] for view in views]).astype(float)


@pytest.mark.parametrize("share", [0.05, 1.0])
def test_each_target_is_what_the_code_of_that_sample_and_view_stands_for(share: float, training: TrainingSet) -> None:
    summary = summary_of(training, NAME, bytes=2, share=share, rare_bytes=6)
    policy = policy_of(training, summary)
    assert policy.dim == DIM
    where = {summary.seen[at]: (one, row) for one in summary.codes for row, at in enumerate(one.of)}
    for view in range(VIEWS + 1):
        targets = whole(policy, training, view).vectors
        for at in labelled(training):
            one, row = where[training.ids[at]]
            expected = np.zeros(DIM)
            for axis, part in enumerate(one.book.parts):
                expected[axis] = one.book.centroids[one.codes[row, view, part], axis]
            np.testing.assert_allclose(targets[at], expected / np.linalg.norm(expected), atol=1e-6)


def test_with_more_bytes_the_angles_between_targets_come_close_to_those_of_own_embeddings(
    training: TrainingSet,
) -> None:
    own = said(fitted("own", training), training)
    lost = []
    for count in (1, 2, 8):
        found = said(fitted(NAME, training, bytes=count, share=0.05, rare_bytes=count), training)
        lost.append(np.abs(found @ found.T - own @ own.T).mean())
    assert lost == sorted(lost, reverse=True)
    assert lost[0] > 0.2
    assert lost[-1] < 0.1


def test_targets_may_be_shorter_than_the_teachers_vectors(training: TrainingSet) -> None:
    policy = fitted(NAME, training, bytes=1, rare_bytes=1)
    assert policy.dim == 4 < DIM
    assert whole(policy, training).vectors.shape == (len(training), 4)


def test_samples_that_the_summary_saw_have_a_target_and_others_without_a_label_none(training: TrainingSet) -> None:
    summary = summary_of(training, NAME)
    known = whole(policy_of(training, summary), training).known
    assert known.tolist() == [sample_id in summary.seen for sample_id in training.ids]
    assert 0 < known.sum() < len(training)


def test_a_label_that_was_taken_away_since_takes_no_target_away(training: TrainingSet) -> None:
    summary = summary_of(training, NAME)
    bare = replace(training, labels=[None] * len(training))
    one, other = (whole(policy_of(some, summary), some, 1) for some in (training, bare))
    np.testing.assert_array_equal(one.vectors, other.vectors)
    np.testing.assert_array_equal(one.known, other.known)


def test_nothing_asked_is_nothing_given(training: TrainingSet) -> None:
    nobody = np.array([], np.int64)
    policy = fitted(NAME, training)
    assert policy.targets(nobody, nobody).vectors.shape == (0, policy.dim)


# What is refused


def test_a_summary_without_codes_is_refused(training: TrainingSet) -> None:
    with pytest.raises(
        SummaryError,
        match=r"'class-mean' \(class-mean\) keeps no codes of own vectors; the policy 'compressed-own' takes one made by: "
        "embedstore summarize STORE compressed-own$",
    ):
        policy_of(training, summary_of(training, "class-mean"))


def test_a_run_with_more_views_than_are_kept_is_refused(training: TrainingSet) -> None:
    few = summary_of(training, NAME, kept_views=1)
    with pytest.raises(
        SummaryError, match=r"keeps 1 views of each picture, and the run asks for 2; ask for --views 1 or"
    ):
        policy_of(training, few)
    assert whole(policy_of(replace(training, views=1), few), training, 1).known.any()


def test_a_training_picture_that_the_summary_has_not_seen_is_refused(training: TrainingSet) -> None:
    new = of_label(training, GOOD)[0]
    others = replace(training, positions=np.delete(training.positions, new))
    with pytest.raises(
        SummaryError, match=f"does not know the training picture '{training.ids[new]}', so it keeps noth"
    ):
        policy_of(training, summary_of(others, NAME))


def test_own_embeddings_and_shorter_targets_are_not_mixed(training: TrainingSet) -> None:
    weights = {label: {"own": 1.0, NAME: 1.0} for label in training.labels if label is not None}
    with pytest.raises(SettingsError, match="targets of different lengths"):
        make_policy(
            "mixture",
            training,
            seed=0,
            options={NAME: {"bytes": 1, "rare_bytes": 1}},
            weights=weights,
            summary_of=lambda strategy, options: summary_of(training, strategy, **options),
        )


# From a file


def test_an_exported_summary_gives_the_targets_that_the_store_gives(tmp_path: Path) -> None:
    with make_store(tmp_path / "store") as store:
        saved = store.summarize(NAME, name="short", split="train", bytes=2, share=0.2, rare_bytes=6)
        export(store, tmp_path / "short.safetensors", summary="short")
        training = training_of(store)
        expected = policy_of(training, saved)
    file = SummaryFile(tmp_path / "short.safetensors")
    there = TrainingSet.from_source(file, training.positions)
    found = make_policy(NAME, there, seed=7, options={}, weights={}, summary_of=lambda *_: file.summary("short"))
    assert found is not None
    for view in range(VIEWS + 1):
        one, other = whole(found, there, view), whole(expected, training, view)
        np.testing.assert_array_equal(one.vectors, other.vectors)
        np.testing.assert_array_equal(one.known, other.known)


def test_a_student_is_the_same_from_a_store_and_from_a_file(tmp_path: Path) -> None:
    path = toy_parts.make_store(tmp_path, toy_parts.parts(20, 10, 10))
    with embedstore.open(path) as store:
        store.summarize(NAME, name="short", split="train", bytes=4, rare_bytes=8)
        export(store, tmp_path / "short.safetensors", summary="short")
    named = toy_parts.quick(policy=NAME, options={NAME: {"summary": "short"}}, weight=3)

    def weights(run: distill.training.loop.Run) -> str:
        return hashlib.sha256((run.path / "student.safetensors").read_bytes()).hexdigest()

    expected = weights(distill.train(path, tmp_path / "from store", named))
    file, unnamed = tmp_path / "short.safetensors", toy_parts.quick(policy=NAME, weight=3)
    assert weights(distill.train(file, tmp_path / "from file", unnamed, images=tmp_path / "images")) == expected
    made = toy_parts.quick(policy=NAME, options={NAME: {"bytes": 1, "rare_bytes": 1}}, weight=3)
    assert weights(distill.train(path, tmp_path / "one byte", made)) != expected

"""The policy `mixture`: who draws what for whom, how often, and in which step."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from toy_vectors import ALONE, DEFECT, DIM, GOOD, ONE_PART, WEIGHTS, everyone, fitted, of_label, summary_of, whole

from distill.targets import MIXTURE, POLICIES, Policy, Targets, TrainingSet
from distill.targets.making import make_policy
from embedstore import Summary
from embedstore.errors import SettingsError


def mixture(training: TrainingSet, weights: Mapping[str, Mapping[str, float]], seed: int = 0) -> Policy:
    return fitted(MIXTURE, training, seed, weights=weights)


@pytest.mark.parametrize("name", [name for name in POLICIES if name not in ("none", "live-teacher", MIXTURE)])
def test_a_mixture_of_one_policy_is_that_policy_for_all_that_have_a_label(name: str, training: TrainingSet) -> None:
    labelled = np.array([label is not None for label in training.labels])
    expected = whole(fitted(name, training), training, 1, step=7)
    for shares in ({name: 1}, {name: 0.2}, {"class-mean": 0, name: 3, "none": 0}):
        found = whole(mixture(training, everyone(shares)), training, 1, step=7)
        np.testing.assert_array_equal(found.known, labelled & expected.known)
        np.testing.assert_array_equal(found.vectors[found.known], expected.vectors[found.known])


def test_each_label_gets_its_own_policy(training: TrainingSet) -> None:
    names = {GOOD: "class-mean", DEFECT: "own", ALONE: "none", ONE_PART: "random-vectors"}
    found = whole(mixture(training, {label: {name: 1} for label, name in names.items()}), training, 2)
    for label, name in names.items():
        members = of_label(training, label)
        if name == "none":
            assert not found.known[members].any()
        else:
            assert found.known[members].all()
            expected = whole(fitted(name, training), training, 2).vectors
            np.testing.assert_array_equal(found.vectors[members], expected[members])
    assert not found.known[of_label(training, None)].any()


def drawn_over_steps(policy: Policy, training: TrainingSet, steps: int) -> npt.NDArray[np.bool_]:
    """Return for each step and labelled sample whether it was given its own vector."""
    labelled = [at for at, label in enumerate(training.labels) if label is not None and label != ALONE]
    own = whole(fitted("own", training), training).vectors[labelled]
    return np.array([(whole(policy, training, 0, step).vectors[labelled] == own).all(axis=1) for step in range(steps)])


def test_policies_are_drawn_at_the_rates_of_their_weights_for_each_sample_and_step(training: TrainingSet) -> None:
    steps = 400
    drawn = drawn_over_steps(mixture(training, everyone({"own": 3, "class-mean": 7})), training, steps)
    count = drawn.shape[1]
    assert drawn.mean() == pytest.approx(0.3, abs=4 * np.sqrt(0.21 / steps / count))
    assert np.abs(drawn.mean(axis=0) - 0.3).max() < 4.5 * np.sqrt(0.21 / steps)  # no sample has luck
    assert np.abs(drawn.mean(axis=1) - 0.3).max() < 4.5 * np.sqrt(0.21 / count)  # nor a step
    together = (drawn[:, :-1] & drawn[:, 1:]).mean()  # neighbours in a batch, and steps in a row, draw apart
    assert together == pytest.approx(0.09, abs=0.015)
    assert (drawn[:-1] & drawn[1:]).mean() == pytest.approx(0.09, abs=0.015)


def test_a_mixture_depends_on_seed_and_step_alone(training: TrainingSet) -> None:
    policy, again, other = (mixture(training, WEIGHTS, seed) for seed in (1, 1, 2))
    targets = [whole(policy, training, 0, step) for step in range(4)]
    for step in (3, 0, 2):  # in any order of asking
        found = whole(again, training, 0, step)
        np.testing.assert_array_equal(found.known, targets[step].known)
        np.testing.assert_array_equal(found.vectors, targets[step].vectors)
    assert not np.array_equal(targets[0].vectors, targets[1].vectors)
    assert not np.array_equal(drawn_over_steps(policy, training, 1), drawn_over_steps(other, training, 1))


def test_none_as_a_member_gives_no_target_in_its_share(training: TrainingSet) -> None:
    policy = mixture(training, everyone({"none": 0.5, "own": 0.5}))
    labelled = np.array([label is not None for label in training.labels])
    known = np.array([whole(policy, training, 0, step).known for step in range(100)])
    assert known[:, labelled].mean() == pytest.approx(0.5, abs=0.03)
    assert not known[:, ~labelled].any()
    nothing = mixture(training, everyone({"none": 1}))
    assert not whole(nothing, training).known.any()


def test_members_are_asked_in_the_step_and_views_of_the_batch(training: TrainingSet) -> None:
    asked = []

    class Listening:
        dim, prototypes = DIM, None

        def targets(self, samples: npt.NDArray[Any], views: npt.NDArray[Any], step: int = 0) -> Targets:
            asked.append((samples.tolist(), views.tolist(), step))
            return Targets(np.ones((len(samples), DIM), np.float32), np.ones(len(samples), bool))

    members = {"own": Listening(), "none": None}
    policy = POLICIES[MIXTURE].fit(training, None, 0, weights=everyone({"own": 1}), members=members)
    assert policy is not None
    good = of_label(training, GOOD)[:3]
    policy.targets(good, np.array([2, 0, 1]), 11)
    assert asked == [(good.tolist(), [2, 0, 1], 11)]


def test_a_training_label_without_weights_is_named(training: TrainingSet) -> None:
    with pytest.raises(SettingsError, match="no policy for the label '<alone>'; name one for each"):
        mixture(training, {GOOD: {"own": 1}, DEFECT: {"own": 1}, ONE_PART: {"own": 1}})


def test_targets_of_several_lengths_are_refused_with_both_reasons(training: TrainingSet) -> None:
    class Short:
        dim, prototypes = DIM - 1, None

        def targets(self, samples: npt.NDArray[Any], views: npt.NDArray[Any], step: int = 0) -> Targets:
            raise AssertionError("nothing is asked")

    members = {"compressed-own": Short(), "own": fitted("own", training), "none": None}
    weights = everyone({"compressed-own": 1, "own": 1, "none": 1})
    told = (
        rf"different lengths \(compressed-own: {DIM - 1}, own: {DIM}\); give all that take outputs the same ones, and mix "
        "compressed-own, whose targets are as long as its summary keeps axes, with 'none' only"
    )
    with pytest.raises(SettingsError, match=told):
        POLICIES[MIXTURE].fit(training, None, 0, weights=weights, members=members)


def test_options_reach_the_members_of_a_mixture(training: TrainingSet) -> None:
    for alpha in (0, 1):
        asked: list[Mapping[str, Any]] = []

        def note(strategy: str, options: Mapping[str, Any], asked: list[Mapping[str, Any]] = asked) -> Summary:
            asked.append({"strategy": strategy, **options})
            return summary_of(training, strategy)

        policy = make_policy(
            MIXTURE,
            training,
            seed=0,
            options={"retrieved": {"alpha": alpha}, "class-mean": {"per_class": 2}},
            weights={**everyone({"retrieved": 1}), ALONE: {"class-mean": 1}},
            summary_of=note,
        )
        assert policy is not None
        assert asked == [{"strategy": "class-mean", "per_class": 2}]
        good = of_label(training, GOOD)
        expected = whole(fitted("retrieved", training, alpha=alpha), training, 1).vectors
        np.testing.assert_array_equal(whole(policy, training, 1).vectors[good], expected[good])

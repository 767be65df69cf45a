"""Maps between spaces against oracles: a planted turn is found again, a ridge is the one of the textbook, nothing leaks."""

import hypothesis
import hypothesis.strategies as st
import numpy as np
import pytest

from embedstore.errors import StoreError
from embedstore.teacher_change.space_maps import FOLDS, MAPS, STRENGTHS, fit_map
from embedstore.vectors import unit_length

RNG = np.random.default_rng(0)
TURN = np.linalg.qr(RNG.normal(size=(8, 8)))[0]


def samples(count: int, dim: int = 8, seed: int = 1) -> tuple[np.ndarray, list[str]]:
    vectors = unit_length(np.random.default_rng(seed).normal(size=(count, dim)) + 0.5).astype(np.float64)
    return vectors, [f"part {at // 2}" for at in range(count)]


@pytest.mark.parametrize("dims", [(8, 8), (8, 12)])
def test_a_planted_turn_stretch_and_shift_is_found_again(dims: tuple[int, int]) -> None:
    old, groups = samples(60)
    turn = np.eye(8, dims[1]) @ np.linalg.qr(RNG.normal(size=(dims[1], dims[1])))[0]
    new = 1.7 * old @ turn + 0.3
    found = fit_map("orthogonal", old, new, groups)
    np.testing.assert_allclose(found.map.matrix, 1.7 * turn, atol=1e-9)
    np.testing.assert_allclose(found.map(old), new, atol=1e-6)
    np.testing.assert_allclose(found.cosines, 1, atol=1e-9)


def test_of_few_samples_the_turn_is_right_on_what_they_span_and_zero_beyond() -> None:
    old, groups = samples(6, dim=20)
    turn = np.linalg.qr(RNG.normal(size=(20, 20)))[0]
    found = fit_map("orthogonal", old, old @ turn, [f"{at}" for at in range(len(groups))]).map
    np.testing.assert_allclose(found(old), old @ turn, atol=1e-6)
    assert np.linalg.matrix_rank(found.matrix) == 5  # of 6 centred samples


@pytest.mark.parametrize("count", [30, 200])  # fewer samples than dimensions, and more
def test_linear_is_the_ridge_of_the_normal_equations(count: int) -> None:
    old, _ = samples(count, dim=40)
    new = old @ RNG.normal(size=(40, 6)) + 0.1 * RNG.normal(size=(count, 6))
    for strength in STRENGTHS:
        found = MAPS["linear"](old, new).map(strength)
        x, y = old - old.mean(0), new - new.mean(0)
        unit = np.trace(x.T @ x) / 40
        expected = np.linalg.solve(x.T @ x + strength * unit * np.eye(40), x.T @ y)
        np.testing.assert_allclose(found.matrix, expected, atol=1e-7)


@pytest.mark.parametrize("kind", MAPS)
def test_a_part_is_measured_by_a_map_that_was_fitted_without_it(kind: str) -> None:
    old, groups = samples(60)
    new = old @ TURN + 0.2 * RNG.normal(size=old.shape)
    found = fit_map(kind, old, new, groups)
    met = np.concatenate([held for _, held in found.folds])
    assert sorted(met.tolist()) == list(range(60))
    assert len(found.folds) == FOLDS
    for fitted, held in found.folds:
        assert not {groups[at] for at in held} & {groups[at] for at in set(range(60)) - set(held.tolist())}
        rest = np.setdiff1d(np.arange(60), held)
        alone = MAPS[kind](old[rest], new[rest]).map(fitted.strength)
        np.testing.assert_array_equal(alone.matrix, fitted.matrix)
        expected = (unit_length(alone(old[held])) * unit_length(new[held])).sum(1)
        np.testing.assert_allclose(found.cosines[held], expected, atol=1e-6)


def test_where_nothing_can_be_learned_the_strongest_ridge_is_chosen_and_says_the_mean() -> None:
    old, groups = samples(100)
    new = np.random.default_rng(5).normal(size=(100, 8)) + 1
    found = fit_map("linear", old, new, groups)
    assert found.map.strength == max(STRENGTHS)
    assert abs(found.cosines.mean() - found.cosines_of_mean.mean()) < 0.01


def test_where_all_can_be_learned_the_weakest_is() -> None:
    old, groups = samples(100)
    found = fit_map("linear", old, old @ RNG.normal(size=(8, 8)), groups)
    assert found.map.strength == min(STRENGTHS)


@hypothesis.given(
    st.integers(10, 40), st.integers(2, 12), st.integers(2, 12), st.sampled_from(sorted(MAPS)), st.randoms()
)
def test_the_order_of_samples_decides_nothing_and_every_map_keeps_the_means(
    count: int, dim: int, other: int, kind: str, random: object
) -> None:
    rng = np.random.default_rng(random.randint(0, 2**32))  # type: ignore[attr-defined]
    old, new = rng.normal(size=(count, dim)), rng.normal(size=(count, other))
    groups = [f"{at % 7}" for at in range(count)]
    found = fit_map(kind, old, new, groups)
    np.testing.assert_allclose(found.map(old.mean(0)[None])[0], new.mean(0), atol=1e-5)
    order = rng.permutation(count)
    again = fit_map(kind, old[order], new[order], [groups[at] for at in order])
    np.testing.assert_allclose(again.map(old), found.map(old), atol=1e-4)
    np.testing.assert_allclose(again.cosines, found.cosines[order], atol=1e-6)


def test_too_few_parts_are_refused() -> None:
    old, _ = samples(20)
    with pytest.raises(StoreError, match="5 parts or more"):
        fit_map("linear", old, old, [f"{at % 4}" for at in range(20)])

"""What chance is told by: draws by whole parts, contrasts, and p-values against counts by hand."""

import numpy as np
import numpy.typing as npt
import pytest

from embedstore.analysis.drift.draws import (
    between_parts,
    combined,
    contrasts,
    drawn_batches,
    quadratic,
    tail_shares,
)

STRATA = np.array([0, 0, 0, 0, 0, 0, 1, 1, 1, 1])
BATCH = np.array([0, 0, 0, 0, 1, 1, 0, 1, 1, 0], bool)


def test_each_stratum_gives_as_many_parts_as_to_the_batch() -> None:
    masks = drawn_batches(BATCH, STRATA, 400, seed=3)
    np.testing.assert_array_equal(masks[0], BATCH)
    assert set(masks[:, STRATA == 0].sum(axis=1)) == set(masks[:, STRATA == 1].sum(axis=1)) == {2}
    assert len({row[STRATA == 0].tobytes() for row in masks}) == 15  # all pairs of six
    np.testing.assert_array_equal(masks, drawn_batches(BATCH, STRATA, 400, seed=3))
    assert (masks != drawn_batches(BATCH, STRATA, 400, seed=4)).any()


def test_parts_are_drawn_alike() -> None:
    masks = drawn_batches(np.arange(8) < 2, np.zeros(8, int), 8_000, seed=0)[1:]
    np.testing.assert_allclose(masks.mean(axis=0), 0.25, atol=0.02)


def test_parts_lie_as_far_apart_as_their_pictures_on_average() -> None:
    rng = np.random.default_rng(2)
    points, parts = rng.normal(size=(9, 3)), np.array([2, 0, 1, 1, 2, 2, 0, 3, 1])
    away, guessed = np.linalg.norm(points[:, None] - points[None], axis=2).astype(np.float32), np.arange(4) == 2
    expected = [
        [away[np.ix_(parts == one, parts == other)].mean() if one != other or guessed[one] else 0 for other in range(4)]
        for one in range(4)
    ]
    np.testing.assert_allclose(between_parts(away, parts, guessed), expected, rtol=1e-5)


def test_contrasts_weigh_strata_as_in_the_batch() -> None:
    weights = contrasts(BATCH[None], STRATA)[0]
    np.testing.assert_allclose(weights[BATCH], 1 / 4)
    np.testing.assert_allclose(weights[[0, 1, 2, 3]], -0.5 / 4)  # half of the batch is of stratum 0, which has 4 others
    np.testing.assert_allclose(weights[[6, 9]], -0.5 / 2)
    np.testing.assert_allclose(weights.sum(), 0, atol=1e-6)


def test_energy_is_that_of_the_definition() -> None:
    rng = np.random.default_rng(5)
    x, y = rng.normal(size=(7, 3)), rng.normal(size=(11, 3)) + 0.5
    both = np.concatenate([x, y])
    away = np.linalg.norm(both[:, None] - both[None], axis=2).astype(np.float32)
    batch = np.arange(18) < 7
    found = -quadratic(contrasts(batch[None], np.zeros(18, int)), away)[0]
    expected = 2 * away[:7, 7:].mean() - away[:7, :7].mean() - away[7:, 7:].mean()
    assert found == pytest.approx(expected, rel=1e-4)


def test_tail_shares_count_equals_on_both_sides() -> None:
    np.testing.assert_allclose(tail_shares(np.array([3.0, 1.0, 2.0, 3.0])), [0.5, 1.0, 0.75, 0.5])


def test_tests_together_are_held_against_the_smallest_of_each_draw() -> None:
    first, second = np.array([4.0, 3.0, 2.0, 1.0]), np.array([1.0, 4.0, 2.0, 3.0])
    together, each = combined([first, second])
    assert each == [0.25, 1.0]
    # The smallest p-values of the four are .25, .25, .75 and .5: two of four are as small as that of the batch.
    assert together == 0.5


@pytest.mark.parametrize(("theirs", "ours"), [((1, 2, 4, 5), (1, 2, 4, 5)), ((1,), (5,)), ((5,), (1,))])
def test_p_values_are_uniform_where_nothing_changed(theirs: tuple[int, ...], ours: tuple[int, ...]) -> None:
    """However many pictures show a part, on one side and on the other; drawn picture by picture they would not be."""
    sizes = np.concatenate([np.resize(theirs, 36), np.resize(ours, 12)])
    parts, batch = np.repeat(np.arange(48), sizes), np.arange(48) >= 36

    def p_of(batch: npt.NDArray[np.bool_], away: npt.NDArray[np.float32], far: npt.NDArray[np.float64]) -> float:
        nothing = np.zeros(len(batch), int)
        masks = drawn_batches(batch, nothing, 99, seed)
        return combined([-quadratic(contrasts(masks, nothing), away), (masks @ far) / masks.sum(axis=1)])[0]

    by_part, by_picture = [], []
    for seed in range(300):
        rng = np.random.default_rng(seed)
        values = (rng.normal(size=(48, 4))[parts] + 0.1 * rng.normal(size=(len(parts), 4))).astype(np.float32)
        away = np.linalg.norm(values[:, None] - values[None], axis=2).astype(np.float32)
        far = np.linalg.norm(values, axis=1).astype(np.float64)
        by_part.append(p_of(batch, between_parts(away, parts, np.zeros(48, bool)), np.bincount(parts, far) / sizes))
        by_picture.append(p_of(batch[parts], away, far))
    for level in (0.05, 0.1, 0.25, 0.5, 0.75):
        room = 3 * (level * (1 - level) / 300) ** 0.5
        assert abs(np.mean(np.array(by_part) <= level) - level) < room
    assert max(ours) == 1 or np.mean(np.array(by_picture) <= 0.05) > 0.3

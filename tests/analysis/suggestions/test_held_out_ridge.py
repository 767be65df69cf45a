"""What other parts say: as a ridge fit that is made anew without each part says, with labels as frequent as among all."""

import numpy as np
import numpy.typing as npt
import pytest

from embedstore.analysis.suggestions import held_out_ridge
from embedstore.analysis.suggestions.held_out_ridge import PENALTIES, leave_part_out_scores

Numbers = npt.NDArray[np.float64]
COUNT, DIM, CLASSES = 120, 6, 3
RNG = np.random.default_rng(3)
OF = RNG.integers(0, CLASSES, COUNT)
# Parts of one to many pictures: the largest has more than a vector has numbers, and fits of its own kind.
PARTS = RNG.permutation(np.concatenate([np.full(30, 7), np.full(6, 3), np.repeat(np.arange(20, 62), 2)]))
VECTORS = RNG.normal(size=(COUNT, DIM)) + 0.8 * np.eye(CLASSES, DIM)[OF] + 3


def anew(penalty: float) -> Numbers:
    """Return the scores of each part from a fit of all others, made anew, with the penalty scaled by the spread of all."""
    spread = np.linalg.eigvalsh(np.cov(VECTORS.T, bias=True) * COUNT).mean()
    # The fit's coordinates are centred on all samples; that is no matter, for the intercept has no penalty.
    rows = np.hstack([VECTORS, np.ones((COUNT, 1))])
    scores = np.empty((COUNT, CLASSES))
    for part in np.unique(PARTS):
        kept, out = part != PARTS, part == PARTS
        squares = rows[kept].T @ rows[kept] + penalty * spread * np.diag([1.0] * DIM + [0.0])
        scores[out] = rows[out] @ np.linalg.solve(squares, rows[kept].T @ np.eye(CLASSES)[OF[kept]])
    return scores


def anew_with_the_frequencies_of_all(penalty: float) -> Numbers:
    """Return the scores where the fit of others gives the weights alone, and all samples the mean of the labels."""
    spread = np.linalg.eigvalsh(np.cov(VECTORS.T, bias=True) * COUNT).mean()
    targets, scores = np.eye(CLASSES)[OF], np.empty((COUNT, CLASSES))
    for part in np.unique(PARTS):
        kept, out = part != PARTS, part == PARTS
        middle = VECTORS[kept].mean(axis=0)
        rows = VECTORS[kept] - middle
        squares = rows.T @ rows + penalty * spread * np.eye(DIM)
        weights = np.linalg.solve(squares, rows.T @ (targets[kept] - targets[kept].mean(axis=0)))
        scores[out] = targets.mean(axis=0) + (VECTORS[out] - middle) @ weights
    return scores


def chosen() -> float:
    """Return the penalty that the rule of one standard error names."""
    errors = np.array([((anew(one) - np.eye(CLASSES)[OF]) ** 2).sum(axis=1) for one in PENALTIES])
    best = errors.mean(axis=1).argmin()
    bound = errors[best].mean() + errors[best].std() / np.sqrt(COUNT)
    return max(one for one, error in zip(PENALTIES, errors, strict=True) if error.mean() <= bound)


@pytest.mark.parametrize("rows_at_once", [4_096, 7])
def test_each_part_is_scored_by_a_fit_that_never_saw_it(monkeypatch: pytest.MonkeyPatch, rows_at_once: int) -> None:
    monkeypatch.setattr(held_out_ridge, "_ROWS", rows_at_once)
    asked = []

    def vectors_at(at: npt.NDArray[np.int64]) -> Numbers:
        asked.append(len(at))
        return VECTORS[at]

    scores, penalty = leave_part_out_scores(vectors_at, OF, PARTS)
    assert penalty == chosen()
    np.testing.assert_allclose(scores, anew_with_the_frequencies_of_all(penalty), atol=1e-6)
    assert max(asked) <= rows_at_once  # the largest part, too, is never read at once


@pytest.mark.parametrize("penalty", [PENALTIES[0], PENALTIES[-1]])
def test_every_penalty_is_exact(monkeypatch: pytest.MonkeyPatch, penalty: float) -> None:
    monkeypatch.setattr(held_out_ridge, "PENALTIES", (penalty,))
    scores, _ = leave_part_out_scores(lambda at: VECTORS[at], OF, PARTS)
    np.testing.assert_allclose(scores, anew_with_the_frequencies_of_all(penalty), atol=1e-6)


def test_equal_vectors_say_how_frequent_labels_are() -> None:
    """Not how frequent they are elsewhere: each label is rarer there than where it stands, so all would be outvoted."""
    same = np.full((6, 4), 0.5)
    classes, parts = np.array([0, 0, 0, 1, 1, 1]), np.array([0, 1, 1, 2, 2, 3])
    scores, _ = leave_part_out_scores(lambda at: same[at], classes, parts)
    np.testing.assert_allclose(scores, np.full((6, 2), 0.5), atol=1e-6)


def test_a_right_label_of_a_large_part_is_not_outvoted_more_often_than_one_of_a_small_part() -> None:
    """Leaving 100 of 200 pictures of a label out says nothing against it."""
    large, small = [], []
    for seed in range(10):
        random = np.random.default_rng(seed)
        classes = np.repeat([0, 0, 1, 1], 100)
        vectors = random.normal(size=(400, 8)) + 1.5 * np.eye(1, 8) * classes[:, None]
        scores, _ = leave_part_out_scores(
            lambda at, vectors=vectors: vectors[at], classes, np.maximum(np.arange(400) - 99, 0)
        )
        outvoted = scores[:200, 0] < scores[:200, 1]
        large.append(outvoted[:100].mean())
        small.append(outvoted[100:].mean())
    assert np.mean(large) <= np.mean(small) <= 0.3

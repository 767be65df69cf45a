import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from scipy.spatial.distance import cdist

from embedstore.vectors import squared_distances, unit_length

rows = arrays.arrays(
    np.float32,
    st.tuples(st.integers(0, 6), st.integers(1, 5)),
    elements=st.floats(-(2.0**40), 2.0**40, width=32, allow_subnormal=False),
)


@given(rows)
def test_unit_length_keeps_directions_and_zeros(vectors):
    found = unit_length(vectors)
    assert found.dtype == np.float32
    assert found.shape == vectors.shape
    for row, unit in zip(vectors.astype(np.float64), found, strict=True):
        if row.any():
            assert np.linalg.norm(unit) == pytest.approx(1, abs=1e-6)
            assert row @ unit == pytest.approx(np.linalg.norm(row), rel=1e-6)
        else:
            assert not unit.any()


def test_unit_length_of_known_vectors():
    found = unit_length([[3, 4], [0, 0], [-1e-30, 0], [0, 1e30]])
    np.testing.assert_allclose(found, [[0.6, 0.8], [0, 0], [-1, 0], [0, 1]], rtol=1e-6)


def test_rows_that_are_not_finite_stay_recognisable_and_leave_the_others_alone():
    found = unit_length(np.array([[np.nan, 1], [np.inf, 1], [-np.inf, 0], [0, 2]], np.float32))
    assert np.isfinite(found).all(axis=1).tolist() == [False, False, False, True]
    assert found[3].tolist() == [0, 1]


@given(rows, st.integers(0, 3))
def test_squared_distances_against_scipy(vectors, shift):
    others = np.roll(vectors, shift, axis=0)[::-1][: max(1, len(vectors) - 1)] + 1
    found = squared_distances(vectors, others)
    scale = max(1.0, float(np.abs(vectors).max(initial=0))) ** 2
    np.testing.assert_allclose(found, cdist(vectors, others, "sqeuclidean"), atol=1e-9 * scale)


def test_the_distance_to_oneself_is_never_below_zero():
    vectors = np.random.default_rng(0).normal(100, 1, (50, 64)).astype(np.float32)
    found = squared_distances(vectors, vectors)
    assert found.min() >= 0
    np.testing.assert_allclose(np.diag(found), 0, atol=1e-8)


def test_squared_distances_by_hand():
    assert squared_distances([[0, 0], [1, 2]], [[3, 4]]).tolist() == [[25.0], [8.0]]

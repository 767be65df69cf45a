"""What strategies share: directions from a centre."""

import numpy as np

from embedstore.summaries.strategy import directions


def test_a_centre_is_taken_off_before_vectors_are_brought_to_length_1() -> None:
    vectors, centre = np.array([[3, 5], [0, 1]], np.float16), np.array([0, 1], np.float32)
    found = directions(vectors, centre)
    np.testing.assert_allclose(found, [[0.6, 0.8], [0, 0]], atol=1e-7)
    assert found.dtype == np.float32

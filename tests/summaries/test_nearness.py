"""Near: the median distance to the nearest sample of another part, against brute force."""

import math
import statistics

import numpy as np
import numpy.typing as npt
import pytest
from helpers import training_of, unit_vectors
from hypothesis import given, settings
from hypothesis import strategies as st

from embedstore.summaries import nearness
from embedstore.summaries.nearness import near_distances


def brute_force(
    vectors: npt.NDArray[np.float16], labels: list[str], groups: list[str], queries: set[int] | None = None
) -> dict[str, float | None]:
    """Return each label's near distance as its definition says, one pair at a time; `queries` limits the samples."""
    wide = vectors.astype(float) / np.linalg.norm(vectors.astype(float), axis=1, keepdims=True)
    found: dict[str, float | None] = {}
    for label in set(labels):
        members = [at for at in range(len(labels)) if labels[at] == label]
        nearest = []
        for one in members:
            others = [math.dist(wide[one], wide[other]) for other in members if groups[other] != groups[one]]
            if others and (queries is None or one in queries):
                nearest.append(min(others))
        found[label] = statistics.median(nearest) if nearest else None
    return found


@settings(max_examples=60, deadline=None)
@given(st.data(), st.integers(1, 40), st.integers(1, 6))
def test_near_is_what_brute_force_finds(data: st.DataObject, count: int, dim: int) -> None:
    vectors = unit_vectors(data.draw(st.integers(0, 10**6)), count, dim)
    labels = data.draw(st.lists(st.sampled_from("abc"), min_size=count, max_size=count))
    groups = data.draw(st.lists(st.sampled_from(["p", "q", "r", "s"]), min_size=count, max_size=count))
    expected = brute_force(vectors, labels, groups)
    found = near_distances(training_of(vectors, labels, groups=groups))
    assert list(found) == sorted(set(labels))
    for label, near in expected.items():
        assert found[label] == (None if near is None else pytest.approx(near, abs=1e-6))


def test_a_hand_made_example_skips_the_same_part() -> None:
    vectors = np.array([[1, 0], [0.6, 0.8], [0, 3], [1, 0], [1, 0]], np.float16)
    # Parts: two pictures of p lie close together and do not count for each other.
    found = near_distances(training_of(vectors, ["x"] * 3 + ["y"] * 2, groups=["p", "p", "q", "r", "r"]))
    # x: sqrt(2), sqrt(.4) and sqrt(.4), whatever the lengths; y shows one part only
    assert found == {"x": pytest.approx(0.4**0.5, abs=1e-3), "y": None}


def test_samples_without_a_group_are_parts_of_their_own() -> None:
    vectors = np.array([[1, 0], [0, 1], [-1, 0]], np.float16)
    assert near_distances(training_of(vectors, ["x"] * 3)) == {"x": 2**0.5}
    assert near_distances(training_of(vectors[:1], ["x"])) == {"x": None}


def test_twins_in_different_parts_are_at_distance_0() -> None:
    vectors = np.repeat(unit_vectors(2, 1), 4, axis=0)
    assert near_distances(training_of(vectors, ["x"] * 4)) == {"x": 0.0}


def test_a_label_larger_than_one_step_is_searched_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nearness, "_AT_ONCE", 7)
    vectors = unit_vectors(6, 100)
    groups = [f"part {number // 2}" for number in range(100)]
    expected = brute_force(vectors, ["x"] * 100, groups)["x"]
    assert near_distances(training_of(vectors, ["x"] * 100, groups=groups)) == {"x": pytest.approx(expected, abs=1e-6)}


def test_of_a_large_label_seeded_samples_are_looked_up_and_all_are_searched(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nearness, "MOST_QUERIES", 9)
    vectors = unit_vectors(6, 80)
    names = [f"id {number}" for number in range(80)]
    chosen = set(sorted(range(80), key=lambda at: nearness._hash(0, names[at]))[:9])
    expected = brute_force(vectors, ["x"] * 80, names, chosen)["x"]
    assert expected != brute_force(vectors, ["x"] * 80, names)["x"]
    found = near_distances(training_of(vectors, ["x"] * 80, ids=names))
    assert found == {"x": pytest.approx(expected, abs=1e-6)}
    assert near_distances(training_of(vectors, ["x"] * 80, ids=names), seed=1) != found


def test_near_is_the_same_in_any_order_to_the_last_bit(monkeypatch: pytest.MonkeyPatch) -> None:
    vectors, labels = unit_vectors(7, 200), ["x", "y"] * 100
    groups = [f"part {number // 3}" for number in range(200)]
    straight = near_distances(training_of(vectors, labels, groups=groups))
    for seed, step in ((0, 3), (1, 64), (2, 1000)):
        monkeypatch.setattr(nearness, "_AT_ONCE", step)
        order = np.random.default_rng(seed).permutation(200)
        assert near_distances(training_of(vectors, labels, groups=groups, order=order)) == straight


def test_near_is_one_number_for_every_summary() -> None:
    """It hangs on the samples alone, so that summaries can be compared by it."""
    vectors, labels = unit_vectors(7, 60), ["x", "y"] * 30
    near = near_distances(training_of(vectors, labels))
    only_x = [number for number in range(60) if labels[number] == "x"]
    assert near_distances(training_of(vectors, labels, order=only_x)) == {"x": near["x"]}

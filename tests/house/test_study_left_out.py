"""The choices that earned no place among the strategies, against their definitions: the record rests on them."""

import math
import sys
from pathlib import Path

import numpy as np
import pytest
from helpers import training_of, unit_vectors
from hypothesis import given, settings
from hypothesis import strategies as st

from embedstore.vectors import unit_length

sys.path.append(str(Path(__file__).parents[2] / "tools" / "study"))

from prototype_parts.left_out import confident_means, farthest_first, k_centre


@settings(max_examples=40, deadline=None)
@given(st.data(), st.integers(0, 10**6), st.integers(1, 20), st.integers(2, 6))
def test_k_centre_is_farthest_first_by_its_definition(data: st.DataObject, seed: int, count: int, dim: int) -> None:
    vectors = unit_vectors(seed, count, dim)
    groups = data.draw(st.lists(st.sampled_from("pqrstu"), min_size=count, max_size=count))
    k = data.draw(st.integers(1, count))
    found = k_centre(training_of(vectors, ["x"] * count, groups=groups), 0, k=k).source.tolist()
    points = [row / np.linalg.norm(row) for row in vectors.astype(np.float64)]
    mean = np.mean(points, axis=0)
    assert len(set(found)) == k
    assert math.dist(points[found[0]], mean) <= min(math.dist(point, mean) for point in points) + 1e-5
    for step in range(1, k):
        chosen = found[:step]
        taken = {groups[one] for one in chosen}
        free = [at for at in range(count) if groups[at] not in taken] or [at for at in range(count) if at not in chosen]
        gap = {at: min(math.dist(points[at], points[one]) for one in chosen) for at in free}
        assert gap[found[step]] >= max(gap.values()) - 1e-5


def test_k_centre_takes_a_second_picture_of_a_part_only_when_every_part_has_one() -> None:
    """Part p shows itself from opposite sides; its other side is by far the farthest from all."""
    points = unit_length([[1, 0, 0], [-1, 0, 0], [1, 0.1, 0], [1, 0, 0.1], [1, 0.1, 0.1], [0.9, 0, 0]])
    groups = ["p", "p", "q", "r", "s", "s"]
    found = farthest_first(points, groups, 6).tolist()
    assert sorted(groups[at] for at in found[:4]) == ["p", "q", "r", "s"]
    assert 1 in found[:4] or found[4] == 1
    alone = farthest_first(points, [str(number) for number in range(6)], 2).tolist()
    assert alone[1] == 1  # where each picture is of a part of its own, the farthest comes second


@pytest.mark.parametrize("seed", range(3))
def test_confident_means_are_those_of_the_definition(seed: int) -> None:
    vectors = unit_vectors(seed, 200)
    labels = ["a" if number % 3 else "b" if number % 2 else "c" for number in range(200)]
    wide, of = vectors.astype(np.float64), np.array(labels)
    centre = wide.mean(axis=0)
    means = {name: wide[of == name].mean(axis=0) - centre for name in "abc"}
    sums, total = dict.fromkeys("abc", np.zeros(wide.shape[1])), dict.fromkeys("abc", 0.0)
    for vector, label in zip(wide, labels, strict=True):
        off = vector - centre
        cosines = {
            name: float(off @ mean) / float(np.linalg.norm(off) * np.linalg.norm(mean)) for name, mean in means.items()
        }
        likely = {name: math.exp(cosine / 0.1) for name, cosine in cosines.items()}
        weight = likely[label] / sum(likely.values())
        sums[label], total[label] = sums[label] + vector * weight, total[label] + weight
    found = confident_means(training_of(vectors, labels), 0)
    assert found.labels == ["a", "b", "c"]
    np.testing.assert_allclose(found.vectors, [sums[name] / total[name] for name in "abc"], atol=1e-5)
    assert np.abs(found.vectors - [means[name] + centre for name in "abc"]).max() > 2e-2


def test_a_sample_that_looks_like_another_label_hardly_counts() -> None:
    """So a rare defect among good-looking ones is taken out of its own mean."""
    random = np.random.default_rng(0)
    axes = np.eye(6)[np.repeat([0, 1, 1], [10, 1, 10])]
    vectors = unit_length(axes + random.normal(size=(21, 6)) * 0.03).astype(np.float16)
    labels = ["a"] * 11 + ["b"] * 10  # the eleventh is of the other kind
    clean = vectors[:10].astype(np.float64).mean(axis=0)
    assert np.linalg.norm(confident_means(training_of(vectors, labels), 0).vectors[0] - clean) < 1e-3

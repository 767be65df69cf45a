"""rare-samples: parts are covered before the isolated is kept, twins count once, the rest gets common prototypes."""

import math

import numpy as np
import numpy.typing as npt
import pytest
from helpers import training_of, unit_vectors
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from embedstore.errors import SummaryError
from embedstore.summaries import Prototypes, class_mean, rare_samples
from embedstore.summaries.nearness import near_distances
from embedstore.summaries.rare_samples import rarest
from embedstore.summaries.sub_prototypes import distances_to
from embedstore.vectors import unit_length

Float16 = npt.NDArray[np.float16]


def kept_of(found: Prototypes, label: str = "defect") -> list[int]:
    return [int(at) for at, of in zip(found.source, found.labels, strict=True) if of == label and at >= 0]


DIM = 120  # of planted data: with so many, samples around an axis are farther from each other than from their mean


def twins(random: np.random.Generator, parts: int) -> npt.NDArray[np.float64]:
    """Return how samples differ from their axis, (2 parts, DIM): each part twice, almost the same."""
    return random.normal(size=(parts, DIM)).repeat(2, axis=0) * 0.03 + random.normal(size=(2 * parts, DIM)) * 0.002


class Planted:
    """Defects of one label: 200 common ones, a rare mode of 5 parts each photographed twice, 6 isolated pictures of dirt.

    Everything lies around its own axis: the common ones around the first, the rare mode, which is half as varied, around
    the second, each piece of dirt on one of its own, away from the common ones and so farther than the rare mode.
    """

    common, rare, dirt = range(200), range(200, 210), range(210, 216)
    groups = [f"part {n // 2}" for n in range(210)] + [f"dirt {n}" for n in range(6)]
    labels = ["defect"] * 216

    def __init__(self, seed: int = 0):
        random = np.random.default_rng(seed)
        axes = np.zeros((216, DIM))
        axes[self.common, 0] = 1
        axes[self.rare, 1] = 1
        axes[self.dirt, range(2, 8)] = 1
        axes[self.dirt, 0] = -0.5
        axes[:210] += twins(random, 105) * np.where(np.arange(210) < 200, 1, 0.5)[:, None]
        self.vectors = unit_length(axes).astype(np.float16)


# What is kept


@pytest.mark.parametrize("seed", range(4))
def test_a_rare_mode_photographed_twice_a_part_comes_before_isolated_dirt(seed: int) -> None:
    planted = Planted(seed)
    samples = planted.vectors.astype(np.float32)
    near = near_distances(training_of(planted.vectors, planted.labels, groups=planted.groups))["defect"]
    mean = samples.astype(np.float64).mean(axis=0, keepdims=True).astype(np.float32)
    away = np.linalg.norm(unit_length(samples) - unit_length(mean), axis=1)
    assert away[planted.dirt].min() > away[planted.rare].max() > away[planted.common].max()
    order = rarest(samples, planted.groups, distances_to(samples, mean), near, 12).tolist()
    assert order[0] in planted.rare
    assert set(planted.dirt) <= set(order)  # then there is room for the dirt too
    without_parts = rarest(samples, planted.groups, distances_to(samples, mean), None, 12).tolist()
    assert without_parts[0] in planted.dirt  # by distance alone the dirt comes first


@pytest.mark.parametrize("seed", range(4))
def test_rare_parts_that_look_like_no_other_are_each_kept_and_only_one_picture_of_each(seed: int) -> None:
    """Eight parts, each unlike all else and photographed twice: each picture has a near neighbour, its own twin."""
    axes = np.eye(DIM)[[0] * 200 + [1 + n // 2 for n in range(16)]]
    groups = [f"common {n // 2}" for n in range(200)] + [f"rare {n // 2}" for n in range(16)]
    vectors = unit_length(axes + twins(np.random.default_rng(seed), 108)).astype(np.float16)
    found = rare_samples.fit(training_of(vectors, ["defect"] * 216, groups=groups), 0, share=8 / 216, k=1)
    kept = kept_of(found)
    assert len(kept) == 8
    assert {groups[at] for at in kept} == {f"rare {n}" for n in range(8)}


def test_a_mode_of_many_parts_comes_before_one_of_few() -> None:
    axes = np.eye(30)[[0] * 100 + [1] * 3 + [2] * 9 + [3] * 5]
    vectors = unit_length(axes + np.random.default_rng(0).normal(size=axes.shape) * 0.02).astype(np.float16)
    near = near_distances(training_of(vectors, ["x"] * 117))["x"]
    assert near is not None
    samples = vectors.astype(np.float32)
    away = distances_to(samples, samples[:100].mean(axis=0, keepdims=True))
    order = rarest(samples, [str(n) for n in range(117)], away, near * 2, 3)
    assert [int(mode) for mode in axes[order].argmax(axis=1)] == [2, 3, 1]


def rarest_by_definition(
    samples: Float16, groups: list[str], prototypes: Float16, near: float | None, kept: list[int]
) -> None:
    """Assert that each choice is one that the definition allows, in plain Python; equal but for rounding."""
    points = [row / np.linalg.norm(row) for row in samples.astype(np.float64)]
    spoken = [row / np.linalg.norm(row) for row in prototypes.astype(np.float64)]
    gap = [min(math.dist(point, prototype) for prototype in spoken) for point in points]
    lost = {at for at in range(len(points)) if near is not None and gap[at] > near}
    photographed = {groups[at]: sum(groups[other] == groups[at] for other in lost) for at in lost}
    open_ = set(lost)
    for step, one in enumerate(kept):
        assert one not in kept[:step]
        if near is not None and any(gap[at] > near for at in open_):
            gain = {
                at: sum(
                    max(0.0, gap[other] - math.dist(points[at], points[other])) / photographed[groups[other]]
                    for other in open_
                )
                for at in open_
            }
            assert one in open_
            assert gain[one] >= max(gain.values()) - 3e-5
            open_ -= {one}
        else:
            assert gap[one] >= max(gap[at] for at in range(len(points)) if at not in kept[:step]) - 1e-5
        gap = [min(far, math.dist(point, points[one])) for far, point in zip(gap, points, strict=True)]


@settings(max_examples=60, deadline=None)
@given(st.data(), st.integers(0, 10**6), st.integers(1, 25), st.integers(3, 6), st.sampled_from([None, 0.3, 0.6, 1.0]))
def test_what_is_kept_is_what_the_definition_says(
    data: st.DataObject, seed: int, count: int, dim: int, near: float | None
) -> None:
    samples = unit_vectors(seed, count, dim)
    groups = data.draw(st.lists(st.sampled_from("pqrstuvw"), min_size=count, max_size=count))
    prototypes = unit_vectors(seed + 1, data.draw(st.integers(1, 3)), dim)
    between = np.linalg.norm(unit_length(samples)[:, None] - unit_length([*samples, *prototypes])[None], axis=2)
    assume(near is None or np.abs(between - near).min() > 1e-5)  # else rounding decides who is near
    keep = data.draw(st.integers(0, count))
    single = samples.astype(np.float32)
    kept = rarest(single, groups, distances_to(single, prototypes.astype(np.float32)), near, keep).tolist()
    assert len(kept) == keep
    rarest_by_definition(samples, groups, prototypes, near, kept)


# The whole


@pytest.mark.parametrize("pictures", [1, 2])
@pytest.mark.parametrize("common", [14, 30, 60, 300])
def test_parts_unlike_all_others_are_kept_however_small_the_label(common: int, pictures: int) -> None:
    """With 32 clusters each such part gets one of its own, which must not pass for a prototype that speaks for it."""
    axes = np.eye(DIM)[[0] * common * 2 + [1 + n // pictures for n in range(3 * pictures)]]
    groups = [f"common {n // 2}" for n in range(2 * common)] + [f"rare {n // pictures}" for n in range(3 * pictures)]
    spread = np.concatenate([np.arange(common).repeat(2), common + np.arange(3).repeat(pictures)])
    noise = np.random.default_rng(common).normal(size=(common + 3, DIM))[spread] * 0.03
    vectors = unit_length(axes + noise).astype(np.float16)
    found = rare_samples.fit(training_of(vectors, ["defect"] * len(axes), groups=groups), 0)
    kept = kept_of(found)
    assert len(kept) >= 3
    assert {"rare 0", "rare 1", "rare 2"} <= {groups[at] for at in kept}


LABELS = ["many"] * 70 + ["some"] * 15 + ["few"] * 4 + ["one"]
VECTORS = unit_vectors(4, len(LABELS))


@pytest.mark.parametrize("share", [0.01, 0.2, 0.3, 0.5, 1.0])
def test_each_label_keeps_its_share_rounded_up_as_they_are(share: float) -> None:
    found = rare_samples.fit(training_of(VECTORS, LABELS), 0, share=share, k=2)
    for label in ("many", "some", "few", "one"):
        kept = kept_of(found, label)
        assert len(kept) == len(set(kept)) == math.ceil(share * LABELS.count(label) - 1e-9)
    own = found.source >= 0
    assert found.vectors[own].tobytes() == VECTORS[found.source[own]].astype(np.float32).tobytes()
    assert [found.labels[number] for number in np.flatnonzero(own)] == [LABELS[at] for at in found.source[own]]
    assert found.fitted.all()


def test_a_tenth_is_kept_where_nothing_is_said() -> None:
    found = rare_samples.fit(training_of(VECTORS, LABELS), 0)
    assert [len(kept_of(found, label)) for label in ("many", "some", "few", "one")] == [7, 2, 1, 1]


@pytest.mark.parametrize("k", [1, 3, 8])
def test_beside_them_there_are_so_many_common_prototypes(k: int) -> None:
    planted = Planted()
    found = rare_samples.fit(training_of(planted.vectors, planted.labels, groups=planted.groups), 0, k=k)
    assert (found.source < 0).sum() == k


def test_when_all_is_kept_there_is_nothing_to_average() -> None:
    found = rare_samples.fit(training_of(VECTORS, LABELS), 0, share=1.0)
    assert sorted(found.source.tolist()) == list(range(len(LABELS)))


def test_the_others_have_the_mean_of_what_is_not_kept() -> None:
    """Not of all: what is kept would draw it towards itself."""
    planted = Planted()
    training = training_of(planted.vectors, planted.labels, groups=planted.groups)
    found = rare_samples.fit(training, 0, share=0.1, k=1)
    kept = kept_of(found)
    rest = [at for at in range(216) if at not in kept]
    expected = class_mean.fit(training_of(planted.vectors, planted.labels, order=rest), 0).vectors
    assert found.vectors[found.source < 0].tobytes() == expected.tobytes()
    assert expected.tobytes() != class_mean.fit(training, 0).vectors.tobytes()


def test_with_one_mean_few_kept_samples_leave_less_hidden_than_the_farthest_or_random_ones() -> None:
    planted = Planted()
    training = training_of(planted.vectors, planted.labels, groups=planted.groups)
    near = near_distances(training)["defect"]
    assert near is not None
    points = unit_length(planted.vectors)

    def hidden(prototypes: npt.ArrayLike) -> int:
        away = np.linalg.norm(points[:, None] - unit_length(prototypes)[None], axis=2).min(axis=1)
        return int((away > near).sum())

    found = rare_samples.fit(training, 0, share=0.01, k=1)
    kept = kept_of(found)
    assert len(kept) == 3
    mean = class_mean.fit(training, 0).vectors
    farthest = np.linalg.norm(points - unit_length(mean), axis=1).argsort()[-3:]
    random = training.drawn(0, b"random")["defect"][:3]
    mine = hidden(np.concatenate([mean, points[kept]]))
    assert mine < hidden(np.concatenate([mean, points[farthest]]))
    assert mine < hidden(np.concatenate([mean, points[random]]))
    assert hidden(found.vectors) <= mine


def test_a_label_of_one_part_keeps_the_farthest() -> None:
    vectors = np.concatenate([np.repeat(unit_vectors(0, 1), 6, axis=0), -unit_vectors(0, 1), unit_vectors(1, 1)])
    found = rare_samples.fit(training_of(vectors, ["x"] * 8, groups=["p"] * 8), 0, share=0.1, k=1)
    assert kept_of(found, "x") == [6]


@pytest.mark.parametrize("share", [0.0, -1.0, 1.5, math.nan])
def test_a_share_that_can_not_be_is_refused(share: float) -> None:
    with pytest.raises(
        SummaryError, match=r"^The share of samples to keep is .*; expected a number above 0 and up to 1"
    ):
        rare_samples.fit(training_of(VECTORS, LABELS), 0, share=share)


def test_less_than_one_common_prototype_is_refused() -> None:
    with pytest.raises(SummaryError, match=r"^The number of prototypes per label is 0; expected 1 or more\.$"):
        rare_samples.fit(training_of(VECTORS, LABELS), 0, k=0)

"""What is tried in the study of prototypes, each against an oracle: divisions, codes, outlier scores, distributions, probes."""

import sys
from functools import partial
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score
from sklearn.neighbors import LocalOutlierFactor

from embedstore.summaries import STRATEGIES

sys.path.append(str(Path(__file__).parents[2] / "tools" / "study"))

from prototype_parts import codes, distribution, rarity, readers, scorers, sizes
from prototype_parts.making import of_each_label, own
from prototype_parts.pictures import Side, make_folds
from prototype_parts.scorers import nearest
from study_pictures import DIM, pictures_of, with_twins


def test_prototypes_are_divided_by_what_is_due() -> None:
    of = {"defect": 300, "good": 900}
    assert sizes.divided(2, of, "size", "good") == {"defect": 1, "good": 1}
    assert sizes.divided(40, of, "equal", "good") == {"defect": 20, "good": 20}
    assert sizes.divided(40, of, "size", "good") == {"defect": 10, "good": 30}
    assert sizes.divided(40, of, "defects", "good") == {"defect": 30, "good": 10}
    assert sizes.divided(1000, of, "equal", "good") == {"defect": 300, "good": 700}
    assert sizes.divided(5000, of, "defects", "good") == of
    assert sizes.divided(41, {"a": 100, "b": 400, "good": 900}, "root", "good") == {"a": 7, "b": 14, "good": 20}


@pytest.fixture(scope="module")
def side() -> Side:
    pictures = with_twins(5, between=3.0)
    return make_folds(pictures)[0].outer.side


def test_bytes_are_those_of_all_that_is_kept(side: Side) -> None:
    n = len(side.samples)
    assert nearest(side, 0, make=partial(of_each_label, strategy="medoids", count=10)).nbytes == 2 * DIM + 10 * (
        2 * DIM + 1
    )
    assert nearest(side, 0, make=own).nbytes == 2 * DIM + n * (2 * DIM + 1)
    assert codes.few_bits(side, 0, make=own, bits=2).nbytes == 2 * DIM + n * (2 * DIM // 8 + 1)
    whole = codes.principal_components(side, 0, rank=4, whole_bytes=True)
    assert whole.nbytes == 2 * DIM + n * (4 + 1) + 2 * 4 * DIM + 2 * 4
    assert codes.principal_components(side, 0, rank=4, whole_bytes=False).nbytes == 2 * DIM + n * (8 + 1) + 2 * 4 * DIM
    quantised = codes.product_quantised(side, 0, code=4, bits=4)
    assert quantised.nbytes == 2 * DIM + n * (4 + 1) + 2 * 16 * DIM
    assert distribution.class_distribution(side, 0, count=8).nbytes == 8 * (2 * DIM + 1) + 2 * 2
    in_bits = codes.few_bits_in_bytes_of(side, 0, strategy="random-samples", count=20, bits=8)
    assert in_bits.count == 20 * (2 * DIM + 1) // (DIM + 1)
    assert in_bits.nbytes <= scorers.budget(20, DIM) < in_bits.nbytes + DIM + 1
    assert readers.probe(side, 0).nbytes == 4 * DIM


def test_codes_give_back_what_they_can(side: Side) -> None:
    def agreement(found: scorers.Nearest) -> float:
        return float((found.points * side.points).sum(axis=1).mean())

    assert codes.normal_levels(1) == pytest.approx([-0.7979, 0.7979], abs=1e-3)
    assert codes.normal_levels(2) == pytest.approx([-1.510, -0.4528, 0.4528, 1.510], abs=2e-3)  # Max 1960, table 1
    near = [agreement(codes.few_bits(side, 0, make=own, bits=bits)) for bits in (1, 2, 4, 8)]
    assert near[0] == pytest.approx(np.sqrt(2 / np.pi), abs=0.02)
    assert all(a < b for a, b in pairwise(near))
    assert near[-1] > 0.9995
    full = codes.principal_components(side, 0, rank=DIM, whole_bytes=False)
    assert full.points == pytest.approx(side.points, abs=2e-3)
    products = [agreement(codes.product_quantised(side, 0, code=code, bits=4)) for code in (1, 4, 16)]
    assert all(a < b for a, b in pairwise(products))
    assert products[-1] > 0.99  # of 16 levels for each number


def test_outlier_scores_skip_the_own_part(side: Side) -> None:
    points = side.points[:60]
    each = np.arange(60)
    reference = LocalOutlierFactor(n_neighbors=rarity.LOF_NEIGHBOURS).fit(points)
    assert rarity.local_outlier_factor(points, each) == pytest.approx(-reference.negative_outlier_factor_, rel=1e-4)
    parts = each // 2
    distance = np.linalg.norm(points[:, None] - points, axis=2)
    expected = [np.sort(distance[at][parts != parts[at]])[: rarity.NEIGHBOURS].mean() for at in each]
    assert rarity.knn_distance(points, parts) == pytest.approx(expected, rel=1e-4)
    assert rarity.highest(np.array([5.0, 4, 3, 2, 1]), np.array([0, 0, 1, 1, 2]), 4).tolist() == [0, 2, 4, 1]


def test_of_a_rare_part_one_picture_is_kept_unless_twins_count() -> None:
    """The part lies far from all others of its label, and was photographed twice."""
    pictures = with_twins(5)
    pictures.vectors[:, 0] += np.where(pictures.defect, 4, -4)  # so that those of a label lie together
    odd = np.flatnonzero(pictures.defect)[:2]
    pictures.vectors[odd] = np.array([[4.0], [4.1]]) * np.eye(1, DIM, 1)
    side = Side(pictures, np.arange(len(pictures.samples)))
    for score in rarity.SCORES[:4]:
        vectors, labels = rarity.mixture(side, 0, count=12, share=0.5, score=score)
        assert labels == ["defect"] * 6 + ["good"] * 6
        kept = {vector.tobytes() for vector in vectors[3:6]}  # the means come first
        held = [vector.astype(np.float32).tobytes() in kept for vector in pictures.vectors[odd]]
        assert sum(held) == (2 if score == "kNN, twins counted" else 1), score


def test_half_of_todays_mixture_is_samples() -> None:
    pictures = with_twins(5)
    side = Side(pictures, np.arange(len(pictures.samples)))
    samples = {vector.astype(np.float32).tobytes() for vector in pictures.vectors}
    for share, expected in ((0.0, 0), (0.5, 6), (1.0, 10)):  # at least one common prototype of each label
        vectors, labels = rarity.todays_mixture(side, 0, count=12, share=share)
        assert labels == ["defect"] * 6 + ["good"] * 6
        assert sum(vector.tobytes() in samples for vector in vectors) == expected


def test_doubts_are_of_probes_that_did_not_see_the_part() -> None:
    """Where labels are drawn by lot for each part, twins would make a probe sure; it is not."""
    pictures = with_twins(7)
    doubts = Side(pictures, np.arange(len(pictures.samples))).doubts
    assert np.mean(doubts) == pytest.approx(0.5, abs=0.1)
    clear = with_twins(7, between=12.0)
    assert np.mean(Side(clear, np.arange(len(clear.samples))).doubts) < 0.2
    students = {one.id: float(one.label == "good") for one in clear.samples}  # each ranked the wrong way round
    side = Side(clear, np.arange(len(clear.samples)))
    assert rarity.disagreement(side, students).mean() > 0.4
    assert rarity.disagreement(side, {}).tolist() == [0.0] * len(clear.samples)


def test_likelihoods_are_those_of_the_covariance_written_out(side: Side) -> None:
    from scipy.stats import multivariate_normal

    found = distribution.class_distribution(side, 0, count=10)
    reference = STRATEGIES["class-distribution"](side.training, 0, rank=4)
    assert reference.axes is not None
    for ours, theirs in zip(found.spreads.values(), reference.axes, strict=True):
        for one, other in zip(ours.axes, theirs, strict=True):
            assert one * np.sign(one @ other) == pytest.approx(other, abs=1e-3)
    asked = side.training.read(np.arange(20))
    by_label = []
    for label, members in side.training.members.items():
        total = side.training.read(members).astype(np.float64).var(axis=0, ddof=1).sum()
        axes = found.spreads[label].axes.astype(np.float64)
        across = np.eye(DIM) - sum(np.outer(a, a) / (a @ a) for a in axes)
        left = (total - (axes**2).sum()) / (DIM - 4)
        covariance = 0.9 * (axes.T @ axes + left * across) + 0.1 * total / DIM * np.eye(DIM)
        by_label.append(multivariate_normal(found.spreads[label].means[0], covariance).logpdf(asked))
    assert list(side.training.members) == ["defect", "good"]
    assert found.scores(asked) == pytest.approx(by_label[0] - by_label[1], rel=1e-2, abs=1e-2)


def test_around_one_mean_of_each_label_it_is_the_class_distribution(side: Side) -> None:
    asked = side.training.read(np.arange(20))
    means = partial(of_each_label, strategy="sub-prototypes", count=2)
    one = distribution.around_prototypes(side, 0, make=means, rank=4)
    whole = distribution.class_distribution(side, 0, count=10)
    assert (one.nbytes, one.count) == (whole.nbytes, whole.count)
    assert one.scores(asked) == pytest.approx(whole.scores(asked), rel=1e-3, abs=1e-2)
    good = distribution.good_distribution(side, 0, count=5)
    assert good.scores(asked) == pytest.approx(-whole.spreads["good"].likelihood(asked))
    shared = distribution.shared_axes(side, 0, count=10)
    assert shared.count == 10
    middle = shared.scores(asked[:2].mean(axis=0, keepdims=True))[0]
    assert middle == pytest.approx(shared.scores(asked[:2]).mean(), rel=1e-3, abs=1e-3)  # a linear score


def test_several_prototypes_share_the_spread_around_them() -> None:
    """Four tight heaps of good parts, defects between them: one normal distribution hides what four tell."""
    random = np.random.default_rng(0)
    corners = np.repeat(np.eye(4, DIM) * 3, 15, axis=0)
    good = corners + random.normal(size=corners.shape) * 0.1
    defect = corners.mean(axis=0) + random.normal(size=(20, DIM)) * 0.1
    labels = ["good"] * 60 + ["defect"] * 20
    pictures = pictures_of(np.concatenate([good, defect]), labels, [f"part {at}" for at in range(80)])
    side = Side(pictures, np.arange(80))
    found = distribution.around_prototypes(
        side, 0, make=partial(of_each_label, strategy="sub-prototypes", count=8), rank=0
    )
    assert found.spreads["good"].total == pytest.approx(DIM * 0.1**2, rel=0.1)
    assert len(found.spreads["good"].axes) == 0
    scores = found.scores(pictures.vectors.astype(np.float32))
    assert scores[60:].min() > scores[:60].max()


def test_a_probe_of_all_samples_is_the_same_as_of_prototypes_that_are_all_samples(side: Side) -> None:
    asked = side.training.read(np.arange(40))
    direct = readers.probe(side, 0).scores(asked)
    through = readers.probe_of_prototypes(side, 0, fit=partial(nearest, make=own))
    assert np.corrcoef(direct, through.scores(asked))[0, 1] > 0.999
    drawn = readers.probe_of_distribution(side, 0, count=20)
    assert roc_auc_score(side.defect[:40], drawn.scores(asked)) > 0.7

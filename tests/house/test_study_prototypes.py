"""The study of prototypes: no leak, thresholds by hand, figures, codes and choices against oracles, a record that goes on."""

import json
import sys
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from helpers import store_of
from sklearn.metrics import roc_auc_score
from sklearn.neighbors import LocalOutlierFactor

from distill.evaluation.metrics import OVERKILL_GRID
from embedstore.images import Sample
from embedstore.summaries import STRATEGIES
from embedstore.vectors import unit_length

ROOT = Path(__file__).parents[2]
sys.path.append(str(ROOT / "tools" / "study"))

import prototypes  # noqa: E402
from prototype_parts import codes, conditions, distribution, figures, rarity, readers, scorers, sizes  # noqa: E402
from prototype_parts.making import of_each_label, own  # noqa: E402
from prototype_parts.pictures import Fold, Pictures, Side, Trial, make_folds  # noqa: E402
from prototype_parts.scorers import nearest  # noqa: E402

DIM = 32


def pictures_of(
    vectors: npt.ArrayLike, labels: list[str], parts: list[str], modes: list[str] | None = None
) -> Pictures:
    kinds = modes or labels
    samples = [
        Sample(f"{number:04d}", f"{number:04d}", label, mode, part)
        for number, (label, mode, part) in enumerate(zip(labels, kinds, parts, strict=True))
    ]
    return Pictures(samples, np.asarray(vectors, np.float16), "good")


def with_twins(seed: int, parts: int = 120, between: float = 0.0) -> Pictures:
    """Each part photographed twice, all but the same; good and defect differ along one axis by `between` deviations."""
    random = np.random.default_rng(seed)
    labels = ["good", "good", "defect"] * (parts // 3)
    once = random.normal(size=(parts, DIM))
    once[:, 0] += between * (np.array(labels) == "defect")
    twice = np.repeat(once, 2, axis=0) + random.normal(size=(2 * parts, DIM)) * 0.02
    names = [f"part {number}" for number in range(parts)]
    return pictures_of(unit_length(twice), list(np.repeat(labels, 2)), list(np.repeat(names, 2)))


def area(pictures: Pictures) -> float:
    folds = make_folds(pictures)
    held = figures.hold_out(pictures, folds, conditions.everything().fit, (0,))
    return float(figures.Resamples(pictures, folds, draws=0).figures(held)["auroc"][0])


def test_twins_in_the_store_make_a_false_figure_and_the_protocol_keeps_them_apart() -> None:
    """Nothing tells good from defect here but what is known of the twin: .5 is all that can be had."""
    honest, leaky = [], []
    for seed in range(4):
        pictures = with_twins(seed)
        honest.append(area(pictures))
        leaky.append(area(pictures.each_a_part()))
    assert np.mean(honest) == pytest.approx(0.5, abs=0.05)
    assert min(leaky) > 0.95


def test_the_honest_figure_is_what_the_classes_allow() -> None:
    """That of parts which never were in the store, scored by the same rule written out."""
    fresh, honest, leaky = [], [], []
    for seed in range(12):
        pictures, others = (with_twins(number, between=2.5) for number in (seed, 100 + seed))
        known, asked = (one.vectors.astype(np.float64) for one in (pictures, others))
        centre = known.mean(axis=0)
        known, asked = known - centre, asked - centre
        cosine = asked @ known.T / np.outer(np.linalg.norm(asked, axis=1), np.linalg.norm(known, axis=1))
        scores = cosine[:, pictures.defect].max(axis=1) - cosine[:, ~pictures.defect].max(axis=1)
        fresh.append(roc_auc_score(others.defect, scores))
        honest.append(area(pictures))
        leaky.append(area(pictures.each_a_part()))
    assert 0.7 < np.mean(fresh) < 0.9
    assert np.mean(honest) == pytest.approx(np.mean(fresh), abs=0.04)
    assert min(leaky) > 0.98


def test_no_part_is_on_two_sides_and_every_picture_is_tested_once() -> None:
    pictures = with_twins(0)
    folds = make_folds(pictures)
    assert sorted(np.concatenate([fold.outer.test for fold in folds])) == list(range(len(pictures.samples)))
    for fold in folds:
        tested = {pictures.samples[at].part for at in fold.outer.test}
        trained = {one.part for one in fold.outer.side.samples}
        assert not tested & trained
        for trial in fold.inner:
            inner = {pictures.samples[at].part for at in trial.test}
            assert inner <= trained
            assert not inner & {one.part for one in trial.side.samples}
            assert {one.part for one in trial.side.samples} <= trained


def test_a_decision_hangs_on_no_other_tested_picture() -> None:
    """So not on a twin either: all of a fold's test side but one picture is replaced, and its decisions stay."""
    pictures = with_twins(0, between=2.0)
    folds = make_folds(pictures)
    one, *others = folds[0].outer.test
    fit = conditions.baseline(8).fit
    before = figures.hold_out(pictures, folds[:1], fit, (0,))
    changed = Pictures(pictures.samples, pictures.vectors.copy(), "good")
    changed.vectors[others] = np.float16(0.3)
    after = figures.hold_out(changed, make_folds(changed)[:1], fit, (0,))
    assert before.rejected[:, one].tolist() == after.rejected[:, one].tolist()
    assert before.rejected[:, others].tolist() != after.rejected[:, others].tolist()


@dataclass(frozen=True)
class FirstNumber:
    """A score that needs no training: the first number of a vector."""

    nbytes: int = 10
    count: int = 1

    def scores(self, vectors: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
        return vectors[:, 0].astype(np.float64)


def test_thresholds_come_from_cross_fitted_scores_of_the_training_side() -> None:
    pictures = with_twins(3, between=1.0)
    folds = make_folds(pictures)
    scores = pictures.vectors[:, 0].astype(np.float64)
    held = figures.hold_out(pictures, folds, lambda side, seed: FirstNumber(), (0, 1))
    for fold in folds:
        train = np.setdiff1d(np.arange(len(scores)), fold.outer.test)
        good = np.sort(scores[train][~pictures.defect[train]])[::-1]
        for overkill, rejected in zip(OVERKILL_GRID, held.rejected, strict=True):
            expected = scores[fold.outer.test] > good[int(overkill * len(good) + 1e-9)]
            assert rejected[fold.outer.test].tolist() == expected.astype(float).tolist()


def test_figures_by_hand() -> None:
    labels = ["good"] * 4 + ["defect"] * 6
    modes = ["good"] * 4 + ["scratch"] * 4 + ["dent"] * 2
    pictures = pictures_of(np.eye(10), labels, [f"part {at // 2}" for at in range(10)], modes)
    side = Side(pictures, np.arange(10))
    folds = [Fold(Trial(side, np.array(at)), []) for at in ([0, 1, 4, 5], [2, 3, 6, 7, 8, 9])]
    scores = np.array([0.1, 0.9, 0.2, 0.3, 0.8, 0.95, 0.25, 0.1, 0.9, 0.8])
    rejected = np.zeros((len(OVERKILL_GRID), 10))
    rejected[:] = [0, 1, 0, 0, 0.5, 1, 0, 0, 1, 1]
    areas = [
        (fold.outer.test, [figures.rank(pictures.defect[fold.outer.test], scores[fold.outer.test])]) for fold in folds
    ]
    held = figures.Held(rejected, np.ones(10, bool), areas, 1, 1, 1)
    resampled = figures.Resamples(pictures, folds, draws=400)
    found = {name: values[0] for name, values in resampled.figures(held).items()}
    by_fold = [roc_auc_score(pictures.defect[fold.outer.test], scores[fold.outer.test]) for fold in folds]
    assert found == pytest.approx(
        {
            "recall": 3.5 / 6, "mean_recall": 3.5 / 6, "macro_mode_recall": (1.5 / 4 + 1) / 2,
            "mean_macro_mode_recall": (1.5 / 4 + 1) / 2, "worst_mode_recall": 1.5 / 4, "overkill": 1 / 4,
            "auroc": np.mean(by_fold), "dent": 1.0, "scratch": 1.5 / 4,
        }
    )  # fmt: skip
    # Scratches are on one part of two in the first fold and on one of three in the second.
    scratch = resampled.figures(held)["scratch"][1:]
    mixtures = {round(0.75 * a / (a + b), 6) for a in range(3) for b in range(4) if a + b}
    assert set(np.round(scratch[~np.isnan(scratch)], 6)) <= mixtures
    assert 0.2 < np.nanmean(scratch) < 0.6


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


def test_the_record_goes_on_where_it_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pictures = with_twins(1, parts=60, between=3.0)
    out = tmp_path / "record.json"
    several = list(conditions.all_conditions(None, quick=True))[:5]
    study = prototypes.Study(pictures, "teacher", out, quick=True)
    assert [study.add(one) for one in several[:3]] == [True] * 3
    tried: list[Any] = []
    real = prototypes.hold_out
    monkeypatch.setattr(prototypes, "hold_out", lambda *given: tried.append(given[2]) or real(*given))
    again = prototypes.Study(pictures, "teacher", out, quick=True)
    assert [again.add(one) for one in several] == [False] * 3 + [True] * 2
    assert [one.name for one in several[:3] if one.fit in tried] == []
    whole = prototypes.Study(pictures, "teacher", tmp_path / "whole.json", quick=True)
    assert [whole.add(one) for one in several] == [True] * 5
    assert json.loads(out.read_text("utf-8")) == json.loads((tmp_path / "whole.json").read_text("utf-8"))
    told = json.loads(out.read_text("utf-8"))["conditions"]["class-mean"]
    assert told["against"]["sub-prototypes"]["auroc"] == [0.0, 0.0, 0.0]  # k-means of one cluster is the mean
    with pytest.raises(prototypes.SettingsError, match="other pictures or by another protocol"):
        prototypes.Study(with_twins(2, parts=60), "teacher", out, quick=True)
    out.write_text("{}", "utf-8")
    with pytest.raises(prototypes.SettingsError, match="no record of this study"):
        prototypes.Study(pictures, "teacher", out, quick=True)


def test_the_whole_script(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pictures = with_twins(4, parts=60, between=3.0)
    store_of(
        tmp_path / "store", pictures.vectors, labels=[one.label for one in pictures.samples],
        groups=[one.group for one in pictures.samples], modes=[one.mode for one in pictures.samples],
    ).close()  # fmt: skip
    out = tmp_path / "record.json"
    prototypes.main([str(tmp_path / "store"), "--good", "good", "--out", str(out), "--quick"])
    record = json.loads(out.read_text("utf-8"))
    assert set(record["conditions"]) == {one.name for one in conditions.all_conditions(None, quick=True)}
    assert record["data"]["modes"] == {"good": {"pictures": 80, "parts": 40}, "defect": {"pictures": 40, "parts": 20}}
    assert record["leak"]["each picture alone"]["auroc"] > 0.95 > record["leak"]["whole parts"]["auroc"]
    assert "k-centre, prototypes 32" in capsys.readouterr().out
    with pytest.raises(SystemExit, match="expected 'fine' and a label of defects"):
        prototypes.main([str(tmp_path / "store"), "--good", "fine", "--out", str(out)])
    (tmp_path / "students.csv").write_text("id,score\na,much\n", "utf-8")
    with pytest.raises(SystemExit, match="can't be read as a student's scores"):
        prototypes.main(
            [str(tmp_path / "store"), "--good", "good", "--out", str(out), "--students", str(tmp_path / "students.csv")]
        )


def test_every_condition_has_a_name_of_its_own() -> None:
    names = [one.name for one in conditions.all_conditions({}, quick=False)]
    assert len(set(names)) == len(names)
    assert sum("disagreement" in name for name in names) == len(conditions.CHOICES)
    assert not any("disagreement" in one.name for one in conditions.all_conditions(None, quick=False))

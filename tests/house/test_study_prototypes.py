"""The study of prototypes: no leak, thresholds and figures by hand, and a record that goes on where it stopped."""

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from helpers import store_of
from sklearn.metrics import roc_auc_score

from distill.evaluation.metrics import OVERKILL_GRID
from distill.evaluation.report import Held
from distill.evaluation.runs import RunScores
from embedstore.images import Sample

sys.path.append(str(Path(__file__).parents[2] / "tools" / "study"))

import prototypes
import results
from prototype_parts import conditions, figures
from prototype_parts.pictures import Fold, Pictures, Side, Trial, make_folds
from study_pictures import pictures_of, with_twins


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
    (tmp_path / "samples.json").write_text("[]", "utf-8")
    asked = [str(tmp_path / "store"), "--good", "good", "--out", str(out), "--students"]
    with pytest.raises(SystemExit, match=r"'.*samples\.json' can't be read as a finished condition"):
        prototypes.main([*asked, str(tmp_path / "samples.json")])
    with pytest.raises(SystemExit, match="can't be read as a finished condition"):
        prototypes.main([*asked, str(tmp_path / "nowhere" / "own.json")])


def test_students_are_asked_of_what_they_held_out_and_their_mean_counts(tmp_path: Path) -> None:
    samples = [Sample(name, name, "good", group=name) for name in ("a.png", "b.png")]
    results.write_samples(tmp_path, samples)

    def run(fold: int, **good: float) -> RunScores:
        held = [Held(f"{one}.png", "test", "good", "good", one, (1 - found, found)) for one, found in good.items()]
        return RunScores("own", fold, 0, held, results.CLASSES, 1.0, None, [], None)

    about = {"good": "good", "peak_memory": None, "curve": []}
    results.write(tmp_path, "own", about, [run(0, a=0.5, b=0.25), run(1, b=0.75)], "good")
    assert prototypes.read_students(tmp_path / "own.json") == pytest.approx({"a.png": 0.0, "b.png": 0.0}, abs=1e-3)
    results.write(tmp_path, "own", about, [run(0, a=0.5, b=0.25), run(1, b=0.5)], "good")
    assert prototypes.read_students(tmp_path / "own.json")["b.png"] == pytest.approx(np.log(3) / 2, abs=1e-3)


def test_what_is_read_by_a_probe_is_held_against_what_is_read_by_a_probe() -> None:
    every = {one.name: one for one in conditions.all_conditions(None, quick=False)}
    plain = conditions.rivals(every["medoids, prototypes 8"], 8)
    assert {key: one.name for key, one in plain.items()} == {
        "sub-prototypes": "sub-prototypes, prototypes 8", "own": "own",
    }  # fmt: skip
    probed = conditions.rivals(every["medoids, read by probe, prototypes 8"], 8)
    assert probed["sub-prototypes"].name == "sub-prototypes, read by probe, prototypes 8"
    both = conditions.rivals(every["class-distribution, vectors 8"], 8)
    assert [one.name for one in both.values()] == [
        "sub-prototypes, prototypes 8", "sub-prototypes, read by probe, prototypes 8", "own",
    ]  # fmt: skip


def test_every_condition_has_a_name_of_its_own() -> None:
    names = [one.name for one in conditions.all_conditions({}, quick=False)]
    assert len(set(names)) == len(names)
    assert sum("disagreement" in name for name in names) == len(conditions.CHOICES)
    assert not any("disagreement" in one.name for one in conditions.all_conditions(None, quick=False))

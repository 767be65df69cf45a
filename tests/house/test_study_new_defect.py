"""New defects without training: what is left out, what is added and what is tested, and the figures of made-up scores."""

import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[2]
sys.path += [str(ROOT / "tools" / "study"), str(ROOT / "tools")]

import new_defect  # noqa: E402
from new_defect_parts import students  # noqa: E402
from new_defect_parts.cases import ADDED, GOOD, KNOWN, LEAST_TESTED, NEW, Case  # noqa: E402
from new_defect_parts.figures import summed_up  # noqa: E402
from new_defect_parts.measuring import Scored, curves, reached, scored, scored_by_head  # noqa: E402
from new_defect_parts.picture import pictures  # noqa: E402
from new_defect_parts.spaces import SPACES, Space  # noqa: E402

import embedstore  # noqa: E402
from distill.evaluation.report import Held  # noqa: E402
from distill.training import run_directory  # noqa: E402
from distill.training.run_data import make_run_data  # noqa: E402
from distill.training.settings import Settings  # noqa: E402
from embedstore.errors import SettingsError  # noqa: E402
from embedstore.images import Sample  # noqa: E402
from embedstore.vectors import unit_length  # noqa: E402

DIM, NEW_PARTS = 16, 9
SIDES = {"train": 12, "val": 8, "test": 8}  # good parts; of scratches a third as many, 4, 2 and 2


def made() -> tuple[list[Sample], dict[str, str]]:
    """Return two pictures a part: good ones and scratches on all sides, dents aside; one part shows a dent and a scratch."""
    samples, sides = [], {}

    def add(part: str, side: str, *modes: str) -> None:
        for at, mode in enumerate(modes):
            label = "good" if mode == "Free" else "defect"
            samples.append(Sample(f"{part}-{at}", f"{part}-{at}", label, mode, part))
            sides[f"{part}-{at}"] = side

    for side, count in SIDES.items():
        for number in range(count):
            add(f"{side} good {number}", side, "Free", "Free")
        for number in range(max(2, count // 3)):
            add(f"{side} scratch {number}", side, "Scratch", "Scratch")
    for number in range(NEW_PARTS - 1):
        add(f"dent {number}", "aside", "Dent", "Dent")
    add("dent and scratch", "aside", "Dent", "Scratch")
    return samples, sides


def case_of() -> tuple[list[Sample], Case]:
    samples, sides = made()
    return samples, Case.of(samples, sides, "Dent", "good")


def vectors(samples: list[Sample], seed: int = 0) -> Space:
    """Each kind along an axis of its own, dents half way to good ones; one good part is like no other, and sets the threshold."""
    axes = np.eye(DIM)
    of_kind = {"Free": axes[0], "Scratch": axes[1], "Dent": axes[0] + axes[2]}
    odd = "val good 0"
    points = np.array([axes[5] if one.group == odd else of_kind[str(one.mode)] for one in samples])
    points += np.random.default_rng(seed).normal(size=points.shape) * 0.02
    same = unit_length(points)
    return Space(same, same)


def head_of(case: Case) -> Scored:
    """Rejects half of what is known and nothing else; the good ones' scores differ, since equal ones can't be parted."""
    return Scored(
        np.linspace(0.0, 0.1, len(case.val_good)),
        np.zeros(len(case.test_good)),
        np.arange(len(case.test_known)) % 2.0,
        np.zeros(len(case.new)),
    )


@pytest.mark.parametrize("kind", ADDED)
def test_no_group_of_an_added_part_is_tested(kind: str) -> None:
    samples, case = case_of()
    for draw in range(20):
        for count in case.counts:
            added, tested = case.drawn(kind, count, draw), case.tested(case.drawn(kind, count, draw))
            parts = {samples[at].part for at in added}
            assert len(parts) == count
            held_out = [*tested, *case.test_good, *case.test_known]
            assert parts.isdisjoint(samples[at].part for at in held_out)
            left = NEW_PARTS - count if kind == NEW else NEW_PARTS
            assert len({samples[at].part for at in tested}) == left
            assert {samples[at].mode for at in tested} == {"Dent"}
            assert {samples[at].mode for at in added} <= {{NEW: "Dent", KNOWN: "Scratch", GOOD: "Free"}[kind]}


def test_training_threshold_and_known_tests_have_nothing_of_the_new_kind() -> None:
    samples, case = case_of()
    dents = {one.part for one in samples if one.mode == "Dent"}
    for side in ("train", "val_good", "val_known", "test_good", "test_known"):
        assert dents.isdisjoint(samples[at].part for at in getattr(case, side))  # the scratch of a dented part neither
    assert len(case.train) == 2 * (12 + 4)
    assert case.counts == (0, 1)  # of 2 scratched parts on the validation side no more can be a control
    sides = dict.fromkeys(made()[1], "train")
    with pytest.raises(
        SettingsError, match="did not leave 'Dent' out: the part of 'dent 0-0' shows it and is not aside"
    ):
        Case.of(samples, sides, "Dent", "good")
    with pytest.raises(SettingsError, match="no picture shows it"):
        Case.of(samples, sides, "Hole", "good")


def test_so_many_parts_are_added_that_some_are_left() -> None:
    samples, sides = made()
    more = [Sample(f"more {at}", f"more {at}", "defect", "Scratch", f"more {at}") for at in range(10)]
    sides |= {one.id: "val" for one in more}
    case = Case.of([*samples, *more], sides, "Dent", "good")
    assert case.counts == (0, 1, 3, 5)
    assert NEW_PARTS - 10 < LEAST_TESTED <= NEW_PARTS - 5


def test_draws_are_seeded_differ_and_hold_the_smaller_ones() -> None:
    _, case = case_of()
    _, again = case_of()
    found = {draw: case.drawn(NEW, 3, draw).tolist() for draw in range(30)}
    assert found == {draw: again.drawn(NEW, 3, draw).tolist() for draw in range(30)}
    assert len({tuple(one) for one in found.values()}) > 20  # of 84 triples
    for draw in range(30):
        assert set(case.drawn(NEW, 1, draw).tolist()) <= set(found[draw])
    once = np.bincount([int(case.drawn(NEW, 1, draw)[0]) for draw in range(900)])
    assert np.count_nonzero(once) == NEW_PARTS
    assert once[once > 0].min() > 60  # 100 are expected of each


def test_scores_are_those_of_the_gallery_by_hand() -> None:
    """The most alike defect minus the most alike good part, whatever part is one's own left out."""
    samples, case = case_of()
    space = vectors(samples)
    added = case.drawn(GOOD, 1, 0)  # of the validation side, so its own part is asked about too
    found = scored(case, space, added)
    gallery = np.concatenate([case.train, added])
    for name in ("val_good", "test_good", "test_known", "new"):
        for at, score in zip(getattr(case, name), getattr(found, name), strict=True):
            cosines = {
                kind: max(
                    float(space.kept[one] @ space.asked[at])
                    for one in gallery
                    if case.defect[one] == kind and samples[one].part != samples[at].part
                )
                for kind in (True, False)
            }
            assert score == pytest.approx(cosines[True] - cosines[False], abs=1e-6)


def test_features_count_alike_over_the_gallery_as_it_is() -> None:
    """A dimension a thousand times as wide decides nothing; what is added moves centre and spread."""
    random = np.random.default_rng(0)
    seen = (random.normal(size=(6, 3)) * [1, 1000, 1] + [0, 5000, 0]).astype(np.float32)
    space = Space(seen, seen, spread=True)
    for gallery in (np.arange(4), np.arange(5)):
        asked, kept = space.compared(np.array([5]), gallery)
        wide = seen[gallery].astype(np.float64)
        np.testing.assert_allclose(kept, (wide - wide.mean(axis=0)) / wide.std(axis=0), atol=1e-4)
        np.testing.assert_allclose(asked, (seen[5:] - wide.mean(axis=0)) / wide.std(axis=0), atol=1e-4)


def test_a_part_of_a_new_kind_is_enough_where_kinds_are_apart_and_controls_change_nothing() -> None:
    samples, case = case_of()
    lines = list(curves(case, vectors(samples), head_of(case), draws=4))
    assert [(one["added"], one["count"]) for one in lines] == [
        (NEW, 0), *((kind, 1) for kind in ADDED for _ in range(4)),
    ]  # fmt: skip
    for one in lines:
        assert one["recall"] == (1 if one["added"] == NEW and one["count"] else 0)
        assert (one["before"], one["by_head"], one["overkill"], one["known"], one["either_known"]) == (0, 0, 0, 1, 1)
        assert one["parts"] == NEW_PARTS - (1 if one["added"] == NEW and one["count"] else 0)


def test_the_figures_of_scores_by_hand() -> None:
    samples, case = case_of()
    good = np.arange(16) / 100  # 16 pictures: none may be rejected at 5 %
    before = Scored(good, good, np.full(4, 0.5), np.zeros(len(case.new)))
    after_new = np.zeros(len(case.new))
    after_new[:6] = 1.0
    after = Scored(good, good + 0.005, np.array([0.0, 1, 1, 1]), after_new)
    head_new = np.zeros(len(case.new))
    head_new[-4:] = 1.0
    head = Scored(good, good, np.zeros(4), head_new)
    added = case.new[:2]  # the pictures of the first part
    assert samples[added[0]].part == samples[added[1]].part
    found = reached(case, head, before, after, added)
    tested = len(case.new) - 2
    assert found.pictures == tested
    assert found.parts == NEW_PARTS - 1
    assert found.recall == pytest.approx(4 / tested)  # of the six that are rejected two were added
    assert found.before == 0
    assert found.by_head == pytest.approx(4 / tested)
    assert found.either == pytest.approx(8 / tested)
    assert found.known == 0.75
    assert found.overkill == pytest.approx(1 / 16)  # the highest good one moved above the threshold
    assert found.mean_recall == pytest.approx(4 / tested)


def test_the_head_is_asked_about_the_same_pictures() -> None:
    samples, case = case_of()
    held = [
        Held(one.id, "test", one.label, one.mode, one.group, (at / 1000, 1 - at / 1000))
        for at, one in enumerate(samples)
    ]
    found = scored_by_head(case, held[::-1], [one.id for one in samples], 0)
    np.testing.assert_allclose(found.val_good, case.val_good / 1000)
    np.testing.assert_allclose(found.new, case.new / 1000)


def lines_of(recalls: dict[str, list[float]]) -> list[dict[str, object]]:
    same = dict.fromkeys(
        ("by_head", "mean_recall", "known", "overkill", "either", "either_known", "either_overkill"), 0.25
    )
    lines: list[dict[str, object]] = []
    for mode, values in recalls.items():
        shared = {"mode": mode, "seed": 0, "before": 0.1, "parts": 5, "pictures": 9, **same}
        lines.append({**shared, "added": NEW, "count": 0, "draw": 0, "recall": 0.1})
        for kind in ADDED:
            for count in (1, 10) if mode != "Few" else (1,):
                lines += [
                    {**shared, "added": kind, "count": count, "draw": draw, "recall": value + count / 100}
                    for draw, value in enumerate(values)
                ]
    return lines


def test_means_count_each_kind_alike_and_keep_the_same_kinds() -> None:
    found = summed_up(lines_of({"Dent": [0.2, 0.4], "Hole": [0.6, 0.6], "Few": [1.0, 1.0]}))[NEW]
    assert found["mean_of"] == ["Dent", "Hole"]
    assert found["modes"]["Dent"]["1"]["recall"][0] == pytest.approx(0.31)
    assert found["modes"]["Dent"]["10"]["recall"] == pytest.approx([0.4, 0.305, 0.495])  # 2.5 % and 97.5 % of two draws
    assert found["modes"]["Hole"]["1"]["recall"] == pytest.approx([0.61] * 3)
    assert "10" not in found["modes"]["Few"]
    assert found["mean"]["10"]["recall"][0] == pytest.approx(0.55)
    assert found["mean"]["10"]["gain"][0] == pytest.approx(0.45)
    assert found["mean_of_all"]["1"]["recall"][0] == pytest.approx((0.31 + 0.61 + 1.01) / 3, abs=1e-4)
    assert list(found["mean_of_all"]) == ["0", "1"]
    value, low, high = found["mean"]["10"]["recall"]
    assert (low, high) == pytest.approx(
        (0.35, 0.7)
    )  # one kind twice; that three of four draws are low is as rare as that
    assert low < value < high


def test_several_trainings_are_averaged_and_a_count_that_one_lacks_is_left_out() -> None:
    first = lines_of({"Dent": [0.2, 0.4], "Hole": [0.6, 0.6]})
    second = [
        {**one, "seed": 1, "recall": 0.5}
        for one in lines_of({"Dent": [0.2, 0.4], "Hole": [0.6, 0.6]})
        if (one["mode"], one["count"]) != ("Hole", 10)
    ]
    found = summed_up([*first, *second])[NEW]
    assert found["modes"]["Dent"]["1"]["recall"][0] == pytest.approx((0.31 + 0.5) / 2)
    assert list(found["modes"]["Hole"]) == ["0", "1"]
    assert found["mean_of"] == ["Dent"]
    assert found["mean_of_all"]["1"]["recall"][0] == pytest.approx((0.31 + 0.61 + 0.5 + 0.5) / 4)


def test_the_pictures_are_drawn_of_the_record(tmp_path: Path) -> None:
    spaces = {space: summed_up(lines_of({"Dent": [0.2, 0.4], "Few": [0.9, 1.0]})) for space in SPACES}
    head = summed_up([one for one in lines_of({"Dent": [0.2], "Few": [0.3]}) if not one["count"]])[NEW]
    found = pictures({"students": {"small": {"spaces": spaces, "head": head}}})
    assert set(found) == {f"new-defect{kind}{ending}.svg" for kind in ("", ".narrow") for ending in ("", ".ja")}
    assert "recall of the new kind goes from .10 to .40" in found["new-defect.svg"]
    assert "検出率は .10 から .40 へ" in found["new-defect.ja.svg"]
    assert found["new-defect.svg"].count("<polyline") == 3 * 5  # a panel for the mean and one for each kind


def test_the_parts_of_a_kind_are_set_aside_in_a_copy(tmp_path: Path) -> None:
    samples, _ = made()
    whole = embedstore.create(tmp_path / "whole", teacher="given", dim=DIM)
    with whole.write() as writing:
        writing.add(
            [one.id for one in samples],
            vectors(samples).kept,
            labels=[one.label for one in samples],
            modes=[one.mode for one in samples],
            groups=[one.group for one in samples],
        )
    whole.close()
    students.store_without("Dent", tmp_path / "whole", tmp_path / "stores" / "Dent")
    with embedstore.open(tmp_path / "whole") as store:
        assert {one.split for one in store.samples} == {None}
    with embedstore.open(tmp_path / "stores" / "Dent") as store:
        version = store.version
        aside = {one.id for one in store.samples if one.split == "aside"}
        dents = {one.part for one in samples if one.mode == "Dent"}
        assert aside == {one.id for one in samples if one.part in dents}
        data = make_run_data(store, Settings(good="good", folds=3, fold=0))
        sides = {data.samples[at].id: side for side, positions in data.sides.items() for at in positions}
        Case.of(data.samples, sides, "Dent", "good")  # refuses a run that saw it
    students.store_without("Dent", tmp_path / "whole", tmp_path / "stores" / "Dent")  # it is there
    with embedstore.open(tmp_path / "stores" / "Dent") as store:
        assert store.version == version
    with pytest.raises(SettingsError, match=r"No picture in .* is of the kind 'Hole'"):
        students.store_without("Hole", tmp_path / "whole", tmp_path / "stores" / "Hole")
    assert not (tmp_path / "stores" / "Hole").exists()


def test_a_student_has_its_conditions_recipe_and_its_seeds_fold(tmp_path: Path) -> None:
    planned = students.planned(tmp_path, ["trunk-own-30", "own"], ["Dent", "Hole"], 2)
    assert [(one.condition, one.seed, one.mode) for one in planned[:3]] == [
        ("trunk-own-30", 0, "Dent"), ("trunk-own-30", 0, "Hole"), ("trunk-own-30", 1, "Dent"),
    ]  # fmt: skip
    settings = students.settings_for(planned[2], ROOT / "docs" / "study")
    assert (settings.policy, settings.weight, settings.epochs) == ("own", 5.0, 30)
    assert (settings.folds, settings.fold, settings.seed) == (5, 1, 1)
    assert settings.student == "trunk:efficientnet-lite0:5"


def test_what_was_trained_and_measured_is_not_done_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    student = students.planned(tmp_path, ["own"], ["Dent"], 1)[0]
    student.store.mkdir(parents=True)
    student.run.mkdir(parents=True)
    settings = students.settings_for(student, ROOT / "docs" / "study")
    trained: list[Path] = []
    monkeypatch.setattr(students, "train_apart", lambda store, run, *_, **__: trained.append(run))
    students.train(student, tmp_path, settings, tmp_path, lambda *_: None)
    assert trained == [student.run]  # it is not complete
    for name in (run_directory.STUDENT, run_directory.SCORES):
        (student.run / name).touch()
    described = {"settings": settings.to_dict(), "store": {}, "classes": []}
    (student.run / run_directory.RUN).write_text(json.dumps(described))
    students.train(student, tmp_path, settings, tmp_path, lambda *_: None)
    assert trained == [student.run]
    with pytest.raises(SettingsError, match="is of other settings than these"):
        students.train(student, tmp_path, replace(settings, epochs=1), tmp_path, lambda *_: None)

    path = tmp_path / "measured.json"
    path.write_text(json.dumps({"protocol": new_defect.protocol(quick=False), "lines": "kept"}))
    assert new_defect.measured(student, path, tmp_path, quick=False)["lines"] == "kept"
    with pytest.raises(SettingsError, match="measured by another protocol"):
        new_defect.measured(student, path, tmp_path, quick=True)

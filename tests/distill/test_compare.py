"""Policies on the same folds and seeds. Runs are made in this process here; `test_run_process` and the command's tests
make them in processes of their own."""

import json
import shutil
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import toy_parts
from toy_runs import SETTINGS, compare, figures, settings_of, students, train_here

import distill
from distill.evaluation.comparison import Comparison, RunScores, compare_runs
from distill.source import Source, opened_source
from distill.training import checks, run_data, run_directory, trainer
from distill.training.compare import Step, train_ways
from distill.training.run_data import RunData
from distill.training.trainer import Planned
from embedstore.errors import SettingsError

FOLDS = 3
POLICIES = ["own", "none"]


@dataclass(frozen=True)
class Compared:
    store: Path
    out: Path
    comparison: Comparison
    steps: list[Step]


@pytest.fixture(scope="module", autouse=True)
def _in_this_process() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(trainer, "train_apart", train_here)
        yield


@pytest.fixture(scope="module")
def compared(store_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Compared:
    """Two policies on three folds, one seed."""
    out, steps = tmp_path_factory.mktemp("compared") / "out", list[Step]()
    comparison = compare(store_path, out, POLICIES, SETTINGS, progress=steps.append)
    return Compared(store_path, out, comparison, steps)


@pytest.fixture
def copy(compared: Compared, tmp_path: Path) -> Path:
    """The finished comparison, to write to."""
    return shutil.copytree(compared.out, tmp_path / "out")


# What is compared


def test_the_figures_are_those_of_runs_made_one_by_one(compared: Compared, tmp_path: Path) -> None:
    runs = []
    for policy in sorted(POLICIES):
        for fold in range(FOLDS):
            settings = replace(SETTINGS, policy=policy, folds=FOLDS, fold=fold)
            path = distill.train(compared.store, tmp_path / f"{policy}{fold}", settings).path
            held, classes = run_directory.read_scores(path)
            curve = run_directory.read_metrics(path)
            runs.append(RunScores(policy, fold, 0, held, classes, curve=curve, val_fold=(fold + 1) % FOLDS))
    expected = compare_runs(runs, good="good", overkill=SETTINGS.overkill)
    assert figures(compared.comparison) == figures(expected)
    assert compared.comparison.looks == 2
    for name in ("without_group", "validation_good", "folds_with_area"):
        assert getattr(compared.comparison, name) == getattr(expected, name) is not None
    assert [one.policy for one in compared.comparison.policies] == ["none", "own"]
    assert 0 < expected.policies[0].overkill < 1  # the figures are not all alike


def test_costs_are_those_of_the_runs(compared: Compared) -> None:
    for one in compared.comparison.policies:
        costs = [run_directory.read_cost(run) for run in (compared.out / "runs").glob(f"{one.policy}-*")]
        assert len(costs) == FOLDS
        assert one.seconds == pytest.approx(sum(cost["seconds"] for cost in costs))
        assert one.peak_memory == max(cost["peak_memory"] for cost in costs)
        assert one.seconds > 0


def test_every_labelled_picture_is_tested_once_and_validates_once_and_no_part_stands_on_two_sides(
    compared: Compared,
) -> None:
    rows = {part.path: part for part in toy_parts.everything()}
    for policy in POLICIES:
        held_out: Counter[tuple[str, str]] = Counter()
        for fold in range(FOLDS):
            run = compared.out / "runs" / f"{policy}-fold{fold}-seed0"
            sides = run_directory.read_split(run)
            assert sides.keys() == rows.keys()
            of_group: dict[str, set[str]] = {}
            for name, side in sides.items():
                assert (side == "aside") == (rows[name].split == "aside")
                if rows[name].group:
                    of_group.setdefault(rows[name].group, set()).add(side)
            assert {len(found) for found in of_group.values()} == {1}
            assert Counter(sides.values()).keys() == {"train", "val", "test", "aside"}
            held_out.update((one.id, one.side) for one in run_directory.read_scores(run)[0] if one.side != "aside")
        labelled = [name for name, row in rows.items() if row.label and row.split != "aside"]
        assert held_out == {(name, side): 1 for name in labelled for side in ("val", "test")}
    assert compared.comparison.pictures == 100


def test_what_was_found_is_written_down(compared: Compared) -> None:
    text = (compared.out / "comparison.json").read_text("utf-8")
    assert json.loads(text, parse_constant=pytest.fail) == json.loads(json.dumps(compared.comparison.to_dict()))
    assert sorted(path.name for path in compared.out.iterdir()) == ["comparison.json", "runs"]


def test_progress_tells_runs_and_epochs_folds_outside_and_policies_inside(compared: Compared) -> None:
    names = [f"{policy}-fold{fold}-seed0" for fold in range(FOLDS) for policy in POLICIES]
    assert compared.steps == [
        Step(name, done, 1, number + ended, 6, number + done, 6 - number - done)
        for number, name in enumerate(names)
        for done, ended in ((0, 0), (1, 0), (1, 1))
    ]


def test_progress_of_what_goes_on_counts_the_epochs_that_are_trained_now(store_path: Path, tmp_path: Path) -> None:
    def stop(step: Step) -> None:
        if (step.runs_done, step.epochs_done) == (1, 2):
            raise KeyboardInterrupt

    settings, steps = replace(SETTINGS, epochs=4), list[Step]()
    with pytest.raises(KeyboardInterrupt):
        compare(store_path, tmp_path, POLICIES, settings, folds=None, progress=stop)
    compare(store_path, tmp_path, [*POLICIES, "class-mean"], settings, folds=None, progress=steps.append)
    told = [(step.run.split("-seed")[0], step.epochs_done, step.runs_done, step.trained, step.left) for step in steps]
    assert told == [
        ("own", 0, 0, 0, 8),  # finished before
        ("own", 4, 1, 0, 8),
        ("none", 0, 1, 0, 8),
        ("none", 3, 1, 1, 5),  # two of its epochs were trained before
        ("none", 4, 1, 2, 4),
        ("none", 4, 2, 2, 4),
        ("class-mean", 0, 2, 2, 4),
        ("class-mean", 1, 2, 3, 3),
        ("class-mean", 2, 2, 4, 2),
        ("class-mean", 3, 2, 5, 1),
        ("class-mean", 4, 2, 6, 0),
        ("class-mean", 4, 3, 6, 0),
    ]
    assert {(step.epochs, step.runs) for step in steps} == {(4, 3)}


def test_a_run_that_was_stopped_after_its_epochs_is_told_as_trained(store_path: Path, tmp_path: Path) -> None:
    def stop(step: Step) -> None:
        if step.epochs_done == 3:
            raise KeyboardInterrupt

    settings, steps = replace(SETTINGS, epochs=3), list[Step]()
    with pytest.raises(KeyboardInterrupt):
        compare(store_path, tmp_path, ["own"], settings, folds=None, progress=stop)
    compare(store_path, tmp_path, ["own"], settings, folds=None, progress=steps.append)
    told = [(step.epochs_done, step.runs_done, step.trained, step.left) for step in steps]
    assert told == [(0, 0, 0, 3), (3, 0, 0, 0), (3, 1, 0, 0)]


def test_the_written_split_is_taken_where_no_folds_are_dealt(store_path: Path, tmp_path: Path) -> None:
    found = compare(store_path, tmp_path, ["none"], SETTINGS, folds=None)
    sides = run_directory.read_split(tmp_path / "runs" / "none-seed0")
    assert sides == {part.path: part.split for part in toy_parts.everything()}
    assert (found.folds, found.pictures) == (1, 20)


def test_without_a_good_label_right_labels_are_compared(store_path: Path, tmp_path: Path) -> None:
    found = compare(store_path, tmp_path, ["none"], replace(SETTINGS, good=None), folds=None)
    assert found.good is None
    assert found.policies[0].accuracy is not None
    assert found.policies[0].recall is None


def test_the_baseline_is_the_one_that_is_named(copy: Path, compared: Compared) -> None:
    found = compare(compared.store, copy, POLICIES, SETTINGS, baseline="own")
    assert found.baseline == "own"
    assert {(one.policy, one.baseline) for one in found.differences} == {("none", "own")}
    for before, after in zip(compared.comparison.differences, found.differences, strict=True):
        assert after.value == -before.value if before.value else after.value == before.value


def test_each_policy_gets_its_own_options_and_the_mixture_its_own(store_path: Path, tmp_path: Path) -> None:
    mixture = {"good": {"class-mean": 1.0}, "defect": {"sub-prototypes": 0.5, "own": 0.5}}
    options = {"sub-prototypes": {"k": 3}, "class-mean": {"per_class": 5}}
    base = replace(SETTINGS, policy="mixture", mixture=mixture, options=options)
    compare(store_path, tmp_path, ["mixture", "sub-prototypes", "own"], base, folds=None)
    for policy, expected in (
        ("mixture", {"policy": "mixture", "mixture": mixture, "options": options}),
        ("sub-prototypes", {"policy": "sub-prototypes", "mixture": {}, "options": {"sub-prototypes": {"k": 3}}}),
        ("own", {"policy": "own", "mixture": {}, "options": {}}),
    ):
        found = settings_of(tmp_path / "runs" / f"{policy}-seed0")
        assert {name: found[name] for name in expected} == expected


def test_ways_may_differ_in_anything_that_is_not_tested(compared: Compared, store_path: Path, tmp_path: Path) -> None:
    ways = {"plain": replace(SETTINGS, policy="none"), "twice": replace(SETTINGS, policy="own", epochs=2)}
    runs, remarks = train_ways(store_path, tmp_path, ways, folds=FOLDS, seeds=2)
    assert [(run.policy, run.fold, run.seed, run.val_fold) for run in runs] == [
        (way, fold, seed, (fold + 1) % FOLDS) for seed in range(2) for fold in range(FOLDS) for way in ways
    ]
    assert {len(run.curve) for run in runs if run.policy == "twice"} == {2}
    assert remarks == compared.comparison.remarks
    plain = [run for run in runs if (run.policy, run.seed) == ("plain", 0)]
    for run in plain:
        assert run.held == run_directory.read_scores(compared.out / "runs" / f"none-fold{run.fold}-seed0")[0]


def test_only_some_of_the_runs_are_trained_where_all_would_take_days(store_path: Path, tmp_path: Path) -> None:
    wanted = {(0, 0), (2, 1)}
    runs, _ = train_ways(store_path, tmp_path, {"own": SETTINGS}, folds=FOLDS, seeds=2, only=wanted)
    assert {(run.fold, run.seed) for run in runs} == wanted
    assert sorted(path.name for path in (tmp_path / "runs").iterdir()) == ["own-fold0-seed0", "own-fold2-seed1"]
    with pytest.raises(SettingsError, match=r"^None of the runs \[\(3, 0\)\] is one of 2 seeds on 3 folds\.$"):
        train_ways(store_path, tmp_path, {"own": SETTINGS}, folds=FOLDS, seeds=2, only=[(3, 0)])


def test_a_run_that_keeps_its_best_epoch_is_tested_on_one_fold_alone(store_path: Path, tmp_path: Path) -> None:
    best = replace(SETTINGS, keep="best", policy="none")
    runs, _ = train_ways(store_path, tmp_path, {"best": best, "last": replace(best, keep="last")}, folds=FOLDS, seeds=1)
    assert {run.val_fold for run in runs} == {None}  # of all, so that they are tested alike
    found = compare_runs(runs, good="good", overkill=0.05)
    assert (found.looks, found.seeds, found.pictures) == (1, 1, 100)
    assert {settings_of(path)["val_fold"] for path in (tmp_path / "runs").iterdir()} == {
        None
    }  # as folds were dealt before


# Later, or again


def test_a_policy_that_is_added_leaves_finished_runs_alone(copy: Path, compared: Compared) -> None:
    before = students(copy)
    steps: list[Step] = []
    three = ["class-mean", *POLICIES]
    found = compare(compared.store, copy, three, SETTINGS, progress=steps.append)
    after = students(copy)
    assert {name: after[name] for name in before} == before
    assert after.keys() - before.keys() == {f"class-mean-fold{fold}-seed0" for fold in range(FOLDS)}
    trained = [step.run for before, step in pairwise(steps) if step.trained > before.trained]
    assert trained == [f"class-mean-fold{fold}-seed0" for fold in range(FOLDS)]
    by_recall = sorted(found.policies[1:], key=lambda one: -(one.mean_recall or 0))
    assert [one.policy for one in found.policies] == ["none", *(one.policy for one in by_recall)]
    kept = [one for one in figures(found)["policies"] if one["policy"] in POLICIES]
    assert kept == figures(compared.comparison)["policies"]


def test_a_seed_that_is_added_leaves_finished_runs_alone(copy: Path, compared: Compared) -> None:
    before = students(copy)
    found = compare(compared.store, copy, POLICIES, SETTINGS, seeds=2)
    after = students(copy)
    assert {name: after[name] for name in before} == before
    assert after.keys() - before.keys() == {
        f"{policy}-fold{fold}-seed1" for fold in range(FOLDS) for policy in POLICIES
    }
    assert (found.seeds, found.folds, found.looks) == (2, FOLDS, 4)
    runs = [copy / "runs" / f"none-fold0-seed{seed}" for seed in (0, 1)]
    assert [settings_of(run)["seed"] for run in runs] == [0, 1]
    assert run_directory.read_split(runs[0]) == run_directory.read_split(runs[1])
    assert (runs[0] / "student.safetensors").read_bytes() != (runs[1] / "student.safetensors").read_bytes()


def test_the_first_seed_is_that_of_the_settings(store_path: Path, tmp_path: Path) -> None:
    compare(store_path, tmp_path, ["none"], replace(SETTINGS, seed=5), folds=None, seeds=2)
    assert sorted(path.name for path in (tmp_path / "runs").iterdir()) == ["none-seed5", "none-seed6"]


@pytest.mark.parametrize("moment", ["before", "after"])
def test_what_was_stopped_goes_on_and_ends_the_same(moment: str, compared: Compared, tmp_path: Path) -> None:
    def stop(step: Step) -> None:
        if step.runs_done == 3 and step.epochs_done == (moment == "after"):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        compare(compared.store, tmp_path, POLICIES, SETTINGS, progress=stop)
    before = students(tmp_path)
    assert len(before) == 3
    assert not (tmp_path / "comparison.json").exists()
    found = compare(compared.store, tmp_path, POLICIES, SETTINGS)
    assert figures(found) == figures(compared.comparison)
    after = students(tmp_path)
    assert {name: after[name] for name in before} == before


def test_a_run_killed_between_its_student_and_its_scores_is_scored(copy: Path, compared: Compared) -> None:
    (copy / "runs" / "own-fold1-seed0" / "scores.csv").unlink()
    before = students(copy)
    found = compare(compared.store, copy, POLICIES, SETTINGS)
    assert figures(found) == figures(compared.comparison)
    assert students(copy) == before


def test_finished_runs_start_no_process(compared: Compared, copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[str] = []

    def train(store: Path, out: Path, settings: distill.Settings, **options: Any) -> None:
        started.append(out.name)
        train_here(store, out, settings, **options)

    monkeypatch.setattr(trainer, "train_apart", train)
    found = compare(compared.store, copy, ["class-mean", *POLICIES], SETTINGS)
    assert started == [f"class-mean-fold{fold}-seed0" for fold in range(FOLDS)]
    assert found.policies[0] == compared.comparison.policies[0]


# Remarks


def test_what_every_run_of_a_policy_remarks_is_told_once(compared: Compared, tmp_path: Path) -> None:
    said = compared.comparison.remarks
    assert sum("6 of 109 samples have no group" in remark for remark in said) == 1
    store = toy_parts.make_store(tmp_path, [replace(part, group="one of all") for part in toy_parts.parts(20, 10, 10)])
    torn = compare(store, tmp_path / "out", ["none"], SETTINGS, folds=None)
    assert "1 groups (such as 'one of all') are on several sides of the split" in torn.remarks[0]


def test_a_run_s_own_threshold_is_not_told_of_a_comparison_s(tmp_path: Path) -> None:
    """Each run validates by ten good pictures, and each fold's threshold comes from the scores of two runs."""
    store = toy_parts.make_store(tmp_path, toy_parts.parts(30, 12, 12))
    found = compare(store, tmp_path / "out", ["none"], SETTINGS)
    for run in (tmp_path / "out" / "runs").iterdir():
        remarks = run_directory.read(run)["remarks"]
        assert any(remark.startswith("The validation side has 10 'good' pictures, too few") for remark in remarks)
    assert found.remarks == []
    assert (found.validation_good, found.validation_scores) == (20, 20)


def test_each_fold_is_dealt_once_for_all_policies_and_seeds(
    copy: Path, compared: Compared, monkeypatch: pytest.MonkeyPatch
) -> None:
    dealt: list[tuple[int, int]] = []

    def make_run_data(source: Source, settings: distill.Settings) -> RunData:
        dealt.append((settings.fold, settings.seed))
        return run_data.make_run_data(source, settings)

    monkeypatch.setattr(checks, "make_run_data", make_run_data)
    compare(compared.store, copy, POLICIES, SETTINGS)
    assert dealt == [(fold, 0) for fold in range(FOLDS)]
    dealt.clear()
    held_out = [
        (fold, val_fold, seed) for seed in range(3) for fold in range(FOLDS) for val_fold in (None, (fold + 2) % 3)
    ]
    planned = [
        Planned(
            "none",
            fold,
            val_fold,
            seed,
            copy / "new",
            replace(SETTINGS, folds=FOLDS, fold=fold, val_fold=val_fold, seed=seed),
        )
        for fold, val_fold, seed in held_out
    ]
    with opened_source(compared.store) as source:
        assert checks.finished_runs(source, planned, None) == set()
    assert dealt == [(fold, 0) for fold in range(FOLDS) for _ in range(2)]

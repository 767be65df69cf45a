"""Policies on the same folds and seeds. Runs are made in this process here; `test_run_process` and the command's tests
make them in processes of their own."""

import json
import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import toy_parts
from toy_parts import quick

import distill
import embedstore
from distill.evaluation.comparison import Comparison, RunScores, compare_runs
from distill.source import Source
from distill.training import compare as module
from distill.training import run_data, run_directory
from distill.training.compare import Step
from distill.training.run_data import RunData
from embedstore.errors import SettingsError, SummaryError, TrainingError
from embedstore.exports import export

FOLDS = 3
POLICIES = ["own", "none"]
SETTINGS = quick(epochs=1)


@dataclass(frozen=True)
class Compared:
    store: Path
    out: Path
    comparison: Comparison
    steps: list[Step]


def train_here(
    store: Path, out: Path, settings: distill.Settings, *, images: Path | None, progress: Callable[[int, int], None]
) -> None:
    """Stand for `train_apart`, without the seconds that a process takes to start."""
    distill.train(
        store, out, settings, images=images, resume=True, progress=lambda done, total, _: progress(done, total)
    )


@pytest.fixture(scope="module", autouse=True)
def _in_this_process() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "train_apart", train_here)
        yield


@pytest.fixture(scope="module")
def compared(store_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Compared:
    """Two policies on three folds, one seed."""
    out, steps = tmp_path_factory.mktemp("compared") / "out", list[Step]()
    comparison = distill.compare(store_path, out, POLICIES, SETTINGS, folds=FOLDS, progress=steps.append)
    return Compared(store_path, out, comparison, steps)


@pytest.fixture
def copy(compared: Compared, tmp_path: Path) -> Path:
    """The finished comparison, to write to."""
    return shutil.copytree(compared.out, tmp_path / "out")


def students(out: Path) -> dict[str, tuple[int, int]]:
    """Return which files hold the students, and when they were written."""
    files = sorted((out / "runs").glob("*/student.safetensors"))
    return {file.parent.name: (file.stat().st_ino, file.stat().st_mtime_ns) for file in files}


def figures(comparison: Comparison) -> dict[str, Any]:
    """Return what was found, without what it cost, and without words."""
    found = comparison.to_dict()
    del found["remarks"]
    for policy in found["policies"]:
        del policy["seconds"], policy["peak_memory"]
        for epoch in policy["curve"]:
            del epoch["seconds"], epoch["seconds_steps"]
    return found


def settings_of(run: Path) -> dict[str, Any]:
    settings: dict[str, Any] = run_directory.read(run)["settings"]
    return settings


# What is compared


def test_the_figures_are_those_of_runs_made_one_by_one(compared: Compared, tmp_path: Path) -> None:
    runs = []
    for policy in sorted(POLICIES):
        for fold in range(FOLDS):
            settings = replace(SETTINGS, policy=policy, folds=FOLDS, fold=fold)
            path = distill.train(compared.store, tmp_path / f"{policy}{fold}", settings).path
            held, classes = run_directory.read_scores(path)
            runs.append(RunScores(policy, fold, 0, held, classes, curve=run_directory.read_metrics(path)))
    expected = compare_runs(runs, good="good", overkill=SETTINGS.overkill)
    assert figures(compared.comparison) == figures(expected)
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


def test_every_labelled_picture_is_tested_once_and_no_part_stands_on_two_sides(compared: Compared) -> None:
    rows = {part.path: part for part in toy_parts.everything()}
    for policy in POLICIES:
        tested: Counter[str] = Counter()
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
            tested.update(one.id for one in run_directory.read_scores(run)[0] if one.side == "test")
        assert tested == {name: 1 for name, row in rows.items() if row.label and row.split != "aside"}
    assert compared.comparison.pictures == 100


def test_what_was_found_is_written_down(compared: Compared) -> None:
    text = (compared.out / "comparison.json").read_text("utf-8")
    assert json.loads(text, parse_constant=pytest.fail) == json.loads(json.dumps(compared.comparison.to_dict()))
    assert sorted(path.name for path in compared.out.iterdir()) == ["comparison.json", "runs"]


def test_progress_tells_runs_and_epochs_folds_outside_and_policies_inside(compared: Compared) -> None:
    names = [f"{policy}-fold{fold}-seed0" for fold in range(FOLDS) for policy in POLICIES]
    assert compared.steps == [
        Step(name, number, len(names), done, 1) for number, name in enumerate(names) for done in (0, 1)
    ]


def test_the_written_split_is_taken_where_no_folds_are_dealt(store_path: Path, tmp_path: Path) -> None:
    found = distill.compare(store_path, tmp_path, ["none"], SETTINGS, folds=None)
    sides = run_directory.read_split(tmp_path / "runs" / "none-seed0")
    assert sides == {part.path: part.split for part in toy_parts.everything()}
    assert (found.folds, found.pictures) == (1, 20)


def test_without_a_good_label_right_labels_are_compared(store_path: Path, tmp_path: Path) -> None:
    found = distill.compare(store_path, tmp_path, ["none"], replace(SETTINGS, good=None), folds=None)
    assert found.good is None
    assert found.policies[0].accuracy is not None
    assert found.policies[0].recall is None


def test_the_baseline_is_the_one_that_is_named(copy: Path, compared: Compared) -> None:
    found = distill.compare(compared.store, copy, POLICIES, SETTINGS, folds=FOLDS, baseline="own")
    assert found.baseline == "own"
    assert {(one.policy, one.baseline) for one in found.differences} == {("none", "own")}
    for before, after in zip(compared.comparison.differences, found.differences, strict=True):
        assert after.value == -before.value if before.value else after.value == before.value


def test_each_policy_gets_its_own_options_and_the_mixture_its_own(store_path: Path, tmp_path: Path) -> None:
    mixture = {"good": {"class-mean": 1.0}, "defect": {"sub-prototypes": 0.5, "own": 0.5}}
    options = {"sub-prototypes": {"k": 3}, "class-mean": {"per_class": 5}}
    base = replace(SETTINGS, policy="mixture", mixture=mixture, options=options)
    distill.compare(store_path, tmp_path, ["mixture", "sub-prototypes", "own"], base, folds=None)
    for policy, expected in (
        ("mixture", {"policy": "mixture", "mixture": mixture, "options": options}),
        ("sub-prototypes", {"policy": "sub-prototypes", "mixture": {}, "options": {"sub-prototypes": {"k": 3}}}),
        ("own", {"policy": "own", "mixture": {}, "options": {}}),
    ):
        found = settings_of(tmp_path / "runs" / f"{policy}-seed0")
        assert {name: found[name] for name in expected} == expected


# Later, or again


def test_a_policy_that_is_added_leaves_finished_runs_alone(copy: Path, compared: Compared) -> None:
    before = students(copy)
    steps: list[Step] = []
    three = ["class-mean", *POLICIES]
    found = distill.compare(compared.store, copy, three, SETTINGS, folds=FOLDS, progress=steps.append)
    after = students(copy)
    assert {name: after[name] for name in before} == before
    assert after.keys() - before.keys() == {f"class-mean-fold{fold}-seed0" for fold in range(FOLDS)}
    assert {step.run.split("-fold")[0] for step in steps if step.epochs_done} == {"class-mean"}
    assert [one.policy for one in found.policies] == ["none", "class-mean", "own"]
    kept = [one for one in figures(found)["policies"] if one["policy"] in POLICIES]
    assert kept == figures(compared.comparison)["policies"]


def test_a_seed_that_is_added_leaves_finished_runs_alone(copy: Path, compared: Compared) -> None:
    before = students(copy)
    found = distill.compare(compared.store, copy, POLICIES, SETTINGS, folds=FOLDS, seeds=2)
    after = students(copy)
    assert {name: after[name] for name in before} == before
    assert after.keys() - before.keys() == {
        f"{policy}-fold{fold}-seed1" for fold in range(FOLDS) for policy in POLICIES
    }
    assert (found.seeds, found.folds) == (2, FOLDS)
    runs = [copy / "runs" / f"none-fold0-seed{seed}" for seed in (0, 1)]
    assert [settings_of(run)["seed"] for run in runs] == [0, 1]
    assert run_directory.read_split(runs[0]) == run_directory.read_split(runs[1])
    assert (runs[0] / "student.safetensors").read_bytes() != (runs[1] / "student.safetensors").read_bytes()


def test_the_first_seed_is_that_of_the_settings(store_path: Path, tmp_path: Path) -> None:
    distill.compare(store_path, tmp_path, ["none"], replace(SETTINGS, seed=5), folds=None, seeds=2)
    assert sorted(path.name for path in (tmp_path / "runs").iterdir()) == ["none-seed5", "none-seed6"]


@pytest.mark.parametrize("moment", ["before", "after"])
def test_what_was_stopped_goes_on_and_ends_the_same(moment: str, compared: Compared, tmp_path: Path) -> None:
    def stop(step: Step) -> None:
        if step.runs_done == 3 and step.epochs_done == (moment == "after"):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        distill.compare(compared.store, tmp_path, POLICIES, SETTINGS, folds=FOLDS, progress=stop)
    before = students(tmp_path)
    assert len(before) == 3
    assert not (tmp_path / "comparison.json").exists()
    found = distill.compare(compared.store, tmp_path, POLICIES, SETTINGS, folds=FOLDS)
    assert figures(found) == figures(compared.comparison)
    after = students(tmp_path)
    assert {name: after[name] for name in before} == before


def test_a_run_killed_between_its_student_and_its_scores_is_scored(copy: Path, compared: Compared) -> None:
    (copy / "runs" / "own-fold1-seed0" / "scores.csv").unlink()
    before = students(copy)
    found = distill.compare(compared.store, copy, POLICIES, SETTINGS, folds=FOLDS)
    assert figures(found) == figures(compared.comparison)
    assert students(copy) == before


def test_finished_runs_start_no_process(compared: Compared, copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[str] = []

    def train(store: Path, out: Path, settings: distill.Settings, **options: Any) -> None:
        started.append(out.name)
        train_here(store, out, settings, **options)

    monkeypatch.setattr(module, "train_apart", train)
    found = distill.compare(compared.store, copy, ["class-mean", *POLICIES], SETTINGS, folds=FOLDS)
    assert started == [f"class-mean-fold{fold}-seed0" for fold in range(FOLDS)]
    assert found.policies[0] == compared.comparison.policies[0]


# Remarks


def test_what_every_run_of_a_policy_remarks_is_told_once(compared: Compared, tmp_path: Path) -> None:
    said = compared.comparison.remarks
    assert sum("6 of 109 samples have no group" in remark for remark in said) == 1
    store = toy_parts.make_store(tmp_path, [replace(part, group="one of all") for part in toy_parts.parts(20, 10, 10)])
    torn = distill.compare(store, tmp_path / "out", ["none"], SETTINGS, folds=None)
    assert "1 groups (such as 'one of all') are on several sides of the split" in torn.remarks[0]


# Refusals


@pytest.mark.parametrize(
    ("policies", "options", "words"),
    [
        ([], {}, "The policies are ''; name one or more, each once"),
        (["own", "none", "own"], {}, "The policies are 'own,none,own'; name one or more, each once"),
        (["own", "mean"], {}, "The policy 'mean' is unknown; use one of"),
        (["own", ""], {}, "The policy '' is unknown"),
        (["own", "mixture"], {}, "'mixture' needs weights"),
        (["own"], {"folds": 0}, "0 folds can't give train, val and test; use 3 or more"),
        (["own"], {"folds": 2}, "2 folds can't give"),
        (["own"], {"seeds": 0}, "The number of seeds is 0; expected 1 or more"),
        (["own"], {"baseline": "none"}, "The baseline 'none' is not among the policies own"),
    ],
)
def test_what_can_not_be_compared_is_refused_before_anything_is_made(
    policies: list[str], options: dict[str, Any], words: str, store_path: Path, tmp_path: Path
) -> None:
    with pytest.raises(SettingsError, match=words):
        distill.compare(store_path, tmp_path / "out", policies, SETTINGS, **options)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("settings", "folds", "words"),
    [
        (quick(epochs=2), FOLDS, "was begun with epochs = 1, not 2"),
        (SETTINGS, FOLDS + 1, "was begun with folds = 3, not 4"),
        (replace(SETTINGS, overkill=0.1), FOLDS, "was begun with overkill = 0.05, not 0.1"),
    ],
)
def test_runs_of_other_settings_are_not_mixed_in(
    settings: distill.Settings, folds: int, words: str, copy: Path, compared: Compared
) -> None:
    before, text = students(copy), (copy / "comparison.json").read_bytes()
    with pytest.raises(TrainingError, match=words):
        distill.compare(compared.store, copy, POLICIES, settings, folds=folds)
    assert students(copy) == before
    assert (copy / "comparison.json").read_bytes() == text


def test_a_directory_that_can_not_be_made_is_one_sentence(store_path: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(TrainingError, match="can't be made"):
        distill.compare(store_path, tmp_path / "file", ["none"], SETTINGS)


@dataclass(frozen=True)
class Saved:
    """A store with a written split and saved summaries, each with its file."""

    store: Path

    def file(self, name: str) -> Path:
        return self.store.parent / f"{name}.safetensors"


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Saved:
    path = toy_parts.make_store(tmp_path_factory.mktemp("saved"), toy_parts.parts())
    found = Saved(path)
    with embedstore.open(path) as store:
        for name, strategy, split in (
            ("means", "class-mean", "train"),
            ("subs", "medoids", "train"),
            ("all", "class-mean", None),
        ):
            store.summarize(strategy, name=name, split=split)
            export(store, found.file(name), summary=name)
    return found


def naming(summary: str, policy: str = "class-mean") -> dict[str, Any]:
    return {"options": {policy: {"summary": summary}}}


MIXED: dict[str, Any] = {"mixture": {"good": {"none": 1.0}, "defect": {"class-mean": 1.0}}}
ANEW = "with folds, summaries are made anew from each fold's training side; "


@pytest.mark.parametrize(
    ("file", "policies", "settings", "folds", "words"),
    [
        (None, ["none", "class-mean"], naming("means"), FOLDS, ANEW + r"give parameters \(such as k, share\) instead of"),
        (None, ["none", "class-mean"], naming("all"), None, "saw 40 pictures that this run is tested on"),
        (None, ["none", "class-mean"], naming("gone"), None, "no summary 'gone'"),
        (None, ["none", "class-mean"], naming("subs"), None, "several prototypes for a label"),
        (None, ["none", "rotated-means"], naming("subs", "rotated-means"), None, "several prototypes for a label"),
        (None, ["none", "mixture"], MIXED | naming("all"), None, "saw 40 pictures"),
        (None, ["none", "mixture"], {"mixture": {"good": {"none": 1.0}}}, None, "no policy for the label 'defect'"),
        ("means", ["none", "class-mean"], {}, FOLDS, ANEW + r"leave the folds out \(--no-folds\)"),
        ("all", ["none", "class-mean"], {}, None, "saw 40 pictures"),
        ("means", ["none", "own"], {}, None, "'own' needs every picture's own vector"),
        ("means", ["none", "mixture"], {"mixture": {label: {"own": 1.0} for label in ("good", "defect")}}, None, "'own' needs"),
        ("means", ["none", "rare-samples"], {}, None, "keeps no samples"),
        ("means", ["none", "sub-prototypes"], {"options": {"sub-prototypes": {"k": 2}}}, None, "none can be made"),
    ],
)  # fmt: skip
def test_targets_that_only_a_later_run_would_refuse_are_refused_before_the_first(
    file: str | None,
    policies: list[str],
    settings: dict[str, Any],
    folds: int | None,
    words: str,
    saved: Saved,
    tmp_path: Path,
) -> None:
    source = saved.store if file is None else saved.file(file)
    # A comparison of more policies has options and a mixture for some of them.
    with pytest.raises((SettingsError, SummaryError), match=words):
        distill.compare(
            source,
            tmp_path / "out",
            policies,
            _mixed(policies, settings),
            folds=folds,
            images=saved.store.parent / "images",
        )
    assert not (tmp_path / "out").exists()


def _mixed(policies: list[str], settings: dict[str, Any]) -> distill.Settings:
    return replace(SETTINGS, **({"policy": "mixture"} if "mixture" in policies else {}), **settings)


def test_saved_summaries_and_their_files_are_compared_on_the_written_split(saved: Saved, tmp_path: Path) -> None:
    settings = replace(SETTINGS, **naming("means"))
    policies = ["class-mean", "random-vectors"]
    of_store = distill.compare(saved.store, tmp_path / "store", policies, settings, folds=None)
    images = saved.store.parent / "images"
    of_file = distill.compare(saved.file("means"), tmp_path / "file", policies, SETTINGS, folds=None, images=images)
    assert figures(of_file) == figures(of_store)
    assert of_file.baseline == "class-mean"  # the first that was named


def test_without_none_the_first_that_is_named_is_the_baseline(store_path: Path, tmp_path: Path) -> None:
    found = distill.compare(store_path, tmp_path, ["random-vectors", "class-mean"], SETTINGS, folds=None)
    assert found.baseline == "random-vectors"


def test_each_fold_is_dealt_once_for_all_policies(
    copy: Path, compared: Compared, monkeypatch: pytest.MonkeyPatch
) -> None:
    dealt: list[tuple[int, int]] = []

    def make_run_data(source: Source, settings: distill.Settings) -> RunData:
        dealt.append((settings.fold, settings.seed))
        return run_data.make_run_data(source, settings)

    monkeypatch.setattr(module, "make_run_data", make_run_data)
    distill.compare(compared.store, copy, POLICIES, SETTINGS, folds=FOLDS)
    assert dealt == [(fold, 0) for fold in range(FOLDS)]


@pytest.mark.parametrize(
    ("rows", "options", "words"),
    [
        (
            toy_parts.parts(60, 20, 20, split=False),
            {"folds": None, "seeds": 2},
            "each seed would be tested on other pictures",
        ),
        (toy_parts.parts(4, 20, 20, split=False), {"folds": 3}, "no 'good' picture.*fewer folds do not help"),
        (toy_parts.parts(60, 6, 0, split=False), {"folds": 5}, "no defect.*with --folds 3 every fold can be tested"),
    ],
    ids=["seeds without a written split", "too few good parts for any folds", "too few defects for so many folds"],
)
def test_what_only_a_later_run_would_refuse_is_refused_before_the_first(
    rows: list[toy_parts.Part], options: dict[str, Any], words: str, tmp_path: Path
) -> None:
    store = toy_parts.make_store(tmp_path, rows)
    with pytest.raises(TrainingError, match=words):
        distill.compare(store, tmp_path / "out", ["none"], SETTINGS, **options)
    assert not (tmp_path / "out").exists()

"""Advice from real trials of a little store: the same as by hand, kept when it is interrupted, refused in one sentence."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import toy_parts

import distill
import embedstore
from distill.advice import advice as module
from distill.advice import candidates
from distill.advice.advice import TRYING, Advice
from distill.advice.candidates import CANDIDATES
from distill.advice.decision import decide
from distill.advice.footprint import Footprint, fitting, footprint
from distill.advice.needs import Needs
from distill.advice.trials import Plan, plan_trials
from distill.students import make_student
from distill.training import run_directory
from distill.training.compare import train_ways
from distill.training.scoring import flips_of
from distill.training.store_version import VersionWarning
from embedstore.errors import SettingsError, TrainingError
from embedstore.views import Recipe

NEEDS = Needs(good="good", ways=("none", "own"))


@pytest.fixture(autouse=True)
def small_plan(monkeypatch: pytest.MonkeyPatch) -> None:
    """Plan two epochs on three folds, whatever the machine is busy with; and small pictures."""
    monkeypatch.setattr(module.trials, "plan_trials", lambda *_, **__: Plan(3, 1, 2, 1.0))
    small = [replace(one, settings={**one.settings, "size": 32}) for one in candidates.CANDIDATES]
    monkeypatch.setattr(candidates, "CANDIDATES", tuple(small))


def test_advice_is_that_of_the_same_runs_by_hand(store_path: Path, tmp_path: Path, in_this_process: list[Path]) -> None:
    told: list[tuple[str, int, int]] = []
    advice = distill.advise(store_path, tmp_path / "trials", NEEDS, progress=lambda *step: told.append(step))
    ways = {name: advice.candidate(name).chosen(toy_parts.quick(size=96, batch=32), "pixels") for name in NEEDS.ways}
    runs, _ = train_ways(store_path, tmp_path / "by hand", ways, folds=3, seeds=1)
    expected = decide(runs, list(ways), good="good", overkill=0.05, no_escape=False)
    found = advice.decision
    assert (found.figure, found.best, found.chosen) == (expected.figure, expected.best, expected.chosen)
    assert found.standings == expected.standings
    assert found.comparison.differences == expected.comparison.differences
    assert advice.settings == replace(ways[expected.chosen], epochs=100, views=2)
    assert [one.name for one in advice.tried] == ["none", "own"]
    assert advice.plan == Plan(3, 1, 2, 1.0)
    assert told[-1] == (TRYING, 12, 12)
    assert len({path.name for path in in_this_process if path.parent.parent.name == "trials"}) == 6


def test_the_same_call_trains_nothing_again(store_path: Path, tmp_path: Path, in_this_process: list[Path]) -> None:
    needs = Needs(good="good", ways=("none",))
    first = distill.advise(store_path, tmp_path / "trials", needs)
    in_this_process.clear()
    assert distill.advise(store_path, tmp_path / "trials", needs) == first
    assert in_this_process == []


def test_what_was_finished_when_it_was_interrupted_is_kept(
    store_path: Path, tmp_path: Path, in_this_process: list[Path]
) -> None:
    def stop(stage: str, done: int, _: int) -> None:
        if stage == TRYING and done == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        distill.advise(store_path, tmp_path / "trials", NEEDS, progress=stop)
    finished = [path for path in (tmp_path / "trials" / "runs").iterdir() if run_directory.is_complete(path)]
    assert [path.name for path in sorted(finished)] == ["none-fold0-seed0", "own-fold0-seed0"]
    kept = [(path / "student.safetensors").stat().st_mtime_ns for path in finished]
    plan = (tmp_path / "trials" / "plan.json").read_bytes()
    in_this_process.clear()
    advice = distill.advise(store_path, tmp_path / "trials", NEEDS)
    assert isinstance(advice, Advice)
    assert len(in_this_process) == 4  # no pace, and neither of the finished runs
    assert [(path / "student.safetensors").stat().st_mtime_ns for path in finished] == kept
    assert (tmp_path / "trials" / "plan.json").read_bytes() == plan


def test_a_store_that_was_built_anew_is_not_served_by_these_trials(tmp_path: Path, in_this_process: list[Path]) -> None:
    """Both are version 1 of a store at the same place, by the same teacher."""
    needs = Needs(good="good", ways=("none",))
    path = toy_parts.make_store(tmp_path, toy_parts.parts(20, 12, 12, split=False), views=0)
    distill.advise(path, tmp_path / "trials", needs)
    ways = {"none": candidates.CANDIDATES[0].chosen(toy_parts.quick(size=32), "pixels")}
    train_ways(path, tmp_path / "compared", ways, folds=3, seeds=1)
    shutil.rmtree(path)
    toy_parts.make_store(tmp_path, toy_parts.parts(24, 12, 12, split=False), views=0)
    in_this_process.clear()
    with pytest.raises(SettingsError, match="begun on other contents of the store"):
        distill.advise(path, tmp_path / "trials", needs)
    with pytest.raises(TrainingError, match="learned from other pictures, labels, groups or sides"):
        train_ways(path, tmp_path / "compared", ways, folds=3, seeds=1)
    assert in_this_process == []


def relabel(path: Path) -> None:
    with embedstore.open(path) as store, store.write("relabel") as changes:
        changes.set("label", {"good000.png": "defect"})


def test_trials_that_were_interrupted_go_on_with_their_own_version_of_the_store(
    tmp_path: Path, in_this_process: list[Path]
) -> None:
    path = toy_parts.make_store(tmp_path, toy_parts.parts(20, 12, 12, split=False), views=0)
    whole = distill.advise(path, tmp_path / "whole", NEEDS)

    def stop(stage: str, done: int, _: int) -> None:
        if stage == TRYING and done == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        distill.advise(path, tmp_path / "trials", NEEDS, progress=stop)
    relabel(path)
    in_this_process.clear()
    with pytest.warns(VersionWarning, match="trials' goes on with version 1 of the store"):
        advice = distill.advise(path, tmp_path / "trials", NEEDS)
    assert len(in_this_process) == 4
    assert {run_directory.read(run)["store"]["version"] for run in (tmp_path / "trials" / "runs").iterdir()} == {1}
    assert advice.decision.standings == whole.decision.standings
    assert advice.looks == whole.looks
    assert advice.remarks[0].endswith(
        "with which it was begun; the newest is version 2: to learn from that, begin in another directory."
    )


def test_a_change_while_paces_are_measured_is_in_no_trial(
    tmp_path: Path, in_this_process: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = toy_parts.make_store(tmp_path, toy_parts.parts(20, 12, 12, split=False), views=0)
    measure, told = module.trials.measure_paces, list[int | None]()

    def changed(*arguments: Any, **options: Any) -> Any:
        relabel(path)
        told.append(options["version"])
        return measure(*arguments, **options)

    monkeypatch.setattr(module.trials, "measure_paces", changed)
    with pytest.warns(VersionWarning, match="goes on with version 1 of the store"):
        distill.advise(path, tmp_path / "trials", Needs(good="good", ways=("none",)))
    assert told == [1]
    assert {run_directory.read(run)["store"]["version"] for run in (tmp_path / "trials" / "runs").iterdir()} == {1}


def test_other_needs_are_not_served_by_these_trials(
    store_path: Path, tmp_path: Path, in_this_process: list[Path]
) -> None:
    distill.advise(store_path, tmp_path / "trials", Needs(good="good", ways=("none",)))
    in_this_process.clear()
    with pytest.raises(SettingsError, match=r"were begun with overkill = 0\.05, not 0\.1; go on with"):
        distill.advise(store_path, tmp_path / "trials", Needs(good="good", overkill=0.1, ways=("none",)))
    assert in_this_process == []


def test_advice_without_a_good_label_and_as_json(store_path: Path, tmp_path: Path, in_this_process: list[Path]) -> None:
    advice = distill.advise(store_path, tmp_path / "trials", Needs(ways=("none",)))
    assert advice.decision.figure == "macro_recall"
    told = json.loads(json.dumps(advice.to_dict(), allow_nan=False))
    assert told["settings"]["good"] is None
    assert told["reasons"][0]["en"].startswith("Take plain training: recall averaged over the labels ")


def test_where_no_defect_may_pass_the_threshold_is_set_for_what_that_costs(
    store_path: Path, tmp_path: Path, in_this_process: list[Path]
) -> None:
    advice = distill.advise(store_path, tmp_path / "trials", Needs(good="good", escape=0, ways=("none",)))
    reached = advice.decision.standing("none").deciding.value
    assert reached is not None
    assert min(0.5, reached) <= advice.settings.overkill <= min(0.5, reached + 0.001)


def test_a_way_that_the_teacher_does_not_allow_is_left_out_with_the_reason(store_path: Path) -> None:
    base = toy_parts.quick()
    ways = {one.name: one.chosen(base, "pixels") for one in candidates.STUDENTS}
    found, left_out = fitting(ways, 2, ((),), pictures=10, side=256, max_megabytes=None, max_milliseconds=None)
    assert set(found) == {"none", "none-160px", "class-mean", "rare-samples", "own", "own-160px"}
    assert [(one.name, one.footprint) for one in left_out] == [("trunk", None), ("trunk-own", None)]
    for one in left_out:
        assert one.why.en.startswith("The student 'trunk:pixels:5' takes stages of the teacher 'pixels'")


def test_larger_pictures_are_not_tried_where_the_store_has_smaller_ones() -> None:
    named = ("none", "none-160px", "own", "own-160px")
    ways = {one.name: one.chosen(toy_parts.quick(size=96), "pixels") for one in CANDIDATES if one.name in named}
    allowed: dict[str, Any] = {"pictures": 10, "max_megabytes": None, "max_milliseconds": None}
    for side in (64, 96, 159):  # of these the usual size may be too large as well, and is tried
        found, left_out = fitting(ways, 2, ((),), side=side, **allowed)
        assert (list(found), [one.name for one in left_out]) == (["none", "own"], ["none-160px", "own-160px"])
        told = left_out[0].why
        assert told.en.startswith(
            f"The store's pictures for students have a short side of {side} pixels, so 160 would show little more;"
        )
        assert f"短辺 {side} 画素" in told.ja
    larger = {name: ways[name] for name in ("none", "own-160px")}  # no way is that one with smaller pictures
    for side, asked in ((160, ways), (96, larger), (96, {"own-160px": ways["own-160px"]})):
        assert fitting(asked, 2, ((),), side=side, **allowed)[1] == []


def test_what_a_store_keeps_for_students_rules_what_is_tried(
    tmp_path: Path, in_this_process: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes = {"none": 32, "none-160px": 80}
    two = [replace(one, settings={"size": sizes[one.name]}) for one in CANDIDATES if one.name in sizes]
    monkeypatch.setattr(candidates, "CANDIDATES", tuple(two))
    store = toy_parts.make_store(tmp_path, toy_parts.everything(), recipe=Recipe(student_side=64))
    advice = distill.advise(store, tmp_path / "trials", Needs(good="good"))
    assert [one.name for one in advice.tried] == ["none"]
    assert "short side of 64 pixels" in advice.left_out[0].why.en
    assert distill.advise(store, tmp_path / "trials", Needs(good="good")).left_out == advice.left_out


def test_a_students_megabytes_are_those_of_its_file_and_flips_count(tmp_path: Path) -> None:
    settings = toy_parts.quick(student="small", size=32)
    found = footprint(settings, 2, ((), (2,), (3,), (2, 3)), 500)
    tmp_path.joinpath("run").mkdir()
    run_directory.save_student(tmp_path / "run", make_student("small", 2, 32, 0).state_dict(), epoch=1)
    size = (tmp_path / "run" / "student.safetensors").stat().st_size / 1e6
    assert size - 0.02 < found.megabytes < size  # the file has names and shapes, too
    assert found.flips == 4
    with_neighbours = footprint(replace(settings, answer="both"), 2, ((),), 500)
    assert with_neighbours.megabytes == pytest.approx(found.megabytes + 500 * 262 * 4 / 1e6)
    assert found.milliseconds > 0


def test_students_that_the_terminal_can_not_carry_are_named_with_what_they_need(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    needs = {"small": Footprint(1.1, 4.0, 4), "medium": Footprint(7.3, 9.0, 4)}
    monkeypatch.setattr("distill.advice.footprint.footprint", lambda settings, *_: needs[settings.student])
    ways = {name: toy_parts.quick(student=name) for name in needs}
    limits: dict[str, Any] = {"pictures": 10, "side": 256, "max_megabytes": 2, "max_milliseconds": None}
    found, (left_out,) = fitting(ways, 2, ((),), **limits)
    assert (found, left_out.name, left_out.footprint) == ({"small": needs["small"]}, "medium", needs["medium"])
    found, (left_out,) = fitting(ways, 2, ((),), pictures=10, side=256, max_megabytes=None, max_milliseconds=4)
    assert (list(found), left_out.name) == (["small"], "medium")
    with pytest.raises(
        SettingsError, match=r"'small' needs 1\.10 megabytes and 4\.0 milliseconds; 'medium' needs 7\.30"
    ):
        fitting(ways, 2, ((),), pictures=10, side=256, max_megabytes=1, max_milliseconds=None)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"overkill": 0.6}, r"The overkill is 0\.6; expected 0 to 0\.5"),
        ({"minutes": 0}, "The number of minutes for the trials is 0; expected a number above 0"),
        ({"minutes": float("nan")}, "The number of minutes for the trials is nan"),
        ({"train_minutes": -1.0}, "The number of minutes for the training is -1"),
        ({"max_megabytes": 0.0}, "The limit in megabytes is 0"),
        ({"max_milliseconds": float("inf")}, "The limit in milliseconds is inf"),
        ({"escape": 0.1, "good": "good"}, r"The escape is 0\.1; only 0 can be asked for"),
        ({"escape": 0.0}, "not which label is good; name it: --good LABEL"),
    ],
)
def test_needs_that_can_not_be_are_refused(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(SettingsError, match=words):
        Needs(**changes)


@pytest.mark.parametrize(
    ("needs", "jobs", "words"),
    [
        (
            Needs(good="good", ways=("own", "mean")),
            1,
            "The way 'mean' is unknown; choose among none, none-160px, trunk, class-mean",
        ),
        (Needs(good="fine"), 1, "The good label 'fine' is not among the training labels"),
        (Needs(good="good", max_megabytes=0.001), 1, "No way fits the terminal"),
        (Needs(good="good"), 0, "The number of jobs is 0"),
    ],
)
def test_what_can_not_be_done_is_refused_before_anything_is_written(
    needs: Needs, jobs: int, words: str, store_path: Path, tmp_path: Path, in_this_process: list[Path]
) -> None:
    with pytest.raises((SettingsError, TrainingError), match=words):
        distill.advise(store_path, tmp_path / "trials", needs, jobs=jobs)
    assert (list(tmp_path.iterdir()), in_this_process) == ([], [])


def test_a_time_that_is_too_short_leaves_nothing(
    store_path: Path, tmp_path: Path, in_this_process: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module.trials, "plan_trials", plan_trials)
    with pytest.raises(SettingsError, match="The time is too short: 10 epochs of one way on 3 folds, and measuring"):
        distill.advise(store_path, tmp_path / "trials", Needs(good="good", minutes=1e-4, ways=("none",)))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("minutes", "also"), [(1e-4, r", and --minutes [\d.]+ or more for its trials\.$"), (100.0, r"\.$")]
)
def test_a_training_that_may_take_no_time_is_refused_with_all_that_is_too_short(
    minutes: float,
    also: str,
    store_path: Path,
    tmp_path: Path,
    in_this_process: list[Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module.trials, "plan_trials", plan_trials)
    told = r"10 epochs of the quickest way, 'none', take about [\d.]+ minutes, and 1e-05 were given; "
    needs = Needs(good="good", minutes=minutes, train_minutes=1e-5, ways=("none",))
    with pytest.raises(SettingsError, match=told + r"give --train-minutes [\d.]+ or more" + also):
        distill.advise(store_path, tmp_path / "trials", needs)
    assert list(tmp_path.iterdir()) == []


def test_every_candidate_is_a_method_that_can_be_trained_and_says_why(store_path: Path) -> None:
    with embedstore.open(store_path) as store:
        assert flips_of(store.recipe) == ((), (2,), (3,), (2, 3))
    names = [one.name for one in candidates.CANDIDATES]
    assert names == [
        "none", "none-160px", "trunk", "class-mean", "rare-samples", "own", "own-160px", "trunk-own",
        "none-patches", "none-160px-patches", "trunk-patches", "class-mean-patches", "rare-samples-patches", "own-patches",
        "own-160px-patches", "trunk-own-patches",
    ]  # fmt: skip
    for one in candidates.CANDIDATES:
        settings = one.chosen(toy_parts.quick(epochs=7, seed=3), "efficientnet-lite0")
        assert (settings.epochs, settings.seed, settings.good) == (7, 3, "good")
        assert settings.answer == ("head" if one.alone is None else "patches")
        for text in (one.says, one.enough, one.why):
            assert text.en
            assert text.ja
            assert not text.en.endswith(".")
    for trunk in candidates.chosen_candidates(["trunk", "trunk-own"]):
        assert trunk.chosen(toy_parts.quick(), "efficientnet-lite0").student == "trunk:efficientnet-lite0:5"

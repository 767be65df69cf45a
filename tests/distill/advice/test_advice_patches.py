"""Advice that tries students beside patches: each student is trained once, patches are learned once."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import toy_parts
from safetensors.torch import load_file
from toy_advice import advice_of, runs

import distill
import embedstore
from distill import Settings
from distill.advice import candidates, patches, trials
from distill.advice.candidates import chosen_candidates
from distill.advice.decision import decide
from distill.advice.footprint import Footprint, footprint
from distill.advice.needs import Needs
from distill.advice.patches import TrialPatches, with_patches
from distill.advice.planning import LEARNING_PATCHES, MEASURING
from distill.advice.trial_words import tried
from distill.advice.trials import Budget, Pace, Plan, TooShortError
from distill.advice.words import patched, verdict
from distill.answers.patches import MOST
from distill.evaluation.report import Held
from distill.evaluation.runs import RunScores
from distill.training import run_directory
from distill.training.compare import train_ways
from distill.training.evaluate import ask
from distill.training.run_data import make_run_data
from embedstore.errors import SettingsError, TrainingError

NEEDS = Needs(good="good", ways=("none", "none-patches", "own-patches"))


@pytest.fixture(autouse=True)
def small_plan(patch_stages: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Plan two epochs on three folds, whatever the machine is busy with; small pictures, and patches of a small teacher."""
    monkeypatch.setattr(trials, "plan_trials", lambda *_, **__: Plan(3, 1, 2, 1.0))
    with_stages(monkeypatch, patch_stages)


def with_stages(monkeypatch: pytest.MonkeyPatch, stages: str) -> None:
    """Let all ways train small students that learn nothing, so that patches know more."""
    shared = {"size": 32, "learning_rate": 1e-9, "patches": stages}
    small = tuple(replace(one, settings={**one.settings, **shared}) for one in candidates.CANDIDATES)
    monkeypatch.setattr(candidates, "CANDIDATES", small)


@pytest.fixture
def learned(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """Note of which (fold, seed) patches are learned."""
    found: list[tuple[int, int]] = []
    real = patches.learn_patches

    def noted(seen: object, data: object, settings: Settings) -> object:
        found.append((settings.fold, settings.seed))
        return real(seen, data, settings)  # type: ignore[arg-type]

    monkeypatch.setattr(patches, "learn_patches", noted)
    return found


def test_what_trials_say_beside_patches_is_what_their_runs_say(
    store_path: Path, patch_stages: str, tmp_path: Path, in_this_process: list[Path]
) -> None:
    way = toy_parts.quick(epochs=2, patches=patch_stages, seed=1)
    trained, _ = train_ways(store_path, tmp_path / "by hand", {"none": way}, folds=3, seeds=1)
    with embedstore.open(store_path) as store, TrialPatches(store, way) as trial:
        said = trial.said_in(tmp_path / "trials", 3, 1, lambda *_: None)
    assert set(said) == {(fold, 1) for fold in range(3)}
    for run in with_patches(trained, said, "good", "none-patches"):
        expected = {
            one.id: one for one in ask(tmp_path / f"by hand/runs/none-fold{run.fold}-seed{run.seed}", "patches")
        }
        assert run.policy == "none-patches"
        assert {one.side for one in run.held} == {"val", "test"}
        assert len(run.held) == sum(one.side != "aside" for one in expected.values())
        for one in run.held:
            assert one.probabilities == pytest.approx(expected[one.id].probabilities, abs=1e-5)
            assert replace(one, probabilities=()) == replace(expected[one.id], probabilities=())


def test_each_student_is_trained_once_and_patches_are_learned_once(
    store_path: Path, patch_stages: str, tmp_path: Path, in_this_process: list[Path], learned: list[tuple[int, int]]
) -> None:
    told: list[tuple[str, int, int]] = []
    advice = distill.advise(store_path, tmp_path / "trials", NEEDS, progress=lambda *step: told.append(step))
    names = [f"{way}-fold{fold}-seed0" for way in ("none", "own") for fold in range(3)]
    assert sorted(one.name for one in in_this_process if one.parent.parent == tmp_path / "trials") == names
    assert learned == [(0, 0), (1, 0), (2, 0)]  # those of which the pace was measured are not learned again
    assert [one.name for one in advice.tried] == list(NEEDS.ways)
    assert [step for step in told if step[0] == LEARNING_PATCHES][-1] == (LEARNING_PATCHES, 3, 3)
    assert [step for step in told if step[0] == MEASURING] == [(MEASURING, done, 3) for done in range(4)]
    assert (advice.settings.answer, advice.settings.patches) == ("patches", patch_stages)
    assert advice.decision.chosen == "none-patches"
    assert advice.paces["none-patches"].start > advice.paces["none"].start

    told_plainly = json.loads(json.dumps(advice.to_dict(), allow_nan=False))
    assert told_plainly["settings"]["answer"] == "patches"
    assert [one["alone"] for one in told_plainly["tried"]] == [None, "none", "own"]

    runs_of_none = [run for run in read_runs(tmp_path / "trials") if run.policy == "none"]
    own = decide(runs_of_none, ["none"], good="good", overkill=0.05, no_escape=False).standing("none")
    assert advice.decision.standing("none").figures == own.figures
    beside = advice.decision.standing("none-patches").deciding.value
    assert beside is not None
    assert own.deciding.value is not None
    assert beside > own.deciding.value


def read_runs(place: Path) -> list[RunScores]:
    found = []
    for path in (place / "runs").iterdir():
        way, fold, _ = path.name.rsplit("-", 2)
        settings = run_directory.read(path)["settings"]
        assert settings["answer"] == "head"
        held, classes = run_directory.read_scores(path)
        val = settings["val_fold"]
        number = int(fold.removeprefix("fold"))
        found.append(RunScores(way, number, 0, held, classes, val_fold=(number + 1) % 3 if val is None else val))
    return found


def test_after_an_interruption_only_what_is_missing_is_learned(
    store_path: Path, tmp_path: Path, in_this_process: list[Path], learned: list[tuple[int, int]]
) -> None:
    def stop(stage: str, done: int, _: int) -> None:
        if stage == LEARNING_PATCHES and done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        distill.advise(store_path, tmp_path / "trials", NEEDS, progress=stop)
    kept = tmp_path / "trials" / "patches"
    assert sorted(file.name for file in kept.iterdir()) == ["fold0-seed0.json", "fold1-seed0.json"]
    whole = (kept / "fold1-seed0.json").read_bytes()
    (kept / "fold1-seed0.json").write_text("{", "utf-8")
    learned.clear()
    with pytest.raises(KeyboardInterrupt):
        distill.advise(store_path, tmp_path / "trials", NEEDS, progress=stop)
    assert learned == [(1, 0)]
    assert (kept / "fold1-seed0.json").read_bytes() == whole
    learned.clear()
    advice = distill.advise(store_path, tmp_path / "trials", NEEDS)
    assert learned == [(2, 0)]
    learned.clear()
    in_this_process.clear()
    assert distill.advise(store_path, tmp_path / "trials", NEEDS) == advice
    assert (learned, in_this_process) == ([], [])


@pytest.mark.parametrize("harm", ["{", "[]", '{"a": "b"}', '{"a": NaN}', '{"a": 1}'])
def test_what_is_damaged_says_nothing(harm: str, tmp_path: Path) -> None:
    assert patches._read(tmp_path / "none.json") is None
    (tmp_path / "kept.json").write_text('{"a": 1.5}', "utf-8")
    assert patches._read(tmp_path / "kept.json") == {"a": 1.5}
    (tmp_path / "kept.json").write_text(harm, "utf-8")
    assert patches._read(tmp_path / "kept.json") is None


def test_patches_of_other_sides_are_never_added(store_path: Path, tmp_path: Path, in_this_process: list[Path]) -> None:
    distill.advise(store_path, tmp_path / "trials", NEEDS)
    kept = tmp_path / "trials" / "patches"
    (kept / "fold1-seed0.json").write_bytes((kept / "fold0-seed0.json").read_bytes())
    with pytest.raises(
        TrainingError, match=r"Patches say nothing of '.*', which the run of 'none' on fold 1 with seed 0 holds"
    ):
        distill.advise(store_path, tmp_path / "trials", NEEDS)


def test_without_a_good_label_there_are_none(store_path: Path) -> None:
    assert [one.name for one in chosen_candidates([])] == [one.name for one in candidates.STUDENTS]
    assert len(chosen_candidates([], good="good")) == 2 * len(candidates.STUDENTS)
    with pytest.raises(SettingsError, match="'patches' compares with good parts, and no good label is known"):
        distill.advise(store_path, "unused", Needs(ways=("none-patches",)))


def of_no_teacher(monkeypatch: pytest.MonkeyPatch) -> None:
    with_stages(monkeypatch, "timm:test_resnet@nowhere.pt:3")


def of_few_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise TrainingError("Too few parts.")

    monkeypatch.setattr(patches, "refuse_unlearnable", refuse)


def of_many_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(TrialPatches, "seconds_a_picture", lambda _: 60.0)


def of_one_part_in_the_training(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_maps: object, _data: object, settings: Settings) -> None:
        if settings.folds is None:
            raise TrainingError("One part only.")

    monkeypatch.setattr(patches, "refuse_unlearnable", refuse)


@pytest.mark.parametrize(
    ("hinder", "why"),
    [
        (of_one_part_in_the_training, "One part only."),
        (of_no_teacher, "nowhere.pt"),
        (of_few_parts, "Too few parts."),
        (of_many_pictures, "pictures takes about "),
    ],
)
def test_where_patches_can_not_be_had_the_others_are_tried(
    hinder: Callable[[pytest.MonkeyPatch], None],
    why: str,
    store_path: Path,
    tmp_path: Path,
    in_this_process: list[Path],
    monkeypatch: pytest.MonkeyPatch,
    learned: list[tuple[int, int]],
) -> None:
    hinder(monkeypatch)
    told: list[tuple[str, int, int]] = []
    advice = distill.advise(store_path, tmp_path / "trials", NEEDS, progress=lambda *step: told.append(step))
    last = [step for step in told if step[0] == MEASURING][-1]
    assert last[1] == last[2]
    assert [one.name for one in advice.tried] == ["none"]
    assert [one.name for one in advice.left_out] == ["none-patches", "own-patches"]
    assert why in advice.left_out[0].why.en
    said = tried(advice)[-1]
    assert said.en.startswith("Not tried: 'none-patches', 'own-patches'. ")
    assert said.ja.startswith("試していない方法：「none-patches」「own-patches」。")
    assert {one.name.split("-")[0] for one in in_this_process if one.parent.name == "runs"} == {"none"}
    assert learned == []
    assert patched(advice) == []


def test_where_their_time_does_not_suffice_the_others_are_tried(
    store_path: Path, tmp_path: Path, in_this_process: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    def short(paces: object, learned: object, budget: Budget, **_: object) -> Plan:
        if budget.each:
            raise TooShortError("The time is too short; give --minutes 9 or more.", 9.0)
        return Plan(3, 1, 2, 1.0)

    monkeypatch.setattr(trials, "plan_trials", short)
    advice = distill.advise(store_path, tmp_path / "trials", NEEDS)
    assert [one.name for one in advice.tried] == ["none"]
    assert [one.name for one in advice.left_out] == ["none-patches", "own-patches"]
    assert advice.left_out[0].why.en == "Beside what else is tried: The time is too short; give --minutes 9 or more."
    assert advice.left_out[0].why.ja.startswith("ほかの試行と合わせると約 9.0 分かかります。--minutes 9.0 以上に")
    with pytest.raises(SettingsError, match=r"^The time is too short; give --minutes 9 or more\.$"):
        distill.advise(store_path, tmp_path / "others", Needs(good="good", ways=("none-patches",)))


def test_folds_on_which_too_few_parts_are_defective_are_not_dealt(patch_stages: str, tmp_path: Path) -> None:
    way = toy_parts.quick(answer="patches", patches=patch_stages)
    path = toy_parts.make_store(tmp_path, toy_parts.parts(20, 10, 0, split=False), views=0)
    with embedstore.open(path) as store, TrialPatches(store, way) as trial:
        learned = trials.testable_folds(store, way)
        pace = trial.measured(make_run_data(store, way), learned, seeds=1)
    assert set(learned) == {5, 4, 3}
    assert set(pace.again) == {5, 4}  # of three folds a run learns from one, which has a single defective part
    assert pace.again[5] > pace.again[4]


def test_only_pictures_that_are_looked_at_count(
    patch_stages: str, tmp_path: Path, in_this_process: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = toy_parts.everything()
    path = toy_parts.make_store(tmp_path, rows)
    with embedstore.open(path) as store:
        looked_at = sum(one.label is not None and one.split != "aside" for one in store.samples)
        assert looked_at < len(store)
    of_many_pictures(monkeypatch)
    advice = distill.advise(path, tmp_path / "trials", NEEDS)
    assert f"patches of {looked_at} pictures takes about {looked_at:.1f} minutes" in advice.left_out[0].why.en


def test_finished_trials_need_no_pictures(tmp_path: Path, in_this_process: list[Path]) -> None:
    path = toy_parts.make_store(tmp_path, toy_parts.everything())
    advice = distill.advise(path, tmp_path / "trials", NEEDS)
    (tmp_path / "images").rename(tmp_path / "away")
    assert distill.advise(path, tmp_path / "trials", NEEDS) == advice


def test_where_only_they_were_asked_for_nothing_is_left(
    store_path: Path, tmp_path: Path, in_this_process: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    of_many_pictures(monkeypatch)
    with pytest.raises(
        SettingsError, match=r"None of the ways can be tried: Looking at the patches of .* give --minutes \d+ or"
    ):
        distill.advise(store_path, tmp_path / "trials", Needs(good="good", ways=("none-patches",)))
    assert (list(tmp_path.iterdir()), in_this_process) == ([], [])


def test_they_need_at_the_terminal_what_a_run_keeps_of_them(
    store_path: Path, patch_stages: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    alone, beside = (toy_parts.quick(answer=answer, patches=patch_stages) for answer in ("head", "patches"))
    needs = [footprint(one, 2, ((), (3,)), 50) for one in (alone, beside)]
    run = distill.train(store_path, tmp_path / "run", beside)
    kept = load_file(run.path / "memory.safetensors")
    few = [kept[f"kept_{at}"] for at in range(3)]  # of so few pictures
    lacking = sum((MOST - len(one)) * one.shape[1] * one.itemsize for one in few)
    expected = (sum(one.nbytes for one in kept.values()) + lacking) / 1e6
    assert needs[1].megabytes - needs[0].megabytes == pytest.approx(expected)
    assert needs[1].milliseconds > needs[0].milliseconds
    assert needs[0].flips == needs[1].flips == 2


def test_a_fold_and_a_seed_take_time_for_patches_beside_what_is_trained() -> None:
    pace = {"own": Pace(2.0, 1.0, 100)}
    assert trials_plan(pace, Budget(100.0), wanted=10) == Plan(3, 2, 10, 72.0)  # a seed takes 3 x 12 s of 90
    assert trials_plan(pace, Budget(100.0, each={3: 18.0}), wanted=10) == Plan(3, 1, 10, 90.0)
    assert trials_plan(pace, Budget(100.0, each={3: 10.0}), wanted=30) == Plan(3, 1, 18, 90.0)
    with pytest.raises(SettingsError, match=r"need about 1\.7 minutes, and 0\.8 were given"):
        trials_plan(pace, Budget(50.0, each={3: 17.0}), wanted=10)


def trials_plan(pace: dict[str, Pace], budget: Budget, wanted: int) -> Plan:
    found: Plan = PLAN_TRIALS(pace, {3: 100}, budget, jobs=1, wanted=wanted)
    return found


PLAN_TRIALS: Callable[..., Plan] = trials.plan_trials  # the real one


def test_what_patches_change_is_told() -> None:
    tried_ways = chosen_candidates(["none", "none-patches"])
    of_none = [run for run in runs() if run.policy == "none"]
    better = [replace(run, policy="none-patches", held=[surer(one) for one in run.held]) for run in of_none]
    decision = decide([*of_none, *better], ["none", "none-patches"], good="good", overkill=0.05, no_escape=False)
    advice = advice_of(
        runs(),
        tried=tried_ways,
        decision=decision,
        footprints={"none": Footprint(1.1, 4.0, 4), "none-patches": Footprint(6.3, 29.0, 4)},
        paces={name: Pace(5.0, 0.5, 40) for name in ("none", "none-patches")},
    )
    assert decision.chosen == "none-patches"
    assert verdict(advice).en.startswith("Take plain training beside patches: ")
    assert verdict(advice).ja.startswith("通常の学習とパッチ照合の併用を勧めます。")
    (said,) = patched(advice)
    assert said.en.startswith("Without patches, plain training reached ")
    assert ", a difference of " in said.en
    assert said.en.endswith("at the terminal that would need 1.1 MB / 4.0 ms instead of 6.3 MB / 29.0 ms.")
    (said,) = patched(replace(advice, decision=replace(decision, chosen="none")))
    assert said.ja == (
        "パッチ照合を併用した場合、通常の学習は 100 %でした。"
        "端末での必要量は 6.3 MB / 29.0 ms（推奨の方法は 1.1 MB / 4.0 ms）です。"
    )
    assert said.en == (
        "Beside patches, plain training reached 100 %; at the terminal that would need 6.3 MB / 29.0 ms instead of 1.1 MB / 4.0 "
        "ms."
    )
    trial, beside = (one.en for one in tried(replace(advice, left_out=[])))
    assert trial.startswith("The trials: each of 1 student was trained for 20 epochs on 3 folds with 1 seed, 3 runs")
    assert beside.startswith("By their heads alone these students are 1 way, beside patches 1 way; patches are learned")
    uneven = replace(advice, left_out=[], tried=chosen_candidates(["none", "own-patches"]))
    trial, beside = (one.en for one in tried(uneven))
    assert "each of 2 students was trained" in trial
    assert "6 runs" in trial
    assert beside.startswith("By their heads alone these students are 1 way, beside patches 1 way;")


def surer(one: Held) -> Held:
    return replace(one, probabilities=(0.001, 0.999) if one.label == "good" else (0.999, 0.001))

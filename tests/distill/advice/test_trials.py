"""The plan of the trials, computed by hand; paces by a clock of ours; and what a directory of trials remembers."""

import json
import math
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import toy_parts

import embedstore
from distill.advice import agreed, trials
from distill.advice.agreed import Agreed
from distill.advice.footprint import Footprint, LeftOut
from distill.advice.trials import (
    Budget,
    Pace,
    Plan,
    TooShortError,
    fast_enough,
    measure_paces,
    pace_of,
    plan_trials,
    training_epochs,
)
from distill.training.run_data import make_run_data
from distill.training.trainer import Planned, Step
from embedstore.errors import SettingsError, TrainingError
from embedstore.pages import Text

PACES = {"quick": Pace(start=2.0, epoch=1.0, pictures=100), "slow": Pace(start=2.0, epoch=3.0, pictures=100)}
LEARNED = {5: 180, 3: 100}
# With one seed, on 3 folds: 3 (2 + 2) = 12 s to start and 3 (1 + 3) = 12 s an epoch. On 5 folds: 5 (2 + 2) = 20 s to start and
# 5 (1 + 3) 1.8 = 36 s an epoch. Of the time, nine tenths are planned for.


@pytest.mark.parametrize(
    ("seconds", "jobs", "wanted", "expected"),
    [
        (1000, 1, 40, Plan(5, 1, 24, 884)),  # (900 - 20) / 36 = 24.4 epochs, more than half of those wanted
        (
            1000,
            1,
            60,
            Plan(3, 1, 60, 732),
        ),  # 24 would be less than half, and 3 folds have time for (900 - 12) / 12 = 74
        (1000, 1, 100, Plan(3, 1, 74, 900)),
        (1000, 1, 10, Plan(5, 2, 10, 760)),  # 20 + 360 s a seed
        (1000, 2, 10, Plan(5, 3, 10, 570)),  # half of that a seed, and three seeds are enough
        (147, 1, 40, Plan(3, 1, 10, 132)),
        (389, 1, 16, Plan(3, 1, 16, 204)),  # on 5 folds (350 - 20) / 36 = 9 epochs, more than half, but fewer than 10
        (60, 1, 3, Plan(3, 1, 3, 48)),  # the training itself has no more
    ],
)
def test_epochs_come_first_then_folds_then_seeds(seconds: float, jobs: int, wanted: int, expected: Plan) -> None:
    assert plan_trials(PACES, LEARNED, Budget(seconds), jobs=jobs, wanted=wanted) == expected


def test_a_time_that_is_too_short_is_refused_with_what_is_needed() -> None:
    for spent, needed in ((0.0, r"2\.5"), (30.0, r"3\.0")):  # 12 + 120 s, and a tenth to spare, in minutes
        told = rf"need about {needed} minutes, and 1\.0 were given; give --minutes {needed} or more"
        words = rf"10 epochs of 2 ways on 3 folds, .* {told}"
        with pytest.raises(SettingsError, match=words):
            plan_trials(PACES, LEARNED, Budget(60, spent), jobs=1, wanted=100)
        enough = 60 * float(needed.replace("\\", ""))
        assert plan_trials(PACES, LEARNED, Budget(enough, spent), jobs=1, wanted=100).epochs >= 10


def test_more_jobs_than_runs_save_no_time() -> None:
    alone = {"quick": PACES["quick"]}
    plans = [plan_trials(alone, {3: 100}, Budget(90), jobs=jobs, wanted=300) for jobs in (3, 16)]
    assert plans[0] == plans[1] == Plan(3, 1, 79, 81.0)  # each job has one run: 2 + 79 s of the 81


def test_ways_that_a_stated_time_does_not_suffice_for_are_left_out() -> None:
    assert fast_enough(PACES, 100, None) == (PACES, [])
    within, left_out = fast_enough(PACES, 100, 0.3)  # 2 + 10 s, 2 + 30 s
    assert list(within) == ["quick"]
    assert [(one.name, one.why.en) for one in left_out] == [
        ("slow", "A training of 10 epochs takes about 0.5 minutes, and it may take 0.3.")
    ]
    assert fast_enough(PACES, 100, 0.1)[0] == {}


@pytest.mark.parametrize(
    ("minutes", "epochs"), [(None, 100), (1, 29), (100, 300), (0.01, 1)]
)  # (60 - 2) / 2 s an epoch on 200 pictures
def test_the_training_gets_the_epochs_of_the_stated_minutes(minutes: float | None, epochs: int) -> None:
    assert training_epochs(PACES["quick"], 200, minutes) == epochs


def test_a_pace_is_the_last_epoch_and_what_is_left_beside_two_of_them() -> None:
    assert pace_of([1.0, 3.0], 10.0, 50) == Pace(6.0, 2.0, 50)
    assert pace_of([4.0], 7.0, 50) == Pace(0.0, 4.0, 50)  # the first epoch was shorter


@pytest.fixture
def clockwork(monkeypatch: pytest.MonkeyPatch) -> tuple[list[Any], set[int]]:
    """Runs that take 5 s to start, 3 s for the first epoch, 2 s for the second, and 1 s to end; what was asked of them."""
    now, asked, versions = [100.0], list[Any](), set[int]()

    class Clockwork:
        def __init__(self, _: Path, planned: list[Planned], finished: set[Path], *rest: Any, version: int):
            self._planned, self._tell = planned, rest[-1]
            versions.add(version)

        def train(self, jobs: int) -> None:
            asked.append(
                (jobs, [(one.settings.epochs, one.settings.folds, one.settings.fold) for one in self._planned])
            )
            for done, seconds in enumerate((5, 3, 2)):
                now[0] += seconds
                for one in self._planned:
                    self._tell(Step(one.path.name, done, 2, 0, 2, done, 2 - done))
            now[0] += 1

    monkeypatch.setattr(trials, "Trainer", Clockwork)
    monkeypatch.setattr(trials, "time", SimpleNamespace(monotonic=lambda: now[0]))
    return asked, versions


MEASURED: dict[str, Any] = {"folds": 3, "pictures": 40, "images": None, "jobs": 2, "version": 7}


@pytest.mark.parametrize("seconds", [math.inf, 22.0, 11.0])  # the last two take just that
def test_paces_are_measured_on_as_many_runs_as_trials_have_beside_each_other(
    seconds: float, clockwork: tuple[list[Any], set[int]]
) -> None:
    told, ways = list[tuple[int, int]](), {"none": toy_parts.quick(), "own": toy_parts.quick(policy="own")}
    paces = measure_paces(Path("store"), ways, Budget(seconds), **MEASURED, progress=lambda *far: told.append(far))
    assert clockwork[1] == {7}
    assert paces == {"none": Pace(7.0, 2.0, 40), "own": Pace(7.0, 2.0, 40)}
    assert clockwork[0] == [(2, [(2, 3, 0)] * 2)] * 2
    assert told == [(0, 2), (1, 2), (2, 2)]


@pytest.mark.parametrize(
    ("budget", "enough"),
    [
        # Of four ways two are measured, in 22 s; their trials take 2 x 3 x (7 + 10 x 2) / 2 = 81 s and a spare tenth: 112 s.
        (Budget(15.0), 4),
        (Budget(75.0, 60.0, {3: 18.0}), 6),  # a minute before, and 60 s for three folds
        (Budget(375.0, 360.0), 10),
        (Budget(241.0, 229.0), 8),
    ],
)
def test_measuring_ends_where_the_time_for_all_does(
    budget: Budget, enough: int, clockwork: tuple[list[Any], set[int]]
) -> None:
    ways = {name: toy_parts.quick() for name in "abcd"}
    with pytest.raises(
        TooShortError, match=rf"used it up with 2 of 4 ways, .* give --minutes {enough} or more, or fewer"
    ) as told:
        measure_paces(Path("store"), ways, budget, **MEASURED, progress=lambda *_: None)
    assert (len(clockwork[0]), told.value.enough) == (2, enough)
    assert 60 * enough > budget.seconds


def test_folds_that_can_be_tested_are_known_with_what_a_run_learns(store_path: Path) -> None:
    base = toy_parts.quick()
    with embedstore.open(store_path) as store:
        found = trials.testable_folds(store, base)
        assert set(found) == {5, 4, 3}
        learned = [
            len(make_run_data(store, toy_parts.quick(folds=5, fold=fold, val_fold=(fold + 1) % 5)).sides["train"])
            for fold in range(5)
        ]
        assert found[5] == round(sum(learned) / 5)
        assert found[3] < found[4] < found[5]


def test_where_few_parts_show_defects_only_fewer_folds_can_be_tested(tmp_path: Path) -> None:
    place = tmp_path / "three"
    with embedstore.open(toy_parts.make_store(place, toy_parts.parts(20, 6, 0, split=False), views=0)) as store:
        assert set(trials.testable_folds(store, toy_parts.quick())) == {3}
    place = tmp_path / "one"
    with (
        embedstore.open(toy_parts.make_store(place, toy_parts.parts(20, 2, 0, split=False), views=0)) as store,
        pytest.raises(TrainingError, match=r"Of 3 folds, number \d can't be tested"),
    ):
        trials.testable_folds(store, toy_parts.quick())


AGREED = Agreed(
    {"contents": "0a", "minutes": 5, "ways": {"own": {"policy": "own"}}},
    Plan(3, 1, 20, 240.0),
    PACES | {"own": Pace(1.0, 2.0, 100)},
    {"own": Footprint(1.1, 3.0, 4)},
    [LeftOut("trunk", Footprint(2.8, 9.0, 4)), LeftOut("none", None, Text("It can't be.", "できません。"))],
)


def test_a_directory_remembers_what_its_trials_were_begun_for(tmp_path: Path) -> None:
    assert agreed.read_agreed(tmp_path / "new", AGREED.request) is None
    agreed.write_agreed(tmp_path / "new", AGREED)
    assert agreed.read_agreed(tmp_path / "new", AGREED.request) == AGREED


def test_trials_of_an_earlier_release_go_on(tmp_path: Path) -> None:
    """They did not note what the store held."""
    agreed.write_agreed(tmp_path, AGREED)
    kept = json.loads((tmp_path / agreed.PLAN).read_text("utf-8"))
    del kept["request"]["contents"]
    (tmp_path / agreed.PLAN).write_text(json.dumps(kept), "utf-8")
    assert agreed.read_agreed(tmp_path, AGREED.request) == AGREED


def with_other_minutes(path: Path) -> dict[str, Any]:
    agreed.write_agreed(path, AGREED)
    return {"minutes": 7}


def with_other_ways(path: Path) -> dict[str, Any]:
    agreed.write_agreed(path, AGREED)
    return {"ways": {"own": {"policy": "own"}, "none": {"policy": "none"}}}


def with_other_settings(path: Path) -> dict[str, Any]:
    agreed.write_agreed(path, AGREED)
    return {"ways": {"own": {"policy": "class-mean"}}}


def with_damage(path: Path) -> dict[str, Any]:
    path.mkdir()
    (path / agreed.PLAN).write_text('{"request": {}}', "utf-8")
    return {}


def with_other_contents(path: Path) -> dict[str, Any]:
    agreed.write_agreed(path, AGREED)
    return {"contents": "0b"}


def with_text_for_a_count(path: Path) -> dict[str, Any]:
    return damaged(path, plan={"folds": "3"})


def with_no_pictures(path: Path) -> dict[str, Any]:
    return damaged(path, paces={"own": {"start": 1.0, "epoch": 1.0, "pictures": 0}})


def with_no_ways(path: Path) -> dict[str, Any]:
    return damaged(path, footprints=None)


def damaged(path: Path, **changes: dict[str, Any] | None) -> dict[str, Any]:
    agreed.write_agreed(path, AGREED)
    kept = json.loads((path / agreed.PLAN).read_text("utf-8"))
    for part, values in changes.items():
        kept[part] = {} if values is None else kept[part] | values
    (path / agreed.PLAN).write_text(json.dumps(kept), "utf-8")
    return {}


def with_other_files(path: Path) -> dict[str, Any]:
    path.mkdir()
    (path / "photo.png").write_bytes(b"")
    return {}


@pytest.mark.parametrize(
    ("prepare", "words"),
    [
        (with_other_minutes, "were begun with minutes = 5, not 7; go on with what they were begun with"),
        (with_other_ways, "were begun with ways = own, not own, none; go on with"),
        (with_other_settings, 'were begun with ways.own.policy = "own", not "class-mean"; go on with'),
        (with_damage, "is damaged; delete"),
        (with_text_for_a_count, "is damaged; delete"),
        (with_no_pictures, "is damaged; delete"),
        (with_no_ways, "is damaged; delete"),
        (
            with_other_contents,
            "were begun on other contents of the store, which was built anew since, or is another; delete them",
        ),
        (with_other_files, "holds other files and no trials; choose another directory"),
    ],
)
def test_other_trials_are_never_taken_for_these(
    prepare: Callable[[Path], dict[str, Any]], words: str, tmp_path: Path
) -> None:
    changes = prepare(tmp_path / "trials")
    before = {path.name: path.read_bytes() for path in (tmp_path / "trials").iterdir()}
    with pytest.raises(SettingsError, match=words):
        agreed.read_agreed(tmp_path / "trials", AGREED.request | changes)
    assert {path.name: path.read_bytes() for path in (tmp_path / "trials").iterdir()} == before


KILLED_AS_IT_WRITES_THE_PLAN = """
import os, sys
from pathlib import Path
from distill.advice import agreed, trials

os.fsync = lambda file: os._exit(9)
agreed.write_agreed(Path(sys.argv[1]), agreed.Agreed({}, trials.Plan(3, 1, 16, 204.0), {}, {}, []))
"""


def test_what_a_process_leaves_that_is_killed_as_it_writes_the_plan_is_no_hindrance(tmp_path: Path) -> None:
    command = [sys.executable, "-c", KILLED_AS_IT_WRITES_THE_PLAN, str(tmp_path / "trials")]
    assert subprocess.run(command, check=False).returncode == 9
    assert list((tmp_path / "trials").iterdir())
    assert agreed.read_agreed(tmp_path / "trials", AGREED.request) is None

"""Runs that train beside each other: the same students, and one that fails stops the others."""

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Barrier, Lock
from typing import Any

import pytest
from toy_runs import SETTINGS, compare, figures, train_here

import distill
from distill.training import run_directory, together, trainer
from distill.training.trainer import Planned, Step, Trainer
from embedstore.errors import TrainingError

LONG = 60  # seconds that a run takes which nobody stops


def planned(*names: str) -> list[Planned]:
    return [Planned(name, 0, None, 0, Path(name), SETTINGS) for name in names]


def nothing(step: Step) -> None: ...


class Children:
    """Stands for `train_apart`: each run is a process that sleeps, unless `what` has something for it to do.

    Attributes:
        trained: names of runs in the order in which they began.
        processes: of those that slept.
    """

    def __init__(self, what: dict[str, Callable[[], None]]):
        self.what, self.trained, self.processes = what, list[str](), list[subprocess.Popen[bytes]]()
        self._lock = Lock()

    def __call__(
        self, store: Path, out: Path, settings: distill.Settings, *, started: Callable[[Any], None], **_: Any
    ) -> None:
        with self._lock:
            self.trained.append(out.name)
        if out.name in self.what:
            self.what[out.name]()
            return
        with subprocess.Popen([sys.executable, "-c", f"import time; time.sleep({LONG})"]) as child:
            self.processes.append(child)
            started(child)
            raise TrainingError(f"Run '{out.name}' was ended by signal {-child.wait()}.")


@pytest.fixture(autouse=True)
def described(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give runs that are only names a description, as real ones have."""
    real = run_directory.read
    monkeypatch.setattr(
        run_directory, "read", lambda path: real(path) if path.exists() else {"store": {"path": "a store"}}
    )


@contextmanager
def within(seconds: float) -> Iterator[None]:
    begun = time.monotonic()
    yield
    assert time.monotonic() - begun < seconds


def test_runs_beside_each_other_give_the_students_of_runs_one_by_one(
    store_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    steps: list[Step] = []
    settings = {"folds": None, "jobs": 2, "progress": steps.append}
    beside = compare(store_path, tmp_path / "2", ["own", "none"], **settings)
    monkeypatch.setattr(trainer, "train_apart", train_here)
    assert figures(compare(store_path, tmp_path / "1", ["own", "none"], folds=None)) == figures(beside)
    for name in ("own-seed0", "none-seed0"):
        for file in ("student.safetensors", "scores.csv"):
            one, other = ((tmp_path / jobs / "runs" / name / file).read_bytes() for jobs in ("1", "2"))
            assert one == other
    assert [step.run for step in steps[:2]] == ["own-seed0", "none-seed0"]  # both begin before one has an epoch
    assert sorted((step.trained, step.left, step.runs_done) for step in steps[2:]) in (
        [(1, 1, 0), (1, 1, 1), (2, 0, 1), (2, 0, 2)],
        [(1, 1, 0), (2, 0, 0), (2, 0, 1), (2, 0, 2)],
    )


def test_the_run_that_fails_stops_those_beside_it_and_those_to_come(monkeypatch: pytest.MonkeyPatch) -> None:
    both_began = Barrier(2)

    def fail() -> None:
        both_began.wait(LONG)
        raise TrainingError("The disk is full.")

    class Begun(Children):
        def __call__(self, store: Path, out: Path, *rest: Any, started: Callable[[Any], None], **options: Any) -> None:
            def tell(child: Any) -> None:
                started(child)
                if out.name == "sleeps":
                    both_began.wait(LONG)

            super().__call__(store, out, *rest, started=tell, **options)

    children = Begun({"fails": fail})
    monkeypatch.setattr(trainer, "train_apart", children)
    with within(LONG / 2), pytest.raises(TrainingError, match=r"^The disk is full\.$"):
        Trainer(Path("store"), planned("sleeps", "fails", "later", "much later"), set(), None, nothing).train(2)
    assert {"fails", "sleeps"} <= {*children.trained} <= {"fails", "sleeps", "later"}  # which may begin before all stop
    assert all(child.returncode is not None for child in children.processes)


def test_a_run_that_begins_as_all_stop_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    failed = Barrier(2)

    def fail() -> None:
        raise TrainingError("The disk is full.")

    class Late(Children):
        def __call__(self, *arguments: Any, started: Callable[[Any], None], **options: Any) -> None:
            def tell(child: Any) -> None:
                failed.wait(LONG)  # its process is not known yet when the others are ended
                started(child)

            super().__call__(*arguments, started=tell, **options)

    stop = together._Processes.stop

    def stopped(self: together._Processes) -> None:
        stop(self)
        failed.wait(LONG)

    monkeypatch.setattr(together._Processes, "stop", stopped)
    monkeypatch.setattr(trainer, "train_apart", Late({"fails": fail}))
    with within(LONG / 2), pytest.raises(TrainingError, match="The disk is full"):
        Trainer(Path("store"), planned("late", "fails"), set(), None, nothing).train(2)


def test_an_interruption_while_progress_is_told_stops_all_and_is_not_taken_for_a_failure(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def interrupt(step: Step) -> None:
        if step.run == "quick" and step.runs_done:
            raise KeyboardInterrupt

    children = Children({"quick": lambda: None})
    monkeypatch.setattr(trainer, "train_apart", children)
    with within(LONG / 2), pytest.raises(KeyboardInterrupt):
        Trainer(Path("store"), planned("sleeps", "quick", "later"), set(), None, interrupt).train(2)
    assert all(child.returncode is not None for child in children.processes)


def test_each_of_several_runs_has_one_thread_and_one_alone_has_all(monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[int | None] = []

    def train_apart(*_: Any, threads: int | None, **__: Any) -> None:
        given.append(threads)

    monkeypatch.setattr(trainer, "train_apart", train_apart)
    Trainer(Path("store"), planned("a"), set(), None, nothing).train(1)
    Trainer(Path("store"), planned("b", "c"), set(), None, nothing).train(2)
    assert given == [None, 1, 1]


@pytest.mark.parametrize(("jobs", "runs"), [(1, 1), (2, 2), (8, 3)])
def test_each_run_is_told_how_many_train_beside_it(jobs: int, runs: int, monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[int] = []
    monkeypatch.setattr(trainer, "train_apart", lambda *_, runs, **__: given.append(runs))
    Trainer(Path("store"), planned("a", "b", "c", "d"), {Path("d")}, None, nothing).train(jobs)
    assert given == [runs] * 3


def test_what_is_finished_is_told_and_not_trained(monkeypatch: pytest.MonkeyPatch) -> None:
    children, steps = Children({"b": lambda: None}), list[Step]()
    monkeypatch.setattr(trainer, "train_apart", children)
    Trainer(Path("store"), planned("a", "b"), {Path("a")}, None, steps.append).train(1)
    assert children.trained == ["b"]
    assert steps == [
        Step("a", 0, 1, 0, 2, 0, 1),
        Step("a", 1, 1, 1, 2, 0, 1),
        Step("b", 0, 1, 1, 2, 0, 1),
        Step("b", 1, 1, 2, 2, 0, 0),  # its training had ended before, and it was tested now
    ]

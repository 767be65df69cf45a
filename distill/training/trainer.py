"""The runs of a comparison, trained each in a process of its own, one after the other or some at a time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from threading import Lock
from typing import Any

from distill.training import run_directory
from distill.training.run_process import train_apart
from distill.training.same_run import refuse_two_stores
from distill.training.settings import Settings
from distill.training.together import Started, together


@dataclass(frozen=True)
class Step:
    """How far a comparison is.

    Attributes:
        run: one that trains now.
        epochs_done, epochs: of that one.
        runs_done, runs: of all runs.
        trained, left: epochs of all runs, those that were trained since the comparison was called, and those to come; the last
            one of a run that went on with that alone is not counted.
    """

    run: str
    epochs_done: int
    epochs: int
    runs_done: int
    runs: int
    trained: int
    left: int


@dataclass(frozen=True)
class Planned:
    """A run that is to be.

    Attributes:
        way, fold, seed: which one it is.
        val_fold: the fold that validates, where the run is tested on that, too.
        path: its directory.
        settings: what to do.
    """

    way: str
    fold: int
    val_fold: int | None
    seed: int
    path: Path
    settings: Settings

    @property
    def epochs(self) -> int:
        """How many it has, with those of pre-training."""
        return self.settings.pretrain_epochs + self.settings.epochs


class Trainer:
    """Trains planned runs that are not finished.

    Args:
        store: path of a store, or of a summary file.
        planned: all runs.
        finished: directories of those that need no training.
        images: the image folder, where it is not where the store remembers it.
        progress: called before each run, after each of its epochs, and when it is finished; by one thread at a time.
        version: of the store, which all runs learn from, whatever is changed there meanwhile; None: see `distill.train`.
    """

    def __init__(
        self,
        store: Path,
        planned: Sequence[Planned],
        finished: set[Path],
        images: Path | None,
        progress: Callable[[Step], None],
        *,
        version: int | None = None,
    ):
        self._version = version
        self._store, self._planned, self._finished, self._images = store, planned, finished, images
        self._progress = progress
        self._lock = Lock()
        self._learned: dict[str, Any] | None = None  # what the last run says of its store
        self._runs_done = self._trained = 0
        self._left = sum(one.epochs for one in planned if one.path not in finished)

    def train(self, jobs: int) -> None:
        """Train all, so many at a time; where one fails, the others stop, and go on the next time.

        Raises:
            TrainingError: a run can't be done, its process died, or the store was made anew since another run learned from it.
        """
        if jobs == 1:
            for one in self._planned:
                self._run(one, threads=None, beside=1)
            return
        beside = min(jobs, sum(one.path not in self._finished for one in self._planned))
        together([partial(self._run, one, threads=1, beside=beside) for one in self._planned], jobs)

    def _run(self, one: Planned, started: Started = lambda process: None, *, threads: int | None, beside: int) -> None:
        seen = one.epochs if one.path in self._finished else 0

        def report(done: int, total: int) -> None:
            nonlocal seen
            with self._lock:
                # A run that went on and is told as done at once had perhaps no epoch left.
                self._trained += not done == total > seen + 1
                self._left -= done - seen  # of a run that goes on, with what was done before
                seen = done
                self._tell(one, done)

        with self._lock:
            self._tell(one, 0)
        if one.path not in self._finished:
            train_apart(
                self._store,
                one.path,
                one.settings,
                images=self._images,
                progress=report,
                threads=threads,
                runs=beside,
                version=self._version,
                started=started,
            )
        with self._lock:
            learned = run_directory.read(one.path)["store"]
            refuse_two_stores(self._learned or learned, learned)
            self._learned = learned
            self._left -= one.epochs - seen  # of a run that was trained, but not tested
            self._runs_done += 1
            self._tell(one, one.epochs)

    def _tell(self, one: Planned, epochs_done: int) -> None:
        runs = len(self._planned)
        self._progress(Step(one.path.name, epochs_done, one.epochs, self._runs_done, runs, self._trained, self._left))

"""Short trials of all candidates alike, within a stated time: paces are measured, folds, seeds and epochs follow, runs go on."""

from __future__ import annotations

import math
import tempfile
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from distill.advice.footprint import LeftOut
from distill.evaluation.runs import RunScores
from distill.source import Source
from distill.training.compare import train_ways, val_fold_of
from distill.training.run_data import make_run_data
from distill.training.settings import Settings
from distill.training.trainer import Planned, Step, Trainer
from embedstore.errors import SettingsError, TrainingError
from embedstore.pages import Text

EPOCHS, MOST_EPOCHS = 100, 300  # of the training that follows, where no time is stated for it; and at most
FEWEST_EPOCHS = (
    10  # of a trial, unless the training itself has fewer: with 8, new students told no defect on magnetic tiles
)
FOLDS, SEEDS = (5, 4, 3), 3  # the best first; a run learns from all folds but two
SPARE = 0.9  # of the time is planned for: machines have other work, too
_PACE_EPOCHS = 2  # that a pace is measured on: the first one reads and cuts what the second finds


class TooShortError(SettingsError):
    """The time for the trials is too short.

    Args:
        message: the sentence.
        enough: minutes.
    """

    def __init__(self, message: str, enough: float):
        super().__init__(message)
        self.enough = enough


@dataclass(frozen=True)
class Pace:
    """How long one run takes when as many run beside it as in the trials.

    Attributes:
        start: seconds beside its epochs: the start of the process, its targets, the scores in the end.
        epoch: seconds of an epoch.
        pictures: that such an epoch learns from.
    """

    start: float
    epoch: float
    pictures: int

    def seconds(self, epochs: int, pictures: int) -> float:
        """Return how long a run of so many epochs takes where it learns from so many pictures."""
        return self.start + epochs * self.epoch_of(pictures)

    def epoch_of(self, pictures: int) -> float:
        """Return how long an epoch on so many pictures takes."""
        return self.epoch * pictures / self.pictures


@dataclass(frozen=True)
class Budget:
    """The time for the trials.

    Attributes:
        seconds: in all.
        spent: of these, so far.
        each: number of folds -> seconds for each fold and seed, beside what is trained; nothing where not given.
    """

    seconds: float
    spent: float = 0.0
    each: Mapping[int, float] = field(default_factory=dict[int, float])

    def beside(self, folds: int) -> float:
        """Return how many seconds a seed takes on all its folds, beside what is trained."""
        return folds * self.each.get(folds, 0.0)


@dataclass(frozen=True)
class Plan:
    """What is trained of each candidate.

    Attributes:
        folds, seeds, epochs: the same for all.
        seconds: that all of it is expected to take.
    """

    folds: int
    seeds: int
    epochs: int
    seconds: float


def testable_folds(source: Source, settings: Settings) -> dict[int, int]:
    """Return each number of `FOLDS` whose folds can all be tested, with how many pictures a run learns from, on average.

    Raises:
        TrainingError: there is none; the sentence is that of the fewest folds.
    """
    found: dict[int, int] = {}
    refused = None
    for folds in FOLDS:
        try:
            learned = [
                len(make_run_data(source, on_fold(settings, folds, fold)).sides["train"]) for fold in range(folds)
            ]
        except TrainingError as error:
            refused = error
            continue
        found[folds] = round(sum(learned) / folds)
    if not found and refused is not None:
        raise refused
    return found


def on_fold(settings: Settings, folds: int, fold: int) -> Settings:
    """Return the settings of the trial that tests a fold, with the seed that they have."""
    return replace(settings, folds=folds, fold=fold, val_fold=val_fold_of(folds, fold, settings.seed))


def measure_paces(
    store: Path,
    ways: Mapping[str, Settings],
    budget: Budget,
    *,
    folds: int,
    pictures: int,
    images: Path | None,
    jobs: int,
    progress: Callable[[int, int], None],
    version: int,
) -> dict[str, Pace]:
    """Train each way for two epochs on one fold, as many times beside each other as trials will run, and time it.

    Args:
        store: path of the store.
        ways: name -> settings.
        budget: the time for the trials, this included.
        folds: how many are dealt.
        pictures: that a run then learns from.
        images: the image folder, where it is not where the store remembers it.
        jobs: runs at a time.
        progress: called with (ways done, of all).
        version: of the store.

    Raises:
        TrainingError: a run can't be done.
        TooShortError: the time is over while ways are left to measure.
    """
    paces = dict[str, Pace]()
    progress(0, len(ways))
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="distill-pace-", ignore_cleanup_errors=True) as place:
        for number, (name, settings) in enumerate(ways.items()):
            chosen = replace(on_fold(settings, folds, 0), epochs=_PACE_EPOCHS, pretrain_epochs=0)
            planned = [
                Planned(name, 0, None, chosen.seed, Path(place) / f"{number}-{beside}", chosen)
                for beside in range(jobs)
            ]
            reached: dict[tuple[str, int], float] = {}  # (run, epochs done) -> when

            def note(step: Step, reached: dict[tuple[str, int], float] = reached) -> None:
                reached.setdefault((step.run, step.epochs_done), time.monotonic())

            started = time.monotonic()
            Trainer(store, planned, set(), images, note, version=version).train(jobs)
            wall = time.monotonic() - started
            paces[name] = pace_of(
                [reached[one.path.name, 2] - reached[one.path.name, 1] for one in planned], wall, pictures
            )
            progress(number + 1, len(ways))
            measuring = time.monotonic() - began
            if budget.spent + measuring > budget.seconds and len(paces) < len(ways):
                of_these = (
                    measuring + _seconds(paces, folds, pictures, FEWEST_EPOCHS) / _beside(jobs, folds, ways) / SPARE
                )
                needed = budget.spent + of_these * len(ways) / len(paces) + budget.beside(folds) / SPARE
                enough = math.ceil(needed / 60)
                raise TooShortError(
                    f"The time is too short: measuring how long an epoch takes used it up with {len(paces)} of {len(ways)} ways, "
                    f"and all with their trials need about {enough} minutes; give --minutes {enough} or more, or fewer --ways.",
                    enough,
                )
    return paces


def least_minutes(pace: Pace, pictures: int) -> float:
    """Return how long the shortest training of some use takes where it learns from so many pictures."""
    return pace.seconds(FEWEST_EPOCHS, pictures) / 60


def fast_enough(
    paces: Mapping[str, Pace], pictures: int, minutes: float | None
) -> tuple[dict[str, Pace], list[LeftOut]]:
    """Return the paces of the ways that can be trained in the stated time, and the others.

    Args:
        paces: of each candidate.
        pictures: that the training will learn from.
        minutes: that it may take; None: any time.
    """
    if minutes is None:
        return dict(paces), []
    needed = {name: least_minutes(pace, pictures) for name, pace in paces.items()}
    within = {name: paces[name] for name, time_needed in needed.items() if time_needed <= minutes}
    return within, [
        LeftOut(
            name,
            None,
            Text(
                f"A training of {FEWEST_EPOCHS} epochs takes about {needed[name]:.1f} minutes, and it may take {minutes:g}.",
                f"{FEWEST_EPOCHS} エポックの学習に約 {needed[name]:.1f} 分かかり、上限 {minutes:g} 分を超えます。",
            ),
        )
        for name in paces
        if name not in within
    ]


def pace_of(seconds: Sequence[float], wall: float, pictures: int) -> Pace:
    """Return the pace of runs that stood beside each other.

    Args:
        seconds: that the last epoch took in each of them.
        wall: seconds from the start of the first to the end of the last.
        pictures: that each learned from.
    """
    epoch = max(math.fsum(seconds) / len(seconds), 1e-6)
    return Pace(max(0.0, wall - _PACE_EPOCHS * epoch), epoch, pictures)


def plan_trials(
    paces: Mapping[str, Pace],
    learned: Mapping[int, int],
    budget: Budget,
    *,
    jobs: int,
    wanted: int,
) -> Plan:
    """Return how many folds, seeds and epochs fit.

    Epochs come first, since rankings of short trainings are not those of long ones: the most folds with which a run has at least
    half of the epochs that the training after it will have, and no fewer than `FEWEST_EPOCHS`; where there are none, the fewest
    folds. What is left of the time goes into more seeds.

    Args:
        paces: of each candidate.
        learned: number of folds -> pictures that a run learns from.
        budget: the time for the trials; spent, of it, on measuring the paces.
        jobs: runs at a time.
        wanted: epochs of the training after the trials, the most that a trial has.

    Raises:
        TooShortError: not even `FEWEST_EPOCHS` fit, or those wanted where they are fewer.
    """
    usable, fewest = SPARE * (budget.seconds - budget.spent), min(FEWEST_EPOCHS, wanted)
    folds = epochs = 0
    for folds in sorted(learned, reverse=True):
        training = usable - budget.beside(folds)
        epochs = _epochs_within(paces, folds, learned[folds], training * _beside(jobs, folds, paces))
        if 2 * epochs >= wanted and epochs >= fewest:
            break
    epochs = min(epochs, wanted)
    if epochs < fewest:
        needed = (
            _seconds(paces, folds, learned[folds], fewest) / _beside(jobs, folds, paces) + budget.beside(folds)
        ) / SPARE
        enough = math.ceil((budget.spent + needed) / 6) / 10
        ways = "one way" if len(paces) == 1 else f"{len(paces)} ways"
        raise TooShortError(
            f"The time is too short: {fewest} epochs of {ways} on {folds} folds, and measuring how long one takes, "
            f"need about {enough:.1f} minutes, and {budget.seconds / 60:.1f} were given; give --minutes {enough:.1f} or more, or "
            "fewer --ways.",
            enough,
        )
    of_seed = _seconds(paces, folds, learned[folds], epochs) / _beside(jobs, folds, paces)
    of_seed += budget.beside(folds)
    seeds = max(1, min(SEEDS, int(usable / of_seed))) if epochs == wanted else 1
    return Plan(folds, seeds, epochs, seeds * of_seed)


def _beside(jobs: int, folds: int, ways: Collection[str]) -> int:
    """Return how many runs of one seed can train beside each other: more jobs than runs save no time."""
    return min(jobs, folds * len(ways))


def _seconds(paces: Mapping[str, Pace], folds: int, pictures: int, epochs: int) -> float:
    """Return how long all candidates take with one seed, one run after the other."""
    return folds * sum(pace.seconds(epochs, pictures) for pace in paces.values())


def _epochs_within(paces: Mapping[str, Pace], folds: int, pictures: int, seconds: float) -> int:
    starts = folds * sum(pace.start for pace in paces.values())
    an_epoch = folds * sum(pace.epoch_of(pictures) for pace in paces.values())
    return max(0, int((seconds - starts) / an_epoch))


def training_epochs(pace: Pace, pictures: int, minutes: float | None) -> int:
    """Return how many epochs the training after the trials has: those of the stated minutes, between 1 and `MOST_EPOCHS`."""
    if minutes is None:
        return EPOCHS
    return max(1, min(MOST_EPOCHS, int((60 * minutes - pace.start) / pace.epoch_of(pictures))))


def run_trials(
    store: Path,
    trials: Path,
    ways: Mapping[str, Settings],
    plan: Plan,
    *,
    images: Path | None,
    jobs: int,
    progress: Callable[[int, int], None],
    version: int,
) -> tuple[list[RunScores], list[str]]:
    """Train what the plan says and is not finished yet; see `training.compare.train_ways`.

    Args:
        store: path of the store.
        trials: directory of the runs.
        ways: name -> settings.
        plan: folds, seeds and epochs of all.
        images: the image folder, where it is not where the store remembers it.
        jobs: runs at a time.
        progress: called with (epochs done, of all).
        version: of the store, which all runs are to learn from.
    """
    total = len(ways) * plan.folds * plan.seeds * plan.epochs

    def tell(step: Step) -> None:
        progress(total - step.left, total)

    return train_ways(
        store,
        trials,
        {name: replace(settings, epochs=plan.epochs) for name, settings in ways.items()},
        folds=plan.folds,
        seeds=plan.seeds,
        images=images,
        jobs=jobs,
        progress=tell,
        version=version,
    )


def trained_minutes(runs: Sequence[RunScores]) -> float:
    """Return how long the trials trained, all runs together."""
    return math.fsum(run.seconds for run in runs) / 60

"""Several policies or methods on the same folds and seeds, each run in a process of its own; then their figures side by side."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from distill.evaluation.comparison import Comparison, RunScores, compare_runs
from distill.methods import settings_of
from distill.source import Source, opened_source
from distill.students import make_student
from distill.targets import MIXTURE, POLICIES, LivePolicy, TrainingSet
from distill.targets.making import SAVED, make_policy, mixed
from distill.training import run_directory
from distill.training.description import describe, describe_summary
from distill.training.run_data import RunData, check_summary, make_run_data, saved_summary
from distill.training.run_directory import COST, REPORT, SCORES, STUDENT
from distill.training.run_process import train_apart
from distill.training.settings import Settings
from embedstore import Summary
from embedstore.errors import SettingsError, TrainingError
from embedstore.exports import SummaryFile

COMPARISON = "comparison.json"


@dataclass(frozen=True)
class Step:
    """How far a comparison is: runs done of all, and the epochs of the one that trains now."""

    run: str
    runs_done: int
    runs: int
    epochs_done: int
    epochs: int


def compare(
    store: str | os.PathLike[str],
    out: str | os.PathLike[str],
    policies: Sequence[str],
    settings: Settings | None = None,
    *,
    folds: int | None = 5,
    seeds: int = 1,
    images: str | os.PathLike[str] | None = None,
    baseline: str | None = None,
    progress: Callable[[Step], None] | None = None,
) -> Comparison:
    """Train each policy on each fold with each seed, and compare what they say of the same held-out samples.

    Runs that are complete are not run again, and one that was interrupted goes on; so policies and seeds may be added
    later. Writes `comparison.json` beside the runs.

    Args:
        store: path of a store, or of a summary file.
        out: directory of the runs, each in `runs/POLICY-foldF-seedS`.
        policies: to compare: policies, or methods of `distill.methods`.
        settings: what all runs share, but for what a method sets; `policy`, `folds`, `fold` and `seed` are set here, and
            options of policies that are not compared are passed over.
        folds: deal the groups into so many folds, each tested once; None takes the split that the store has.
        seeds: runs of each policy on each fold.
        images: the image folder, where it is not where the store remembers it.
        baseline: the policy that the others are told against; `none` where it takes part, else the first.
        progress: called before each run and after each of its epochs.

    Raises:
        SettingsError: no policy, an unknown one, one twice, or one that the store's data does not fit.
        SummaryError: a saved summary is unknown, saw what a run is tested on, or does not fit its policy.
        TrainingError: the store can't be learned from, or a run's process died.
    """
    base, path = settings or Settings(), Path(out)
    if not policies or len(set(policies)) != len(policies):
        raise SettingsError(f"The policies are '{','.join(policies)}'; name one or more, each once.")
    if seeds < 1:
        raise SettingsError(f"The number of seeds is {seeds}; expected 1 or more.")
    if folds is not None and folds < 3:
        raise SettingsError(
            f"{folds} folds can't give train, val and test; use 3 or more, or the split that the store has."
        )
    if baseline is not None and baseline not in policies:
        raise SettingsError(f"The baseline '{baseline}' is not among the policies {', '.join(policies)}.")
    # Folds outside and policies inside: an interrupted comparison has all policies on some folds.
    planned = [
        (policy, fold, seed, replace(settings_of(policy, base), folds=folds, fold=fold, seed=seed))
        for seed in range(base.seed, base.seed + seeds)
        for fold in range(1 if folds is None else folds)
        for policy in policies
    ]
    where = [
        path / "runs" / (f"{policy}-fold{fold}-seed{seed}" if folds is not None else f"{policy}-seed{seed}")
        for policy, fold, seed, _ in planned
    ]
    folder = None if images is None else Path(images)
    finished = _finished(store, dict(zip(where, (chosen for *_, chosen in planned), strict=True)), folder)
    runs = []
    for number, (run, (policy, fold, seed, chosen)) in enumerate(zip(where, planned, strict=True)):

        def report(done: int, total: int, number: int = number, name: str = run.name) -> None:
            if progress is not None:
                progress(Step(name, number, len(planned), done, total))

        report(0, chosen.pretrain_epochs + chosen.epochs)
        if run not in finished:
            train_apart(Path(store), run, chosen, images=folder, progress=report)
        runs.append(_scores(run, policy, fold, seed))
    baseline = baseline or ("none" if "none" in policies else policies[0])
    comparison = compare_runs(runs, good=base.good, overkill=base.overkill, baseline=baseline)
    said = _remarks((policy, run) for (policy, *_), run in zip(planned, where, strict=True))
    comparison = replace(comparison, remarks=[*said, *comparison.remarks])
    run_directory.write_json(path / COMPARISON, comparison.to_dict())
    return comparison


def _finished(store: str | os.PathLike[str], planned: Mapping[Path, Settings], images: Path | None) -> set[Path]:
    """Return which of the runs are finished; refuse at once what would else be refused after hours.

    Raises:
        TrainingError: a fold or split can't be learned and tested, or a finished run is not the one that is asked for.
        SettingsError: a mixture leaves a label out, or a policy reads vectors that a summary file does not hold.
        SummaryError: a saved summary is unknown, saw what a run is tested on, or does not fit its policy.
    """
    finished: set[Path] = set()
    divided: dict[tuple[int, int], RunData] = {}
    tested: dict[int, set[int]] = {}
    students: set[tuple[str, int]] = set()
    with opened_source(store) as source:
        for run, settings in planned.items():
            key = settings.fold, settings.seed
            if key not in divided:
                divided[key] = make_run_data(source, settings)
                test = set(divided[key].sides["test"])
                if test != tested.setdefault(settings.fold, test):
                    raise TrainingError(_other_pictures(source))
            data = divided[key]
            _check_targets(source, settings, data)
            if all((run / name).is_file() for name in (STUDENT, SCORES, REPORT, COST)):
                run_directory.begin(run, describe(source, settings, data, _saved(source, settings)), resume=True)
                finished.add(run)
            elif (settings.student, settings.size) not in students:
                make_student(settings.student, len(data.classes), settings.size, settings.seed)
                students.add((settings.student, settings.size))
        _check_teacher(source, [settings for run, settings in planned.items() if run not in finished], images)
    return finished


def _check_teacher(source: Source, planned: Iterable[Settings], images: Path | None) -> None:
    """Load the teacher once, where it is to run beside a student, for what that refuses."""
    live = next((settings for settings in planned if settings.policy == "live-teacher"), None)
    if live is not None:
        training = TrainingSet.from_source(source, np.arange(1), 0, images)
        policy = make_policy("live-teacher", training, seed=0, options=live.options, weights={}, summary_of=_not_needed)
        assert isinstance(policy, LivePolicy)  # noqa: S101  what its name says
        policy.close()


def _not_needed(strategy: str, options: Mapping[str, Any]) -> Summary:
    raise AssertionError("the teacher needs no summary")


def _saved(source: Source, settings: Settings) -> list[dict[str, Any]] | None:
    """Return what a run says of the summaries that it uses; None where one of them would have to be made."""
    needing = [name for name in _used(settings) if POLICIES[name].strategy is not None]
    found = [saved_summary(source, settings.options.get(name, {})) for name in needing]
    return None if None in found else [describe_summary(summary) for summary in found if summary is not None]


def _other_pictures(source: Source) -> str:
    how = (
        "split the store that the file was exported from, and export again."
        if isinstance(source, SummaryFile)
        else f"deal folds, or write a split with: embedstore split '{source.path}'"
    )
    return f"'{source.path}' has no written split, so each seed would be tested on other pictures; {how}"


def _check_targets(source: Source, settings: Settings, data: RunData) -> None:
    """Make the targets that cost little, those of finished summaries, and leave them, for what they refuse."""
    names = _used(settings)
    ready = [name for name in names if isinstance(source, SummaryFile) or SAVED in settings.options.get(name, {})]
    if not ready and settings.policy != MIXTURE:
        return
    views = source.views if settings.views is None else min(settings.views, source.views)  # more is the run's to refuse
    training = TrainingSet.from_source(source, data.sides["train"], views)
    if settings.policy == MIXTURE:  # does each label have its policies?
        POLICIES[MIXTURE].fit(training, None, 0, weights=settings.mixture, members=dict.fromkeys(names))

    def summary_of(_: str, options: Mapping[str, Any]) -> Summary:
        summary = saved_summary(source, options)
        assert summary is not None  # noqa: S101  only those that are ready are asked for
        check_summary(summary, source, replace(data, remarks=[]))
        return summary

    for name in ready:
        make_policy(name, training, seed=0, options=settings.options, weights={}, summary_of=summary_of)


def _remarks(runs: Iterable[tuple[str, Path]]) -> list[str]:
    """Return what all runs of a policy say of themselves, but for what only one fold has."""
    of_policy: dict[str, list[list[str]]] = {}
    for policy, run in runs:
        of_policy.setdefault(policy, []).append(run_directory.read(run)["remarks"])
    return list(
        dict.fromkeys(
            remark for said in of_policy.values() for remark in said[0] if all(remark in other for other in said)
        )
    )


def _used(settings: Settings) -> list[str]:
    """Return the policies that give targets: the one, or those that are mixed."""
    return mixed(settings.mixture) if settings.policy == MIXTURE else [settings.policy]


def _scores(run: Path, policy: str, fold: int, seed: int) -> RunScores:
    held, classes = run_directory.read_scores(run)
    cost = run_directory.read_cost(run)
    return RunScores(
        policy, fold, seed, held, classes, cost["seconds"], cost["peak_memory"], run_directory.read_metrics(run)
    )

"""What can be known of a comparison's runs before the first of them trains: what is finished, and what is refused."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from distill.source import Source, contents_of
from distill.students import device, make_student
from distill.targets import MIXTURE, POLICIES, LivePolicy, TrainingSet
from distill.targets.making import SAVED, make_policy, mixed
from distill.training import beginning
from distill.training.description import describe, describe_summary
from distill.training.evaluate import has_outdated_scores
from distill.training.precision import layers_dtype
from distill.training.run_data import RunData, make_run_data
from distill.training.run_directory import COST, REPORT, SCORES, STUDENT
from distill.training.run_summary import check_summary, saved_summary
from distill.training.settings import Settings
from distill.training.trainer import Planned
from embedstore import Summary
from embedstore.errors import TrainingError
from embedstore.exports import SummaryFile


def finished_runs(source: Source, planned: Sequence[Planned], images: Path | None) -> set[Path]:
    """Return which of the runs are finished, their scores too; refuse at once what would else be refused after hours.

    Raises:
        TrainingError: a fold or split can't be learned and tested, or a finished run is not the one that is asked for.
        SettingsError: a mixture leaves a label out, or a policy reads vectors that a summary file does not hold.
        SummaryError: a saved summary is unknown, saw what a run is tested on, or does not fit its policy.
    """
    finished: set[Path] = set()
    divided: dict[tuple[int | None, ...], RunData] = {}
    tested: dict[int, set[int]] = {}
    students: set[tuple[str, int, str]] = set()
    samples, contents = list(source.samples), contents_of(source)
    for one in planned:
        run, settings = one.path, one.settings
        # Folds are dealt alike for all seeds; and all runs share one list of samples, which may be long.
        key = (settings.fold, settings.seed) if settings.folds is None else (settings.fold, settings.val_fold)
        if key not in divided:
            divided[key] = replace(make_run_data(source, settings), samples=samples)
            test = set(divided[key].sides["test"])
            if settings.folds is None and test != tested.setdefault(settings.fold, test):
                raise TrainingError(_other_pictures(source))
        data = divided[key]
        _check_targets(source, settings, data)
        if all((run / name).is_file() for name in (STUDENT, SCORES, REPORT, COST)):
            described = describe(source, settings, data, _saved(source, settings), contents=contents)
            beginning.begin(run, described, resume=True)
            if not has_outdated_scores(run, settings):  # else its trained student is asked anew
                finished.add(run)
        elif (which := (settings.student, settings.size, settings.precision)) not in students:
            student = make_student(settings.student, len(data.classes), settings.size, settings.seed)
            layers_dtype(settings.precision, student, device())
            students.add(which)
    _check_teacher(source, [one.settings for one in planned if one.path not in finished], images)
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


def _used(settings: Settings) -> list[str]:
    """Return the policies that give targets: the one, or those that are mixed."""
    return mixed(settings.mixture) if settings.policy == MIXTURE else [settings.policy]

"""Several policies or methods on the same folds and seeds, each run in a process of its own; then their figures side by side.

A run learns from all folds but two, and is tested on both of them; see `distill.evaluation.runs`. Which two are held out
together changes with the seed, so that with two seeds and five folds each fold is held out with every other one.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from distill.evaluation.comparison import Comparison, RunScores, compare_runs
from distill.methods import settings_of
from distill.source import opened_source
from distill.training import run_directory
from distill.training.checks import finished_runs
from distill.training.doubts import few_goods
from distill.training.ranks import refuse_ranks
from distill.training.same_run import LAYERS
from distill.training.settings import Settings
from distill.training.store_version import of_runs, warn_of_newer
from distill.training.trainer import Planned, Step, Trainer
from embedstore.errors import SettingsError, TrainingError

__all__ = ["COMPARISON", "Step", "compare", "train_ways", "val_fold_of"]

COMPARISON, RUNS = "comparison.json", "runs"


def compare(
    store: str | os.PathLike[str],
    out: str | os.PathLike[str],
    policies: Sequence[str],
    settings: Settings | None = None,
    *,
    folds: int | None = 5,
    seeds: int = 3,
    images: str | os.PathLike[str] | None = None,
    baseline: str | None = None,
    jobs: int = 1,
    progress: Callable[[Step], None] | None = None,
) -> Comparison:
    """Train each policy on each fold with each seed, and compare what they say of the same held-out samples.

    Runs that are complete are not run again, and one that was interrupted goes on; so policies and seeds may be added later.
    A student whose scores are of an earlier release, and would be others now, is asked anew. All learn from the version of
    the store that the first of them began with, whatever is changed there since; a warning and a remark say so. Writes
    `comparison.json` beside the runs.

    Args:
        store: path of a store, or of a summary file.
        out: directory of the runs, each in `runs/POLICY-foldF-seedS`: a new or empty one, or that of a comparison.
        policies: to compare: policies, or methods of `distill.methods`.
        settings: what all runs share, but for what a method sets; `policy`, the folds and `seed` are set here, and
            options of policies that are not compared are passed over.
        folds: deal the groups into so many folds, each tested; None takes the split that the store has.
        seeds: runs of each policy on each fold. Each of them is tested on the fold that validates, too, unless the settings
            keep the best epoch, which that fold chooses.
        images: the image folder, where it is not where the store remembers it.
        baseline: the policy that the others are told against; `none` where it takes part, else the first.
        jobs: runs that train at the same time, each with one thread where there are several.
        progress: called before each run, after each of its epochs, and when it is finished; by one thread at a time.

    Raises:
        SettingsError: no policy, an unknown one, one twice, or one that the store's data does not fit.
        SummaryError: a saved summary is unknown, saw what a run is tested on, or does not fit its policy.
        TrainingError: the store can't be learned from, or no longer has the version that the runs began with, `out` holds
            something else, or a run's process died.
    """
    refuse_ranks("distill.compare")  # its runs would take themselves for one of them
    base, path = settings or Settings(), Path(out)
    if not policies or len(set(policies)) != len(policies):
        raise SettingsError(f"The policies are '{','.join(policies)}'; name one or more, each once.")
    if baseline is not None and baseline not in policies:
        raise SettingsError(f"The baseline '{baseline}' is not among the policies {', '.join(policies)}.")
    _refuse_place(path)
    runs, said = train_ways(
        store,
        path,
        {policy: settings_of(policy, base) for policy in policies},
        folds=folds,
        seeds=seeds,
        images=images,
        jobs=jobs,
        progress=progress,
    )
    baseline = baseline or ("none" if "none" in policies else policies[0])
    comparison = compare_runs(runs, good=base.good, overkill=base.overkill, baseline=baseline)
    comparison = replace(comparison, remarks=[*said, *comparison.remarks])
    run_directory.write_json(path / COMPARISON, comparison.to_dict())
    return comparison


def train_ways(
    store: str | os.PathLike[str],
    out: str | os.PathLike[str],
    ways: Mapping[str, Settings],
    *,
    folds: int | None = 5,
    seeds: int = 3,
    only: Collection[tuple[int, int]] | None = None,
    images: str | os.PathLike[str] | None = None,
    jobs: int = 1,
    progress: Callable[[Step], None] | None = None,
    version: int | None = None,
) -> tuple[list[RunScores], list[str]]:
    """Train each way on each fold with each seed; return what the runs say, and remarks on their data.

    Args:
        store: path of a store, or of a summary file.
        out: directory of the runs, each in `runs/WAY-foldF-seedS`.
        ways: name -> settings; the folds are set here, and the first seed is that of the settings.
        folds: see `compare`, as for the others.
        seeds: runs of each way on each fold.
        only: (fold, seed) of the runs that are wanted, for a way that costs too much; all where not given.
        images: the image folder, where it is not where the store remembers it.
        jobs: runs that train at the same time.
        progress: called with how far all are.
        version: of the store, which all runs are to learn from; where not given, the one that those in `out` began with, or
            else the newest.

    Raises:
        SettingsError, SummaryError, TrainingError: see `compare`; or the store was built anew meanwhile; or there is none of
            the runs that are wanted.
    """
    if seeds < 1:
        raise SettingsError(f"The number of seeds is {seeds}; expected 1 or more.")
    if folds is not None and folds < 3:
        raise SettingsError(
            f"{folds} folds can't give train, val and test; use 3 or more, or the split that the store has."
        )
    if jobs < 1:
        raise SettingsError(f"The number of jobs is {jobs}; expected 1 or more.")
    for name in ("good", "seed"):
        if len(given := {getattr(settings, name) for settings in ways.values()}) > 1:
            raise SettingsError(
                f"The ways differ in {name} ({', '.join(sorted(map(str, given)))}), so they would be tested otherwise; give all "
                "of them the same."
            )
    place = Path(out)
    planned = [one for one in _plan(place, ways, folds, seeds) if only is None or (one.fold, one.seed) in only]
    if not planned:
        raise SettingsError(f"None of the runs {sorted(only or ())} is one of {seeds} seeds on {folds} folds.")
    folder = None if images is None else Path(images)
    with opened_source(store, of_runs(store, place / RUNS) if version is None else version) as source:
        finished = finished_runs(source, planned, folder)
        version, older = source.version, warn_of_newer(source, place)
    Trainer(Path(store), planned, finished, folder, progress or (lambda step: None), version=version).train(jobs)
    runs = [_scores(one) for one in planned]
    return runs, [*([older] if older else []), *_remarks(planned, runs)]


def val_fold_of(folds: int, fold: int, seed: int) -> int:
    """Return which fold validates where one is tested.

    The folds stand in a circle, and the seed says how far apart two of them are that are held out together; less than half of
    the way round, so that no two runs of a seed hold out the same two.
    """
    return (fold + 1 + seed % ((folds - 1) // 2)) % folds


def _refuse_place(out: Path) -> None:
    """Refuse a directory of something else; of a comparison that was interrupted there are the runs alone.

    A kill while it was written leaves the file beside that `files.write_whole` makes.
    """
    if not out.is_dir() or (out / COMPARISON).is_file():
        return
    if any(file.name != RUNS and not file.match(f".{COMPARISON}.new-*") for file in out.iterdir()):
        raise TrainingError(
            f"'{out}' holds other files and no comparison; choose a new or empty directory for the comparison."
        )


def _plan(out: Path, ways: Mapping[str, Settings], folds: int | None, seeds: int) -> list[Planned]:
    """Return the runs, ways inside: an interrupted comparison has all ways on some folds and seeds."""
    last = all(settings.keep == "last" for settings in ways.values())  # the best epoch is chosen by the validation side
    planned = []
    for number in range(seeds):
        for fold in range(folds or 1):
            for way, settings in ways.items():
                seed = settings.seed + number
                val_fold = None if folds is None else val_fold_of(folds, fold, seed)
                place = f"{way}-seed{seed}" if folds is None else f"{way}-fold{fold}-seed{seed}"
                # The next fold is left unsaid, as in earlier releases, which knew no other: of their runs, those that are still
                # to be validated by it go on.
                told = None if folds is None or val_fold == (fold + 1) % folds else val_fold
                chosen = replace(settings, folds=folds, fold=fold, val_fold=told, seed=seed)
                planned.append(Planned(way, fold, val_fold if last else None, seed, out / RUNS / place, chosen))
    return planned


def _remarks(planned: Iterable[Planned], runs: Iterable[RunScores]) -> list[str]:
    """Return what all runs of a way say of themselves, but for what only one fold has, and whether they computed alike.

    What a run says of its own threshold is left out: here it comes from the scores of several.
    """
    of_way: dict[str, list[list[str]]] = {}
    layers: dict[str, set[str]] = {}  # way -> in what numbers its runs computed
    for one, scores in zip(planned, runs, strict=True):
        described = run_directory.read(one.path)
        goods = sum(held.side == "val" and held.label == one.settings.good for held in scores.held)
        own = few_goods(goods, one.settings)
        of_way.setdefault(one.way, []).append([remark for remark in described["remarks"] if remark != own])
        layers.setdefault(one.way, set()).update({described[LAYERS]} if LAYERS in described else ())
    mixed = [
        f"Some runs of '{way}' computed in {' and some in '.join(sorted(found))}, as processors or GPUs of two kinds do; give "
        "all of them one --precision to be sure that nothing hangs on that."
        for way, found in layers.items()
        if len(found) > 1
    ]
    said_by_all = (remark for said in of_way.values() for remark in said[0] if all(remark in other for other in said))
    return list(dict.fromkeys([*said_by_all, *mixed]))


def _scores(one: Planned) -> RunScores:
    held, classes = run_directory.read_scores(one.path)
    cost = run_directory.read_cost(one.path)
    return RunScores(
        policy=one.way,
        fold=one.fold,
        seed=one.seed,
        held=held,
        classes=classes,
        seconds=cost["seconds"],
        peak_memory=cost["peak_memory"],
        curve=run_directory.read_metrics(one.path),
        val_fold=one.val_fold,
    )

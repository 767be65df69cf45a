"""distill compare: several policies on the same folds and seeds."""

from __future__ import annotations

import math
import time
import unicodedata
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from distill.methods import METHODS
from distill.training.settings import PATCHES, Settings
from distill_cli import options
from embedstore.errors import SettingsError
from embedstore_cli import console

if TYPE_CHECKING:
    from distill.training.compare import Step

FOLDS = 5
PAGE = "comparison.html"
_DEFAULT = Settings()


def compare(
    store: Annotated[
        Path, typer.Argument(help="The store, or a file that embedstore export wrote.", show_default=False)
    ],
    policies: Annotated[
        str,
        typer.Option(
            help=f"What to compare, with commas between: none,class-mean,own; also {', '.join(METHODS)}.",
            show_default=False,
        ),
    ],
    out: Annotated[Path, typer.Option(help="The directory of the runs and the comparison.", show_default=False)],
    folds: Annotated[
        int | None, typer.Option(help=options.explained("Deal the groups into so many folds, each tested.", FOLDS))
    ] = None,
    no_folds: Annotated[bool, typer.Option("--no-folds", help="Take the store's own split, not folds.")] = False,
    seeds: Annotated[int, typer.Option(help="Trainings of each policy on each fold.")] = 3,
    jobs: Annotated[int, typer.Option(help="Trainings at a time, each with one thread where several.")] = 1,
    baseline: Annotated[
        str | None,
        typer.Option(help=options.explained("What the others are held against.", "none where it takes part")),
    ] = None,
    task: Annotated[
        Path | None, typer.Option(help="A task file, as distill init writes it; the options below rule over it.")
    ] = None,
    good: options.Good = None,
    student: options.Student = None,
    weight: options.Weight = None,
    size: options.Size = None,
    views: options.Views = None,
    epochs: options.Epochs = None,
    pretrain_epochs: options.Pretrain = None,
    balance: options.Balance = None,
    logit_adjustment: options.Adjustment = None,
    ema: options.Ema = None,
    keep: options.Keep = None,
    learning_rate: options.LearningRate = None,
    answer: options.Answer = None,
    patches: options.Patches = None,
    precision: options.Precision = None,
    seed: Annotated[int | None, typer.Option(help=options.explained("The first of the seeds.", _DEFAULT.seed))] = None,
    overkill: options.Overkill = None,
    images: Annotated[Path | None, typer.Option(help="The image folder, where it has moved.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print the comparison as JSON.")] = False,
) -> None:
    """Train each policy on the same folds and seeds, and tell which differences are beyond noise.

    Finished runs are kept: after an interruption, or with more policies or seeds, only what is missing is trained, from the
    version of the store that the first run began with.

    Example: distill compare parts.store --policies none,class-mean,own --good good --out comparison
    """
    if no_folds and folds is not None:
        raise SettingsError("--folds and --no-folds exclude each other; give one of them.")
    given: dict[str, Any] = {
        "good": None if good is None else unicodedata.normalize("NFC", good),  # as a store has it
        "student": student,
        "size": size,
        "epochs": epochs,
        "views": views,
        "weight": weight,
        "overkill": overkill,
        "seed": seed,
        "pretrain_epochs": pretrain_epochs,
        "balance": balance,
        "logit_adjustment": logit_adjustment,
        "ema": ema,
        "keep": keep,
        "learning_rate": learning_rate,
        "answer": answer,
        "patches": patches,
        "precision": precision,
    }
    settings = _settings(store, out, task, {name: value for name, value in given.items() if value is not None})
    options.refuse_idle_patches(patches, settings)
    dealt = (settings.folds or FOLDS) if folds is None else folds
    import distill

    with options.naming_the_table(task), _progress(settings) as progress:
        comparison = distill.compare(
            store,
            out,
            [name.strip() for name in policies.split(",")],
            settings,
            folds=None if no_folds else dealt,
            seeds=seeds,
            jobs=jobs,
            images=images,
            baseline=baseline,
            progress=progress,
        )
    from distill.reports.comparison_page import comparison_page
    from embedstore.files import write_whole

    page = out / PAGE
    write_whole(page, comparison_page(comparison).encode())
    if json:
        console.print_json(comparison.to_dict())
        return
    from distill.reports.console import print_comparison

    print_comparison(comparison)
    console.say(
        f"The page is '{page}', the figures are in '{out / 'comparison.json'}', and the runs are in '{out / 'runs'}'."
    )


def _settings(store: Path, out: Path, task: Path | None, given: dict[str, Any]) -> Settings:
    if task is None:
        return Settings(**given)
    from distill.source import opened_source
    from distill.training.compare import RUNS
    from distill.training.store_version import of_runs
    from distill.training.task_file import read_task

    with opened_source(store, of_runs(store, out / RUNS)) as source:
        labels = {sample.label for sample in source.samples if sample.label is not None}
    return read_task(task, labels=labels, changes=given)


@contextmanager
def _progress(settings: Settings) -> Iterator[Callable[[Step], None]]:
    """Show on stderr how many runs are done, how far the one that trains now is, and how long the rest may take."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[words]}"),
    )
    begun = time.monotonic()
    with Progress(*columns, console=Console(stderr=True)) as bars:
        runs = bars.add_task("Comparing", total=None, words="runs")
        epochs = bars.add_task("", total=None, visible=False, words="epochs")

        def update(step: Step) -> None:
            # Its epochs are done, and it is not counted among the runs that are.
            trained = step.epochs_done == step.epochs and step.runs_done == bars.tasks[runs].completed
            described = f"{step.run}, its patches" if trained and settings.answer == PATCHES else step.run
            words = f"runs{_left(step, time.monotonic() - begun)}"
            bars.update(runs, completed=step.runs_done, total=step.runs, words=words)
            bars.update(epochs, description=described, completed=step.epochs_done, total=step.epochs, visible=True)

        yield update


def _left(step: Step, seconds: float) -> str:
    """Say how long the rest takes, if each epoch takes as long as those that were trained in so many seconds."""
    return f", about {_short(seconds / step.trained * step.left)} left" if step.trained and step.left else ""


def _short(seconds: float) -> str:
    if seconds < 100:
        return f"{math.ceil(seconds)} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"

"""The study of rare defects: every condition trained on the same folds and seeds, each kept as JSON when it is finished.

    python tools/study/run.py --tiles DIR [--only NAME ...] [--jobs 2] [--quick] [--plan]

What takes too long has the first seed only. The plan and its hours are printed first. What is finished is not trained again, and
what was interrupted goes on. DIR holds the magnetic tiles with their manifest (path, label, mode, group). The pages are made from
the JSON by tools/study/pages.py.
"""

import argparse
import fnmatch
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent), str(HERE.parents[1])]

import quick  # noqa: E402
import results  # noqa: E402
from aside import with_aside  # noqa: E402
from conditions import CONDITIONS, FOLDS, SEEDS, VIEWS, Condition  # noqa: E402
from data import DATA, STANDARD, TWO_TEACHERS, needs_teacher, store_of  # noqa: E402
from patches import BYTES, beside, patch_runs  # noqa: E402
from probes import teacher_runs  # noqa: E402
from rich.console import Console  # noqa: E402
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn  # noqa: E402
from rich.table import Column, Table  # noqa: E402
from search import EPOCHS as SEARCH_EPOCHS  # noqa: E402
from search import FILE, METHODS, search  # noqa: E402
from sizes import target_bytes  # noqa: E402

import embedstore  # noqa: E402
from distill.evaluation.runs import RunScores  # noqa: E402
from distill.students import device, make_student  # noqa: E402
from distill.training.compare import Step, train_ways  # noqa: E402
from distill.training.evaluate import ask  # noqa: E402
from distill.training.precision import layers_dtype  # noqa: E402
from distill.training.run_directory import is_complete  # noqa: E402
from distill.training.settings import Settings  # noqa: E402
from embedstore.errors import EmbedstoreError  # noqa: E402
from embedstore.teachers.protocol import EMBEDDING  # noqa: E402

STUDY = Path("docs/study")
SEARCHED = "magnetic-tile"  # the data on which recipes are searched
COLUMNS = (TextColumn("   {task.description:8}"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[left]}"))
_SIZE = Settings().size
# Measured on two cores, two trainings at a time: seconds of the wall for one epoch of one training on 806 pictures.
_SECONDS_AN_EPOCH = {"small": 0.98, "trunk:efficientnet-lite0:5": 2.0}
# Of the wall, for one picture in one view: both cores work on it.
_SECONDS_A_PICTURE = {STANDARD.teacher: 0.02, TWO_TEACHERS.teacher: 0.06}
_PICTURES = 1_344
_SECONDS_LIVE = 16.0  # of one alone, beside its teacher
# Of the wall for a run beside its epochs: to begin it, and to ask it in the end, which takes as long as some epochs.
_SECONDS_BEGUN, _EPOCHS_ASKED = 2.5, 2.5
_SECONDS_PATCHES = 32.0  # of the wall, to learn and to ask the patches of one run


def main() -> None:
    """Print the plan, then train what is missing."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--tiles", type=Path, help="the folder of the magnetic tiles; needed until the stores are built"
    )
    parser.add_argument("--out", type=Path, default=Path("study-out"), help="stores and runs")
    parser.add_argument(
        "--docs", type=Path, help="where finished conditions are kept: docs/study; for --quick in --out"
    )
    parser.add_argument("--only", nargs="+", default=["*"], help="conditions, such as magnetic-tile/own or '*/none'")
    parser.add_argument("--jobs", type=int, default=min(2, os.cpu_count() or 1), help="trainings at a time")
    parser.add_argument("--quick", action="store_true", help="as little of each as shows that it runs")
    parser.add_argument("--plan", action="store_true", help="print the plan and end")
    options = parser.parse_args()
    every, options.folds, options.seeds = CONDITIONS, FOLDS, SEEDS
    if options.quick:
        options.out /= quick.FOLDER
        options.folds, options.seeds = quick.FOLDS, quick.SEEDS
        every = {name: quick.quick_condition(one) for name, one in CONDITIONS.items()}
    docs = docs_of(options)
    console = Console(highlight=False)
    try:
        chosen = [one for name, one in every.items() if any(fnmatch.fnmatch(name, only) for only in options.only)]
        if not chosen:
            sys.exit(f"Error: no condition is called {' '.join(options.only)}; there are {', '.join(every)}.")
        missing = [one for one in chosen if not (docs / one.data / f"{one.name}.json").exists()]
        plan(console, chosen, missing, options)
        if options.plan:
            return
        if searches(missing, docs):
            search_recipes(console, docs, options)
        for number, one in enumerate(missing, start=1):
            console.print(f"[bold]{number} of {len(missing)}: {one.data}/{one.name}[/bold], {one.says}")
            train(console, one, every[f"{one.data}/{one.of or one.name}"], docs, options)
    except (EmbedstoreError, ValueError) as error:
        sys.exit(f"Error: {error}")
    except KeyboardInterrupt:
        sys.exit("Stopped. What was finished is kept; the same command goes on from there.")


def plan(console: Console, chosen: list[Condition], missing: list[Condition], options: argparse.Namespace) -> None:
    """Print what is finished, what is to be trained, and about how long that takes on two cores."""
    table = Table(Column("condition", no_wrap=True), "what", "epochs", "hours", "state", box=None)
    hours = search_hours(options) if searches(missing, docs_of(options)) else 0.0
    trained = {f"{one.data}/{one.name}" for one in missing if one.of is None}
    for one in chosen:
        epochs = 0 if one.part in ("teacher", "patches") else one.epochs
        if one.of is not None and (f"{one.data}/{one.of}" in trained or has_runs(one, options)):
            epochs = 0  # its students are there, or will be
        each = len(runs_of(one, options)) * (epochs * seconds_an_epoch(one) + seconds_beside(one)) / 3600
        hours += each if one in missing else 0
        state = "to train" if one in missing else "finished"
        table.add_row(f"{one.data}/{one.name}", one.says, str(epochs), f"{each:.1f}", state)
    console.print(table)
    search_too = ", with the search before them" if searches(missing, docs_of(options)) else ""
    trained_yet = "1 condition that is" if len(missing) == 1 else f"{len(missing)} conditions that are"
    console.print(
        f"About {hours:.1f} hours for the {trained_yet} to be trained{search_too}, "
        "on two cores as fast as those that this was measured on; other machines took twice as long."
    )
    looked = {one.kept for one in missing if needs_teacher(DATA[one.data], options.out, one.kept)}
    if looked:
        pictures = {kept: (1 + kept.views) * kept.share * _PICTURES for kept in looked}
        first = sum(_SECONDS_A_PICTURE[kept.teacher] * count for kept, count in pictures.items()) / 3600
        names = ", ".join(sorted(kept.name for kept in looked))
        console.print(f"Before that, about {first:.1f} hours until the teacher has seen the pictures: {names}.")


def seconds_an_epoch(condition: Condition) -> float:
    """Return about how long an epoch takes on two cores."""
    live = condition.method.startswith("live-teacher")
    if live:
        return _SECONDS_LIVE
    pixels = (condition.settings.get("size", _SIZE) / _SIZE) ** 2
    return condition.kept.share * pixels * _SECONDS_AN_EPOCH[condition.settings.get("student", "small")]


def seconds_beside(condition: Condition) -> float:
    """Return about how long a run takes on two cores beside its epochs."""
    if condition.part == "patches":
        return _SECONDS_PATCHES if condition.of is None else 0
    return 0 if condition.part == "teacher" else _SECONDS_BEGUN + _EPOCHS_ASKED * seconds_an_epoch(condition)


def searches(missing: list[Condition], docs: Path) -> bool:
    """Return whether recipes must be searched before these conditions are trained."""
    return any(one.recipe for one in missing) and not (docs / SEARCHED / FILE).exists()


def search_hours(options: argparse.Namespace) -> float:
    """Return about how long the search takes on two cores."""
    one = CONDITIONS[f"{SEARCHED}/none"]
    epochs = quick.EPOCHS if options.quick else SEARCH_EPOCHS
    return sum(map(len, METHODS.values())) * (epochs * seconds_an_epoch(one) + seconds_beside(one)) / 3600


def docs_of(options: argparse.Namespace) -> Path:
    """Return where what is finished is kept."""
    chosen: Path = options.docs or (options.out if options.quick else STUDY)
    return chosen


def has_runs(condition: Condition, options: argparse.Namespace) -> bool:
    """Return whether the students that a condition asks are here; those that were trained elsewhere must be trained again."""
    folder = options.out / condition.data / "runs"
    return all(
        is_complete(folder / f"{condition.of}-fold{fold}-seed{seed}") for fold, seed in runs_of(condition, options)
    )


def runs_of(condition: Condition, options: argparse.Namespace) -> set[tuple[int, int]]:
    """Return (fold, seed) of the runs of a condition."""
    every = {(fold, seed) for fold in range(options.folds) for seed in range(options.seeds)}
    return every & set(condition.only or every)


def search_recipes(console: Console, docs: Path, options: argparse.Namespace) -> None:
    """Search the recipes, where that has not been done."""
    data = DATA[SEARCHED]
    kept = quick.quick_kept(STANDARD) if options.quick else STANDARD
    store = store_of(data, options.out, options.tiles, options.docs or STUDY, kept)
    console.print("[bold]Search[/bold]: the same recipes for six methods, on one inner split")
    with Progress(*COLUMNS[:-1], console=console) as shown:
        task = shown.add_task("recipes", total=None)
        search(
            store,
            options.out / "search",
            docs / SEARCHED,
            {"good": data.good, "views": quick.VIEWS if options.quick else VIEWS, "folds": options.folds},
            images=options.tiles,
            jobs=options.jobs,
            epochs=quick.EPOCHS if options.quick else SEARCH_EPOCHS,
            progress=lambda done, total: shown.update(task, completed=done, total=total),
        )


def train(console: Console, condition: Condition, trained: Condition, docs: Path, options: argparse.Namespace) -> None:
    """Train a condition on its folds and seeds, or ask the students of another that was trained; keep what the runs say."""
    data = DATA[condition.data]
    store = store_of(data, options.out, options.tiles, options.docs or STUDY, condition.kept)
    with embedstore.open(store) as opened:
        samples = list(opened.samples)
    results.write_samples(docs / data.name, samples)
    about: dict[str, Any] = {
        "data": data.says,
        "says": condition.says,
        "part": condition.part,
        "method": condition.method,
        "recipe": condition.recipe,
        "of": condition.of,
        "answer": condition.answer,
        "good": data.good,
        "folds": options.folds,
        "machine": machine(),  # of this command, as the jobs
        "jobs": options.jobs,
    }
    if condition.part == "teacher":
        runs, strength = teacher_runs(
            store,
            condition.method,
            data.good,
            folds=options.folds,
            seeds=len({seed for _, seed in condition.only}) if condition.only else options.seeds,
            outputs=(EMBEDDING, *condition.kept.outputs),
        )
        about |= {"settings": {"C": strength}, "curve": [], "peak_memory": None}
    elif condition.part == "patches":
        about |= {"settings": {}, "bytes": BYTES, "curve": [], "peak_memory": None}
        runs = patches_asked(condition, docs, store, data.good, options)
    else:
        settings = trained.chosen(data.good, docs / SEARCHED)
        out = options.out / condition.data
        with bars(console) as progress:
            runs, remarks = train_ways(
                store,
                out,
                {trained.name: settings},
                folds=options.folds,
                seeds=options.seeds,
                only=condition.only,
                images=options.tiles,
                jobs=options.jobs,
                progress=progress,
            )
        if condition.of:
            console.print(f"   asking {len(runs)} students of {condition.of} through {condition.answer}")
            runs = [asked(run, out, condition.answer, options.tiles) for run in runs]
        student = make_student(settings.student, 2, settings.size, 0)
        about |= {
            "settings": settings.to_dict(),
            "bytes": target_bytes(store, settings, options.folds),
            "parameters": sum(parameter.numel() for parameter in student.parameters()),
            "precision": str(layers_dtype(settings.precision, student, device())).removeprefix("torch."),
            "peak_memory": max((run.peak_memory or 0 for run in runs), default=0) or None,
            "curve": mean_curve([run.curve for run in runs]),
            "remarks": remarks,
        }
    runs = [with_aside(run, samples, options.folds) for run in runs]
    results.write(docs / data.name, condition.name, about, runs, data.good)


def patches_asked(
    condition: Condition, docs: Path, store: Path, good: str, options: argparse.Namespace
) -> list[RunScores]:
    """Return what patches say, alone or beside the finished scores of another condition.

    Raises:
        ValueError: that condition is not finished.
    """
    found = results.read(docs / condition.data)
    if condition.of is None:
        return patch_runs(store, options.tiles, good, folds=options.folds, seeds=options.seeds)
    for name in (condition.of, condition.method):
        if name not in found:
            raise ValueError(
                f"'{condition.name}' needs the results of '{name}'; make those first: --only {condition.data}/{name}"
            )
    return beside(found[condition.of].runs, found[condition.method].runs)


def asked(run: RunScores, out: Path, answer: str, tiles: Path | None) -> RunScores:
    """Return what a finished run's student says when it is asked in another way."""
    return replace(run, held=ask(out / "runs" / f"{run.policy}-fold{run.fold}-seed{run.seed}", answer, images=tiles))


def mean_curve(curves: list[Any]) -> list[dict[str, float]]:
    """Return the mean validation AUROC by epoch, from which a page draws a line."""
    return [
        {"epoch": rows[0]["epoch"], "val_auroc": round(sum(row["val_auroc"] for row in rows) / len(rows), 4)}
        for rows in zip(*curves, strict=True)
    ]


def machine() -> str:
    """Return what trains, in words."""
    if device().type == "cpu":
        return f"{os.cpu_count()} CPU cores"
    import torch

    return f"{torch.cuda.get_device_name()}, {os.cpu_count()} CPU cores"


@contextmanager
def bars(console: Console) -> Iterator[Callable[[Step], None]]:
    """Show how many runs and epochs are done, and how long the rest may take."""
    begun = time.monotonic()
    with Progress(*COLUMNS, console=console) as shown:
        runs, epochs = (shown.add_task(name, total=None, left="") for name in ("runs", "epochs"))

        def update(step: Step) -> None:
            each = (time.monotonic() - begun) / step.trained if step.trained else None
            left = "" if each is None else f"about {each * step.left / 60:.0f} min left"
            shown.update(runs, completed=step.runs_done, total=step.runs, left=left)
            shown.update(epochs, completed=step.trained, total=step.trained + step.left)

        yield update


if __name__ == "__main__":
    main()

"""The main job once, on real pictures: solar cells through a teacher into a store, students in several ways, and a page.

    python tools/pilot/run.py [--out pilot-out] [--report pilot-report] [--quick | --full] [--teacher SPEC]

Needs the extra `pilot` (the pictures are CC BY-NC-SA 4.0, for non-commercial use). Interrupted, it goes on where it was.
"""

import argparse
import json
import os
import re
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path

import page
import solar_cells
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

import distill
import embedstore
from distill.evaluation.comparison import Comparison
from distill.reports.console import print_comparison
from distill.targets import POLICIES
from distill.training.compare import Step, compare
from embedstore import EmbeddingStore, Summary
from embedstore.analysis.odd_samples import find_odd
from embedstore.analysis.twins import find_twins
from embedstore.errors import EmbedstoreError
from embedstore.pages.odd_page import odd_cards

TEACHER, STORE, COMPARED = "efficientnet-lite0", "cells.store", "compared"
GOOD, DEFECT = "good", "defect"
WAYS = ("none", "class-mean", "sub-prototypes", "rare-samples", "own")
SUMMARIES = ("class-mean", "sub-prototypes", "rare-samples")
MIXTURE = {GOOD: {"sub-prototypes": 1.0}, DEFECT: {"rare-samples": 0.5, "own": 0.5}}
ODD = 6  # of each label on the page


@dataclass(frozen=True)
class Scale:
    """How big the job is."""

    cells: int | None  # None: all
    epochs: int
    size: int
    ways: tuple[str, ...] = WAYS


NORMAL = Scale(cells=None, epochs=20, size=96)
QUICK = Scale(cells=240, epochs=2, size=64)
FULL = replace(NORMAL, ways=tuple(POLICIES))


def main() -> None:
    """Run the pilot."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, help="pilot-out; a folder in it for --quick, and for another teacher")
    parser.add_argument("--report", type=Path, help="pilot-report; a folder in it likewise")
    parser.add_argument("--teacher", default=TEACHER, help="such as open_clip:ViT-B-32/laion2b_s34b_b79k")
    how = parser.add_mutually_exclusive_group()
    how.add_argument("--quick", action="store_true", help="240 cells, 2 epochs: shows that it runs, no more")
    how.add_argument("--full", action="store_true", help="all ways of training, controls too")
    options = parser.parse_args()
    part = Path("quick" if options.quick else "")
    if options.teacher != TEACHER:  # each teacher has a store of its own
        part /= re.sub(r"[^\w.-]+", "-", options.teacher)
    try:
        run(
            options.out or "pilot-out" / part,
            options.report or "pilot-report" / part,
            QUICK if options.quick else FULL if options.full else NORMAL,
            options.teacher,
        )
    except EmbedstoreError as error:
        sys.exit(f"Error: {error}")
    except KeyboardInterrupt:
        sys.exit("Stopped. What was finished is kept; the same command goes on from there.")


def run(out: Path, report: Path, scale: Scale, teacher: str) -> Comparison:
    """Build, find twins, split, summarise, train, and write the page."""
    console = Console(highlight=False, soft_wrap=True)
    started = time.monotonic()
    out.mkdir(parents=True, exist_ok=True)
    cells = solar_cells.write_manifest(out / "cells.csv", scale.cells)
    path = out / STORE
    console.print(f"[bold]1. Build[/bold]: the teacher {teacher} looks at {cells.count} solar cells once, in 3 views")
    embedding = _build(console, out, cells, teacher)
    console.print(
        f"   {embedding.embedded} views in {embedding.seconds:.0f} s; the teacher is not needed again", markup=False
    )
    with embedstore.open(path) as store:
        console.print("[bold]2. Twins and split[/bold]")
        store.set_groups(find_twins(store).groups)
        twins = sum(sample.group is not None for sample in store.samples)
        plan = store.split(keep=True)
        counts = ", ".join(f"{count} {side}" for side, count in plan.counts().items())
        console.print(
            f"   {twins} cells look almost like another one, which stays on their side of the split: {counts}"
        )
        console.print("[bold]3. Summarise[/bold]: what each summary hides")
        summaries = [_summary(store, name) for name in SUMMARIES]
        for summary in summaries:
            hidden = ", ".join(f"{loss.far} of {loss.count} {label}" for label, loss in summary.averaging_loss.items())
            console.print(
                f"   {summary.name}: {len(summary.labels)} prototypes; without one near: {hidden}", markup=False
            )
        training = int(store.where({"split": "train"}).sum())
        odd = odd_cards(find_odd(store, top=ODD), store)
    console.print(
        f"[bold]4. Train[/bold]: a student of 0.3 M parameters in {len(scale.ways)} ways, {scale.epochs} epochs, without the "
        "teacher"
    )
    comparison = _compare(console, path, out, scale)
    print_comparison(comparison, console)
    unsure = {way: _unsure(out / COMPARED / "runs" / f"{way}-seed0") for way in scale.ways}
    pilot = page.Pilot(
        teacher=teacher,
        embedding=embedding,
        epochs=scale.epochs,
        training_pictures=training,
        twins=twins,
        comparison=comparison,
        summaries=summaries,
        odd=odd,
        machine=f"{os.cpu_count()} CPU cores",
        unsure=unsure,
        quick=scale == QUICK,
    )
    report.mkdir(parents=True, exist_ok=True)
    fresh = report / "index.html.new"
    fresh.write_text(page.pilot_page(pilot), "utf-8")
    fresh.replace(report / "index.html")
    console.print(
        f"\nDone in {(time.monotonic() - started) / 60:.1f} min. Open [bold]{report / 'index.html'}[/bold], then look:"
    )
    console.print(f"   embedstore summaries {path}")
    console.print(f"   embedstore inspect {path} --html odd.html")
    console.print(f"   embedstore query {path} --id images/cell0001.png --where label=good")
    compared = out / COMPARED
    console.print(f"   {compared / 'comparison.json'} and {compared / 'runs'}: all figures, and each cell's score")
    return comparison


def _build(console: Console, out: Path, cells: solar_cells.Cells, teacher: str) -> page.Embedding:
    """Build the store; what it took is kept beside it, since a run that goes on has less left to embed, or nothing."""
    measured = out / "embedding.json"
    before = json.loads(measured.read_text("utf-8")) if measured.exists() else {"embedded": 0, "seconds": 0.0}
    started = time.monotonic()
    with _progress(console) as bar:
        task = bar.add_task("pictures", total=cells.count)
        built = embedstore.build(
            out / STORE,
            cells.folder,
            manifest=out / "cells.csv",
            teacher=teacher,
            progress=lambda done, total: bar.update(task, completed=done, total=total),
        )
    if built.resumed:  # an interrupted run has embedded some, and nobody knows in what time
        before = {"embedded": 0, "seconds": 0.0}
    if built.embedded:
        before = {
            "embedded": before["embedded"] + built.embedded,
            "seconds": before["seconds"] + time.monotonic() - started,
        }
        fresh = measured.with_suffix(".new")
        fresh.write_text(json.dumps(before), "utf-8")
        fresh.replace(measured)
    return page.Embedding(built.samples, built.views, before["embedded"], before["seconds"])


def _summary(store: EmbeddingStore, name: str) -> Summary:
    return store.summary(name) if name in store.summary_names else store.summarize(name, name=name, split="train")


def _compare(console: Console, path: Path, out: Path, scale: Scale) -> Comparison:
    """Train and score each way on the store's split, in a process of its own."""
    # The same for every scale, so that a full pilot goes on from a normal one.
    settings = distill.Settings(
        policy="mixture",
        mixture=MIXTURE,
        options={name: {"summary": name} for name in SUMMARIES} | {"rotated-means": {"summary": "class-mean"}},
        good=GOOD,
        epochs=scale.epochs,
        size=scale.size,
    )
    with _progress(console) as bar:
        tasks = {f"{way}-seed0": bar.add_task(way, total=scale.epochs) for way in scale.ways}

        def show(step: Step) -> None:
            for name in list(tasks)[: step.runs_done]:
                bar.update(tasks[name], completed=scale.epochs)
            bar.update(tasks[step.run], completed=step.epochs_done)

        compared = compare(path, out / COMPARED, scale.ways, settings, folds=None, seeds=1, progress=show)
        for task in tasks.values():
            bar.update(task, completed=scale.epochs)
    return compared


def _unsure(run_path: Path) -> tuple[int, int]:
    """Return how many of the cells that were set aside a run rejects, of how many."""
    aside = json.loads((run_path / "report.json").read_text("utf-8"))["aside"]
    return sum(one["rejected"] or 0 for one in aside), sum(one["pictures"] for one in aside)


def _progress(console: Console) -> Progress:
    columns = (TextColumn("   {task.description:14}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    return Progress(*columns, console=console)


if __name__ == "__main__":
    main()

"""The main job once, on real pictures: solar cells through a teacher into a store, and three students trained from it.

    python tools/pilot/run.py [--out pilot-out] [--quick]

Needs the extra `pilot` (the pictures are CC BY-NC-SA 4.0, for non-commercial use). Interrupted, it goes on where it was.
"""

import argparse
import json
import os
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import solar_cells
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

import distill
import embedstore
from distill.evaluation.report import Report
from distill.training.run_directory import read_metrics
from embedstore.errors import EmbedstoreError

TEACHER = "efficientnet-lite0"
GOOD = "good"
POLICIES = ("none", "class-mean", "own")
OVERKILL = 0.05

CAVEATS = (
    "What this can not prove: one seed and one split are an anecdote, since a second seed moves AUROC by some hundredths; "
    "20 epochs are short, and own embeddings gain most from long training with more views.",
    "The cells come from 44 modules, but carry no part numbers, so cells of one module stand on both sides of the split "
    "and the figures look better than they would on a new module.",
    "The teacher is a small ImageNet network, not CLIP, whose weights no package index carries.",
)


@dataclass(frozen=True)
class Scale:
    """How big the job is."""

    cells: int | None  # None: all
    epochs: int
    size: int


FULL = Scale(cells=None, epochs=20, size=96)
QUICK = Scale(cells=240, epochs=2, size=64)


def main() -> None:
    """Run the pilot."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, help="pilot-out, or pilot-out/quick with --quick")
    parser.add_argument("--quick", action="store_true", help="240 cells, 2 epochs: shows that it runs, no more")
    options = parser.parse_args()
    try:
        out = options.out or Path("pilot-out", "quick" if options.quick else "")
        run(out, QUICK if options.quick else FULL)
    except EmbedstoreError as error:
        sys.exit(f"Error: {error}")
    except KeyboardInterrupt:
        sys.exit("Stopped. What was finished is kept; the same command goes on from there.")


def run(out: Path, scale: Scale) -> dict[str, Report]:
    """Build, split, summarise, train, and print the table."""
    console = Console(highlight=False, soft_wrap=True)
    started = time.monotonic()
    out.mkdir(parents=True, exist_ok=True)
    cells = solar_cells.write_manifest(out / "cells.csv", scale.cells)
    console.print(f"[bold]1. Build[/bold]: the teacher {TEACHER} looks at {cells.count} solar cells once, in 3 views")
    store_path = out / "cells.store"
    with _progress(console) as bar:
        task = bar.add_task("pictures", total=cells.count)
        build = embedstore.build(
            store_path,
            cells.folder,
            manifest=out / "cells.csv",
            teacher=TEACHER,
            progress=lambda done, total: bar.update(task, completed=done, total=total),
        )
    console.print(f"   {build.embedded} views embedded in {build.seconds:.0f} s; the teacher is not needed again")

    with embedstore.open(store_path) as store:
        plan = store.split(keep=True)
        console.print(f"[bold]2. Split[/bold]: {', '.join(f'{count} {side}' for side, count in plan.counts().items())}")
        console.print("[bold]3. Summarise[/bold]: one mean per class, and what it hides")
        name = "class-mean"
        summary = (
            store.summary(name) if name in store.summary_names else store.summarize(name, name=name, split="train")
        )
        for loss in summary.averaging_loss.values():
            console.print(f"   {loss.in_words()}", markup=False)

        console.print(
            f"[bold]4. Train[/bold]: a student of 0.3 M parameters for each policy, {scale.epochs} epochs, without the teacher"
        )
        reports, seconds = {}, {}
        with _progress(console) as bar:
            for policy in POLICIES:
                task = bar.add_task(policy, total=scale.epochs)
                path = out / "runs" / policy
                settings = distill.Settings(
                    policy=policy,
                    good=GOOD,
                    epochs=scale.epochs,
                    size=scale.size,
                    overkill=OVERKILL,
                    summary=name if policy == "class-mean" else None,
                )
                reports[policy] = distill.train(
                    store,
                    path,
                    settings,
                    resume=True,
                    progress=lambda done, total, _, task=task: bar.update(task, completed=done, total=total),
                ).report
                bar.update(task, completed=scale.epochs)
                seconds[policy] = sum(figures["seconds"] for figures in read_metrics(path))

    print_table(console, reports, seconds)
    for caveat in CAVEATS:
        console.print(caveat)
    results = {policy: report.to_dict() | {"seconds": seconds[policy]} for policy, report in reports.items()}
    (out / "results.json").write_text(json.dumps(results, indent=2), "utf-8")
    shown = os.path.relpath(out)
    console.print(f"\nDone in {(time.monotonic() - started) / 60:.1f} min. Where to look:")
    console.print(f"   {shown}/results.json and {shown}/runs/own/scores.csv: all figures, and each cell's score")
    console.print(f"   embedstore info {shown}/cells.store")
    console.print(f"   embedstore query {shown}/cells.store --id images/cell0001.png --where label=good")
    console.print(f"   distill evaluate {shown}/runs/own")
    return reports


def print_table(console: Console, reports: dict[str, Report], seconds: dict[str, float]) -> None:
    """Print what each policy reached and what it cost."""
    first = next(iter(reports.values()))
    table = Table(
        title=f"\n{first.counts['test']} test cells; threshold for {OVERKILL:.0%} overkill "
        f"from the good ones of {first.counts['val']} validation cells",
        title_justify="left",
        box=None,
        pad_edge=False,
        header_style="bold",
    )
    columns = ("policy", "AUROC", "AUPR", "recall", "overkill", "2-10 %", "worst kind of defect", "time")
    for number, column in enumerate(columns):
        table.add_column(column, justify="left" if number in (0, 6) else "right", no_wrap=True)
    for policy, report in reports.items():
        worst = report.by_mode[0]
        table.add_row(
            policy,
            f"{report.auroc:.3f}",
            f"{report.aupr:.3f}",
            f"{report.recall:.3f}",
            f"{report.overkill:.3f}",
            f"{report.mean_recall:.3f}",
            f"{worst.mode}: {worst.caught} of {worst.pictures}",
            f"{seconds[policy]:.0f} s",
        )
    console.print(table)
    console.print("2-10 %: recall averaged over thresholds for 2 to 10 % overkill; time: of training.")
    aside = [
        f"{policy} rejects {sum(one.rejected or 0 for one in report.aside)} of {sum(one.pictures for one in report.aside)}"
        for policy, report in reports.items()
    ]
    console.print(f"Cells that the experts were unsure of, neither learned nor tested: {'; '.join(aside)}.\n")


def _progress(console: Console) -> Progress:
    columns = (TextColumn("   {task.description:12}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    return Progress(*columns, console=console)


if __name__ == "__main__":
    main()

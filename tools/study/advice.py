"""What following `distill advise` costs: its regret on parts that it never saw, beside always class-mean and always own.

    python tools/study/advice.py --tiles DIR [--minutes 12] [--jobs 2] [--only NAME ...] [--quick] [--plan]

Three tasks of 1,000 to 1,350 pictures (magnetic tiles, solar cells, simulated textiles), three outer folds of each: a fifth of
the parts is set aside, the advice is made from the others among five ways (`TRAINED`), then these are trained on those parts for
100 epochs, asked alone and beside patches, and tested on the fifth. Regret is the best way's recall averaged over 2 to 10 %
overkill minus that of the advised way. The best of several noisy figures is too good, so every rule has some regret, and rules
are to be compared with each other. What is finished is kept, in `advice.json` too; an interrupted call goes on. The pictures of
two tasks come from PyPI: pip install 'embedstore[study]'
"""

import argparse
import csv
import importlib.util
import json
import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent), str(HERE.parents[1]), str(HERE.parent / "pilot")]

import quick  # noqa: E402
from data import DATA, FEW_VIEWS, STANDARD, Data, Kept, build, store_of  # noqa: E402
from results import write_json  # noqa: E402
from rich.console import Console  # noqa: E402
from rich.table import Table  # noqa: E402
from solar_cells import write_manifest  # noqa: E402

import distill  # noqa: E402
import embedstore  # noqa: E402
from distill.advice.candidates import chosen_candidates  # noqa: E402
from distill.advice.needs import Needs  # noqa: E402
from distill.advice.patches import Said, TrialPatches, with_patches  # noqa: E402
from distill.advice.planning import trained_ways  # noqa: E402
from distill.advice.trials import EPOCHS  # noqa: E402
from distill.evaluation.report import make_report  # noqa: E402
from distill.evaluation.runs import RunScores  # noqa: E402
from distill.training.compare import train_ways  # noqa: E402
from distill.training.run_directory import REPORT, read_scores  # noqa: E402
from distill.training.settings import Settings  # noqa: E402
from embedstore.errors import EmbedstoreError, MissingPackageError  # noqa: E402
from embedstore.splits import plan_split  # noqa: E402

FOLDS, OUTER = 5, 3  # of five outer folds three are looked at
DOCS, FILE = Path("docs/study"), "advice.json"
_QUICK_MINUTES = 3.0  # of a training, so that trials of a few epochs will do; ways that take longer are left out
RULES = ("class-mean", "own")  # that always take one way
TRAINED = ("none", "trunk", "class-mean", "rare-samples", "own")  # the others together take longer than all of these
TILES = "magnetic-tile"
PICTURES = 1_000  # of the other two, as many as a line may begin with: all of them take twice as long
# An epoch of plain training, in seconds, with two on two cores; a larger student takes some of these.
_SECONDS = {TILES: 2.5, "solar-cells": 2.0, "textiles": 2.0}
_TIMES = {"trunk": 2.0}


def solar_cells(path: Path, _: Path | None, kept: Kept) -> None:
    """Build an even sample of the pilot's solar cells; the unsure ones are aside."""
    manifest = path.with_name("cells.csv")
    manifest.parent.mkdir(parents=True, exist_ok=True)
    cells = write_manifest(manifest, PICTURES)
    build(path, cells.folder, manifest, kept)


def textiles(path: Path, _: Path | None, kept: Kept) -> None:
    """Build every second one of the simulated textiles: nominal ones, and two kinds of defect, each half as often as those."""
    package = importlib.util.find_spec("conformal_clip_data")
    if package is None or not package.submodule_search_locations:
        raise MissingPackageError("The textiles are not installed: pip install 'embedstore[study]'")
    folder = Path(next(iter(package.submodule_search_locations))) / "data" / "textile_images" / "simulated"
    manifest = path.with_name("textiles.csv")
    manifest.parent.mkdir(parents=True, exist_ok=True)
    with manifest.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("path", "label", "mode"))
        for kind in ("nominal", "local", "global"):
            label = "good" if kind == "nominal" else "defect"
            for picture in sorted((folder / kind).glob("*.jpg"))[::2]:  # 500, 250 and 250
                writer.writerow((f"{kind}/{picture.name}", label, "" if label == "good" else kind))
    build(path, folder, manifest, kept)


TASKS = {
    one.name: one
    for one in (
        DATA[TILES],
        Data("solar-cells", "good", "solar cells in electroluminescence", build=solar_cells),
        Data("textiles", "good", "simulated textiles", build=textiles),
    )
}


def main() -> None:
    """Print the plan, then measure what is missing, then the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--tiles", type=Path, help="the folder of the magnetic tiles; needed until their store is built"
    )
    parser.add_argument("--out", type=Path, default=Path("study-out"), help="stores, trials and runs")
    parser.add_argument("--docs", type=Path, help="where advice.json is kept: docs/study; for --quick in --out")
    parser.add_argument("--minutes", type=float, default=12.0, help="of the trials of each advice")
    parser.add_argument("--only", nargs="+", default=list(TASKS), choices=list(TASKS), help="tasks")
    parser.add_argument("--jobs", type=int, default=min(2, os.cpu_count() or 1), help="trainings at a time")
    parser.add_argument("--quick", action="store_true", help="as little of each as shows that it runs")
    parser.add_argument("--plan", action="store_true", help="print the plan and end")
    options = parser.parse_args()
    epochs, outer = EPOCHS, OUTER
    if options.quick:
        options.out /= quick.FOLDER
        epochs, outer = 5, 1
    work = options.out / "advice"
    file = (options.docs or (options.out if options.quick else DOCS)) / FILE
    console = Console(highlight=False)
    found: dict[str, Any] = json.loads(file.read_text("utf-8")) if file.exists() else {}
    # One fold of each task first, so that soon something is known of all.
    wanted = [f"{task}/{fold}" for fold in range(outer) for task in options.only]
    missing = [name for name in wanted if name not in found]
    plan(console, missing, options, epochs)
    if options.plan:
        return
    try:
        for number, name in enumerate(missing, start=1):
            console.print(f"[bold]{number} of {len(missing)}: {name}[/bold]")
            task, _, fold = name.partition("/")
            found[name] = measure(TASKS[task], int(fold), work, options, epochs)
            write_json(file, found)
    except (EmbedstoreError, ValueError) as error:
        sys.exit(f"Error: {error}")
    except KeyboardInterrupt:
        sys.exit("Stopped. What was finished is kept; the same command goes on from there.")
    show(console, found)


def plan(console: Console, missing: list[str], options: argparse.Namespace, epochs: int) -> None:
    """Print about how long the missing ones take."""
    hours = 0.0
    times = sum(_TIMES.get(name, 1.0) for name in TRAINED)
    for name in missing:
        training = times * epochs * _SECONDS[name.partition("/")[0]] / options.jobs
        hours += (60 * options.minutes + training) / 3600
    console.print(f"{len(missing)} outer folds are missing: {', '.join(missing) or 'none'}; about {hours:.1f} hours.")


def measure(data: Data, fold: int, work: Path, options: argparse.Namespace, epochs: int) -> dict[str, Any]:
    """Ask for advice without an outer fold, train each way on the other parts, and test it on that fold."""
    kept = STANDARD if data.name == TILES else FEW_VIEWS
    if options.quick:
        kept = quick.quick_kept(kept)
    store = store_of(data, options.out, options.tiles, options.docs or DOCS, kept)
    place = work / data.name / str(fold)
    with embedstore.open(store) as opened:
        aside = [one.id for one in opened.samples if one.split == "aside"]
        sides = plan_split(opened.samples, folds=FOLDS, fold=fold, kept=aside).splits
        base, teacher = Settings(good=data.good, views=opened.views, epochs=epochs), opened.teacher
    outer = {name: "aside" for name, side in sides.items() if side in ("test", "aside")}
    advice = distill.advise(
        with_split(store, place / "asking", outer),
        place / "trials",
        Needs(
            good=data.good,
            minutes=options.minutes,
            train_minutes=None if epochs == EPOCHS else _QUICK_MINUTES,
            ways=tuple(one.name for one in chosen_candidates((), good=data.good) if one.trained in TRAINED),
        ),
        jobs=options.jobs,
    )
    ways = {one.name: one.chosen(base, teacher) for one in advice.tried}
    testing = with_split(store, place / "testing", sides)
    train_ways(testing, place, trained_ways(advice.tried, ways), folds=None, seeds=1, jobs=options.jobs)
    said = patches_in(place, testing, [ways[one.name] for one in advice.tried if one.alone])
    return {
        "advised": advice.decision.chosen,
        "unlearned": advice.decision.unlearned,
        "figure": advice.decision.figure,
        "trials": {one.name: one.deciding.value for one in advice.decision.standings},
        "plan": asdict(advice.plan),
        "mean_recall": {
            one.name: mean_recall(place / "runs" / f"{one.trained}-seed0", ways[one.name], said if one.alone else None)
            for one in advice.tried
        },
    }


def patches_in(place: Path, store: Path, beside: Sequence[Settings]) -> Said:
    """Return what patches say of the held-out pictures, learned once for all ways that ask them; kept, once it is known."""
    kept = place / "patches.json"
    if beside and not kept.exists():
        with embedstore.open(store) as opened, TrialPatches(opened, beside[0]) as patches:
            write_json(kept, dict(patches.said_of(beside[0])))
    found: Said = json.loads(kept.read_text("utf-8")) if beside else {}
    return found


def mean_recall(run: Path, settings: Settings, said: Said | None) -> float | None:
    """Return what a trained student finds by its head, or beside what patches say."""
    if said is None:
        found: float | None = json.loads((run / REPORT).read_text("utf-8"))["mean_recall"]
        return found
    held, classes = read_scores(run)
    good = settings.good or ""
    (beside,) = with_patches([RunScores(run.name, 0, 0, held, classes)], {(0, 0): said}, good, run.name)
    return make_report(beside.held, classes, settings.policy, good, settings.overkill).mean_recall


def with_split(store: Path, path: Path, sides: Mapping[str, str]) -> Path:
    """Return a copy of a store with a written split, made where it is not there yet."""
    if not path.exists():
        unfinished = path.with_name(f"{path.name}.unfinished")
        if unfinished.exists():
            shutil.rmtree(unfinished)
        shutil.copytree(store, unfinished)
        with embedstore.open(unfinished) as copy, copy.write("the split of an outer fold") as changes:
            changes.set("split", dict(sides))
        unfinished.rename(path)
    return path


def show(console: Console, found: Mapping[str, Any]) -> None:
    """Print each outer fold, and the mean regret of following the advice and of always taking one way."""
    table = Table("outer fold", "advised", "found", "best way", "found", box=None)
    for name, one in found.items():
        best = max(one["mean_recall"], key=one["mean_recall"].__getitem__)
        cells = [cell for way in (one["advised"], best) for cell in (way, f"{one['mean_recall'][way]:.3f}")]
        table.add_row(name, *cells)
    console.print(table)
    trained = [way for way in RULES if all(way in one["mean_recall"] for one in found.values())]
    for rule in ("the advice", *trained):
        lost = [regret(one, one["advised"] if rule == "the advice" else rule) for one in found.values()]
        console.print(f"Mean regret of {rule}: {sum(lost) / len(lost):.3f} (the largest {max(lost):.3f})")


def regret(one: Mapping[str, Any], way: str) -> float:
    """Return how much more recall the best way has on the outer fold."""
    recall: Mapping[str, float] = one["mean_recall"]
    return max(recall.values()) - recall[way]


if __name__ == "__main__":
    main()

"""Does a store teach what a live teacher does? Own embeddings with 0 to 32 stored views against the teacher beside the student.

    python tools/bench/parity.py --images DIR --manifest CSV --good good --out DIR [--views 0 1 8 32] [--epochs 100] [--jobs 1]

Equal epochs, student, batches a step, learning rate; the live teacher, and plain training beside it, draw a crop never seen
before at each pass, the others replay what the store has. Groups are dealt into folds after `twins --merge`; AUROC is taken
within folds, and differences are paired. With several jobs the folds of one way train at the same time, which is the same for all
ways. The time to an AUROC is that of the validation side, mean over folds, the embedding pass included.
One store has the most views; a pass for fewer is counted as its share of that one's.
"""

import argparse
import json
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from statistics import mean, stdev
from typing import Any

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE.parent), str(HERE.parents[1])]

import embedstore  # noqa: E402
from distill.methods import settings_of  # noqa: E402
from distill.training.run_directory import is_complete, read_metrics, read_scores  # noqa: E402
from distill.training.run_process import train_apart  # noqa: E402
from distill.training.settings import Settings  # noqa: E402
from embedstore.analysis.twins import find_twins  # noqa: E402

LIVE, PLAIN = "live teacher", "plain"


def main() -> None:
    """Build the store, train all ways on all folds, and print the table."""
    options = parsed()
    base = Settings(good=options.good, epochs=options.epochs, weight=options.weight, size=options.size)
    ways = {PLAIN: settings_of("none-fresh", base)}
    ways |= {f"own, {views} views": replace(settings_of("own", base), views=views) for views in options.views}
    if not options.no_live:
        ways[LIVE] = settings_of("live-teacher-fresh", base)
    store, a_view = build(options)
    figures: dict[str, dict[str, Any]] = {}
    for name, settings in ways.items():
        runs = trained(options, name, store, settings)
        figures[name] = told(runs, 0 if settings.views is None else (settings.views + 1) * a_view)
        result = {"options": vars(options), "seconds_a_view": a_view, "figures": figures}
        (options.out / "parity.json").write_text(json.dumps(result, indent=1, default=str), "utf-8")
    table(figures)


def parsed() -> argparse.Namespace:
    """Return the command line's options."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("images", "manifest", "out"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    parser.add_argument("--good", required=True)
    parser.add_argument("--teacher", default="efficientnet-lite0")
    parser.add_argument("--views", type=int, nargs="+", default=[0, 1, 8, 32])
    for name, default in (("epochs", 100), ("folds", 5), ("seeds", 1), ("jobs", 1), ("size", 96)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--weight", type=float, default=5.0, help="lambda")
    parser.add_argument(
        "--no-live", action="store_true", help="leave the live teacher out: it costs hours without a GPU"
    )
    return parser.parse_args()


def build(options: argparse.Namespace) -> tuple[Path, float]:
    """Build the store, and return where it is and the seconds that each view of all pictures took."""
    path, noted, views = options.out / "store", options.out / "seconds.txt", max(options.views)
    if not noted.exists():
        tell(f"embedding {views} views")
        options.out.mkdir(parents=True, exist_ok=True)
        started = time.monotonic()
        embedstore.build(
            path,
            options.images,
            manifest=options.manifest,
            teacher=options.teacher,
            views=views,
            keep_images=embedstore.Recipe().student_side,
        )
        seconds = time.monotonic() - started
        with embedstore.open(path) as store:
            found = find_twins(store)
            store.set_groups(found.groups, merge=found.merged)
        noted.write_text(str(seconds), "ascii")
    return path, float(noted.read_text("ascii")) / (views + 1)


def trained(options: argparse.Namespace, name: str, store: Path, settings: Settings) -> list[Path]:
    """Train a way on all folds with all seeds; those that are complete are not trained again."""
    runs = []
    with ThreadPoolExecutor(options.jobs) as pool:
        waiting = []
        for seed in range(options.seeds):
            for fold in range(options.folds):
                path = options.out / "runs" / f"{name.replace(', ', '-').replace(' ', '-')}-fold{fold}-seed{seed}"
                runs.append(path)
                changed = replace(settings, folds=options.folds, fold=fold, seed=seed)
                if not is_complete(path):
                    waiting.append(pool.submit(one, store, path, changed, options.images))
        for future in waiting:
            future.result()
    tell(f"{name}: {len(runs)} runs")
    return runs


def one(store: Path, path: Path, settings: Settings, images: Path) -> None:
    """Train one run in a process of its own."""
    train_apart(store, path, settings, images=images, progress=lambda done, total: None)


def told(runs: list[Path], seconds_embedding: float) -> dict[str, Any]:
    """Return a way's figures: AUROC of each run, the curve of the validation side over time, seconds an epoch."""
    areas = [json.loads((run / "report.json").read_text("utf-8"))["auroc"] for run in runs]
    curves = [read_metrics(run) for run in runs]
    epochs = range(len(curves[0]))
    each = [mean(curve[at]["seconds_steps"] for curve in curves) for at in epochs]
    return {
        "auroc": areas,
        "val_auroc": [mean(curve[at]["val_auroc"] for curve in curves) for at in epochs],
        "seconds": [seconds_embedding + sum(each[: at + 1]) for at in epochs],
        "seconds_epoch": mean(each),
        "seconds_embedding": seconds_embedding,
        "scored": sum(len(read_scores(run)[0]) for run in runs),
    }


def table(figures: dict[str, dict[str, Any]]) -> None:
    """Print AUROC, its difference to the live teacher's, and the time to what the live teacher reaches less .01."""
    goal = max(figures.get(LIVE, figures[PLAIN])["val_auroc"]) - 0.01
    print(f"{'way':20}{'AUROC':>8}{'- live':>8}{'+-':>7}{'s/epoch':>9}{'embedding s':>13}{f's to val {goal:.3f}':>16}")
    for name, found in figures.items():
        line = f"{name:20}{mean(found['auroc']):8.3f}"
        if LIVE in figures and name != LIVE:
            apart = [ours - theirs for ours, theirs in zip(found["auroc"], figures[LIVE]["auroc"], strict=True)]
            spread = stdev(apart) / len(apart) ** 0.5 if len(apart) > 1 else float("nan")
            line += f"{mean(apart):+8.3f}{spread:7.3f}"
        else:
            line += f"{'':15}"
        reached = [at for at, area in zip(found["seconds"], found["val_auroc"], strict=True) if area >= goal]
        line += f"{found['seconds_epoch']:9.2f}{found['seconds_embedding']:13.0f}"
        print(line + (f"{reached[0]:16.0f}" if reached else f"{'never':>16}"))


def tell(line: str) -> None:
    """Say where the run is, on stderr."""
    print(f"{time.strftime('%H:%M:%S')} {line}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()

"""What training costs: the limit, plain training as most people write it, this project's ways, live teachers, in one run.

    python tools/bench/training.py --out DIR [--pictures 1000] [--width 640] [--height 480] [--epochs 20] [--rounds 3]

The same student, batch and size of input for all; each in a process of its own, in rotated order, files read once before. Times
are those of a training's steps for a thousand pictures, without validation: the mean over its epochs, the median over the
rounds. Memory is the most that the process and its children were seen to hold of their own, without files they had mapped.
Live teachers and their embedding passes take few pictures, one round, since some need a second for each. Growth trains a smaller
student on stores of more and more small pictures. Pictures are generated, see `training_parts/pictures.py`.
"""

import argparse
import json
import shutil
import subprocess
import sys
import time
from pathlib import Path
from statistics import mean, median
from typing import Any

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent), str(HERE.parents[1])]

from training_parts.names import GROWTH, SLOW, WAYS  # noqa: E402
from training_parts.pictures import make_pictures  # noqa: E402
from training_parts.table import table  # noqa: E402

import distill  # noqa: E402
import embedstore  # noqa: E402

WATCH = 0.02


def main() -> None:
    """Measure and print."""
    if sys.argv[1:2] == ["--child"]:
        child(Path(sys.argv[2]))
        return
    options = parsed()
    work = options.out / "work"
    shutil.rmtree(work, ignore_errors=True)
    prepare(options, work)
    settings = distill.Settings(good="good", size=options.size, batch=options.batch)
    found: dict[str, list[dict[str, Any]]] = {}
    for number in range(options.rounds):
        for way in rotated([way for way in options.ways if way not in SLOW], number):
            workers = options.workers if way == "image folder" and number == 0 else [fastest(found, way)]
            for each in workers:
                measure(found, way, run(work, way, settings, options, workers=each))
    for way in options.ways:
        if way in SLOW:
            measure(found, way, run(work, way, settings, options))
    for count in options.growth:
        grow(options, work, count)
        for way in GROWTH:
            small = distill.Settings(good="good", size=32, batch=options.batch)
            measure(found, f"{way}, {count}", run(work, way, small, options, epochs=1))
    figures = {way: best(runs) for way, runs in found.items()}
    result = {"options": vars(options), "figures": figures, "runs": found}
    (options.out / "training.json").write_text(json.dumps(result, indent=1, default=str), "utf-8")
    print("\n".join(table(figures)))
    shutil.rmtree(work)


def parsed() -> argparse.Namespace:
    """Return the command line's options."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    for name, default in (
        ("pictures", 1000), ("few", 92), ("width", 640), ("height", 480), ("short-side", 128), ("size", 96), ("batch", 32),
        ("views", 2), ("epochs", 20), ("rounds", 3),
    ):  # fmt: skip
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=list(WAYS), metavar="WAY", help=", ".join(WAYS))
    parser.add_argument("--growth", type=int, nargs="*", default=[1_000, 10_000, 100_000], help="sizes of stores")
    parser.add_argument("--workers", type=int, nargs="+", default=[0, 1, 2], help="of torchvision's loader, to try")
    return parser.parse_args()


def prepare(options: argparse.Namespace, work: Path) -> None:
    """Make the pictures, and two stores of them: one that keeps its pictures, and one that does not."""
    tell(f"{options.pictures} pictures of {options.width} x {options.height}, and two stores of them")
    make_pictures(work / "images", options.pictures, (options.width, options.height))
    make_pictures(work / "few", options.few, (options.width, options.height))
    for name, side in (("files", None), ("kept", options.short_side)):
        fill(work / name, work / "images", options, side)


def grow(options: argparse.Namespace, work: Path, count: int) -> None:
    """Make a store of so many small pictures, in the place of the one before."""
    tell(f"{count} small pictures, and a store of them")
    for name in ("growing", "grown"):
        shutil.rmtree(work / name, ignore_errors=True)
    make_pictures(work / "growing", count, (64, 48))
    fill(work / "grown", work / "growing", options, 48)


def fill(store: Path, images: Path, options: argparse.Namespace, side: int | None) -> None:
    """Build a store by the teacher that costs nothing, and split it."""
    recipe = embedstore.Recipe(student_side=side or options.short_side)
    embedstore.build(store, images, teacher="pixels", views=options.views, recipe=recipe, keep_images=side)
    with embedstore.open(store) as opened:
        opened.split()


def rotated(ways: list[str], number: int) -> list[str]:
    """Return the ways in another order each round, so that a slow spell hits them all."""
    turn = number % max(1, len(ways))
    return ways[turn:] + ways[:turn]


def fastest(found: dict[str, list[dict[str, Any]]], way: str) -> int:
    """Return with how many workers a way was fastest so far."""
    runs = found.get(way) or [{"seconds": [0], "workers": 0}]
    return int(min(runs, key=lambda run: mean(run["seconds"]))["workers"])


def best(runs: list[dict[str, Any]]) -> dict[str, float]:
    """Return the median time over the rounds and the most memory, of runs with the best number of workers."""
    workers = min(runs, key=lambda run: mean(run["seconds"]))["workers"]
    same = [run for run in runs if run["workers"] == workers]
    seconds = [mean(run["seconds"]) for run in same]
    return {
        "seconds": median(seconds),
        "lowest": min(seconds),
        "highest": max(seconds),
        "memory": max(run["memory"] for run in same),
        "whole": median(run["whole"] for run in same),
        "workers": workers,
    }


def measure(found: dict[str, list[dict[str, Any]]], way: str, one: dict[str, Any]) -> None:
    """Take up a run, and tell it."""
    found.setdefault(way, []).append(one)
    tell(f"{way:28} {one['workers']} workers {mean(one['seconds']):8.3f} s/1,000 {one['memory'] / 1e6:6.0f} MB")


def run(  # noqa: PLR0917
    work: Path,
    way: str,
    settings: distill.Settings,
    options: argparse.Namespace,
    workers: int = 0,
    epochs: int | None = None,
) -> dict[str, Any]:
    """Run one way in a process of its own; return its seconds and the most memory of its process tree."""
    out = work / "run"
    shutil.rmtree(out, ignore_errors=True)
    job = work / "job.json"
    values = {
        "way": way,
        "work": str(work),
        "epochs": epochs or options.epochs,
        "short_side": options.short_side,
        "workers": workers,
        "settings": settings.to_dict(),
    }
    job.write_text(json.dumps(values), "utf-8")
    started = time.monotonic()
    process = subprocess.Popen([sys.executable, __file__, "--child", str(job)])
    most = 0
    while process.poll() is None:
        most = max(most, tree_bytes(process.pid))
        time.sleep(WATCH)
    if process.returncode:
        raise SystemExit(f"'{way}' ended with code {process.returncode}.")
    seconds = json.loads((work / "result.json").read_text("utf-8"))
    return {"seconds": seconds, "memory": most, "workers": workers, "whole": time.monotonic() - started}


def child(job_file: Path) -> None:
    """Train in one way."""
    from training_parts import ways

    values = json.loads(job_file.read_text("utf-8"))
    work = Path(values["work"])
    job = ways.Job(
        work,
        work / "run",
        distill.Settings(**values["settings"]),
        values["epochs"],
        values["short_side"],
        values["workers"],
    )
    (work / "result.json").write_text(json.dumps(ways.WAYS[values["way"]](job)), "utf-8")


def tree_bytes(pid: int) -> int:
    """Return how much memory of their own a process and its children hold now, in bytes; 0 where the system does not tell."""
    try:
        status = Path(f"/proc/{pid}/status").read_text("ascii")
        own = next((int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("RssAnon:")), 0)
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text("ascii").split()
    except OSError:
        return 0
    return own + sum(tree_bytes(int(one)) for one in children)


def tell(line: str) -> None:
    """Say where the run is, on stderr."""
    print(f"{time.strftime('%H:%M:%S')} {line}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()

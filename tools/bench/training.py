"""What training costs: the limit, plain training as most people write it, and this project's ways, in one run.

    python tools/bench/training.py --out DIR [--pictures 1000] [--width 640] [--height 480] [--epochs 3] [--rounds 3]

The same student, batch and size of input for all; each in a process of its own, in rotated order, files read once before. The
times are those of an epoch's steps, without validation. Memory is the most that the process and its children were seen to
hold of their own, without files they had mapped. Pictures are generated, see `training_parts/pictures.py`.
"""

import argparse
import json
import shutil
import subprocess
import sys
import time
from pathlib import Path
from statistics import median
from typing import Any

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent), str(HERE.parents[1])]

from training_parts.pictures import make_pictures  # noqa: E402

import distill  # noqa: E402
import embedstore  # noqa: E402

WATCH = 0.02
WAYS = (
    "bare steps", "image folder", "plain, kept", "plain, files", "own, kept", "own, files", "class-mean, kept",
    "rare-samples, kept",
)  # fmt: skip


def main() -> None:
    """Measure and print."""
    if sys.argv[1:2] == ["--child"]:
        child(Path(sys.argv[2]))
        return
    options = parsed()
    work = options.out / "work"
    shutil.rmtree(work, ignore_errors=True)
    tell(f"{options.pictures} pictures of {options.width} x {options.height}, and two stores of them")
    make_pictures(work / "images", options.pictures, (options.width, options.height))
    seconds_build = {}
    for name, side in (("files", None), ("kept", options.short_side)):
        recipe = embedstore.Recipe(student_side=options.short_side)
        started = time.monotonic()
        embedstore.build(
            work / name, work / "images", teacher="pixels", views=options.views, recipe=recipe, keep_images=side
        )
        seconds_build[name] = time.monotonic() - started
        with embedstore.open(work / name) as store:
            store.split()
    settings = distill.Settings(good="good", size=options.size, batch=options.batch)
    found: dict[str, list[dict[str, Any]]] = {}
    for number in range(options.rounds):
        for way in rotated(options.ways, number):
            workers = range(3) if way == "image folder" and number == 0 else (fastest(found, way),)
            for each in workers:
                found.setdefault(way, []).append(run(work, way, settings, options.epochs, each))
                tell(f"round {number + 1} {way:20} {each} workers {summed(found[way][-1:])}")
    figures = {way: best(runs) for way, runs in found.items()}
    result = {
        "options": vars(options) | {"out": None},
        "seconds_build": seconds_build,
        "figures": figures,
        "runs": found,
    }
    (options.out / "training.json").write_text(json.dumps(result, indent=1, default=str), "utf-8")
    limit, plain = (figures.get(way, {}).get("seconds") for way in ("bare steps", "image folder"))
    print(f"{'way':24}{'s/epoch':>10}{'x limit':>10}{'x plain':>10}{'MB':>8}")
    for way, figure in figures.items():
        ratios = "".join(f"{figure['seconds'] / other:10.2f}" if other else f"{'-':>10}" for other in (limit, plain))
        print(f"{way:24}{figure['seconds']:10.2f}{ratios}{figure['memory'] / 1e6:8.0f}")
    shutil.rmtree(work)


def parsed() -> argparse.Namespace:
    """Return the command line's options."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    for name, default in (
        ("pictures", 1000), ("width", 640), ("height", 480), ("short-side", 128), ("size", 96), ("batch", 32), ("views", 2),
        ("epochs", 3), ("rounds", 3),
    ):  # fmt: skip
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=list(WAYS))
    return parser.parse_args()


def rotated(ways: list[str], number: int) -> list[str]:
    """Return the ways in another order each round, so that a slow spell hits them all."""
    turn = number % len(ways)
    return ways[turn:] + ways[:turn]


def fastest(found: dict[str, list[dict[str, Any]]], way: str) -> int:
    """Return with how many workers a way was fastest so far."""
    runs = found.get(way) or [{"seconds": [0], "workers": 0}]
    return int(min(runs, key=lambda run: median(run["seconds"]))["workers"])


def best(runs: list[dict[str, Any]]) -> dict[str, float]:
    """Return the median time of an epoch and the most memory, of runs with the best number of workers."""
    workers = min(runs, key=lambda run: median(run["seconds"]))["workers"]
    same = [run for run in runs if run["workers"] == workers]
    seconds = [each for run in same for each in run["seconds"]]
    return {
        "seconds": median(seconds),
        "lowest": min(seconds),
        "highest": max(seconds),
        "memory": max(run["memory"] for run in same),
        "workers": workers,
    }


def summed(runs: list[dict[str, Any]]) -> str:
    """Return the last run in words."""
    return f"{median(runs[-1]['seconds']):.2f} s an epoch, {runs[-1]['memory'] / 1e6:.0f} MB"


def run(work: Path, way: str, settings: distill.Settings, epochs: int, workers: int) -> dict[str, Any]:
    """Run one way in a process of its own; return seconds of each epoch and the most memory of its process tree."""
    out = work / "run"
    shutil.rmtree(out, ignore_errors=True)
    job = work / "job.json"
    values = {"way": way, "work": str(work), "epochs": epochs, "workers": workers, "settings": settings.to_dict()}
    job.write_text(json.dumps(values), "utf-8")
    process = subprocess.Popen([sys.executable, __file__, "--child", str(job)])
    most = 0
    while process.poll() is None:
        most = max(most, tree_bytes(process.pid))
        time.sleep(WATCH)
    if process.returncode:
        raise SystemExit(f"'{way}' ended with code {process.returncode}.")
    return {"seconds": json.loads((work / "result.json").read_text("utf-8")), "memory": most, "workers": workers}


def child(job_file: Path) -> None:
    """Train in one way."""
    from training_parts import ways

    values = json.loads(job_file.read_text("utf-8"))
    work = Path(values["work"])
    settings = distill.Settings(**values["settings"])
    job = ways.Job(
        work / "images", work / "kept", work / "files", work / "run", settings, values["epochs"], values["workers"]
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

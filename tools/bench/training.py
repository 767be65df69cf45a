"""What training costs: the limit, plain training as most people write it, this project's ways, live teachers, in one run.

    python tools/bench/training.py --out DIR [--pictures 800] [--width 640] [--height 480] [--epochs 20] [--rounds 3]

The same student, batch and size of input for all; each in a process of its own, in rotated order, files read once before. Times
are those of a training's steps for a thousand pictures that train, without validation: the mean over its epochs, the median over
the rounds. Memory is the most that the process and its children were seen to hold of their own, a shared page counted once,
without files they had mapped. The store is that of EfficientNet-Lite0, 1,280 numbers a vector. Live teachers and their embedding
passes take fewer pictures, and ViT-L/14, which needs seconds for each, one round; CLIP's architectures have random weights, and
hold their text towers, too. Growth trains a smaller student on stores of more and more small pictures, filled by a teacher that
costs nothing. Pictures are generated, see `training_parts/pictures.py`.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from statistics import mean, median
from typing import Any

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent), str(HERE.parents[1])]

from training_parts.names import GROWTH, MOST, SLOW, TEACHERS, WAYS  # noqa: E402
from training_parts.pictures import make_pictures  # noqa: E402
from training_parts.table import table  # noqa: E402

import distill  # noqa: E402
import embedstore  # noqa: E402
from distill.training.settings import PRECISIONS  # noqa: E402

WATCH = 0.1  # seconds between two looks at the memory


def main() -> None:
    """Measure and print."""
    if sys.argv[1:2] == ["--child"]:
        child(Path(sys.argv[2]))
        return
    options = parsed()
    work = options.out / "work"
    shutil.rmtree(work, ignore_errors=True)
    prepare(options, work)
    settings = distill.Settings(good="good", size=options.size, batch=options.batch, precision=options.precision)
    book = Book(options)
    for number in range(options.rounds):
        for way in rotated([way for way in options.ways if way not in SLOW], number):
            folder = way.startswith("image folder")
            for workers in options.workers if folder and number == 0 else [book.fastest(way)]:
                book.enter(way, run(work, way, settings, options, workers=workers))
    for number in range(2):
        for way in options.ways:
            if way in SLOW and not (number and way.endswith("ViT-L/14")):
                book.enter(way, run(work, way, settings, options))
    for count in options.growth:
        grow(options, work, count)
        for way in GROWTH:
            if count <= MOST.get(way, count):
                small = distill.Settings(good="good", size=32, batch=options.batch)
                book.enter(f"{way}, {count}", run(work, way, small, options, epochs=1))
    print("\n".join(table(book.figures())))
    shutil.rmtree(work)


def parsed() -> argparse.Namespace:
    """Return the command line's options."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    for name, default in (
        ("pictures", 800), ("few", 400), ("width", 640), ("height", 480), ("short-side", 128), ("size", 96), ("batch", 32),
        ("views", 2), ("epochs", 20), ("rounds", 3),
    ):  # fmt: skip
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=list(WAYS), metavar="WAY", help=", ".join(WAYS))
    parser.add_argument(
        "--growth", type=int, nargs="*", help="sizes of stores; 1000 10000 100000 where no ways are named"
    )
    cores = os.cpu_count() or 1
    tried = [0, *(2**power for power in range(cores.bit_length()) if 2**power <= cores)]
    parser.add_argument("--workers", type=int, nargs="+", default=tried, help="of torchvision's loader, to try")
    parser.add_argument(
        "--precision", choices=PRECISIONS, default="auto", help="of this project's ways; float32 for all others"
    )
    options = parser.parse_args()
    if options.growth is None:
        options.growth = [1_000, 10_000, 100_000] if options.ways == list(WAYS) else []
    needed = [f"pass, {way.removeprefix('live, ')}" for way in options.ways if way.startswith("live, ")]
    options.ways = [*(way for way in needed if way not in options.ways), *options.ways]
    return options


def prepare(options: argparse.Namespace, work: Path) -> None:
    """Make the pictures, and two stores of them: one that keeps its pictures, and one that does not."""
    tell(f"{options.pictures} pictures of {options.width} x {options.height}, and two stores of them")
    size = (options.width, options.height)
    for folder, count in (("images", options.pictures), ("few", options.few), ("fewest", options.few // 5)):
        make_pictures(work / folder, count, size)
    fill(work / "files", work / "images", options, TEACHERS["lite0"], None)
    shutil.copytree(work / "files", work / "kept")
    embedstore.build(work / "kept", work / "images", keep_images=options.short_side)


def grow(options: argparse.Namespace, work: Path, count: int) -> None:
    """Make a store of so many small pictures, in the place of the one before."""
    tell(f"{count} small pictures, and a store of them")
    for name in ("growing", "grown"):
        shutil.rmtree(work / name, ignore_errors=True)
    make_pictures(work / "growing", count, (64, 48))
    fill(work / "grown", work / "growing", options, "pixels", 48)


def fill(store: Path, images: Path, options: argparse.Namespace, teacher: str, side: int | None) -> None:
    """Build a store and split it."""
    recipe = embedstore.Recipe(student_side=side or options.short_side)
    embedstore.build(store, images, teacher=teacher, views=options.views, recipe=recipe, keep_images=side)
    with embedstore.open(store) as opened:
        opened.split()


def rotated(ways: list[str], number: int) -> list[str]:
    """Return the ways in another order each round, so that a slow spell hits them all."""
    turn = number % max(1, len(ways))
    return ways[turn:] + ways[:turn]


class Book:
    """All runs so far, on the disk, too."""

    def __init__(self, options: argparse.Namespace):
        self._options = options
        self._runs: dict[str, list[dict[str, Any]]] = {}

    def enter(self, way: str, one: dict[str, Any]) -> None:
        """Take up a run, tell it, and write all down."""
        self._runs.setdefault(way, []).append(one)
        tell(f"{way:28} {one['workers']} workers {mean(one['seconds']):8.3f} s/1,000 {one['memory'] / 1e6:6.0f} MB")
        written = {"options": vars(self._options), "figures": self.figures(), "runs": self._runs}
        (self._options.out / "training.json").write_text(json.dumps(written, indent=1, default=str), "utf-8")

    def fastest(self, way: str) -> int:
        """Return with how many workers a way was fastest so far."""
        runs = self._runs.get(way) or [{"seconds": [0], "workers": 0}]
        return int(min(runs, key=lambda run: mean(run["seconds"]))["workers"])

    def figures(self) -> dict[str, dict[str, float]]:
        """Return for each way the median time over the rounds and the most memory, with the best number of workers."""
        return {
            way: _figures([run for run in runs if run["workers"] == self.fastest(way)])
            for way, runs in self._runs.items()
        }


def _figures(runs: list[dict[str, Any]]) -> dict[str, float]:
    seconds = [mean(run["seconds"]) for run in runs]
    return {
        "seconds": median(seconds),
        "lowest": min(seconds),
        "highest": max(seconds),
        "memory": max(run["memory"] for run in runs),
        "whole": median(run["whole"] for run in runs),
        "workers": runs[0]["workers"],
        "rounds": len(runs),
    }


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
    """Return how much memory of their own a process and its children hold now, in bytes; 0 where the system does not tell.

    A page that several of them share counts for each by its share.
    """
    own = 0
    for file, names in (("smaps_rollup", ("Pss_Anon:", "Pss_Shmem:")), ("status", ("RssAnon:", "RssShmem:"))):
        with suppress(OSError):
            lines = Path(f"/proc/{pid}/{file}").read_text("ascii").splitlines()
            own = sum(int(line.split()[1]) * 1024 for line in lines if line.startswith(names))
        if own:
            break
    children: list[str] = []
    with suppress(OSError):
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text("ascii").split()
    return own + sum(tree_bytes(int(one)) for one in children)


def tell(line: str) -> None:
    """Say where the run is, on stderr."""
    print(f"{time.strftime('%H:%M:%S')} {line}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()

"""The store against LanceDB, Milvus Lite, bare FAISS and a plain `.npy` memmap, in one run, on the same vectors.

    python tools/bench/storage.py --out DIR [--rows 100000] [--systems embedstore,lancedb,...] [--rounds 3] [--threads N]
    python tools/bench/storage.py --out DIR --quick
    python tools/bench/storage.py --out DIR --again RUN.json

Writes `storage-ROWS.json` (every figure), `.txt` (the tables) and `.svg` (the picture). `--quick` takes 10,000 rows and one
round. 1,000,000 rows need about 20 GB of disk and hours, most of them for LanceDB's graph index and Milvus Lite.
Peers: `pip install lancedb pylance pymilvus milvus-lite`; what is not installed is told, not run. How vectors are drawn
stands in `storage_parts/vectors.py`, how each system is used in `storage_parts/systems/`.
"""

import argparse
import json
import os
import platform
import shutil
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).parent
sys.path += [str(HERE), str(HERE.parent), str(HERE.parents[1])]  # a clone that is not installed will do

from storage_parts import picture, table  # noqa: E402
from storage_parts.children import Workplace, missing, run_step  # noqa: E402
from storage_parts.results import add_up, aims, ratios  # noqa: E402
from storage_parts.steps import FILTERS, STEPS, TOP  # noqa: E402
from storage_parts.systems import SYSTEMS  # noqa: E402
from storage_parts.systems.system import TUNED_TO  # noqa: E402
from storage_parts.vectors import TUNING, Generator, intrinsic_dimension, make_rows, true_scores  # noqa: E402

import embedstore  # noqa: E402

QUERIES = 500
ONCE = {"index"}
SLOW = 120  # seconds; a step that took longer is not repeated
VERSIONS = ("lmdb", "numpy", "faiss-cpu", "lancedb", "pylance", "pyarrow", "pymilvus", "milvus-lite")

Outcomes = dict[str, dict[str, list[dict[str, Any]]]]


def main(arguments: Sequence[str] | None = None) -> None:
    """Run and print, or print a finished run again."""
    options = parsed(arguments)
    options.out.mkdir(parents=True, exist_ok=True)
    run = json.loads(options.again.read_text("utf-8")) if options.again else benchmark(options)
    base = options.out / f"storage-{run['rows']}"
    base.with_suffix(".json").write_text(json.dumps(run, indent=1) + "\n", "utf-8")
    parts = [table.plain(*table.measured(run)), table.plain(*table.aimed(run)), "\n".join(table.remarks(run)) + "\n"]
    base.with_suffix(".txt").write_text("\n".join(parts), "utf-8")
    base.with_suffix(".svg").write_text(picture.draw(run) + "\n", "utf-8")
    if sys.stdout.isatty():
        from embedstore_cli import console

        columns, rows = table.measured(run)
        console.table(f"{run['rows']:,} rows", columns, rows, right=tuple(range(2, len(columns))))
        console.table("aims", *table.aimed(run))
        console.say("", *table.remarks(run))
    else:
        print("\n".join(parts))


def parsed(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Return the command line's options."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder for the results, and for the stores meanwhile")
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--dim", type=int, default=512)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument(
        "--threads", type=int, default=len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 1
    )
    parser.add_argument("--systems", default=",".join(SYSTEMS), help=f"of {', '.join(SYSTEMS)}")
    parser.add_argument("--steps", default=",".join(STEPS), help=f"of {', '.join(STEPS)}; most need write, some index")
    parser.add_argument("--limit", type=float, default=7200, help="seconds a step may take")
    parser.add_argument("--budget", type=int, default=1024, help="MiB of memory that a step of this store may add")
    parser.add_argument("--quick", action="store_true", help="10,000 rows (or --rows, where that is less), one round")
    parser.add_argument("--again", type=Path, help="a JSON file of an earlier run: only write its tables and picture")
    options = parser.parse_args(arguments)
    if options.quick:
        options.rows, options.rounds = min(options.rows, 10_000), 1
    options.keys = options.systems.split(",")
    options.chosen = options.steps.split(",")
    for given, known in ((options.keys, SYSTEMS), (options.chosen, STEPS)):
        if unknown := set(given) - set(known):
            parser.error(f"unknown: {', '.join(sorted(unknown))}; there are {', '.join(known)}")
    return options


def benchmark(options: argparse.Namespace) -> dict[str, Any]:
    """Run all steps and return all results."""
    work = options.out / "work"
    shutil.rmtree(work, ignore_errors=True)
    generator = Generator(dim=options.dim)
    tell(f"{options.rows:,} vectors and the right answers")
    rows = make_rows(work / "rows", options.rows, generator, QUERIES)
    np.savez(rows.folder / "truth.npz", **true_scores(rows, {"all": {}, **FILTERS}, TOP))
    not_run = {SYSTEMS[key].name: f"not installed: {', '.join(missing(key))}" for key in options.keys if missing(key)}
    keys = [key for key in options.keys if not missing(key)]
    place = Workplace(rows, options.threads, options.limit, options.budget << 20)
    outcomes = all_steps(place, keys, options.chosen, options.rounds, work)
    systems = {key: {"name": SYSTEMS[key].name, "notes": SYSTEMS[key].notes, **add_up(outcomes[key])} for key in keys}
    run = {
        "rows": options.rows,
        "generator": asdict(generator),
        "intrinsic_dimension": intrinsic_dimension(rows),
        "queries": QUERIES,
        "tuning_queries": TUNING,
        "tuned_to": TUNED_TO,
        "rounds": options.rounds,
        "threads": options.threads,
        "budget": options.budget << 20,
        "command": ["python", "tools/bench/storage.py", *sys.argv[1:]],
        "machine": machine(),
        "versions": dict(installed()),
        "systems": systems,
        "not_run": not_run,
        "ratios": ratios(systems),
        "aims": [asdict(aim) for aim in aims(systems, options.rows, options.dim, options.budget << 20)],
    }
    shutil.rmtree(work)
    return run


def all_steps(place: Workplace, keys: list[str], steps: list[str], rounds: int, work: Path) -> Outcomes:
    """Run the steps of every system, round by round, the order rotated; return the outcomes by system and step."""
    outcomes: Outcomes = {key: {} for key in keys}
    settings: dict[str, dict[str, Any]] = {key: {} for key in keys}
    for step in [one for one in STEPS if one in steps]:
        for number in range(1 if step in ONCE else rounds):
            turn = number % len(keys)
            for key in keys[turn:] + keys[:turn]:
                known = outcomes[key].setdefault(step, [])
                if not worth_running(outcomes[key], key, step):
                    continue
                folder = work / key
                if step == "write":
                    shutil.rmtree(folder, ignore_errors=True)
                if step == "delete":
                    folder = work / f"{key}-copy"
                    shutil.copytree(work / key, folder)
                os.sync()
                started = time.monotonic()
                found = run_step(place, key, step, folder, settings[key])
                found["wall"] = time.monotonic() - started
                known.append(found)
                tell(f"{step:12} round {number + 1} {key:12} {found['wall']:8.1f} s  {found.get('error', '')}")
                settings[key] = found.get("facts", {}).get("settings", settings[key])
                if step == "delete":
                    shutil.rmtree(folder)
    return outcomes


def worth_running(outcomes: dict[str, list[dict[str, Any]]], key: str, step: str) -> bool:
    """Return whether a step can be run (again): it is the system's, what it needs went well, and it was not too slow."""
    offered = SYSTEMS[key].steps
    if offered is not None and step not in offered:
        return False
    needs = {"write": []}.get(step, ["write"]) + (["index"] if step == "approximate" else [])
    for need in needs:
        last = outcomes.get(need, [{"error": ""}])[-1:]
        if not last or "error" in last[0] or not last[0]["seconds"]:
            return False
    if not outcomes[step]:
        return True
    last = outcomes[step][-1]
    return "error" not in last and last["wall"] <= SLOW and bool(last["seconds"])


def machine() -> dict[str, Any]:
    """Return what the run ran on."""
    processor, memory = platform.processor(), 0
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        names = [
            line.split(":", 1)[1].strip() for line in cpuinfo.read_text("utf-8").splitlines() if "model name" in line
        ]
        processor = f"{names[0]} ({len(names)} cores)" if names else processor
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {
        "processor": processor,
        "memory": memory,
        "system": f"{platform.system()} {platform.release().split('-')[0]}",
        "python": platform.python_version(),
    }


def installed() -> Iterator[tuple[str, str]]:
    """Yield the versions of what takes part."""
    yield "embedstore", embedstore.__version__
    for name in VERSIONS:
        try:
            yield name, version(name)
        except PackageNotFoundError:
            continue


def tell(line: str) -> None:
    """Say where the run is, on stderr."""
    print(f"{time.strftime('%H:%M:%S')} {line}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()

"""How time and memory grow: a store of 10 thousand to 10 million synthetic vectors, each step in a process of its own.

    python tools/bench/growth.py --work DIR [--sizes 10000,100000,1000000] [--out docs/growth.json] [--threads N]
    python tools/bench/growth.py --again [--out docs/growth.json]

What is measured: import, open, each summary, search by scan and by index, an epoch of targets, and rare scores, which are
compared with the exact ones up to a million vectors. A step of less than half a minute is run three times, and the quickest
counts. Sizes that the record has already, from the same vectors, are kept, so a
run that was stopped goes on, and larger sizes can be added on another day. Each size is deleted before the next one is made;
10 million vectors take about 8 GB of disk. `--again` prints a record without measuring.

The exponent of a step is the slope of a line fitted by least squares to the logarithms of seconds and samples, over the upper
half of the sizes: 1 is linear, n log n about 1.07. What still fits the processor's caches at the smallest of them may cost
twice as much once it does not; see `growth_parts/fit.py`. Memory is the most that the process had of its own, without the files
that it had mapped, above what a process has that has only imported the package; it is held against a budget of
BUDGET + n x EACH bytes.
"""

import argparse
import json
import os
import platform
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
sys.path[:0] = [str(HERE), str(HERE.parent), str(ROOT)]

from growth_parts.fit import BUDGET, EACH, exponents, within_budget  # noqa: E402
from growth_parts.steps import CHECKS, INDEXED, STEPS  # noqa: E402
from growth_parts.vectors import Growing  # noqa: E402
from storage_parts.children import environment, watch  # noqa: E402

from embedstore.analysis.index_building import EXACT_UP_TO  # noqa: E402
from embedstore.errors import EmbedstoreError, SettingsError  # noqa: E402
from embedstore.files import write_whole  # noqa: E402
from embedstore_cli import console  # noqa: E402

SIZES = "10000,100000,1000000"
CHECKED_UP_TO = 1_000_000  # the exact scores gather all vectors of a label
SEED = 0
ROUNDS, SHORT = 3, 30.0  # of a step that takes fewer seconds; others are run once


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure what the record lacks, and print it."""
    options = parsed(arguments)
    try:
        record = begun(options)
        for size in [] if options.again else options.sizes:
            measure(record, size, options)
        show(record)
    except EmbedstoreError as error:
        sys.exit(str(error))


def parsed(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Return the command line's options."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, help="a folder for the stores meanwhile")
    parser.add_argument("--sizes", default=SIZES, help="numbers of vectors, with commas")
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "growth.json", help="the record")
    parser.add_argument("--dim", type=int, default=Growing.dim)
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--limit", type=float, default=7200, help="seconds a step may take")
    parser.add_argument("--steps", default=",,".join(STEPS), help=f"with double commas, of {'; '.join(STEPS)}")
    parser.add_argument("--again", action="store_true", help="only print the record")
    options = parser.parse_args(arguments)
    options.sizes = sorted({int(size) for size in options.sizes.split(",")})
    options.chosen = options.steps.split(",,")
    if unknown := set(options.chosen) - set(STEPS):
        parser.error(f"unknown: {', '.join(sorted(unknown))}; there are {'; '.join(STEPS)}")
    if not options.again and options.work is None:
        parser.error("--work DIR is needed, where the stores can be made")
    return options


def begun(options: argparse.Namespace) -> dict[str, Any]:
    """Return the record that is there, or a new one.

    Raises:
        SettingsError: the record is of other vectors or other conditions.
    """
    about = {
        "generator": json.loads(json.dumps(asdict(Growing(dim=options.dim, seed=SEED)))),
        "threads": options.threads,
        "machine": machine(),
        "budget": {"bytes": BUDGET, "bytes a sample": EACH},
    }
    if not options.out.exists():
        return {**about, "command": "python tools/bench/growth.py --work DIR", "sizes": {}, "exponents": {}}
    record: dict[str, Any] = json.loads(options.out.read_text("utf-8"))
    record["budget"] = about["budget"]
    for name in ("generator", "threads", "machine"):
        if not options.again and record[name] != about[name]:
            raise SettingsError(
                f"The record '{options.out}' has another {name} ({record[name]}) than this run ({about[name]}); give another "
                "--out, or delete it."
            )
    return record


def measure(record: dict[str, Any], size: int, options: argparse.Namespace) -> None:
    """Run the steps that the record lacks at one size, and write it after each."""
    known = record["sizes"].setdefault(str(size), {})
    left_out = {*(() if size <= CHECKED_UP_TO else CHECKS), *(INDEXED if size <= EXACT_UP_TO else ())}
    lacking = [step for step in STEPS if step in options.chosen and step not in known and step not in left_out]
    if not lacking:
        return
    folder = options.work / str(size)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    if hasattr(os, "getloadavg"):
        loads = record.setdefault("load", {})
        loads[str(size)] = max(loads.get(str(size), 0.0), round(os.getloadavg()[0], 1))  # of all runs at this size
    tell(f"{size:,} vectors")
    Growing(dim=options.dim, seed=SEED).write(folder, size)
    try:
        for step in STEPS:
            if step not in lacking and not (step == "build" or step in needed(lacking)):
                continue
            found = best_of_rounds(step, folder, options)
            if step in lacking:
                known[step] = found
            tell(f"{size:>12,} {step:28} {found['seconds']:9.1f} s  {(found['private'] or 0) / 1e6:9.0f} MB")
            record["exponents"] = exponents(record["sizes"])
            write_whole(options.out, (json.dumps(record, indent=1) + "\n").encode())
    finally:
        shutil.rmtree(folder)


def best_of_rounds(step: str, folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    """Run a step, a short one several times; return the quickest run, with the most memory of all."""
    rounds = [run(step, folder, options)]
    while len(rounds) < ROUNDS and rounds[0]["seconds"] < SHORT:
        rounds.append(run(step, folder, options))
    most = [one["private"] for one in rounds if one["private"] is not None]
    return {**min(rounds, key=lambda one: one["seconds"]), "private": max(most, default=None), "rounds": len(rounds)}


def needed(steps: Sequence[str]) -> set[str]:
    """Return the summaries that epochs of targets need."""
    return {f"summary {step.removeprefix('epoch of ')}" for step in steps if step.startswith("epoch of ")}


def run(step: str, folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    """Run one step in a fresh process; return its seconds, its private memory and what it tells.

    Raises:
        SettingsError: it failed, or took too long.
    """
    result, log = folder / "result.json", folder / "log.txt"
    result.unlink(missing_ok=True)
    with log.open("wb") as output:
        child = subprocess.Popen(
            [sys.executable, "-m", "growth_parts.child", step, str(folder), str(result)],
            stdout=output,
            stderr=subprocess.STDOUT,
            env=environment(options.threads),
        )
        seen = watch(child, options.threads, options.limit)
    stopped = child.returncode is None
    child.wait()
    if stopped or not result.exists():
        lines = log.read_text("utf-8", "replace").splitlines() or [f"code {child.returncode}"]
        why = f"took more than {options.limit:.0f} s" if stopped else f"failed: {lines[-1][:300]}"
        raise SettingsError(f"The step '{step}' {why}.")
    found: dict[str, Any] = json.loads(result.read_text("utf-8"))
    before = [private for at, private in seen if at < found["began"]]
    inside = [private for at, private in seen if at >= found["began"]]
    private = max(inside) - max(before, default=0) if inside else None
    return {"seconds": round(found["seconds"], 4), "private": private, "facts": found["facts"]}


def machine() -> dict[str, Any]:
    """Return what the run ran on."""
    return {"cores": os.cpu_count(), "system": platform.system(), "python": platform.python_version()}


def show(record: dict[str, Any]) -> None:
    """Print a table: each size's seconds and memory per million samples, and the exponents."""
    sizes = sorted(map(int, record["sizes"]))
    columns = ["step", *(f"{size:,}" for size in sizes), "exponent", "memory"]
    rows = []
    for step in [one for one in STEPS if one not in CHECKS]:
        cells = [record["sizes"][str(size)].get(step) for size in sizes]
        seconds = ["" if cell is None else f"{cell['seconds']:.2f} s" for cell in cells]
        last = next(
            ((cell, size) for cell, size in zip(reversed(cells), reversed(sizes), strict=True) if cell is not None),
            None,
        )
        memory = (
            "" if last is None or last[0]["private"] is None else f"{last[0]['private'] / last[1]:.0f} bytes a sample"
        )
        exponent = record["exponents"].get(step)
        rows.append([step, *seconds, "" if exponent is None else f"{exponent:.2f}", memory])
    console.table("time of each step", columns, rows, right=tuple(range(1, len(columns))))
    for size in sizes:
        for step, cell in record["sizes"][str(size)].items():
            if step not in CHECKS and cell["private"] is not None and not within_budget(size, cell["private"]):
                console.say(f"{size:,}: '{step}' took {cell['private'] / 1e9:.1f} GB, more than the budget.")
        for step in CHECKS:
            if step in record["sizes"][str(size)]:
                facts = record["sizes"][str(size)][step]["facts"]
                told = ", ".join(
                    f"{name} {facts[name]:.1%}"
                    for name in ("same prototypes", "gathered", "two gathered runs", "planted found")
                )
                console.say(f"{size:,}: of the exact top 1 % (of {facts['top']}) were found: {told}.")


def tell(line: str) -> None:
    """Say where the run is, on stderr."""
    print(f"{time.strftime('%H:%M:%S')} {line}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()

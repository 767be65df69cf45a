"""Running a step in a fresh process: the same cores and threads for every system, warm files, and its memory watched."""

import importlib.util
import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from storage_parts.systems import SYSTEMS
from storage_parts.vectors import Rows

HERE = Path(__file__).parents[1]
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "RAYON_NUM_THREADS", "LANCE_CPU_THREADS")
WATCH = 0.02  # seconds between two looks at a child's memory


@dataclass(frozen=True)
class Workplace:
    """Where and how steps run.

    Attributes:
        rows: what every system stores.
        threads: for all; a child sees as many cores.
        limit: seconds a step may take.
        budget: bytes that a system that can be told so should keep within.
    """

    rows: Rows
    threads: int
    limit: float
    budget: int


def missing(key: str) -> list[str]:
    """Return the packages that a system needs and that are not installed."""
    return [name for name in SYSTEMS[key].packages if importlib.util.find_spec(name) is None]


def run_step(place: Workplace, key: str, step: str, folder: Path, settings: dict[str, Any]) -> dict[str, Any]:
    """Run one step of one system and return its `Outcome` as plain values, with `error` where it failed.

    `private` is added to the facts: the most memory of its own, without files it had mapped, that the process was seen to
    hold during the timed part.
    """
    warm(folder)
    warm(place.rows.folder)
    job, result = place.rows.folder / "job.json", place.rows.folder / "result.json"
    result.unlink(missing_ok=True)
    values = {"rows": str(place.rows.folder), "count": place.rows.count, "seed": place.rows.seed, "system": key}
    values |= {
        "step": step,
        "folder": str(folder),
        "settings": settings,
        "threads": place.threads,
        "budget": place.budget,
    }
    job.write_text(json.dumps(values), "utf-8")
    log = place.rows.folder / f"{key}-{step}.log"
    with log.open("wb") as output:
        child = subprocess.Popen(
            [sys.executable, "-m", "storage_parts.child", str(job), str(result)],
            stdout=output,
            stderr=subprocess.STDOUT,
            env=environment(place.threads),
        )
        seen = watch(child, place.threads, place.limit)
    if child.returncode is None or not result.exists():
        lines = [line for line in log.read_text("utf-8", "replace").splitlines() if line.strip()]
        stopped = f"stopped after {place.limit:.0f} s" if child.returncode is None else ""
        child.wait()
        return {"error": stopped or (lines[-1][:300] if lines else f"ended with code {child.returncode}")}
    found: dict[str, Any] = json.loads(result.read_text("utf-8"))
    inside = [private for at, private in seen if found["began"] <= at <= found["ended"] + WATCH]
    found["facts"]["private"] = max(inside, default=None)
    return found


def environment(threads: int) -> dict[str, str]:
    """Return a child's environment: the packages, the threads, and quiet logs."""
    paths = [str(HERE), str(HERE.parent), str(HERE.parents[1]), os.environ.get("PYTHONPATH", "")]
    return {
        **os.environ,
        **dict.fromkeys(THREADS, str(threads)),
        "PYTHONPATH": os.pathsep.join(filter(None, paths)),
        "RUST_LOG": "error",
        "LANCE_LOG": "error",
    }


def watch(child: subprocess.Popen[bytes], threads: int, limit: float) -> list[tuple[float, int]]:
    """Wait for a child, looking at its private memory meanwhile; one that takes too long is killed.

    Returns:
        When it was looked at, and the bytes of its own then, without files that it had mapped; nothing where the system does
        not tell. A child that was killed has no return code yet.
    """
    cores = sorted(os.sched_getaffinity(0))[:threads] if hasattr(os, "sched_setaffinity") else []
    if cores:
        os.sched_setaffinity(child.pid, cores)
    end = time.monotonic() + limit
    seen: list[tuple[float, int]] = []
    while child.poll() is None:
        if time.monotonic() > end:
            child.kill()
            return seen
        try:
            status = Path(f"/proc/{child.pid}/status").read_text("ascii")
            line = next((line for line in status.splitlines() if line.startswith("RssAnon:")), None)
        except OSError:
            line = None
        if line:
            seen.append((time.time(), int(line.split()[1]) * 1024))
        time.sleep(WATCH)
    return seen


def warm(folder: Path) -> None:
    """Read all files once, so that each step finds them in memory."""
    for path in folder.rglob("*"):
        if path.is_file():
            with path.open("rb", buffering=0) as file:
                while file.read(1 << 22):
                    pass

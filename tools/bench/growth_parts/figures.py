"""The figures of docs/scale.md: each computed from a record of docs/, or a fact that is cited with its source."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from embedstore.store.layout import MOST_BYTES
from embedstore.summaries.over_shards.clusters import PASSES, STARTS
from embedstore.summaries.sizes import MOST_KEPT
from embedstore.summaries.strategy import MOST_GATHERED
from embedstore.summaries.summary import least_bytes
from growth_parts.fit import BUDGET, EACH, exponent, highest, larger
from growth_parts.steps import BEYOND, CHECKS, STEPS

DIM = 512  # numbers in a vector of CLIP ViT-B/32
BILLION = 1_000_000_000
GPUS = 8  # of the cluster on paper
READ = 1e9  # bytes a second that all of its nodes together read
# README of clip-retrieval, https://github.com/rom1504/clip-retrieval: "1500 sample/s on a 3080", ViT-B/32 with its text tower.
CITED_RATE = 1_500
ID_BYTES = 20  # of an id such as line3/2026/0123456

RECORDS = ("growth", "storage-1m", "training")
STARTED = STARTS + PASSES + 1  # passes of one k-means, at most: which start is best, what moves, what it ends in


def records(docs: Path) -> dict[str, Any]:
    """Return the records that figures are computed from."""
    return {name: json.loads((docs / f"{name}.json").read_text("utf-8")) for name in RECORDS}


def figures(found: Mapping[str, Any]) -> dict[str, str]:
    """Return every figure of the page by its name, as it is printed."""
    growth, storage, training = (found[name] for name in RECORDS)
    sizes = sorted(map(int, growth["sizes"]))
    last = growth["sizes"][str(sizes[-1])]
    checked = [size for size in sizes if CHECKS[0] in growth["sizes"][str(size)]]
    facts = growth["sizes"][str(checked[-1])][CHECKS[0]]["facts"]
    disk, rows = storage["systems"]["embedstore"]["disk"], storage["rows"]
    faiss = storage["systems"]["faiss"]["disk"]
    each = {name: size / rows for name, size in disk.items()}
    views = training["options"]["views"] + 1
    on_cores = 1000 * views / training["figures"]["pass, ViT-B/32"]["seconds"]
    private = {step: cell["private"] / sizes[-1] for step, cell in last.items() if step not in CHECKS}
    indexing = BILLION / storage["systems"]["embedstore"]["measures"]["index"]["value"] / 3600
    passes = 2 * STARTED + 4  # of rare-samples: means, near, k-means, scores, k-means again, nearest prototypes
    return {
        "threads": str(growth["threads"]),
        "busy": ", ".join(str(growth.get("load", {}).get(str(size), "?")) for size in sizes),
        "machine": f"{growth['machine']['cores']} cores, {growth['machine']['system']}, Python {growth['machine']['python']}",
        "dim": str(growth["generator"]["dim"]),
        "from": f"{larger(sizes)[0]:,}",
        "highest": f"{max(value for step, value in growth['exponents'].items() if step not in CHECKS + BEYOND):.2f}",
        "index exponent": f"{growth['exponents'][BEYOND[0]]:.2f}" if BEYOND[0] in growth["exponents"] else "?",
        "allowed": f"{highest(sizes):.2f}",
        "steepest": f"{_steepest(growth, sizes[-2:]):.2f}",
        "last but one": f"{sizes[-2:][0]:,}",
        "budget": f"{BUDGET / 2**30:.0f} GiB",
        "each": f"{EACH:,}",
        "most private": f"{max(cell['private'] for step, cell in last.items() if step not in CHECKS) / 1e9:.1f} GB",
        "gathered": f"{MOST_GATHERED // 2**20} MiB",
        "gathered samples": f"{MOST_GATHERED // (4 * DIM):,}",
        "kept": f"{MOST_KEPT:,}",
        "kept from": f"{10 * MOST_KEPT:,}",
        "rare size": f"{sizes[-1]:,}",
        "rare seconds": f"{last['rare scores']['seconds']:.0f}",
        "rare million": f"{1e6 * last['rare scores']['seconds'] / sizes[-1]:.0f}",
        "rare checked": f"{checked[-1]:,}",
        "rare same": f"{facts['same prototypes']:.1%}",
        "rare gathered": f"{facts['gathered']:.1%}",
        "rare two": f"{facts['two gathered runs']:.1%}",
        "rare planted": f"{facts['planted found']:.1%}",
        "vector bytes": f"{each['vectors']:,.0f}",
        "metadata bytes": f"{each['metadata']:,.0f}",
        "index bytes": f"{each['index']:,.0f}",
        "vectors billion": f"{each['vectors'] * BILLION / 1e12:.2f} TB",
        "metadata billion": f"{each['metadata'] * BILLION / 1e9:.0f} GB",
        "index billion": f"{each['index'] * BILLION / 1e9:.0f} GB",
        "faiss billion": f"{faiss['index'] / rows * BILLION / 1e12:.2f} TB",
        "flat billion": f"{4 * DIM * BILLION / 1e12:.2f} TB",
        "write hours": f"{BILLION / storage['systems']['embedstore']['measures']['write']['value'] / 3600:.1f}",
        "write rate": f"{storage['systems']['embedstore']['measures']['write']['value']:,.0f}",
        "scan minutes": f"{BILLION / storage['systems']['embedstore']['measures']['scan first']['value'] / 60:.0f}",
        "index hours": f"{indexing:,.0f}",
        "index most hours": f"{indexing * (BILLION / rows) ** 0.5:,.0f}",
        "cited rate": f"{CITED_RATE:,}",
        "gpus": str(GPUS),
        "gpu hours": f"{BILLION / CITED_RATE / 3600:.0f}",
        "embed hours": f"{BILLION / CITED_RATE / 3600 / GPUS:.0f}",
        "core rate": f"{on_cores:.0f}",
        "core years": f"{BILLION / on_cores / 3600 / 24 / 365:.1f}",
        **{f"mean {name}": figure for name, figure in _on_paper(growth, "class-mean over shards").items()},
        **{f"kept {name}": figure for name, figure in _on_paper(growth, "rare-samples over shards").items()},
        "read": f"{READ / 1e9:.0f} GB/s",
        "k-means passes": str(STARTED),
        "kept passes": str(passes),
        "pass hours": f"{each['vectors'] * BILLION / READ / 3600:.1f}",
        "kept read hours": f"{passes * each['vectors'] * BILLION / READ / 3600:.0f}",
        "driver bytes": f"{private['summary class-mean']:,.0f}",
        "driver hundred": f"{private['summary class-mean'] * 1e8 / 1e9:.0f} GB",
        "driver billion": f"{private['summary class-mean'] * BILLION / 1e9:,.0f} GB",
        "summary most": f"{MOST_BYTES // least_bytes([ID_BYTES * 'x'], 0) // 10**6}",
        "table": table(growth, sizes),
    }


def _steepest(growth: Mapping[str, Any], sizes: list[int]) -> float:
    """Return the highest exponent between two sizes, of the steps that are held to n log n."""
    cells = {size: growth["sizes"][str(size)] for size in sizes}
    held = [step for step in STEPS if step not in CHECKS + BEYOND and all(step in cell for cell in cells.values())]
    found = [exponent({size: cell[step]["seconds"] for size, cell in cells.items()}) for step in held]
    return max((one for one in found if one is not None), default=float("nan"))


def table(growth: Mapping[str, Any], sizes: list[int]) -> str:
    """Return the rows of what was measured: seconds at each size, exponent, memory of its own at the largest."""
    lines = []
    for step in (one for one in STEPS if one not in CHECKS):
        cells = [growth["sizes"][str(size)].get(step) for size in sizes]
        seconds = ["" if cell is None else _short(cell["seconds"]) for cell in cells]
        exponent, last = growth["exponents"].get(step), cells[-1]
        private = "" if last is None or last["private"] is None else f"{last['private'] / 1e6:,.0f}"
        told = "" if exponent is None else f"{exponent:.2f}"
        lines.append(f"| {step} | {' | '.join(seconds)} | {told} | {private} |")
    head = f"| s, MB | {' | '.join(f'{size:,}' for size in sizes)} | exponent | MB |"
    return "\n".join([head, f"| --- |{' ---: |' * (len(sizes) + 2)}", *lines])


def _on_paper(growth: Mapping[str, Any], step: str) -> dict[str, str]:
    """Return what a summary over shards would take of a billion vectors of `DIM` numbers, from the largest size that has it.

    What steps take grows with vectors and their numbers, and nodes share it; the rest is the driver's, and grows with vectors.
    """
    size = max(int(one) for one, steps in growth["sizes"].items() if step in steps)
    cell = growth["sizes"][str(size)][step]
    shared = cell["facts"]["seconds in steps"]
    times = BILLION / size / 3600
    return {
        "core hours": f"{shared * times * DIM / growth['generator']['dim'] * growth['threads']:,.0f}",
        "driver hours": f"{(cell['seconds'] - shared) * times:.1f}",
        "size": f"{size:,}",
    }


def _short(seconds: float) -> str:
    return f"{seconds:.2f}" if seconds < 10 else f"{seconds:.0f}"

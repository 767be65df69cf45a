"""Results of a study, made from random scores: written as the study writes them, and read off the pages made of them."""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).parents[2]
sys.path += [str(ROOT / "tools" / "study"), str(ROOT / "tools")]

import results  # noqa: E402
from page_parts.evidence import MAIN  # noqa: E402

from distill.evaluation.report import Held  # noqa: E402
from distill.evaluation.runs import RunScores  # noqa: E402
from embedstore.images import Sample  # noqa: E402

FOLDS, SEEDS = 5, 2
KINDS = {"Crack": 4, "Fray": 2}  # pictures in each fold
SAMPLES = [
    Sample(name, name, "good" if kind == "Free" else "defect", kind, name)
    for fold in range(FOLDS)
    for kind, count in {"Free": 20, **KINDS}.items()
    for name in (f"{kind}/{fold}-{at}.png" for at in range(count))
]
# name -> part, method, how far defects stand out, bytes
MADE: dict[str, tuple[str, str, float, int | None]] = {
    "teacher-probe": ("teacher", "teacher-probe", 2.0, None),
    "none": ("baselines", "none", 1.0, None),
    "own": ("baselines", "own", 9.0, 10_000_000),  # without a mistake
    "class-mean": ("baselines", "class-mean", 1.0, 5_000),
    "trunk": ("baselines", "none", 2.0, None),
    "k-means-8": ("summaries", "sub-prototypes", 1.5, 100_000),
    "k-means-32": ("summaries", "sub-prototypes", 1.5, 400_000),
    "rare-25": ("summaries", "rare-samples", 3.0, 390_000),
}


def runs_of(name: str, apart: float) -> list[RunScores]:
    random = np.random.default_rng(sorted(MADE).index(name))
    runs = []
    for seed in range(SEEDS):
        for fold in range(FOLDS):
            val_fold = (fold + 1 + seed) % FOLDS
            held = []
            for one in SAMPLES:
                of_fold = int(one.id.split("/")[1].split("-")[0])
                if of_fold in (fold, val_fold):
                    noise = random.normal() if apart < 5 else random.random()
                    defect = 1 / (1 + np.exp(-(noise + apart * (one.label == "defect"))))
                    side = "test" if of_fold == fold else "val"
                    held.append(Held(one.id, side, one.label, one.mode, one.part, (defect, 1 - defect)))
            runs.append(RunScores(name, fold, seed, held, results.CLASSES, 60.0, val_fold=val_fold))
    return runs


def write_study(docs: Path) -> None:
    """Write a search, a screen, a training-free record, and the conditions of `MADE`."""
    results.write_samples(docs / MAIN, SAMPLES)
    for name, (part, method, apart, nbytes) in MADE.items():
        about: dict[str, Any] = {
            "data": "tiles", "says": name, "part": part, "method": method, "good": "good", "machine": "2 CPU cores", "jobs": 2,
            "settings": {"student": "trunk:efficientnet-lite0:5" if name == "trunk" else "small"}, "parameters": 300_000,
            "peak_memory": None, "curve": [],
        }  # fmt: skip
        about |= {} if nbytes is None else {"bytes": nbytes}
        results.write(docs / MAIN, name, about, runs_of(name, apart), "good")
    tried = {"none": {"as it is": 0.8, "balance .5": 0.9}, "own": {"lambda 1": 0.7, "lambda 5": 0.6}}
    search = {
        method: {name: {"recipe": {}, "val_auroc": area} for name, area in of.items()} for method, of in tried.items()
    }
    (docs / MAIN / "search.json").write_text(json.dumps({"epochs": 30, "tried": search}), "utf-8")
    screened = {"own": [0.7, 0.8, 0.6], "own-whole": [0.8, 0.7, 0.7], "own-medium": [0.75, 0.85, 0.65]}
    screen = {name: {"of": "own", "val_auroc": areas} for name, areas in screened.items()}
    (docs / MAIN / "screen.json").write_text(json.dumps({"epochs": 30, "tried": screen}), "utf-8")
    record = {
        "protocol": {"folds": 5, "inner_folds": 4, "seeds": 3},
        "data": {"pictures": 130, "parts": 130},
        "leak": {
            "whole parts": {"auroc": 0.75, "recall": 0.3},
            "each picture alone": {"auroc": 0.99, "recall": 0.9},
        },
        "conditions": {
            "sub-prototypes, prototypes 8": untrained("sub-prototypes", 8, 23_000, 0.3, None),
            "sub-prototypes, prototypes 32": untrained("sub-prototypes", 32, 84_000, 0.4, None),
            "medoids, prototypes 8": untrained("medoids", 8, 23_000, 0.2, [-0.1, -0.2, -0.05]),
            "medoids, prototypes 32": untrained("medoids", 32, 84_000, 0.35, [-0.05, -0.1, 0.01]),
            "class-distribution, vectors 8": untrained("class-distribution", 8, 20_000, 0.5, [0.2, 0.1, 0.3]),
        },
    }
    (docs / f"prototypes-{MAIN}.json").write_text(json.dumps(record), "utf-8")


def untrained(summary: str, count: int, nbytes: int, recall: float, gap: list[float] | None) -> dict[str, Any]:
    figures = {"mean_macro_mode_recall": [recall, recall - 0.1, recall + 0.1], "auroc": [0.8, 0.7, 0.9]}
    against = {} if gap is None else {"sub-prototypes": {"mean_macro_mode_recall": gap}}
    name = "vectors" if summary == "class-distribution" else "prototypes"
    return {
        "part": "curve",
        "summary": summary,
        "parameters": {name: count},
        "bytes": nbytes,
        "figures": figures,
        "against": against,
    }


def english(made: dict[Path, str]) -> str:
    return next(text for path, text in made.items() if path.name == "rare-defects.md")


def rows(text: str, name: str, heading: str) -> list[list[str]]:
    """Return the cells of a condition's rows in a section."""
    section = text.split(f"\n## {heading}\n")[1].split("\n## ", maxsplit=1)[0]
    lines = [line for line in section.splitlines() if line.startswith(f"| `{name}` |")]
    return [[cell.strip() for cell in line.strip("| ").split(" | ")] for line in lines]

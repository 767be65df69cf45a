"""A finished condition as one JSON file: what was trained, what it cost, and what each run says of what it held out.

`docs/study/DATA/samples.json` has the samples, `docs/study/DATA/CONDITION.json` one condition. A score is the log-odds of being a
defect, in thousandths; that keeps the order of the scores and takes some 50 KB for 15 runs on 1,344 pictures.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from distill.evaluation.report import Held
from distill.evaluation.runs import RunScores
from embedstore.files import write_whole
from embedstore.images import Sample

SAMPLES = "samples.json"
CLASSES = ["defect", "good"]  # of the scores that are kept
_UNIT, _MOST = 1000, 40.0  # beyond log-odds of 40 float64 knows no difference to 1


@dataclass(frozen=True)
class Finished:
    """A condition that was trained.

    Attributes:
        name: of the condition.
        about: what was trained and what it cost, as plain values.
        runs: what each run says, with the classes `CLASSES`.
    """

    name: str
    about: dict[str, Any]
    runs: list[RunScores]


def write_json(path: Path, values: Any) -> None:
    """Write plain values, complete or not at all; the folder is made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, f"{json.dumps(values, indent=1)}\n".encode())


def write_samples(folder: Path, samples: Sequence[Sample]) -> None:
    """Write which samples the scores are of; those that are there must be the same.

    Raises:
        ValueError: the folder's results are of other samples.
    """
    rows = [[one.id, one.label, one.mode, one.group or one.id] for one in sorted(samples, key=lambda one: one.id)]
    path = folder / SAMPLES
    if path.exists():
        if json.loads(path.read_text("utf-8")) != rows:
            raise ValueError(
                f"'{path}' is of other pictures, labels or groups than the store; delete the store and let it be built again, "
                "or keep these results elsewhere: --docs DIR"
            )
        return
    folder.mkdir(parents=True, exist_ok=True)
    write_whole(path, _lines(rows).encode())


def write(folder: Path, name: str, about: dict[str, Any], runs: Sequence[RunScores], good: str) -> None:
    """Write a finished condition, complete or not at all."""
    at = {row[0]: number for number, row in enumerate(json.loads((folder / SAMPLES).read_text("utf-8")))}
    held_out: list[list[int]] = []  # mostly the same few lists of samples
    packed = []
    for run in runs:
        row: dict[str, Any] = {"fold": run.fold, "val_fold": run.val_fold, "seed": run.seed}
        row["seconds"] = round(run.seconds, 1)
        for side in ("test", "val"):
            samples, scores = _pack(run, side, at, good)
            if samples not in held_out:
                held_out.append(samples)
            row[side] = [held_out.index(samples), scores]
        packed.append(row)
    body = json.dumps(about, ensure_ascii=False, indent=1, sort_keys=True)[:-2]
    lists = f' "held_out": {_lines(held_out)},\n "runs": {_lines(packed)}'
    write_whole(folder / f"{name}.json", f"{body},\n{lists}\n}}\n".encode())


def read(folder: Path) -> dict[str, Finished]:
    """Return the finished conditions of a folder by name."""
    rows = json.loads((folder / SAMPLES).read_text("utf-8"))
    found = {}
    for path in sorted(folder.glob("*.json")):
        about = json.loads(path.read_text("utf-8"))
        if not isinstance(about, dict) or "runs" not in about:  # the samples, the search
            continue
        held_out = about.pop("held_out")
        runs = [
            RunScores(
                policy=path.stem,
                fold=run["fold"],
                seed=run["seed"],
                held=[
                    _held(rows[number], side, score, about["good"])
                    for side in ("test", "val")
                    for number, score in zip(held_out[run[side][0]], run[side][1], strict=True)
                ],
                classes=CLASSES,
                seconds=run["seconds"],
                peak_memory=about["peak_memory"],
                curve=about["curve"],
                val_fold=run["val_fold"],
            )
            for run in about.pop("runs")
        ]
        found[path.stem] = Finished(path.stem, about, runs)
    return found


def _pack(run: RunScores, side: str, at: dict[str, int], good: str) -> tuple[list[int], list[int]]:
    """Return which samples stand on a side, and their scores."""
    good_at = run.classes.index(good)
    held = sorted((one for one in run.held if one.side == side), key=lambda one: at[one.id])
    return [at[one.id] for one in held], [round(_UNIT * log_odds(one.probabilities[good_at])) for one in held]


def log_odds(of_good: float) -> float:
    """Return the log-odds of a defect from the probability of a good part."""
    if not 0 < of_good < 1:
        return -_MOST if of_good >= 1 else _MOST
    return max(-_MOST, min(_MOST, math.log1p(-of_good) - math.log(of_good)))


def _held(row: list[str], side: str, score: int, good: str) -> Held:
    name, label, mode, group = row
    defect = 1 / (1 + math.exp(-score / _UNIT))
    return Held(name, side, "good" if label == good else "defect", mode or label, group, (defect, 1 - defect))


def _lines(rows: Sequence[Any]) -> str:
    """Return a JSON list with one entry a line, so that a diff shows what changed."""
    return "[\n" + ",\n".join(json.dumps(row, ensure_ascii=False, separators=(",", ":")) for row in rows) + "\n]"

"""What students reached that were trained in a form: cited from records that are there, never trained here."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from statistics import mean
from typing import Any

import results

from distill.evaluation.comparison import compare_runs
from embedstore.images import Sample
from light_parts.forms import Form

PLAIN = "none"


def trained(folder: Path, forms: Sequence[Form], samples: Sequence[Sample]) -> dict[str, dict[str, Any]]:
    """Return form -> the condition of the study that trains so, its recall averaged over 2 to 10 % overkill, and its AUROC.

    Plain training is told under its own name. Nothing is cited where the record is of other pictures.
    """
    if not _same(folder, samples):
        return {}
    finished = results.read(folder)
    asked = {one.name: one.students for one in forms} | {PLAIN: (PLAIN,)}
    first = {form: next((name for name in names if name in finished), None) for form, names in asked.items()}
    chosen = {form: name for form, name in first.items() if name is not None}
    runs = [run for name in sorted(set(chosen.values())) for run in finished[name].runs]
    if not runs:
        return {}
    compared = {one.policy: one for one in compare_runs(runs, good="good", overkill=0.05, resamples=1).policies}
    return {
        form: {
            "condition": name,
            "mean_recall": _short(compared[name].mean_recall),
            "auroc": _short(compared[name].auroc),
        }
        for form, name in chosen.items()
    }


def parity(file: Path, forms: Sequence[Form]) -> dict[str, float]:
    """Return form -> the mean AUROC of students of the parity benchmark that replay so many views."""
    if not file.is_file():
        return {}
    figures = json.loads(file.read_text("utf-8"))["figures"]
    return {one.name: round(mean(figures[one.parity]["auroc"]), 4) for one in forms if one.parity in figures}


def _same(folder: Path, samples: Sequence[Sample]) -> bool:
    """Return whether a record's samples have the ids, labels and kinds of these."""
    file = folder / results.SAMPLES
    if not file.is_file():
        return False
    known = {(name, label, mode) for name, label, mode, _ in json.loads(file.read_text("utf-8"))}
    return known == {(one.id, one.label, one.mode) for one in samples}


def _short(value: float | None) -> float | None:
    return None if value is None else round(value, 4)

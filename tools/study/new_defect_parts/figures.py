"""Means over draws and kinds of defect, with intervals, of what was reached."""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from distill.evaluation.intervals import percentile_interval

Lines = Sequence[Mapping[str, Any]]  # of one student and space: {"mode", "seed", "added", "count", "draw", figures}
Floats = npt.NDArray[np.float64]

FIGURES = (
    "recall", "before", "by_head", "gain", "mean_recall", "known", "overkill", "either", "either_known", "either_overkill",
)  # fmt: skip
RESAMPLES = 2000


def summed_up(lines: Lines) -> dict[str, Any]:
    """Return the curves: what is added -> {"modes": {mode: {count: figures}}, "mean": {count: figures}}.

    A figure is [mean, low, high]. Of one kind of defect low and high hold 95 % of the draws: what one user or another meets. The
    mean is over the kinds that have every count, so that a curve is of the same kinds all along; its interval is over kinds,
    trainings and draws drawn again (2,000 times), each kind counting alike. `mean_of_all` is over all kinds, up to the count that
    each of them has.
    """
    found: dict[str, Any] = {}
    for added in dict.fromkeys(str(one["added"]) for one in lines):
        cells = _cells(lines, added)
        modes = sorted({mode for mode, _ in cells})
        counts = sorted({count for _, count in cells})
        lasting = [mode for mode in modes if all((mode, count) in cells for count in counts)]
        shared = [count for count in counts if all((mode, count) in cells for mode in modes)]
        found[added] = {
            "modes": {
                mode: {str(count): _one(cells[mode, count]) for count in counts if (mode, count) in cells}
                for mode in modes
            },
            "mean_of": lasting,
            "mean": {str(count): _mean(cells, lasting, count) for count in counts},
            "mean_of_all": {str(count): _mean(cells, modes, count) for count in shared},
        }
    return found


def _cells(lines: Lines, added: str) -> dict[tuple[str, int], dict[str, Floats]]:
    """Return mode, count -> figure -> (seeds, draws)."""
    chosen: dict[tuple[str, int], dict[int, list[Mapping[str, Any]]]] = {}
    for one in lines:
        if one["added"] == added or not one["count"]:  # nothing added is the beginning of every curve
            chosen.setdefault((one["mode"], one["count"]), {}).setdefault(one["seed"], []).append(one)
    trainings = {one["seed"] for one in lines}
    return {
        cell: {
            figure: np.array(
                [[_value(one, figure) for one in of_seed] for _, of_seed in sorted(seeds.items())], np.float64
            )
            for figure in (*FIGURES, "parts", "pictures")
        }
        for cell, seeds in chosen.items()
        if seeds.keys() == trainings  # a count that not every split has parts for is left out
    }


def _value(line: Mapping[str, Any], figure: str) -> float:
    return float(line["recall"] - line["before"] if figure == "gain" else line[figure])


def _one(values: Mapping[str, Floats]) -> dict[str, Any]:
    """Return the figures of one kind and count: the mean, and what holds 95 % of the draws."""
    told: dict[str, Any] = {figure: _told(values[figure].mean(), values[figure].ravel()) for figure in FIGURES}
    return told | {name: round(float(values[name].mean()), 1) for name in ("parts", "pictures")}


def _mean(cells: Mapping[tuple[str, int], Mapping[str, Floats]], modes: Sequence[str], count: int) -> dict[str, Any]:
    """Return the means over kinds; the same kinds, trainings and draws are drawn again for every figure."""
    seeds, draws = cells[modes[0], count]["recall"].shape
    random = np.random.default_rng(zlib.crc32(f"{count} {' '.join(modes)}".encode()))
    picked = random.integers(len(modes), size=(RESAMPLES, len(modes), 1, 1))
    of_seed = random.integers(seeds, size=(RESAMPLES, len(modes), seeds, 1))
    of_draw = random.integers(draws, size=(RESAMPLES, len(modes), seeds, draws))
    told = {}
    for figure in FIGURES:
        values = np.stack([cells[mode, count][figure] for mode in modes])  # (kinds, seeds, draws)
        told[figure] = _told(values.mean(), values[picked, of_seed, of_draw].mean(axis=(1, 2, 3)))
    return told


def _told(value: float, spread: Floats) -> list[float | None]:
    return [
        None if one is None or np.isnan(one) else round(float(one), 4) for one in (value, *percentile_interval(spread))
    ]

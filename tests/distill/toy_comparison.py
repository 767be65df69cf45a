"""A comparison that never was, to be told in words: on a terminal and on a page."""

from dataclasses import replace
from typing import Any

from distill.evaluation.comparison import Comparison, PolicyFigures, RecallFigures
from distill.evaluation.intervals import Difference

HOSTILE = "[red]傷\x1b[31m\n\u202e</b>　跡"
WORST = RecallFigures("spot", 12, 3.0, 0.25, 0.05, 0.5, 6, 5.0, 0.97)
OTHER = RecallFigures("stripe", 8, 6.0, 0.75, 0.5, 1.0, 4, 1.0, 0.75)
PLAIN = PolicyFigures(
    policy="none",
    recall=0.45,
    overkill=0.04,
    zero_escape_recall=0.975,
    zero_escape_overkill=0.6,
    mean_recall=0.5,
    macro_mode_recall=0.512,
    auroc=0.8125,
    aupr=0.7,
    by_mode=[WORST, OTHER],
    worst_mode="spot",
    seconds=567.0,
    peak_memory=818_000_000,
)
OWN = replace(PLAIN, policy="sub-prototypes", auroc=None, seconds=24.6, peak_memory=None)


def difference(**changes: Any) -> Difference:
    values = {
        "policy": "sub-prototypes",
        "baseline": "none",
        "figure": "recall",
        "value": 0.1,
        "low": 0.05,
        "high": 0.2,
        "verdict": "more",
        "parts": 50,
        "looks": 1,
        "resamples": 2000,
        "left_out": 0,
    }
    return Difference(**values | changes)


DIFFERENCES = [
    difference(),
    difference(figure="overkill", value=-0.03, low=-0.04, high=-0.01, verdict="less"),
    difference(figure="mean_recall", value=0.0, low=-0.06, high=0.061, verdict="noise"),
    difference(figure="macro_mode_recall", value=0.02, low=0.0, high=0.04, verdict="noise"),
    difference(figure="auroc", value=None, low=None, high=None, verdict="unknown"),
]


def comparison(**changes: Any) -> Comparison:
    values = {
        "policies": [PLAIN, OWN],
        "differences": DIFFERENCES,
        "baseline": "none",
        "good": "good",
        "overkill_wanted": 0.025,
        "folds": 3,
        "seeds": 1,
        "pictures": 1344,
        "parts": 529,
        "resamples": 2000,
        "seed": 0,
        "remarks": ["Split by chance."],
    }
    return Comparison(**values | changes)


def more(policy: str, value: float = 0.08, **changes: Any) -> Difference:
    spread = {"value": value, "low": value / 4, "high": 2 * value, "figure": "mean_recall"}
    return difference(policy=policy, verdict="more", **spread | changes)


def less(policy: str, **changes: Any) -> Difference:
    return replace(more(policy, **changes), value=-0.08, low=-0.2, high=-0.01, verdict="less")


def noise(policy: str, value: float = 0.01, **changes: Any) -> Difference:
    return replace(more(policy, value, **changes), low=-0.2, high=0.2, verdict="noise")


UNKNOWN: dict[str, Any] = {"low": None, "high": None, "verdict": "unknown"}
BY_LABEL: dict[str, Any] = {"good": None, "overkill_wanted": None}

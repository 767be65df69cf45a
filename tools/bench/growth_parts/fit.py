"""The exponent of each step, and the budget that memory is held against."""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from embedstore.summaries.strategy import MOST_GATHERED

# Bytes, whatever the size: a label that is gathered takes about eight times its vectors. And bytes a sample: id, label, part and
# their order, the store's row, what a summary says.
BUDGET, EACH = 8 * MOST_GATHERED, 600

LARGE = 1_000_000  # samples: vectors and ids of fewer may fit the processor's caches
STRICT = 1.1  # of large sizes: n log n has 1.06 from one million to ten
_OUT_OF_CACHES = 2  # times as much may a sample cost once they fit no more


def larger(sizes: Iterable[int]) -> list[int]:
    """Return the upper half of some sizes, but two at least: below, what does not grow hides what does."""
    ordered = sorted(sizes)
    return ordered[max(0, min(len(ordered) // 2, len(ordered) - 2)) :]


def exponent(sizes: Mapping[int, float]) -> float | None:
    """Return the slope of log seconds over log size, by least squares; None of fewer than two sizes."""
    if len(sizes) < 2:
        return None
    x, y = np.log(np.array(sorted(sizes.items()), np.float64)).T
    return float(((x - x.mean()) * (y - y.mean())).sum() / ((x - x.mean()) ** 2).sum())


def highest(sizes: Iterable[int]) -> float:
    """Return the highest exponent that is taken for n log n over the larger of some sizes; see `LARGE`."""
    used = larger(sizes)
    low, high = float(np.log(used[0])), float(np.log(used[-1]))
    return STRICT if used[0] >= LARGE else 1 + float(np.log(high / low) + np.log(_OUT_OF_CACHES)) / (high - low)


def exponents(sizes: Mapping[str, Mapping[str, Any]]) -> dict[str, float]:
    """Return the exponent of each step, over the larger of a record's sizes."""
    of_step: dict[str, dict[int, float]] = {}
    for size in larger(map(int, sizes)):
        for step, found in sizes[str(size)].items():
            of_step.setdefault(step, {})[size] = found["seconds"]
    fitted = {step: exponent(found) for step, found in of_step.items()}
    return {step: round(value, 3) for step, value in fitted.items() if value is not None}


def within_budget(size: int, private: float) -> bool:
    """Return whether memory is within the budget of a size."""
    return private <= BUDGET + size * EACH

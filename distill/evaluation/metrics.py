"""Thresholds, escape, overkill, and the areas under curves. Higher scores mean more likely a defect."""

import math

import numpy as np
import numpy.typing as npt

Scores = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]

OVERKILL_GRID = tuple(round(0.02 + 0.01 * step, 2) for step in range(9))  # 2 % to 10 %


def threshold_at_overkill(good_scores: npt.ArrayLike, overkill: float) -> float:
    """Return the lowest threshold at which at most a share of good parts is rejected; rejected is `score > threshold`.

    Args:
        good_scores: (n,) scores of good parts.
        overkill: the share that may be rejected.

    Raises:
        ValueError: there is no good part.
    """
    ordered = np.sort(np.asarray(good_scores, np.float64))[::-1]
    if len(ordered) == 0:
        raise ValueError("a threshold needs scores of good parts")
    return float(ordered[min(allowed_above(len(ordered), overkill), len(ordered) - 1)])


def allowed_above(scores: int, overkill: float) -> int:
    """Return how many of so many scores of good parts may be above a threshold."""
    return int(np.floor(overkill * scores + 1e-9))


def too_few(scores: int, overkill: float) -> tuple[float, int] | None:
    """Return what a threshold from too few scores does, and how many would be enough; None where there are enough.

    It rejects k of n good parts, and (k + 1) / (n + 1) of new ones on average, since a new one falls into each of the n + 1 gaps
    between the scores as often. From 2 / `overkill` scores on that is at most half more than was asked, and it varies less.

    Args:
        scores: n, of good parts; without any there is no threshold.
        overkill: what was asked; for none no number is enough.

    Returns:
        The share of new good parts on average, and the number.
    """
    if not scores or not overkill or scores >= (enough := math.ceil(2 / overkill - 1e-9)):
        return None
    return (allowed_above(scores, overkill) + 1) / (scores + 1), enough


def rejected_share(scores: npt.ArrayLike, threshold: float) -> float:
    """Return which share is rejected: recall on defects, overkill on good parts; NaN of nothing."""
    values = np.asarray(scores, np.float64)
    return float((values > threshold).mean()) if len(values) else float("nan")


def no_better_than_chance(recall: float | None, overkill: float | None) -> bool:
    """Return whether a threshold tells defects from good parts no better than rejecting pictures at random.

    So it is where recall - overkill, Youden's index (Youden, Index for rating diagnostic tests, 1950), is not above 0: who
    rejects a share of all pictures by lot rejects it of the defects and of the good parts alike, whatever the share.

    Args:
        recall: share of the tested defects that is rejected; NaN or None of no defect.
        overkill: share of the good parts tested with them that is rejected; NaN or None of no good part.

    Returns:
        False where one of them is not known.
    """
    return recall is not None and overkill is not None and recall <= overkill


def mean_recall(val_good: npt.ArrayLike, test_defect: npt.ArrayLike) -> float:
    """Return recall averaged over thresholds for 2 to 10 % overkill, so that one threshold's noise does not decide."""
    return float(np.mean([rejected_share(test_defect, threshold_at_overkill(val_good, x)) for x in OVERKILL_GRID]))


def roc_area(defect: Flags, scores: Scores) -> float:
    """Return the area under the ROC curve; NaN where there is one kind only."""
    from sklearn.metrics import roc_auc_score

    return float(roc_auc_score(defect, scores)) if 0 < defect.sum() < len(defect) else float("nan")


def average_precision(defect: Flags, scores: Scores) -> float:
    """Return the area under the precision-recall curve, as average precision; NaN where there is one kind only."""
    from sklearn.metrics import average_precision_score

    return float(average_precision_score(defect, scores)) if 0 < defect.sum() < len(defect) else float("nan")


def upper_bound(hits: int, trials: int, confidence: float = 0.95) -> float:
    """Return the one-sided Clopper-Pearson upper bound of a share; 0 of 6 gives 0.39."""
    from scipy.stats import beta

    if trials == 0 or hits >= trials:
        return 1.0
    return float(beta.ppf(confidence, hits + 1, trials - hits))

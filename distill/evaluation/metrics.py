"""Thresholds, escape, overkill, and the areas under curves. Higher scores mean more likely a defect."""

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


def rejected_share(scores: npt.ArrayLike, threshold: float) -> float:
    """Return which share is rejected: recall on defects, overkill on good parts; NaN of nothing."""
    values = np.asarray(scores, np.float64)
    return float((values > threshold).mean()) if len(values) else float("nan")


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

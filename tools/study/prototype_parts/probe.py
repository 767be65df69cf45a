"""The linear probe: a reader of vectors that is fitted instead of looking for the nearest."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from embedstore.vectors import Vectors

STRENGTH = 10.0  # of the fit against the weights' length, scikit-learn's C; fixed, not searched


def fitted_probe(points: Vectors, defect: npt.NDArray[np.bool_], weights: npt.NDArray[np.float64]) -> Any:
    """Fit a logistic regression to centred directions (n, d) that weigh (n,); good and defect weigh the same in all."""
    from sklearn.linear_model import LogisticRegression

    balanced = np.where(defect, weights / weights[defect].sum(), weights / weights[~defect].sum())
    return LogisticRegression(C=STRENGTH, max_iter=1000).fit(points, defect, balanced * weights.sum() / 2)

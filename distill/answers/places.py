"""Which places of a picture look like a defect, learned from labels of whole pictures: multiple-instance learning.

As in MI-SVM (Andrews et al., NIPS 2002), with a logistic regression and several places a picture: a defective picture shows a
defect in some place, nobody says where, and a good one shows none anywhere. So examples are chosen and a regression is fitted in
turns, at first by how far each place is from all that good parts show.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from sklearn.linear_model import LogisticRegression
from torch import Tensor

from embedstore.errors import TrainingError

TURNS = 2  # of choosing and fitting
TOP, HARD, DRAWN = 5, 10, 10  # places that are examples: of a defective picture; of a good one the most alike, and any
_STRENGTH = 0.01  # C of the regression
_MOST_FOLDS = 3

Flags = npt.NDArray[np.bool_]
Integers = npt.NDArray[np.int64]


def learn_places(patches: Tensor, distances: Tensor, defect: Flags, seed: int) -> tuple[Tensor, Tensor]:
    """Return the weights (c,) and the bias () that make log-odds of a defect of a place's patch.

    Args:
        patches: (n, places, c) of training pictures, good and defective ones.
        distances: (n, places) to the nearest patches of other good parts.
        defect: (n,) which show a defect.
        seed: of the places that are drawn.
    """
    random = np.random.default_rng(seed)
    places = patches.shape[1]
    bad, good = (torch.from_numpy(np.flatnonzero(side)).to(patches.device) for side in (defect, ~defect))
    seems, weights, bias = distances, patches.new_zeros(patches.shape[2]), patches.new_zeros(())
    for _ in range(TURNS):
        order = seems.argsort(dim=1, descending=True, stable=True)
        drawn = random.permuted(np.tile(np.arange(places), (len(good), 1)), axis=1)[:, :DRAWN]
        examples = [
            (bad, order[bad, :TOP]),
            (good, order[good, :HARD]),
            (good, torch.from_numpy(drawn).to(order.device)),
        ]
        chosen = [patches[rows[:, None], at].flatten(0, 1) for rows, at in examples]
        is_defect = np.repeat([True, False], [len(chosen[0]), len(chosen[1]) + len(chosen[2])])
        model = LogisticRegression(C=_STRENGTH, max_iter=500, class_weight="balanced")
        model.fit(torch.cat(chosen).cpu().numpy(), is_defect)
        weights = torch.from_numpy(model.coef_[0]).to(patches)
        bias = torch.tensor(float(model.intercept_[0])).to(patches)
        seems = patches @ weights + bias
    return weights, bias


def said_apart(patches: Tensor, distances: Tensor, defect: Flags, parts: Integers, seed: int) -> Tensor:
    """Return the log-odds (n, places) of a defect at each place, by what was learned from pictures of other parts alone.

    Args:
        patches: see `learn_places`.
        distances: see `learn_places`.
        defect: see `learn_places`.
        parts: (n,) which part each picture shows.
        seed: see `learn_places`; of the folds, too.

    Raises:
        TrainingError: see `folds_of`.
    """
    fold = folds_of(parts, defect, seed)
    said = torch.empty(patches.shape[:2], device=patches.device)
    for held in range(int(fold.max()) + 1):
        others = fold != held
        weights, bias = learn_places(patches[others], distances[others], defect[others], seed)
        said[~others] = patches[~others] @ weights + bias
    return said


def folds_of(parts: Integers, defect: Flags, seed: int) -> Integers:
    """Return folds (n,) of pictures, of whole parts, each of which leaves good and defective pictures to the others.

    Raises:
        TrainingError: fewer than two parts have good pictures, or defective ones.
    """
    known, number = np.unique(parts, return_inverse=True)
    has = [np.bincount(number, side) > 0 for side in (defect, ~defect)]
    count = min(_MOST_FOLDS, *(int(side.sum()) for side in has))
    if count < 2:
        raise TrainingError(
            "The answer 'patches' looks each training picture up among other parts, so it needs good pictures of at least two "
            "parts and defective ones of at least two to learn from; label more pictures, or choose another answer."
        )
    random = np.random.default_rng(seed)
    both = has[0] & has[1]
    of_part = np.empty(len(known), np.int64)
    # Those that have both are dealt first, and then either kind goes on, so that no fold gets all parts of a kind.
    for side, already in ((both, 0), (has[0] & ~both, int(both.sum())), (has[1] & ~both, int(both.sum()))):
        of_part[random.permutation(np.flatnonzero(side))] = (already + np.arange(int(side.sum()))) % count
    found: Integers = of_part[number]
    return found

"""What each step sees: which samples, in which views, for which loss. Drawn from (seed, epoch) alone."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from embedstore.views import Recipe, View, draw_view


@dataclass(frozen=True)
class Batch:
    """One step.

    Attributes:
        samples: (m,) positions in the training set.
        views: (m,) number of the stored view, where `aligned`; else 0.
        cuts: (m) what to cut from each picture.
        labelled: (m,) which take part in the cross-entropy.
        aligned: (m,) which take part in the alignment.
    """

    samples: npt.NDArray[np.int64]
    views: npt.NDArray[np.int64]
    cuts: list[View]
    labelled: npt.NDArray[np.bool_]
    aligned: npt.NDArray[np.bool_]


def plan_epoch(
    ids: list[str], views: int, recipe: Recipe, *, ce_views: str, size: int, seed: int, epoch: int
) -> list[Batch]:
    """Plan one epoch: every training sample passes once, in batches of nearly equal size and never alone.

    Every policy, `none` included, gets the same plan, so that runs differ by their targets and by nothing else.

    Args:
        ids: of the training samples (n).
        views: stored augmented views; each pass draws one of 0..views.
        recipe: of the views.
        ce_views: `all`: each pass serves both losses. `whole`: one half of the samples, drawn anew each epoch, passes
            as whole pictures, randomly turned and mirrored as the recipe allows, for the cross-entropy only; the other
            half as stored views, for the alignment only; a batch has as many of each, or one more.
        size: of a batch, about.
        seed: of the run.
        epoch: counted from 0; each has draws of its own.
    """
    random = np.random.default_rng([seed, epoch])
    order = random.permutation(len(ids))
    drawn = random.integers(0, views + 1, len(ids))
    steps = max(1, min(-(-len(ids) // size), len(ids) // 2))  # two or more a batch: batch statistics need them
    if ce_views == "all":
        return [_stored(ids, recipe, part, drawn[part], labelled=True) for part in np.array_split(order, steps)]
    turns, mirrors = random.integers(0, 4, len(ids)), random.integers(0, 2, len(ids))
    half = len(ids) // 2
    batches = []
    # The remainder of one half goes to the first batches, that of the other to the last.
    wholes, stored_parts = np.array_split(order[:half], steps), np.array_split(order[half:][::-1], steps)[::-1]
    for whole, stored in zip(wholes, stored_parts, strict=True):
        cuts = [
            View(turns=int(turns[at]) if recipe.turns else 0, mirrored=recipe.flips and bool(mirrors[at]))
            for at in whole
        ]
        second = _stored(ids, recipe, stored, drawn[stored], labelled=False)
        batches.append(
            Batch(
                samples=np.concatenate([whole, stored]),
                views=np.concatenate([np.zeros_like(whole), second.views]),
                cuts=cuts + second.cuts,
                labelled=np.concatenate([np.ones(len(whole), bool), second.labelled]),
                aligned=np.concatenate([np.zeros(len(whole), bool), second.aligned]),
            )
        )
    return batches


def _stored(
    ids: list[str], recipe: Recipe, samples: npt.NDArray[np.int64], views: npt.NDArray[np.int64], *, labelled: bool
) -> Batch:
    cuts = [draw_view(recipe, ids[sample], int(view)) for sample, view in zip(samples, views, strict=True)]
    return Batch(samples, views, cuts, np.full(len(samples), labelled), np.ones(len(samples), bool))

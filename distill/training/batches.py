"""What each step sees: which samples, in which views, for which loss. Drawn from (seed, epoch) alone."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import overload

import numpy as np
import numpy.typing as npt

from embedstore.views import Recipe, View, draw_view


@dataclass(frozen=True)
class Batch:
    """One step.

    Attributes:
        samples: (m,) positions in the training set.
        views: (m,) number of the view, where `aligned`; else 0.
        cuts: (m) what to cut from each picture.
        numbers: (m,) which of the sample's possible cuts that is: a stored view has its own number, and the turned and mirrored
            whole pictures have the `WHOLE_CUTS` numbers after those.
        labelled: (m,) which take part in the cross-entropy.
        aligned: (m,) which take part in the alignment.
    """

    samples: npt.NDArray[np.int64]
    views: npt.NDArray[np.int64]
    cuts: Sequence[View]
    numbers: npt.NDArray[np.int64]
    labelled: npt.NDArray[np.bool_]
    aligned: npt.NDArray[np.bool_]


WHOLE_CUTS = 7  # beside the plain one
_NUMBERS = 2**31  # of views, where they need not be stored


def plan_epoch(
    ids: Sequence[str],
    views: int,
    recipe: Recipe,
    *,
    fresh: bool = False,
    ce_views: str,
    size: int,
    seed: int,
    epoch: int,
    order: npt.NDArray[np.int64] | None = None,
) -> list[Batch]:
    """Plan one epoch: every training sample passes once, in batches of nearly equal size and never alone.

    Every policy, `none` included, gets the same plan, so that runs differ by their targets and by nothing else.

    Args:
        ids: of the training samples (n).
        views: augmented views to draw from; each pass draws one of 0..views.
        fresh: each pass draws an augmented view that the store does not have; the whole picture (0) as often as else, but at most
            in a third of the passes.
        recipe: of the views.
        ce_views: `all`: each pass serves both losses. `whole`: one half of the samples, drawn anew each epoch, passes
            as whole pictures, randomly turned and mirrored as the recipe allows, for the cross-entropy only; the other
            half as stored views, for the alignment only; a batch has as many of each, or one more.
        size: of a batch, about.
        seed: of the run.
        epoch: counted from 0; each has draws of its own.
        order: (n,) the samples that pass, in this order, where that is not each once; see `balanced_order`.
    """
    random = np.random.default_rng([seed, epoch])
    shuffled = random.permutation(len(ids))
    drawn = random.integers(0, views + 1, len(ids))
    if fresh:
        whole = random.integers(0, max(views, 2) + 1, len(ids)) == 0
        drawn = np.where(whole, 0, random.integers(views + 1, _NUMBERS, len(ids)))
    if order is None:
        order, drawn = shuffled, drawn[shuffled]  # one draw a sample
    steps = steps_of(len(ids), size)
    places = np.arange(len(ids))
    if ce_views == "all":
        return [_stored(ids, recipe, order[part], drawn[part], labelled=True) for part in np.array_split(places, steps)]
    turns, mirrors = random.integers(0, 4, len(ids)), random.integers(0, 2, len(ids))
    half = len(ids) // 2
    batches = []
    # The remainder of one half goes to the first batches, that of the other to the last.
    wholes, stored_parts = np.array_split(places[:half], steps), np.array_split(places[half:][::-1], steps)[::-1]
    for first, rest in zip(wholes, stored_parts, strict=True):
        whole = order[first]
        cuts = [
            View(turns=int(turns[at]) if recipe.turns else 0, mirrored=recipe.flips and bool(mirrors[at]))
            for at in whole
        ]
        second = _stored(ids, recipe, order[rest], drawn[rest], labelled=False)
        batches.append(
            Batch(
                samples=np.concatenate([whole, second.samples]),
                views=np.concatenate([np.zeros_like(whole), second.views]),
                cuts=[*cuts, *second.cuts],
                numbers=np.concatenate([[_whole_number(cut, views) for cut in cuts], second.numbers]).astype(np.int64),
                labelled=np.concatenate([np.ones(len(whole), bool), second.labelled]),
                aligned=np.concatenate([np.zeros(len(whole), bool), second.aligned]),
            )
        )
    return batches


def steps_of(samples: int, size: int) -> int:
    """Return how many steps an epoch has: of `size` samples, about, and of two or more, which batch statistics need."""
    return max(1, min(-(-samples // size), samples // 2))


def balanced_order(
    labels: npt.NDArray[np.int64], balance: float, *, seed: int, epoch: int
) -> npt.NDArray[np.int64] | None:
    """Return which samples pass in an epoch (n,), in what order; None where each passes once.

    A label of n_c samples passes in proportion to n_c^(1 - balance), each of its samples equally often, or once more. Samples
    without a label (-1) pass once each.

    Args:
        labels: (n,) class numbers.
        balance: 0, as they are, to 1, all labels alike.
        seed: of the run.
        epoch: counted from 0.
    """
    classes, counts = np.unique(labels[labels >= 0], return_counts=True)
    if not balance or len(classes) < 2:
        return None
    random = np.random.default_rng([seed, epoch, 2])  # apart from the other draws, which a balance leaves as they are
    quotas = label_quotas(counts, balance)
    passing = [np.flatnonzero(labels < 0)]
    for label, quota in zip(classes, quotas, strict=True):
        members = np.flatnonzero(labels == label)
        rounds = [random.permutation(members) for _ in range(-(-quota // len(members)))]
        passing.append(np.concatenate(rounds)[:quota])
    return np.asarray(random.permutation(np.concatenate(passing)), np.int64)


def label_quotas(counts: npt.NDArray[np.int64], balance: float) -> npt.NDArray[np.int64]:
    """Return how often each label passes in an epoch, once or more; adds up to the sum of `counts`, its samples."""
    shares = counts ** (1.0 - balance)
    exact = shares / shares.sum() * counts.sum()
    quotas = np.maximum(np.floor(exact).astype(np.int64), 1)
    # The largest remainders get what is lacking; what labels of one pass took too much, the largest give.
    lacking = int(counts.sum() - quotas.sum())
    quotas[np.argsort(quotas - exact, kind="stable")[: max(lacking, 0)]] += 1
    for _ in range(-lacking):
        quotas[np.argmax(quotas)] -= 1
    return np.asarray(quotas, np.int64)


def class_shares(labels: npt.NDArray[np.int64], classes: int, balance: float) -> npt.NDArray[np.float64]:
    """Return the share (classes,) that each class has of the labelled samples that pass in an epoch."""
    counts = np.bincount(labels[labels >= 0], minlength=classes)
    return np.asarray(label_quotas(counts, balance) / counts.sum(), np.float64)


def _stored(
    ids: Sequence[str], recipe: Recipe, samples: npt.NDArray[np.int64], views: npt.NDArray[np.int64], *, labelled: bool
) -> Batch:
    cuts = _StoredCuts(recipe, ids, samples, views)
    return Batch(samples, views, cuts, views, np.full(len(samples), labelled), np.ones(len(samples), bool))


class _StoredCuts(Sequence[View]):
    """Views of some samples, drawn when they are looked at: most were cut in an epoch before, and are not."""

    def __init__(
        self, recipe: Recipe, ids: Sequence[str], samples: npt.NDArray[np.int64], views: npt.NDArray[np.int64]
    ):
        self._recipe, self._ids, self._samples, self._views = recipe, ids, samples, views

    def __len__(self) -> int:
        return len(self._samples)

    @overload
    def __getitem__(self, place: int) -> View: ...
    @overload
    def __getitem__(self, place: slice) -> Sequence[View]: ...
    def __getitem__(self, place: int | slice) -> View | Sequence[View]:
        if isinstance(place, slice):
            return _StoredCuts(self._recipe, self._ids, self._samples[place], self._views[place])
        return draw_view(self._recipe, self._ids[self._samples[place]], int(self._views[place]))


def _whole_number(cut: View, views: int) -> int:
    """Return the number of a turned and mirrored whole picture; the plain one is view 0."""
    way = 2 * cut.turns + cut.mirrored
    return views + way if way else 0

"""What a run learns from and is tested on, and the refusal of what can't be learned."""

from collections import Counter
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from distill.source import Source
from distill.training.doubts import doubts
from distill.training.settings import Settings
from embedstore import Sample
from embedstore.errors import TrainingError
from embedstore.exports import SummaryFile
from embedstore.images import SPLITS
from embedstore.splits import plan_split

if TYPE_CHECKING:
    from distill.training.origin import Origin


@dataclass(frozen=True)
class RunData:
    """The samples of a run by side, and its classes.

    Attributes:
        samples: all samples of the store, in its order.
        sides: train, val, test, aside -> positions in the store.
        classes: the labels, sorted; a student's logits are in this order.
        remarks: sentences that a reader of the figures should know.
        folds: how many were dealt; None where the split is another.
        origin: the run with whose student this one begins, if any.
        left_out: test, val -> pictures that are on that side in the store and not here, since that student knows their parts.
    """

    samples: list[Sample]
    sides: dict[str, npt.NDArray[np.int64]]
    classes: list[str]
    remarks: list[str] = field(default_factory=list)
    folds: int | None = None
    origin: "Origin | None" = None
    left_out: dict[str, int] = field(default_factory=dict)

    def labels(self, side: str) -> Counter[str]:
        """Return how often each label stands on a side."""
        return Counter(label for at in self.sides[side] if (label := self.samples[at].label) is not None)

    def labelled(self, side: str) -> npt.NDArray[np.int64]:
        """Return the positions of a side's samples that have a label."""
        return np.array([at for at in self.sides[side] if self.samples[at].label is not None], np.int64)


def make_run_data(store: Source, settings: Settings) -> RunData:
    """Take the split that the store has, or make one for this run, and check that it can be learned and tested.

    Raises:
        TrainingError: labels, classes or sides are missing; the message names what.
    """
    data = checked_sides(store, settings)
    data.remarks.extend(doubts(data, store, settings))
    return data


def checked_sides(store: Source, settings: Settings) -> RunData:
    """Return `make_run_data` without what `doubts` tells, for who takes pictures off the sides yet."""
    samples = list(store.samples)
    if not any(sample.label is not None for sample in samples):
        raise TrainingError(
            f"No picture in '{store.path}' has a label; give labels by folder names or a manifest and build again."
        )
    data = _divided(store, samples, settings)
    _refuse_single(data)
    try:
        refuse_untestable(data, settings.good)
        _refuse_unlearned(data)
    except _SideLacksError as error:
        if settings.folds is None:
            raise
        fewer = _fewer_folds(store, samples, settings, settings.folds)
        remedy = (
            "fewer folds do not help, so add pictures of more parts"
            if fewer is None
            else f"with --folds {fewer} every fold can be tested"
        )
        raise TrainingError(
            f"Of {settings.folds} folds, number {settings.fold} can't be tested: {error.what}; {remedy}."
        ) from error
    return data


class _SideLacksError(TrainingError):
    """A side of the split lacks what its figures need; with another split it may have it."""

    def __init__(self, what: str, remedy: str):
        super().__init__(f"{what[0].upper()}{what[1:]}; {remedy}")
        self.what = what


def refuse_untestable(data: RunData, good: str | None) -> None:
    """Refuse data whose figures would be undefined.

    Raises:
        TrainingError: labels are missing on a side; the message names what.
    """
    classes = data.classes
    if not classes:
        raise TrainingError("No training picture has a label; check the split with: embedstore info STORE")
    if len(classes) == 1:
        raise TrainingError(
            f"All labelled training pictures are '{classes[0]}'; a student needs at least two labels to tell apart."
        )
    for side in ("val", "test"):
        labels = data.labels(side)
        if not labels:
            raise _SideLacksError(
                f"the {side} side of the split has no labelled picture", "split again: embedstore split STORE"
            )
    if good is None:
        return
    if good not in classes:
        raise TrainingError(f"The good label '{good}' is not among the training labels ({', '.join(classes)}).")
    for side in ("val", "test"):
        if good not in data.labels(side):
            raise _SideLacksError(
                f"the {side} side has no '{good}' picture, so overkill can't be measured",
                "add good parts or split again.",
            )
    if set(data.labels("test")) == {good}:
        raise _SideLacksError(
            "the test side has no defect, so escapes can't be measured", "add defects or split again."
        )


def _refuse_unlearned(data: RunData) -> None:
    for side in ("val", "test"):
        unknown = sorted(data.labels(side).keys() - set(data.classes))
        if unknown:
            raise TrainingError(
                f"The label '{unknown[0]}' is in {side} but not in train, so it can't be learned; split again or set "
                "those pictures' split to 'aside'."
            )


def _divided(store: Source, samples: list[Sample], settings: Settings) -> RunData:
    """Return the samples by side, whether or not they can be learned and tested."""
    splits, remarks = _splits(store, samples, settings)
    sides = {side: np.array([at for at, split in enumerate(splits) if split == side], np.int64) for side in SPLITS}
    classes = sorted({label for at in sides["train"] if (label := samples[at].label) is not None})
    return RunData(samples, sides, classes, remarks, settings.folds)


def _fewer_folds(store: Source, samples: list[Sample], settings: Settings, folds: int) -> int | None:
    """Return the largest smaller number of folds of which each can be tested, if any."""

    def all_testable(fewer: int) -> bool:
        try:
            for fold in range(fewer):
                dealt = _divided(store, samples, replace(settings, folds=fewer, fold=fold, val_fold=None))
                refuse_untestable(dealt, settings.good)
                _refuse_unlearned(dealt)
        except TrainingError:
            return False
        return True

    most = min(folds - 1, _parts_to_test(samples, settings.good))
    return next((fewer for fewer in range(most, 2, -1) if all_testable(fewer)), None)


def _parts_to_test(samples: list[Sample], good: str | None) -> int:
    """Return how many folds could have what their figures need at most: a part is in one fold, and each needs good and defect."""
    parts: dict[bool, set[str]] = {True: set(), False: set()}
    for sample in samples:
        if sample.label is not None and sample.split != "aside":
            parts[sample.label == good].add(sample.part)
    return len(parts[False]) if good is None else min(map(len, parts.values()))


def _splits(store: Source, samples: list[Sample], settings: Settings) -> tuple[list[str | None], list[str]]:
    written = [sample.split for sample in samples]
    aside = [sample.id for sample in samples if sample.split == "aside"]
    if settings.folds is not None:  # the deal is that of seed 0, so that seeds of one fold test the same pictures
        dealt = plan_split(samples, folds=settings.folds, fold=settings.fold, val_fold=settings.val_fold, kept=aside)
        return [dealt.splits[sample.id] for sample in samples], dealt.remarks
    if any(split in ("train", "val", "test") for split in written):
        missing = sum(split is None for split in written)
        if not missing:
            return written, []
        where = (
            "in the store that they were exported from, and export again"
            if isinstance(store, SummaryFile)
            else f"with: embedstore split '{store.path}' --keep"
        )
        return written, [f"{missing} pictures have no split and take no part; give them one {where}"]
    plan = plan_split(samples, seed=settings.seed, kept=aside)
    counts = ", ".join(f"{count} {side}" for side, count in plan.counts().items())
    remarks = [
        f"The store has no written split, so this run made one by group with seed {settings.seed} ({counts}).",
        *plan.remarks,
    ]
    return [plan.splits[sample.id] for sample in samples], remarks


def _refuse_single(data: RunData) -> None:
    total = data.labels("train") + data.labels("val") + data.labels("test")
    single = sorted(label for label, count in total.items() if count == 1)
    if single:
        raise TrainingError(
            f"The label '{single[0]}' has one picture only on train, val and test together, which can't be both "
            "learned and tested; add pictures, give it another label, or set its split to 'aside'."
        )


def views_used(store: Source, settings: Settings) -> int:
    """Return how many of the stored augmented views a run uses.

    Raises:
        TrainingError: it asks for more than there are.
    """
    if settings.views is None:
        return store.views
    if settings.views > store.views:
        more = (
            "ask for fewer, or make and export the summary again from the store that it was exported from, with more views."
            if isinstance(store, SummaryFile)
            else f"add some with: embedstore build '{store.path}' IMAGES --views {settings.views}"
        )
        raise TrainingError(f"The run asks for {settings.views} views, but '{store.path}' has {store.views}; {more}")
    return settings.views

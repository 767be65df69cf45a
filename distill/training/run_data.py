"""What a run learns from and is tested on, and the refusal of what can't be learned."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from distill.source import Source
from distill.targets.making import SAVED
from distill.training.doubts import doubts
from distill.training.settings import Settings
from embedstore import EmbeddingStore, Sample, Summary
from embedstore.errors import SettingsError, SummaryError, TrainingError
from embedstore.exports import SummaryFile
from embedstore.images import SPLITS
from embedstore.splits import plan_split
from embedstore.store.earlier_pictures import seen_since
from embedstore.summaries import summarize

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


def saved_summary(store: Source, options: Mapping[str, Any]) -> Summary | None:
    """Return the summary that a policy's options name, or that a summary file is; None where one is to be made.

    Raises:
        SummaryError: there is no such summary.
        SettingsError: the options ask for one to be made from a summary file.
    """
    if isinstance(store, SummaryFile):
        if options.keys() - {SAVED}:
            raise SettingsError(
                f"'{store.path}' holds a finished summary, so none can be made; leave its options out, or take the store for a "
                "method that has its own, such as clip-embed-kd."
            )
        return store.summary(options.get(SAVED, store.kept.name))
    return store.summary(options[SAVED]) if SAVED in options else None


def check_summary(summary: Summary, store: Source, data: RunData) -> None:
    """Refuse a summary of another teacher, or one that saw what this run validates or tests on.

    A picture that was renamed since is found by its content, as long as the store keeps the version that the summary was made of.

    Raises:
        SummaryError: with what is wrong; or names have other pictures now, by which it tells targets.
    """
    if summary.fingerprint != store.fingerprint:
        raise SummaryError(
            f"The summary '{summary.name}' is of another teacher (fingerprint {summary.fingerprint[:12]}) than the "
            f"store '{store.path}' ({store.fingerprint[:12]}); make it again from this store."
        )
    if summary.store_version > store.version:
        raise SummaryError(
            f"The summary '{summary.name}' was made of version {summary.store_version} of the store, and this run learns from "
            f"the earlier version {store.version}; use an earlier summary, or begin in another directory with the newest version."
        )
    if summary.store_version != store.version:
        data.remarks.append(
            f"The summary '{summary.name}' was made of version {summary.store_version} of the store, which is at version "
            f"{store.version} now; what changed since then is not in it."
        )
    if summary.estimate is not None:
        data.remarks.append(f"The summary '{summary.name}' is {summary.estimate.in_words()}.")
    held_out = {at for side in ("val", "test", "aside") for at in data.sides[side].tolist()}
    seen = seen_since(summary, store)
    leaked = {one: data.samples[at].id for one, places in seen.places.items() for at in places if at in held_out}
    if leaked:
        old, new = next(iter(leaked.items()))
        such = f"'{old}'" if old == new else f"'{old}', now '{new}'"
        raise SummaryError(
            f"The summary '{summary.name}' saw {len(leaked)} pictures that this run is tested on (such as {such}), which would "
            f"make its figures false; {_without_leak(summary, store, data)}"
        )
    # A part that was taken again may keep its prototype, of which it is told below; a code is of the very picture.
    may_stay = set() if summary.codes else set(seen.retaken)
    others = [one for one in seen.replaced if one not in may_stay]
    if others and _tells_by_name(summary):
        raise SummaryError(
            f"The summary '{summary.name}' tells the target of each picture by its name, and {len(others)} names (such as "
            f"'{others[0]}') have other pictures now, which would get the targets of the earlier ones; "
            f"{_without_leak(summary, store, data)}"
        )
    if seen.retaken:
        data.remarks.append(
            f"{len(seen.retaken)} pictures that the summary '{summary.name}' saw (such as '{seen.retaken[0]}') were taken again "
            "since, and it tells of the earlier ones; make it again."
        )
    tested = {at for side in ("val", "test") for at in data.labelled(side).tolist()}
    if copies := [(at, one) for at, one in seen.copies.items() if at in tested]:
        at, one = copies[0]
        data.remarks.append(
            f"{len(copies)} pictures that this run is tested on are copies of others that the summary '{summary.name}' saw (such "
            f"as '{data.samples[at].id}', of '{one}'), so the figures look better than they are; unite them with: embedstore "
            "twins STORE --apply, and split again."
        )
    if seen.untraced:
        data.remarks.append(
            f"{len(seen.untraced)} pictures that the summary '{summary.name}' saw (such as '{seen.untraced[0]}') are not in this "
            "store; should it have them under other names, the run is tested on what the summary saw, and its figures are too "
            "good; make it again to be sure."
        )


def _tells_by_name(summary: Summary) -> bool:
    """Return whether a target hangs on which picture it is for; of one prototype a label, the label alone tells."""
    several = len(set(summary.labels)) < len(summary.labels)
    return bool(summary.codes) or several or bool((summary.source >= 0).any())


def _without_leak(summary: Summary, store: Source, data: RunData) -> str:
    """Say where a summary comes from that did not see what is tested."""
    is_file = isinstance(store, SummaryFile)
    if data.folds is not None:
        return "with folds, summaries are made anew from each fold's training side; " + (
            "leave the folds out (--no-folds), or take the store that the file was exported from."
            if is_file
            else f'give parameters (such as k, share) instead of summary = "{summary.name}".'
        )
    if is_file:
        return (
            "in the store that it was exported from, make it again from the training split and export that: "
            f"embedstore summarize STORE {summary.strategy} --split train"
        )
    return f"make it from the training split: embedstore summarize '{store.path}' {summary.strategy} --split train"


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


def summary_for(store: Source, data: RunData, settings: Settings, strategy: str, options: Mapping[str, Any]) -> Summary:
    """Return the summary that a policy needs: the one asked for, or one of the run's own training samples."""
    summary = saved_summary(store, options)
    if summary is None:
        assert isinstance(store, EmbeddingStore)  # noqa: S101  a file is a saved summary
        summary = summarize(store, strategy, positions=data.sides["train"], seed=settings.seed, **options)
    check_summary(summary, store, data)
    return summary

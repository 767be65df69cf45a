"""What a run learns from and is tested on, and the refusal of what can't be learned."""

from collections import Counter
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from distill.source import Source
from distill.training.settings import Settings
from embedstore import Sample, Summary
from embedstore.errors import SummaryError, TrainingError
from embedstore.images import SPLITS
from embedstore.splits import plan_split


@dataclass(frozen=True)
class RunData:
    """The samples of a run by side, and its classes.

    Attributes:
        samples: all samples of the store, in its order.
        sides: train, val, test, aside -> positions in the store.
        classes: the labels, sorted; a student's logits are in this order.
        remarks: sentences that a reader of the figures should know.
    """

    samples: list[Sample]
    sides: dict[str, npt.NDArray[np.int64]]
    classes: list[str]
    remarks: list[str] = field(default_factory=list)

    def labels(self, side: str) -> Counter[str]:
        """Return how often each label stands on a side."""
        return Counter(label for at in self.sides[side] if (label := self.samples[at].label) is not None)


def make_run_data(store: Source, settings: Settings) -> RunData:
    """Take the split that the store has, or make one for this run, and check that it can be learned and tested.

    Raises:
        TrainingError: labels, classes or sides are missing; the message names what.
    """
    samples = list(store.samples)
    if not any(sample.label is not None for sample in samples):
        raise TrainingError(
            f"No picture in '{store.path}' has a label; give labels by folder names or a manifest and build again."
        )
    splits, remarks = _splits(store, samples, settings)
    sides = {side: np.array([at for at, split in enumerate(splits) if split == side], np.int64) for side in SPLITS}
    classes = sorted({label for at in sides["train"] if (label := samples[at].label) is not None})
    data = RunData(samples, sides, classes, remarks)
    _refuse_single(data)
    refuse_untestable(data, settings.good)
    remarks += _doubts(data)
    return data


def check_summary(summary: Summary, store: Source, data: RunData) -> None:
    """Refuse a summary of another teacher, or one that saw what this run validates or tests on.

    Raises:
        SummaryError: with what is wrong.
    """
    if summary.fingerprint != store.fingerprint:
        raise SummaryError(
            f"The summary '{summary.name}' is of another teacher (fingerprint {summary.fingerprint[:12]}) than the "
            f"store '{store.path}' ({store.fingerprint[:12]}); make it again from this store."
        )
    if summary.store_version != store.version:
        data.remarks.append(
            f"The summary '{summary.name}' was made of version {summary.store_version} of the store, which is at version "
            f"{store.version} now; what changed since then is not in it."
        )
    held_out = {data.samples[at].id for side in ("val", "test", "aside") for at in data.sides[side]}
    leaked = [sample_id for sample_id in summary.seen if sample_id in held_out]
    if leaked:
        raise SummaryError(
            f"The summary '{summary.name}' saw {len(leaked)} pictures that this run is tested on (such as "
            f"'{leaked[0]}'), which would make its figures false; make it from the training split: "
            f"embedstore summarize '{store.path}' {summary.strategy} --split train"
        )


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
            raise TrainingError(
                f"The {side} side of the split has no labelled picture; split again: embedstore split STORE"
            )
        unknown = sorted(labels.keys() - set(classes))
        if unknown:
            raise TrainingError(
                f"The label '{unknown[0]}' is in {side} but not in train, so it can't be learned; split again or set "
                "those pictures' split to 'aside'."
            )
    if good is None:
        return
    if good not in classes:
        raise TrainingError(f"The good label '{good}' is not among the training labels ({', '.join(classes)}).")
    for side in ("val", "test"):
        if good not in data.labels(side):
            raise TrainingError(
                f"The {side} side has no '{good}' picture, so overkill can't be measured; "
                "add good parts or split again."
            )
    if set(data.labels("test")) == {good}:
        raise TrainingError("The test side has no defect, so escapes can't be measured; add defects or split again.")


def _splits(store: Source, samples: list[Sample], settings: Settings) -> tuple[list[str | None], list[str]]:
    written = [sample.split for sample in samples]
    aside = [sample.id for sample in samples if sample.split == "aside"]
    if settings.folds is not None:  # the deal is that of seed 0, so that seeds of one fold test the same pictures
        dealt = plan_split(samples, folds=settings.folds, fold=settings.fold, kept=aside)
        return [dealt.splits[sample.id] for sample in samples], dealt.remarks
    if any(split in ("train", "val", "test") for split in written):
        missing = sum(split is None for split in written)
        if not missing:
            return written, []
        return written, [
            f"{missing} pictures have no split and take no part; give them one with: "
            f"embedstore split '{store.path}' --keep"
        ]
    plan = plan_split(samples, seed=settings.seed, kept=aside)
    counts = ", ".join(f"{count} {side}" for side, count in plan.counts().items())
    remarks = [
        f"The store has no written split, so this run made one by group with seed {settings.seed} ({counts}).",
        *plan.remarks,
    ]
    return [plan.splits[sample.id] for sample in samples], remarks


def _doubts(data: RunData) -> list[str]:
    """Say what a reader of the figures would want to know of the split."""
    doubts = [
        f"No '{label}' picture is on the test side, so the figures say nothing of it."
        for label in data.classes
        if label not in data.labels("test")
    ]
    sides_of: dict[str, set[str]] = {}
    for side in ("train", "val", "test"):
        for at in data.sides[side]:
            group = data.samples[at].group
            if group is not None:
                sides_of.setdefault(group, set()).add(side)
    torn = sorted(group for group, sides in sides_of.items() if len(sides) > 1)
    if torn:
        doubts.append(
            f"{len(torn)} groups (such as '{torn[0]}') are on several sides of the split, so pictures of one part are both "
            "learned and tested, and the figures look better than they are."
        )
    return doubts


def _refuse_single(data: RunData) -> None:
    total = data.labels("train") + data.labels("val") + data.labels("test")
    single = sorted(label for label, count in total.items() if count == 1)
    if single:
        raise TrainingError(
            f"The label '{single[0]}' has one picture only on train, val and test together, which can't be both "
            "learned and tested; add pictures, give it another label, or set its split to 'aside'."
        )

"""Train, val, test and aside: by group, stratified, seeded. Images of one part never fall on both sides."""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence, Set
from dataclasses import dataclass

from embedstore.errors import SettingsError
from embedstore.images import Sample

FOLDS = 5  # where nobody says


@dataclass(frozen=True)
class SplitPlan:
    """A split for every sample, with what a reader should know of it."""

    splits: dict[str, str]  # sample id -> train, val, test or aside
    remarks: list[str]  # sentences

    def counts(self) -> dict[str, int]:
        """Return how many samples fall on each side."""
        found = Counter(self.splits.values())
        return {name: found[name] for name in ("train", "val", "test", "aside") if found[name]}


def refuse_more_folds_than_parts(samples: Iterable[Sample], folds: int) -> None:
    """Refuse a deal that leaves folds empty; samples set aside are not dealt.

    The usual five are dealt to fewer groups, too, so that a new line has sides from its first parts on.

    Raises:
        SettingsError: there are fewer groups than folds, and more folds than usual.
    """
    count = len({sample.part for sample in samples if sample.split != "aside"})
    if folds > max(count, FOLDS):
        raise SettingsError(
            f"{folds} folds need as many groups, and the store has {count} (a picture without a group is one); use fewer folds, "
            "3 at least, or add pictures of other parts."
        )


def plan_split(
    samples: Sequence[Sample],
    *,
    folds: int = FOLDS,
    fold: int = 0,
    val_fold: int | None = None,
    seed: int = 0,
    kept: Iterable[str] = (),
) -> SplitPlan:
    """Deal groups into folds; fold `fold` is the test set, `val_fold` the validation set, the others train.

    The folds depend on `seed` alone, so `fold=0..folds-1` gives test sets that part the samples; but where training
    would see nothing of a label, one of its groups trains instead of being tested. Groups are dealt evenly over each
    label and mode. A sample without a group is its own. Independent of the samples' order.

    Args:
        samples: all samples; those whose id is in `kept` keep the split they have, and the rest of their group joins
            them. A sample set aside binds nothing: the rest of its group is dealt.
        folds: how many folds, 3 or more; a fifth of the groups is tested with 5.
        fold: which fold is the test set.
        val_fold: which is the validation set; None takes the next one.
        seed: of the deal.
        kept: ids whose split is given and stays.

    Raises:
        SettingsError: `folds`, `fold` or `val_fold` is out of range.
    """
    if folds < 3:
        raise SettingsError(f"{folds} folds can't give train, val and test; use 3 or more.")
    if not 0 <= fold < folds:
        raise SettingsError(f"Fold {fold} does not exist; with {folds} folds use 0 to {folds - 1}.")
    validates = (fold + 1) % folds if val_fold is None else val_fold
    if not 0 <= validates < folds or validates == fold:
        raise SettingsError(
            f"Fold {validates} can't validate where fold {fold} of {folds} is tested; use another of 0 to {folds - 1}."
        )
    remarks: list[str] = []
    kept_ids = set(kept)
    splits = {s.id: s.split for s in samples if s.id in kept_ids and s.split is not None}
    groups: dict[str, list[Sample]] = defaultdict(list)
    for sample in samples:
        if splits.get(sample.id) != "aside":
            groups[sample.part].append(sample)

    role = {fold: "test", validates: "val"}
    group_split = {key: role.get(number, "train") for key, number in _deal(groups, folds, seed).items()}
    given: set[str] = set()
    for key in sorted(groups):
        sides = {splits[s.id] for s in groups[key] if s.id in splits}
        if len(sides) > 1:
            remarks.append(
                f"Group '{groups[key][0].group}' is on several sides ({', '.join(sorted(sides))}), as given."
            )
        if sides:
            group_split[key] = min(sides, key=("train", "val", "test").index)  # so that no more of it is tested
            given.add(key)
    _give_train_one_of_each_label(groups, group_split, given)
    for key, members in groups.items():
        for sample in members:
            splits.setdefault(sample.id, group_split[key])
    alone = sum(sample.group is None for sample in samples)
    if alone:
        remarks.append(
            f"{alone} of {len(samples)} samples have no group, so each counts as a part of its own: two pictures of "
            "one part may fall on both sides and make the figures look better than they are."
        )
    return SplitPlan(splits, remarks)


def _deal(groups: dict[str, list[Sample]], folds: int, seed: int) -> dict[str, int]:
    """Deal each stratum's groups in a seeded order; go on where the last one stopped, so that folds fill evenly."""
    stratum_sizes = Counter((s.label or "", s.mode or "") for members in groups.values() for s in members)
    strata: dict[tuple[str, str], list[str]] = defaultdict(list)
    for key, members in groups.items():
        rarest = min(((s.label or "", s.mode or "") for s in members), key=lambda name: (stratum_sizes[name], name))
        strata[rarest].append(key)
    dealt: dict[str, int] = {}
    for name in sorted(strata):
        for key in sorted(strata[name], key=lambda key: _order(seed, key)):
            dealt[key] = len(dealt) % folds
    return dealt


def _order(seed: int, key: str) -> bytes:
    return hashlib.blake2b(f"{seed}\0{key}".encode(), digest_size=8, person=b"embedstore.split").digest()


def _give_train_one_of_each_label(
    groups: dict[str, list[Sample]], group_split: dict[str, str], given: Set[str]
) -> None:
    """Move one group of a label that training would never see, from val before test, but none whose side is given."""
    of_label: dict[str, list[str]] = defaultdict(list)
    for key in sorted(groups):
        for label in {s.label for s in groups[key] if s.label is not None}:
            of_label[label].append(key)
    for label in sorted(of_label):
        if any(group_split[key] == "train" for key in of_label[label]):
            continue
        movable = [key for key in of_label[label] if key not in given]
        moved = min(movable, key=lambda key: group_split[key] != "val", default=None)
        if moved is not None:
            group_split[moved] = "train"

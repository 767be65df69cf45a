from collections import Counter, defaultdict
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from embedstore.errors import SettingsError
from embedstore.images import Sample
from embedstore.splits import plan_split


def part(
    name: str, label: str | None = "good", mode: str | None = None, photos: int = 1, **fields: str
) -> list[Sample]:
    """Return the photos of one part."""
    return [Sample(f"{name}/{n}", f"{name}/{n}", label, mode, group=name, **fields) for n in range(photos)]


def parts(counts: dict[str, int], photos: int = 1) -> list[Sample]:
    """Return so many parts of each label."""
    return [
        s for label, count in counts.items() for n in range(count) for s in part(f"{label}-{n}", label, photos=photos)
    ]


samples_lists = st.lists(
    st.tuples(
        st.sampled_from(["good", "crack", "dent", None]),
        st.sampled_from([None, "a", "b"]),
        st.one_of(st.none(), st.integers(0, 12).map(str)),
        st.sampled_from([None, None, None, "train", "val", "test", "aside"]),
    ),
    min_size=1,
    max_size=40,
).map(
    lambda rows: [
        Sample(f"s{n}", f"s{n}", label, mode, group, split) for n, (label, mode, group, split) in enumerate(rows)
    ]
)
ungiven = samples_lists.map(lambda samples: [replace(sample, split=None) for sample in samples])
settings_of_a_plan = st.fixed_dictionaries(
    {"folds": st.integers(3, 7), "fold": st.integers(0, 2), "seed": st.integers(0, 99)}
)


def sides_of_groups(samples, splits):
    sides = defaultdict(set)
    for sample in samples:
        sides[sample.group or ("alone", sample.id)].add(splits[sample.id])
    return sides


# Properties


@given(ungiven, settings_of_a_plan)
def test_every_sample_gets_a_side_and_no_group_is_on_two(samples, chosen):
    plan = plan_split(samples, **chosen)
    assert plan.splits.keys() == {sample.id for sample in samples}
    assert set(plan.splits.values()) <= {"train", "val", "test"}
    assert all(len(sides) == 1 for sides in sides_of_groups(samples, plan.splits).values())


@given(ungiven, settings_of_a_plan)
def test_training_has_a_sample_of_every_label(samples, chosen):
    splits = plan_split(samples, **chosen).splits
    trained = {sample.label for sample in samples if splits[sample.id] == "train"}
    assert {sample.label for sample in samples} - {None} <= trained


@given(samples_lists.flatmap(lambda samples: st.tuples(st.just(samples), st.permutations(samples))), settings_of_a_plan)
def test_the_order_of_the_samples_does_not_matter(orders, chosen):
    samples, shuffled = orders
    kept = [sample.id for sample in samples if sample.split]
    assert plan_split(samples, **chosen, kept=kept) == plan_split(shuffled, **chosen, kept=reversed(kept))


@settings(max_examples=50)
@given(ungiven, st.integers(3, 6), st.integers(0, 99))
def test_the_folds_test_every_group_once_but_those_that_training_needs(samples, folds, seed):
    """The exception: a group that was moved to training because its label had no other there is tested in no fold."""
    tested = Counter()
    for fold in range(folds):
        splits = plan_split(samples, folds=folds, fold=fold, seed=seed).splits
        tested.update(group for group, sides in sides_of_groups(samples, splits).items() if sides == {"test"})
    never = sides_of_groups(samples, {sample.id: "" for sample in samples}).keys() - tested.keys()
    assert set(tested.values()) <= {1}
    labels = defaultdict(set)
    for sample in samples:
        labels[sample.label].add(sample.group or ("alone", sample.id))
    assert len(never) <= len(labels.keys() - {None})
    needed = set().union(*(groups for label, groups in labels.items() if label is not None))
    assert never <= needed


@given(samples_lists, settings_of_a_plan)
def test_given_splits_stay_and_the_rest_of_their_groups_join_them(samples, chosen):
    given_splits = {sample.id: sample.split for sample in samples if sample.split}
    splits = plan_split(samples, **chosen, kept=given_splits).splits
    assert {name: splits[name] for name in given_splits} == given_splits
    for group in {sample.group for sample in samples} - {None}:
        members = [sample for sample in samples if sample.group == group]
        bound = {sample.split for sample in members} - {None, "aside"}
        free = {splits[sample.id] for sample in members if not sample.split}
        assert len(free) <= 1
        if bound and free:
            assert free == {next(side for side in ("train", "val", "test") if side in bound)}


@given(samples_lists, settings_of_a_plan)
def test_aside_never_binds_a_group(samples, chosen):
    kept = [sample.id for sample in samples if sample.split]
    with_aside = plan_split(samples, **chosen, kept=kept).splits
    others = [sample for sample in samples if sample.split != "aside"]
    without = plan_split(others, **chosen, kept=kept).splits
    assert {sample.id: with_aside[sample.id] for sample in others} == without


# Examples


def test_the_folds_part_the_samples():
    samples = parts({"good": 40, "crack": 12}, photos=2)
    tests = [
        {name for name, side in plan_split(samples, folds=4, fold=fold, seed=5).splits.items() if side == "test"}
        for fold in range(4)
    ]
    assert set().union(*tests) == {sample.id for sample in samples}
    assert sum(map(len, tests)) == len(samples)


def test_the_validation_set_is_the_next_folds_test_set():
    samples = parts({"good": 23, "crack": 9})
    for fold in range(5):
        here, there = (plan_split(samples, fold=f).splits for f in (fold, (fold + 1) % 5))
        assert {n for n, side in here.items() if side == "val"} == {n for n, side in there.items() if side == "test"}


def test_any_other_fold_may_validate_and_training_has_the_rest():
    samples = parts({"good": 23, "crack": 9})
    tested = [{n for n, side in plan_split(samples, fold=f).splits.items() if side == "test"} for f in range(5)]
    for fold in range(5):
        for val_fold in {*range(5)} - {fold}:
            splits = plan_split(samples, fold=fold, val_fold=val_fold).splits
            sides = {side: {n for n, s in splits.items() if s == side} for side in ("train", "val", "test")}
            assert (sides["test"], sides["val"]) == (tested[fold], tested[val_fold])
            assert sides["train"] == {sample.id for sample in samples} - tested[fold] - tested[val_fold]


@settings(max_examples=40)
@given(st.dictionaries(st.sampled_from("abcd"), st.integers(1, 30), min_size=1), st.integers(3, 8), st.integers(0, 99))
def test_each_label_is_dealt_evenly(counts, folds, seed):
    samples = parts(counts)
    for fold in range(folds):
        splits = plan_split(samples, folds=folds, fold=fold, seed=seed).splits
        for label, count in counts.items():
            if count < folds:  # then one may have moved to training
                continue
            tested = sum(splits[sample.id] == "test" for sample in samples if sample.label == label)
            assert count // folds <= tested <= -(-count // folds)
        total = sum(side == "test" for side in splits.values())
        moved = sum(count < folds for count in counts.values())
        assert len(samples) // folds - moved <= total <= -(-len(samples) // folds)


def test_each_mode_is_dealt_evenly_within_its_label():
    samples = [s for mode in ("scratch", "hole") for n in range(13) for s in part(f"{mode}-{n}", "bad", mode)]
    for fold in range(5):
        splits = plan_split(samples, fold=fold).splits
        for mode in ("scratch", "hole"):
            assert sum(splits[sample.id] == "test" for sample in samples if sample.mode == mode) in (2, 3)


def test_a_mixed_group_counts_for_its_rarest_label():
    """Ten parts carry the one rare defect beside many good photos; five folds must each test two of them."""
    samples = parts({"good": 50}) + [
        sample
        for n in range(10)
        for sample in [
            *part(f"mixed-{n}", "good", photos=3),
            Sample(f"defect-{n}", f"d{n}", "crack", group=f"mixed-{n}"),
        ]
    ]
    for fold in range(5):
        splits = plan_split(samples, fold=fold).splits
        assert sum(splits[sample.id] == "test" for sample in samples if sample.label == "crack") == 2


def test_the_seed_decides_the_folds_and_nothing_else_does():
    samples = parts({"good": 30})
    plans = [plan_split(samples, seed=seed).splits for seed in range(5)]
    assert plans[0] == plan_split(samples, seed=0).splits
    assert len({tuple(sorted(plan.items())) for plan in plans}) == 5


def test_the_deal_is_the_same_in_every_release():
    plan = plan_split(parts({"good": 6, "crack": 4}), folds=3, fold=1, seed=2)
    assert {name for name, side in plan.splits.items() if side == "test"} == {"crack-1/0", "good-0/0", "good-3/0"}


def test_a_lone_part_of_a_label_trains_and_of_two_the_validation_part_is_taken():
    for fold in range(5):
        splits = plan_split(parts({"good": 20, "rare": 1}), fold=fold).splits
        assert splits["rare-0/0"] == "train"
        splits = plan_split(parts({"good": 20, "rare": 2}), fold=fold).splits
        sides = {splits["rare-0/0"], splits["rare-1/0"]}
        assert "train" in sides
        assert sides <= {"train", "test", "val"}
    tested = [plan_split(parts({"good": 20, "rare": 2}), fold=f).splits for f in range(5)]
    assert sum("test" in (s["rare-0/0"], s["rare-1/0"]) for s in tested) == 2


def test_a_given_test_part_does_not_count_as_training():
    """Both of a label's parts would be lost to training if the given one were taken for a trained one."""
    for fold in range(5):
        samples = parts({"good": 20, "rare": 2})
        samples = [replace(s, split="test") if s.group == "rare-0" else s for s in samples]
        splits = plan_split(samples, fold=fold, kept=["rare-0/0"]).splits
        assert splits["rare-0/0"] == "test"
        assert splits["rare-1/0"] == "train"


def test_nothing_given_is_moved_even_if_training_goes_without():
    samples = [replace(sample, split="test") for sample in parts({"good": 3})]
    assert set(plan_split(samples, kept=[s.id for s in samples]).splits.values()) == {"test"}


def test_a_split_that_is_not_kept_is_dealt_anew():
    samples = [replace(sample, split="test") for sample in parts({"good": 10})]
    assert plan_split(samples).counts() == {"train": 6, "val": 2, "test": 2}


def test_counts_are_in_a_fixed_order_and_leave_out_what_is_absent():
    samples = parts({"good": 5}) + part("x", split="aside")
    plan = plan_split(samples, kept=["x/0"])
    assert list(plan.counts().items()) == [("train", 3), ("val", 1), ("test", 1), ("aside", 1)]
    assert list(plan_split(parts({"good": 1})).counts()) == ["train"]


# Remarks and errors


def test_no_remark_where_all_is_well():
    assert plan_split(parts({"good": 9}, photos=2)).remarks == []


def test_remark_on_a_given_group_that_is_on_several_sides():
    samples = [
        *part("p", split="train"),
        Sample("q", "q", "good", group="p", split="test"),
        Sample("r", "r", "good", group="p"),
    ]
    plan = plan_split(samples, kept=["p/0", "q"])
    assert plan.remarks == ["Group 'p' is on several sides (test, train), as given."]
    assert plan.splits == {"p/0": "train", "q": "test", "r": "train"}


def test_a_group_that_is_partly_aside_is_not_on_several_sides():
    samples = [*part("p", split="test"), Sample("q", "q", "good", group="p", split="aside")]
    assert plan_split(samples, kept=["p/0", "q"]).remarks == []


def test_remark_on_samples_without_a_group():
    samples = [*parts({"good": 9}), Sample("a", "a", "good"), Sample("b", "b", "good")]
    (remark,) = plan_split(samples).remarks
    assert remark.startswith(
        "2 of 11 samples have no group, so each counts as a part of its own: two pictures of one part"
    )


def test_a_sample_without_a_group_is_not_the_group_of_its_own_name():
    samples = [Sample("x", "x", "good"), *part("x", "good", photos=2)]
    sides = [plan_split(samples, fold=f).splits for f in range(5)]
    assert any(splits["x"] != splits["x/0"] for splits in sides)


@pytest.mark.parametrize(
    ("folds", "fold", "message"),
    [
        (2, 0, r"2 folds can't give train, val and test; use 3 or more\."),
        (5, 5, r"Fold 5 does not exist; with 5 folds use 0 to 4\."),
        (5, -1, r"Fold -1 does not exist; with 5 folds use 0 to 4\."),
    ],
)
def test_impossible_folds(folds, fold, message):
    with pytest.raises(SettingsError, match=message):
        plan_split(parts({"good": 9}), folds=folds, fold=fold)


@pytest.mark.parametrize("val_fold", [2, 5, -1])
def test_a_fold_that_can_not_validate(val_fold):
    message = rf"Fold {val_fold} can't validate where fold 2 of 5 is tested; use another of 0 to 4\."
    with pytest.raises(SettingsError, match=message):
        plan_split(parts({"good": 9}), fold=2, val_fold=val_fold)

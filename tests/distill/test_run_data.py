"""What a run learns from and is tested on, and the refusal of what can't be learned."""

from collections import Counter
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import toy_parts
from hypothesis import given, settings
from hypothesis import strategies as st
from toy_parts import quick

import distill
import embedstore
from distill.training.run_data import RunData, make_run_data
from embedstore import EmbeddingStore, Sample
from embedstore.errors import SettingsError, TrainingError
from embedstore.splits import plan_split
from embedstore.views import Recipe


@dataclass
class Samples:
    """The part of a store that a data is made from."""

    samples: list[Sample]
    path: Path = field(default=Path("toy.store"))
    recipe: Recipe = field(default_factory=Recipe)


def run_data_of(samples: list[Sample], **changes: Any) -> RunData:
    return make_run_data(cast("EmbeddingStore", Samples(samples)), quick(**{"good": None} | changes))


def sample(name: str, label: str | None, split: str | None = None, group: str | None = None) -> Sample:
    return Sample(name, name, label, group=group, split=split)


def written(**sides: str) -> list[Sample]:
    """Return samples with a written split: train="ggd?" are two good ones, a defect, and one without a label."""
    names = {"g": "good", "d": "defect", "s": "scratch", "?": None}
    return [
        sample(f"{side}{number}", names[letter], None if side == "nowhere" else side)
        for side, letters in sides.items()
        for number, letter in enumerate(letters)
    ]


def ids(data: RunData, side: str) -> list[str]:
    return [data.samples[at].id for at in data.sides[side]]


# Sides


def test_a_written_split_is_taken_as_it_is() -> None:
    data = run_data_of(written(test="gds", train="gsd?", val="dg", aside="ds"))
    assert {side: ids(data, side) for side in data.sides} == {
        "train": ["train0", "train1", "train2", "train3"],
        "val": ["val0", "val1"],
        "test": ["test0", "test1", "test2"],
        "aside": ["aside0", "aside1"],
    }
    assert data.classes == ["defect", "good", "scratch"]
    assert data.remarks == []


def test_an_input_larger_than_the_stores_pictures_is_told() -> None:
    samples = written(train="gd", val="gd", test="gd")
    small = cast("EmbeddingStore", Samples(samples, recipe=Recipe(student_side=96)))
    assert make_run_data(small, quick(good=None, size=96)).remarks == []
    (told,) = make_run_data(small, quick(good=None, size=160)).remarks
    assert told.startswith(
        "The student's input has 160 pixels a side, and its views are cut from pictures with a short side of 96,"
    )
    assert told.endswith(
        "little more than with --size 96; a store that is built with --keep-images 160 shows more, where the photographs have it."
    )


def test_a_label_that_stands_aside_only_is_no_class() -> None:
    data = run_data_of(written(train="gd", val="gd", test="gd", aside="s"))
    assert data.classes == ["defect", "good"]
    assert ids(data, "aside") == ["aside0"]


def test_without_a_written_split_the_run_makes_a_seeded_one_and_says_so() -> None:
    samples = [sample(f"{n:02}", "good" if n % 3 else "defect", group=f"part {n // 2}") for n in range(40)]
    data, again, other = run_data_of(samples, seed=4), run_data_of(samples, seed=4), run_data_of(samples, seed=5)
    plan = plan_split(samples, seed=4)
    assert {i: side for side in data.sides for i in ids(data, side)} == plan.splits
    assert [ids(again, side) for side in again.sides] == [ids(data, side) for side in data.sides]
    assert ids(other, "test") != ids(data, "test")
    counts = Counter(plan.splits.values())
    assert data.remarks == [
        "The store has no written split, so this run made one by group with seed 4 "
        f"({counts['train']} train, {counts['val']} val, {counts['test']} test)."
    ]


def test_a_split_of_the_runs_own_tells_of_samples_without_a_group() -> None:
    data = run_data_of([sample(f"{n:02}", "good" if n % 2 else "defect") for n in range(20)])
    assert len(data.remarks) == 2
    assert data.remarks[1].startswith("20 of 20 samples have no group")


def test_what_is_set_aside_stays_there_when_the_run_makes_its_split() -> None:
    samples = [sample(f"{n:02}", "good" if n % 2 else "defect", group=f"part {n // 4}") for n in range(40)]
    samples[7] = replace(samples[7], split="aside")
    data = run_data_of(samples)
    assert ids(data, "aside") == ["07"]
    assert sum(len(data.sides[side]) for side in ("train", "val", "test")) == 39


def test_samples_that_a_written_split_leaves_out_take_no_part_and_are_counted() -> None:
    data = run_data_of(written(train="gd", val="gd", test="gd", nowhere="gds"))
    assert sum(len(positions) for positions in data.sides.values()) == 6
    assert len(data.remarks) == 1
    assert data.remarks[0].startswith("3 pictures have no split and take no part")
    assert "embedstore split 'toy.store' --keep" in data.remarks[0]


def test_a_run_may_deal_its_own_folds_whatever_split_is_written() -> None:
    samples = [sample(f"{n:02}", "good" if n % 3 else "defect", "train", f"part {n // 2}") for n in range(60)]
    samples[7] = replace(samples[7], split="aside")
    tested: Counter[str] = Counter()
    for fold in range(4):
        data = run_data_of(samples, folds=4, fold=fold, seed=fold)  # the seed of a run moves no picture
        plan = plan_split(samples, folds=4, fold=fold, kept=["07"])
        assert {i: side for side in data.sides for i in ids(data, side)} == plan.splits
        assert data.remarks == []
        tested.update(ids(data, "test"))
    assert tested == Counter(one.id for one in samples if one.id != "07")


@pytest.mark.parametrize(("folds", "fold"), [(2, 0), (0, 0), (5, 5), (5, -1)])
def test_a_fold_that_does_not_exist_is_refused(folds: int, fold: int) -> None:
    with pytest.raises(SettingsError, match=r"use 3 or more|Fold .* does not exist"):
        run_data_of(written(train="gd", val="gd", test="gd"), folds=folds, fold=fold)


letters = st.text("gds?", max_size=8)


@settings(max_examples=200)
@given(train=letters, val=letters, test=letters, aside=letters, nowhere=letters, good=st.sampled_from([None, "good"]))
def test_a_task_is_refused_by_name_or_has_all_that_its_figures_need(
    train: str, val: str, test: str, aside: str, nowhere: str, good: str | None
) -> None:
    refusal, data = "", None
    try:
        data = run_data_of(written(train=train, val=val, test=test, aside=aside, nowhere=nowhere), good=good)
    except TrainingError as error:
        refusal = str(error)
    if data is None:
        assert refusal
        assert ". " not in refusal  # one sentence
        return
    everywhere = np.concatenate([data.sides[side] for side in data.sides])
    assert len(set(everywhere.tolist())) == len(everywhere)
    assert len(data.classes) >= 2
    for side in ("val", "test"):
        assert data.labels(side)
        assert set(data.labels(side)) <= set(data.classes)
    if good is not None:
        assert data.labels("val")[good]
        assert data.labels("test")[good]
        assert len(data.labels("test")) > 1


@settings(max_examples=30)
@given(seed=st.integers(0, 1000), count=st.integers(12, 40), per_group=st.integers(1, 4))
def test_a_group_never_falls_on_two_sides(seed: int, count: int, per_group: int) -> None:
    samples = [sample(f"{n}", "good" if n % 2 else "defect", group=f"{n // per_group}") for n in range(count)]
    try:
        data = run_data_of(samples, seed=seed)
    except TrainingError:
        return
    groups = [{data.samples[at].group for at in data.sides[side]} for side in ("train", "val", "test")]
    assert not groups[0] & groups[1]
    assert not groups[0] & groups[2]
    assert not groups[1] & groups[2]


# Refusals

REFUSED = {
    "no label at all": (written(train="??", val="?", test="?"), None, "No picture in 'toy.store' has a label"),
    "one class": (written(train="ddd", val="d", test="d"), None, "All labelled training pictures are 'defect'"),
    "one sample of a label": (written(train="ggds", val="gd", test="gd"), None, "label 'scratch' has one picture only"),
    "no labelled training picture": (written(train="??", val="gd", test="gd"), None, "No training picture has a label"),
    "unlabelled val": (written(train="gd", val="??", test="gd"), None, "The val side of the split has no labelled"),
    "no test": (written(train="gd", val="gd"), None, "The test side of the split has no labelled picture"),
    "label in val only": (written(train="gd", val="gss", test="gd"), None, "'scratch' is in val but not in train"),
    "label in test only": (written(train="gd", val="gd", test="ssgd"), None, "'scratch' is in test but not in train"),
    "unknown good": (written(train="gd", val="gd", test="gd"), "ok", "'ok' is not among the training labels"),
    "good aside only": (written(train="dds", val="ds", test="ds", aside="gg"), "good", "'good' is not among"),
    "val without good": (written(train="gd", val="d", test="gd"), "good", "The val side has no 'good' picture"),
    "test without good": (written(train="gd", val="gd", test="d"), "good", "The test side has no 'good' picture"),
    "test without a defect": (written(train="gd", val="gd", test="g?"), "good", "The test side has no defect"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_what_can_not_be_learned_or_tested_is_refused(case: str) -> None:
    samples, good, message = REFUSED[case]
    with pytest.raises(TrainingError, match=message):
        run_data_of(samples, good=good)


def in_parts(defects: int, good: int = 30) -> list[Sample]:
    """Return pictures without a split, two of each part."""
    return [
        sample(f"{label}{number:02}", label, group=f"{label} {number // 2}")
        for label, parts in (("good", good), ("defect", defects))
        for number in range(2 * parts)
    ]


@pytest.mark.parametrize(("defects", "folds", "fewer"), [(3, 5, 3), (4, 9, 4), (2, 5, None), (2, 3, None)])
def test_a_fold_that_can_not_be_tested_names_how_many_folds_can(defects: int, folds: int, fewer: int | None) -> None:
    samples = in_parts(defects)

    def refusals(folds: int) -> list[str]:
        found = []
        for fold in range(folds):
            try:
                run_data_of(samples, good="good", folds=folds, fold=fold)
            except TrainingError as error:
                found.append(str(error))
        return found

    for number in range(3, folds):
        assert bool(refusals(number)) == (fewer is None or number > fewer)
    remedy = (
        "fewer folds do not help, so add pictures of more parts."
        if fewer is None
        else f"with --folds {fewer} every fold can be tested."
    )
    found = refusals(folds)
    assert found
    for sentence in found:
        assert sentence.startswith(f"Of {folds} folds, number ")
        assert sentence.endswith(
            f" can't be tested: the test side has no defect, so escapes can't be measured; {remedy}"
        )


labels = st.sampled_from(["good", "good", "defect", "scratch", None])
splits = st.sampled_from([None, None, None, "aside", "train"])


@settings(max_examples=60, deadline=None)
@given(
    rows=st.lists(st.tuples(labels, splits, st.integers(0, 12)), min_size=6, max_size=30),
    folds=st.integers(4, 12),
    good=st.sampled_from([None, "good"]),
)
def test_as_many_folds_are_named_as_trying_all_finds(
    rows: list[tuple[str | None, str | None, int]], folds: int, good: str | None
) -> None:
    samples = [sample(f"{n:02}", label, split, f"part {part}") for n, (label, split, part) in enumerate(rows)]

    def refusal(folds: int, fold: int) -> str | None:
        try:
            run_data_of(samples, good=good, folds=folds, fold=fold)
        except TrainingError as error:
            return str(error)
        return None

    for fold in range(folds):
        said = refusal(folds, fold)
        if said is None or "Of " not in said:
            continue
        can = [fewer for fewer in range(3, folds) if not any(refusal(fewer, one) for one in range(fewer))]
        assert (f"with --folds {max(can)} every" if can else "fewer folds do not help") in said
        return


def test_far_too_many_folds_are_told_without_trying_all(monkeypatch: pytest.MonkeyPatch) -> None:
    dealt = []

    def counted(*given: Any, **options: Any) -> Any:
        dealt.append(options["folds"])
        return plan_split(*given, **options)

    monkeypatch.setattr("distill.training.run_data.plan_split", counted)
    with pytest.raises(TrainingError, match="with --folds 5 every fold can be tested"):
        run_data_of(in_parts(5, good=200), good="good", folds=150, fold=140)
    assert dealt == [150, 5, 5, 5, 5, 5]


def test_what_no_deal_of_folds_can_mend_is_told_as_without_folds() -> None:
    with pytest.raises(
        TrainingError, match=r"^The good label 'ok' is not among the training labels \(defect, good\)\.$"
    ):
        run_data_of(in_parts(10), good="ok", folds=5)


def test_a_label_of_one_picture_may_stand_aside() -> None:
    assert run_data_of(written(train="gd", val="gd", test="gd", aside="s")).classes == ["defect", "good"]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([replace(row, label="") for row in toy_parts.parts(6, 4, 0)], "has a label"),
        (toy_parts.parts(10, 0, 0), "a student needs at least two labels"),
        (toy_parts.parts(20, 1, 0, split=False), "The label 'defect' has one picture only"),
    ],
    ids=["no labels", "one class", "one sample of a label"],
)
def test_build_accepts_what_training_refuses_before_anything_is_written(
    rows: list[toy_parts.Part], message: str, tmp_path: Path
) -> None:
    store_path = toy_parts.make_store(tmp_path, rows)
    with embedstore.open(store_path) as store:
        assert len(store) == len(rows)
    with pytest.raises(TrainingError, match=message):
        distill.train(store_path, tmp_path / "run", quick())
    assert not (tmp_path / "run").exists()


# What a reader should know


def test_a_label_that_is_not_tested_is_told() -> None:
    data = run_data_of(written(train="gdss", val="gds", test="gd"))
    assert data.remarks == ["No 'scratch' picture is on the test side, so the figures say nothing of it."]


@pytest.mark.parametrize(
    ("goods", "overkill", "told"),
    [(19, 0.05, True), (39, 0.05, True), (40, 0.05, False), (9, 0.1, True), (9, 0, False)],
)
def test_too_few_good_pictures_for_the_threshold_are_told(goods: int, overkill: float, told: bool) -> None:
    found = run_data_of(written(train="gd", val="g" * goods + "d", test="gd"), good="good", overkill=overkill).remarks
    assert len(found) == told
    if told:
        assert found[0].startswith(
            f"The validation side has {goods} 'good' pictures, too few for an overkill of {overkill:.1%}"
        )
        assert found[0].endswith(f"from {round(2 / overkill)} on it is at most half more than asked on average.")


def test_a_part_on_two_sides_is_told() -> None:
    samples = [
        sample("a", "good", "train", "one"), sample("b", "good", "test", "one"), sample("c", "defect", "train", "two"),
        sample("d", "defect", "test", "three"), sample("e", "good", "val", "four"), sample("f", "defect", "val", "five"),
        sample("g", "good", "aside", "two"),
    ]  # fmt: skip
    assert run_data_of(samples).remarks == [
        "1 groups (such as 'one') are on several sides of the split, so pictures of one part are both learned and "
        "tested, and the figures look better than they are."
    ]

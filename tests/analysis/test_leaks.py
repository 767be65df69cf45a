"""Leaks: what a written split tears apart, by hand, and what of it can be dealt again."""

from pathlib import Path
from typing import Any

from helpers import store_of, unit_vectors

from embedstore import EmbeddingStore
from embedstore.analysis.leaks import Leaks, find_leaks

#                 0        1       2        3       4        5       6        7      8     9
SPLITS = ["train", "test", "train", "train", "val", "aside", "train", "test", None, "val"]
SETS = [[0, 1, 7], [2, 3], [4, 5], [6, 8], [9, 1]]


def store(path: Path, **fields: Any) -> EmbeddingStore:
    return store_of(path, unit_vectors(0, len(SPLITS)), **{"splits": SPLITS, **fields})


def ids(sets: list[list[int]]) -> list[list[str]]:
    return [[f"sample {at:05d}" for at in places] for places in sets]


def test_sets_on_several_sides_and_pictures_with_a_twin_in_train_are_counted(tmp_path: Path) -> None:
    with store(tmp_path / "s") as opened:
        leaks = find_leaks(opened, ids(SETS))
    assert leaks == Leaks(
        torn_sets=ids([[0, 1, 7], [9, 1]]),  # aside, and no side, bind nothing
        torn_groups=[],
        fixed_sets=0,
        fixed_groups=0,
        pictures={"test": 2, "val": 2},
        twins_in_train={"test": 2, "val": 0},  # val and test share the second set, and train has no part in it
    )


def test_val_is_counted_against_train_too_and_a_side_without_pictures_left_out(tmp_path: Path) -> None:
    with store(tmp_path / "s", splits=["train", "val", "val", "val", *[None] * 6]) as opened:
        leaks = find_leaks(opened, ids([[0, 1, 2]]))
    assert (leaks.pictures, leaks.twins_in_train) == ({"val": 3}, {"val": 2})


def test_without_a_split_nothing_is_torn(tmp_path: Path) -> None:
    with store(tmp_path / "s", splits=[None] * 10, groups=["A"] * 10) as opened:
        assert find_leaks(opened, ids(SETS)) == Leaks([], [], 0, 0, {}, {})


def test_groups_on_several_sides_are_torn_until_they_are_dealt_again(tmp_path: Path) -> None:
    groups = ["A", "A", "B", "B", "C", "C", None, None, "D", "D"]
    with store(tmp_path / "s", groups=groups) as opened:
        assert find_leaks(opened, []).torn_groups == ["A"]
        opened.split()
        assert find_leaks(opened, []).torn_groups == []


def test_what_the_manifest_tears_is_told_apart_from_what_can_be_dealt_again(tmp_path: Path) -> None:
    """The manifest gave: A both sides, B one of its two, C none of its two, D one that was given anew since."""
    groups = ["A", "A", "B", "B", "C", "C", "D", "D", None, None]
    splits = ["train", "test", "train", "test", "train", "test", "train", "test", "train", "val"]
    given = ["train", "test", "train", None, None, None, "train", "val", None, None]
    sources = [None if side is None else {"split": side} for side in given]
    with store(tmp_path / "s", groups=groups, splits=splits, sources=sources) as opened:
        leaks = find_leaks(opened, ids([[0, 1], [2, 3], [8, 9]]))
        assert leaks.torn_groups == ["A", "B", "C", "D"]
        assert (len(leaks.torn_sets), leaks.fixed_sets, leaks.fixed_groups) == (3, 1, 1)
        opened.split()
        assert find_leaks(opened, []).torn_groups == ["A"]

"""The thinned tail: what is set aside is never learned, and tested by the runs that hold its fold out, part by part."""

import sys
from collections import Counter
from pathlib import Path

import pytest

from distill.evaluation.report import Held
from distill.evaluation.runs import RunScores
from embedstore import Sample

sys.path.append(str(Path(__file__).parents[2] / "tools" / "study"))

from aside import folds_of_aside, with_aside
from data import LEFT, THINNED, thinned

FOLDS = 5


def samples() -> list[Sample]:
    """Return 20 parts of each of two kinds with three pictures each, every second part set aside, and one without a label."""
    found = [
        Sample(name := f"{kind}-{part}-{at}", name, "defect", kind, f"{kind} {part}", "aside" if part % 2 else None)
        for kind in ("Break", "Crack")
        for part in range(20)
        for at in range(3)
    ]
    return [*found, Sample("unknown", "unknown", None, None, "other", "aside")]


def run_of(fold: int, val_fold: int | None) -> RunScores:
    """Return a run that holds out one dealt picture on each side and has a score of all that is set aside."""
    sides = {"Break-0-0": "test", "Crack-0-0": "val"}
    held = [
        Held(one.id, sides.get(one.id, "aside"), one.label, one.mode, one.group, (0.25, 0.75))
        for one in samples()
        if one.split == "aside" or one.id in sides
    ]
    return RunScores("own", fold, 0, held, ["defect", "good"], val_fold=val_fold)


def test_whole_parts_are_dealt_evenly_kind_by_kind() -> None:
    fold_of = folds_of_aside(samples(), FOLDS)
    assert len(fold_of) == 2 * 10 * 3  # not the one without a label
    for kind in ("Break", "Crack"):
        assert Counter(fold for name, fold in fold_of.items() if name.startswith(kind)) == dict.fromkeys(
            range(FOLDS), 6
        )
    for part in {one.part for one in samples() if one.id in fold_of}:
        assert len({fold_of[one.id] for one in samples() if one.part == part and one.id in fold_of}) == 1
    assert folds_of_aside(samples()[::-1], FOLDS) == fold_of


def test_each_is_tested_in_its_fold_and_by_no_other_run() -> None:
    fold_of = folds_of_aside(samples(), FOLDS)
    for fold in range(FOLDS):
        run = with_aside(run_of(fold, (fold + 1) % FOLDS), samples(), FOLDS)
        side = {one.id: one.side for one in run.held}
        assert {one.probabilities for one in run.held} == {(0.25, 0.75)}
        assert (side.pop("Break-0-0"), side.pop("Crack-0-0")) == ("test", "val")
        assert side == {
            name: "test" if own == fold else "val" for name, own in fold_of.items() if own in (fold, (fold + 1) % FOLDS)
        }


def test_without_a_validating_fold_only_the_tested_one_gets_them() -> None:
    run = with_aside(run_of(2, None), samples(), FOLDS)
    assert Counter(one.side for one in run.held) == {"test": 1 + 12, "val": 1}


@pytest.mark.parametrize("seed", range(3))
def test_all_but_a_few_whole_parts_of_two_kinds_are_set_aside(seed: int) -> None:
    kinds = [*THINNED, "Crack", "Free"]
    every = [
        Sample(name := f"{kind}-{part}-{at}", name, "defect", kind, f"{seed} {kind} {part}")
        for kind in kinds
        for part in range(9)
        for at in range(2)
    ]
    every.append(Sample("mixed", "mixed", "defect", "Crack", f"{seed} {THINNED[0]} 3"))
    aside = thinned(every)
    assert f"group\0{seed} {THINNED[0]} 3" not in aside  # a part of two kinds stays whole
    alone = {kind: {one.part for one in every if one.mode == kind} - {every[-1].part} for kind in kinds}
    assert {kind: len(alone[kind] - aside) for kind in kinds} == {**dict.fromkeys(THINNED, LEFT), "Crack": 9, "Free": 9}
    assert thinned(every[::-1]) == aside

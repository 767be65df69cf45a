"""Advice on trials that never were, to be told in words; and trials that run in this process, which saves seconds a run."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from toy_runs import train_here
from toy_scores import random_runs

from distill import Settings
from distill.advice.advice import Advice
from distill.advice.candidates import chosen_candidates
from distill.advice.decision import decide
from distill.advice.footprint import Footprint, LeftOut
from distill.advice.looks import HiddenMode, LabelLook, Looks
from distill.advice.needs import Needs
from distill.advice.trials import Pace, Plan
from distill.evaluation.runs import RunScores
from distill.training import trainer

LOOKS = Looks(
    pictures=120,
    unlabelled=3,
    aside=2,
    views=8,
    labels=[LabelLook("defect", 40, 20, 30, 1, 4, 20), LabelLook("good", 75, 50, 10, 0, 0, 20)],
    modes=3,
    hidden=[HiddenMode("Fray", "defect", 10, 9), HiddenMode("Crack", "defect", 20, 12)],
    without_group=0,
    compared=True,
    ungrouped_twins=0,
    meeting_groups=0,
    torn_sets=0,
    tested=0,
)


def advice_of(runs: list[RunScores], needs: Needs | None = None, **changes: Any) -> Advice:
    """Return the advice that follows from some runs of the ways none, class-mean and own."""
    needs = needs or Needs(good="good")
    tried = chosen_candidates(["none", "class-mean", "own"])
    names = [one.name for one in tried]
    decision = decide(runs, names, good=needs.good, overkill=needs.overkill, no_escape=needs.escape is not None)
    base = Settings(good=needs.good, overkill=needs.overkill, views=8, epochs=100)
    values = {
        "settings": next(one for one in tried if one.name == decision.chosen).chosen(base, "pixels"),
        "needs": needs,
        "looks": LOOKS,
        "tried": tried,
        "left_out": [LeftOut("trunk", Footprint(2.84, 9.06, 4))],
        "footprints": {name: Footprint(1.1, 4.25, 4) for name in names},
        "paces": {name: Pace(5.0, 0.5, 40) for name in names},
        "decision": decision,
        "plan": Plan(3, 1, 20, 240.0),
        "learned": 40,
        "training": 80,
        "minutes": 3.4,
        "training_minutes": 2.2,
        "remarks": ["Split by chance."],
    }
    return Advice(**values | changes)


def runs(**bonus: float) -> list[RunScores]:
    """Return runs of three ways that score alike, but for what is added to the scores of a way's defects."""
    of_none = random_runs(1, policies=["none"], folds=3, seeds=2)
    return [
        replace(run, policy=way, held=[_moved(one, bonus.get(way.replace("-", "_"), 0.0)) for one in run.held])
        for way in ("none", "class-mean", "own")
        for run in of_none
    ]


def _moved(one: Any, bonus: float) -> Any:
    if one.label == "good":
        return one
    score = min(1.0, one.probabilities[0] + bonus)
    return replace(one, probabilities=(score, 1 - score))


@pytest.fixture
def in_this_process(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Train in this process; return the directories of the runs that were trained, in their order."""
    trained: list[Path] = []

    def here(store: Path, out: Path, settings: Settings, **how: Any) -> None:
        trained.append(out)
        train_here(store, out, settings, **how)

    monkeypatch.setattr(trainer, "train_apart", here)
    return trained

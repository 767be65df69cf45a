"""What people said of samples changes the next run: dirt is on no side that learns or is tested, labels are the new ones."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from helpers import store_of, unit_vectors
from toy_parts import quick

from distill.training.run_data import make_run_data
from embedstore import EmbeddingStore
from embedstore.triage import Verdict, triage, undo

IDS = [f"{number:02}" for number in range(60)]
SPLITS = [("train", "val", "test", "train")[number // 2 % 4] for number in range(60)]


@pytest.fixture(params=[True, False], ids=["split", "no split"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[EmbeddingStore]:
    with store_of(
        tmp_path / "s",
        unit_vectors(0, 60),
        ids=IDS,
        labels=["good" if number % 3 else "defect" for number in range(60)],
        groups=[f"part {number // 2}" for number in range(60)],
        splits=SPLITS if request.param else [None] * 60,
    ) as opened:
        yield opened


@pytest.mark.parametrize("changes", [{}, {"folds": 5, "fold": 2}])
def test_dirt_takes_no_part_and_a_new_label_is_learned(store: EmbeddingStore, changes: dict[str, Any]) -> None:
    settings = quick(**{"good": None} | changes)
    before = make_run_data(store, settings)
    sides = {side: {IDS[at] for at in before.sides[side]} for side in before.sides}
    dirt = {sorted(sides[side])[0] for side in ("train", "val", "test")}
    wrong = sorted(sides["train"])[1:3]
    triage(store, dict.fromkeys(dirt, Verdict("dirt")) | dict.fromkeys(wrong, Verdict("wrong-label", "pore")))
    after = make_run_data(store, settings)
    assert {IDS[at] for at in after.sides["aside"]} == dirt
    assert sum(len(after.sides[side]) for side in ("train", "val", "test")) == 57
    assert after.classes == ["defect", "good", "pore"]
    assert {after.samples[at].id for at in after.sides["train"] if after.samples[at].label == "pore"} <= set(wrong)
    undo(store, store.version)
    again = make_run_data(store, settings)
    assert {side: {IDS[at] for at in again.sides[side]} for side in again.sides} == sides
    assert again.classes == ["defect", "good"]

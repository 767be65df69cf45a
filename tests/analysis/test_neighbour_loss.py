"""What a lighter copy loses: by brute force, and where there is nobody to ask."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers import store_of, unit_vectors
from sklearn.metrics import roc_auc_score

import embedstore
from embedstore.store.layout import BLOCK

COUNT, DIM = 300, 12  # more than one block of rows
VECTORS = unit_vectors(0, COUNT, DIM)
LABELS = ["defect" if at % 3 == 0 else "good" for at in range(COUNT)]
GROUPS = [f"part {at // 2}" for at in range(COUNT)]
SPLITS = [("train", "train", "val", "test")[at // 2 % 4] for at in range(COUNT)]
TRAIN = np.array([split == "train" for split in SPLITS])


@pytest.fixture
def path(tmp_path: Path) -> Path:
    fields: dict[str, Any] = {"labels": LABELS, "groups": GROUPS, "splits": SPLITS}
    store_of(tmp_path / "store", VECTORS, **fields).close()
    return tmp_path / "store"


def test_the_loss_is_that_of_brute_force(path: Path, tmp_path: Path) -> None:
    report = embedstore.thin(path, tmp_path / "small", dims=3, good="good")
    with embedstore.open(tmp_path / "small") as small:
        after = small.vectors()
    centre = VECTORS[TRAIN].astype(np.float64).mean(axis=0)
    before = VECTORS.astype(np.float64) - centre
    before /= np.linalg.norm(before, axis=1, keepdims=True)
    top, areas = [], []
    for seen in (before, after):
        cosine = seen[~TRAIN] @ seen[TRAIN].T
        top.append([set(row[:10]) for row in np.argsort(-cosine, axis=1)])
        defect = np.array(LABELS)[TRAIN] == "defect"
        areas.append(
            roc_auc_score(
                np.array(LABELS)[~TRAIN] == "defect", cosine[:, defect].max(axis=1) - cosine[:, ~defect].max(axis=1)
            )
        )
    overlap = np.mean([len(a & b) / 10 for a, b in zip(*top, strict=True)])
    assert report.loss.overlap == pytest.approx(overlap, abs=0.01)  # a tie of float16 may fall the other way
    assert 0.2 < overlap < 0.9
    assert (report.loss.auroc, report.loss.auroc_after) == pytest.approx(areas, abs=0.01)
    assert (report.loss.held_out, report.loss.queries, report.loss.candidates) == (True, (~TRAIN).sum(), TRAIN.sum())


def test_a_store_without_a_split_asks_among_other_parts(tmp_path: Path) -> None:
    """Twins of one part are no neighbours of each other, or nothing would ever be lost."""
    twins = np.repeat(unit_vectors(0, 12), 2, axis=0)
    groups = [f"part {at // 2}" for at in range(24)]
    store_of(tmp_path / "store", twins, groups=groups).close()
    report = embedstore.thin(tmp_path / "store", tmp_path / "small", where={"group": "part 0"})
    assert (report.loss.held_out, report.loss.queries, report.loss.candidates_after) == (False, 24, 2)
    # Ten places among 22 others: part 0 is in the ten of some, and of itself it is no neighbour.
    directions = twins.astype(np.float64) - twins.astype(np.float64).mean(axis=0)
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    cosine = directions @ directions.T
    cosine[np.equal.outer(groups, groups)] = -np.inf
    near = [set(row[:10]) for row in np.argsort(-cosine, axis=1, kind="stable")]
    assert report.loss.overlap == pytest.approx(np.mean([len(one & {0, 1}) / 10 for one in near]))
    assert report.loss.auroc is None


def test_a_store_that_is_all_aside_has_nobody_to_ask(path: Path, tmp_path: Path) -> None:
    store_of(tmp_path / "aside", VECTORS, labels=LABELS, splits=["aside"] * COUNT).close()
    loss = embedstore.thin(tmp_path / "aside", tmp_path / "small", good="good").loss
    assert (loss.queries, loss.candidates, loss.overlap, loss.auroc) == (0, 0, None, None)


def test_of_equally_near_ones_the_first_are_taken(tmp_path: Path) -> None:
    """Copies of a few pictures, each a part of its own, in blocks that are cut elsewhere in the copy: nothing is lost."""
    count, random = 2 * 16 * BLOCK, np.random.default_rng(0)
    copies = unit_vectors(0, 6, 4)[random.integers(6, size=count)]
    store = store_of(tmp_path / "store", copies, splits=[*["test"] * 20, *["train"] * (count - 20)])
    gone = np.arange(20, count)[random.random(count - 20) < 0.2]
    with store, store.write() as session:
        session.delete([store.ids[at] for at in gone])
    loss = embedstore.thin(tmp_path / "store", tmp_path / "small").loss
    assert (loss.queries, loss.candidates, loss.overlap) == (20, count - 20 - len(gone), 1)

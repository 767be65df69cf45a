"""What every strategy must hold, whatever it looks for: one suite over all of them."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from helpers import store_of, training_of, unit_vectors

from embedstore.errors import SummaryError
from embedstore.summaries import STRATEGIES, Prototypes, Summary
from embedstore.summaries.summary import ClassLoss
from embedstore.vectors import unit_length

COUNT, DIM = 150, 12
VECTORS = unit_vectors(1, COUNT, DIM)
VECTORS[40:44] = VECTORS[40]  # twins
LABELS = ["common" if number % 5 else "rare" for number in range(COUNT)]
LABELS[77] = "alone"
GROUPS = [f"part {number // 3}" for number in range(COUNT)]

every_strategy = pytest.mark.parametrize("strategy", STRATEGIES)


def fitted(
    strategy: str, *, order: Sequence[int] | None = None, block: int = 64, seed: int = 3
) -> tuple[Prototypes, list[str]]:
    """Return what a strategy makes of the samples, and their ids in the order that it got them."""
    training = training_of(VECTORS, LABELS, groups=GROUPS, order=order, block=block)
    return STRATEGIES[strategy](training, seed), training.ids


def said_of(prototypes: Prototypes, ids: list[str]) -> dict[str, tuple[str, bytes, bool]]:
    """Return, by id, the label and the bytes of the prototype that speaks for a sample, and whether it made any."""
    return {
        name: (prototypes.labels[at], prototypes.vectors[at].tobytes(), bool(made))
        for name, at, made in zip(ids, prototypes.serving, prototypes.fitted, strict=True)
    }


@every_strategy
def test_prototypes_have_the_types_and_shapes_that_they_promise(strategy: str) -> None:
    prototypes, ids = fitted(strategy)
    k = len(prototypes.labels)
    assert (prototypes.vectors.shape, prototypes.vectors.dtype) == ((k, DIM), np.float32)
    assert np.isfinite(prototypes.vectors).all()
    assert (prototypes.serving.shape, prototypes.serving.dtype) == ((len(ids),), np.int64)
    assert (prototypes.fitted.shape, prototypes.fitted.dtype) == ((len(ids),), bool)
    assert prototypes.serving.min() >= 0
    assert prototypes.serving.max() < k


@every_strategy
def test_every_label_has_a_prototype_and_every_sample_is_spoken_for_by_one_of_its_own_label(strategy: str) -> None:
    prototypes, ids = fitted(strategy)
    assert set(prototypes.labels) == set(LABELS)
    label_of = dict(zip([f"id {number}" for number in range(COUNT)], LABELS, strict=True))
    for name, at in zip(ids, prototypes.serving, strict=True):
        assert prototypes.labels[at] == label_of[name]


@every_strategy
def test_the_same_seed_gives_the_same_to_the_last_bit(strategy: str) -> None:
    first, ids = fitted(strategy)
    second, _ = fitted(strategy)
    assert first.labels == second.labels
    assert first.vectors.tobytes() == second.vectors.tobytes()
    assert said_of(first, ids) == said_of(second, ids)


@every_strategy
@pytest.mark.parametrize("block", [1, 7, 1000])
def test_neither_the_order_of_rows_nor_the_cut_of_blocks_changes_a_bit(strategy: str, block: int) -> None:
    prototypes, ids = fitted(strategy)
    order = np.random.default_rng(block).permutation(COUNT)
    other, other_ids = fitted(strategy, order=order, block=block)
    assert other_ids != ids
    assert said_of(other, other_ids) == said_of(prototypes, ids)
    pairs = [sorted(zip(p.labels, [v.tobytes() for v in p.vectors], strict=True)) for p in (prototypes, other)]
    assert pairs[0] == pairs[1]


@every_strategy
def test_vectors_lie_within_what_their_label_spans(strategy: str) -> None:
    """No prototype is larger than the largest sample, or outside the box around its label's samples."""
    prototypes, _ = fitted(strategy)
    labels = np.array(LABELS)
    for label, vector in zip(prototypes.labels, prototypes.vectors, strict=True):
        own = VECTORS[labels == label].astype(np.float32)
        assert (vector >= own.min(0) - 1e-6).all()
        assert (vector <= own.max(0) + 1e-6).all()


@every_strategy
def test_a_sample_that_is_alone_is_its_own_prototype(strategy: str) -> None:
    prototypes, ids = fitted(strategy)
    at = prototypes.serving[ids.index("id 77")]
    assert prototypes.labels[at] == "alone"
    assert (prototypes.vectors[at] == VECTORS[77].astype(np.float32)).all()


@every_strategy
@pytest.mark.parametrize("count", [1, 2, 5])
def test_a_label_of_equal_samples_is_itself(strategy: str, count: int) -> None:
    vectors = np.repeat(unit_vectors(5, 1), count, axis=0)
    prototypes = STRATEGIES[strategy](training_of(vectors, ["only"] * count), 0)
    assert set(prototypes.labels) == {"only"}
    assert (prototypes.vectors == vectors[0].astype(np.float32)).all()


# Through a store


def summary_of(path: Path, strategy: str, outlier: npt.NDArray[np.float16] | None = None) -> Summary:
    vectors = VECTORS.copy()
    splits = [("train", "train", "val", "test", None)[number % 5 % 4 + number // 75] for number in range(COUNT)]
    at = next(number for number in range(COUNT) if splits[number] == "test")
    if outlier is not None:
        vectors[at] = outlier
    labels: list[str | None] = [None if number % 10 == 1 else label for number, label in enumerate(LABELS)]
    with store_of(path, vectors, labels=labels, splits=splits, groups=GROUPS) as store:
        summary = store.summarize(strategy, split="train", name="saved")
        expected = [
            sample.id for sample, split in zip(store.samples, splits, strict=True) if split == "train" and sample.label
        ]
        assert summary.seen == expected
        assert store.summary("saved").to_bytes() == summary.to_bytes()
    return summary


@every_strategy
def test_a_summary_saw_the_labelled_samples_of_its_split_and_no_other(tmp_path: Path, strategy: str) -> None:
    summary = summary_of(tmp_path / "one", strategy)
    planted = summary_of(tmp_path / "two", strategy, outlier=-VECTORS[0] * np.float16(1))
    assert planted.to_bytes() == summary.to_bytes()


@every_strategy
def test_the_numbers_of_a_summary_fit_together(tmp_path: Path, strategy: str) -> None:
    summary = summary_of(tmp_path / "store", strategy)
    by_id = {f"sample {number:05d}": VECTORS[number].astype(np.float64) for number in range(COUNT)}
    assert sorted(name for k in range(len(summary.labels)) for name in summary.members(k)) == sorted(summary.seen)
    for k, label in enumerate(summary.labels):
        members = summary.members(k)
        assert summary.counts[k] == len(members)
        distances = [
            float(np.linalg.norm(unit_length(by_id[name]) - unit_length(summary.vectors)[k])) for name in members
        ]
        assert summary.radius[k] == pytest.approx(max(distances, default=0), abs=1e-6)
        assert label in summary.averaging_loss
    assert sum(loss.count for loss in summary.averaging_loss.values()) == len(summary.seen) == summary.counts.sum()
    assert summary.centre == pytest.approx(np.mean([by_id[name] for name in summary.seen], axis=0), abs=1e-6)


@every_strategy
def test_what_a_summary_hides_is_told_the_same_whatever_the_row_order(tmp_path: Path, strategy: str) -> None:
    told: list[dict[str, ClassLoss]] = []
    centres, words = [], []
    for number, order in enumerate((range(COUNT), np.random.default_rng(9).permutation(COUNT))):
        with store_of(
            tmp_path / str(number),
            VECTORS[list(order)],
            ids=[f"id {at}" for at in order],
            labels=[LABELS[at] for at in order],
            groups=[GROUPS[at] for at in order],
            modes=[f"mode {at % 4}" for at in order],
        ) as store:
            summary = store.summarize(strategy)
        told.append(dict(summary.averaging_loss))
        centres.append(summary.centre.tobytes())
        words.append([loss.in_words() for loss in summary.averaging_loss.values()])
    assert told[0] == told[1]  # to the last bit
    assert centres[0] == centres[1]
    assert words[0] == words[1]


@every_strategy
def test_a_store_without_labels_is_refused(tmp_path: Path, strategy: str) -> None:
    with (
        store_of(tmp_path / "store", unit_length(np.ones((3, DIM)))) as store,
        pytest.raises(SummaryError, match=r"No sample to summarise in .* has a label; a summary needs labels"),
    ):
        store.summarize(strategy)

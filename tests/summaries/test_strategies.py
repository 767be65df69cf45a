"""What every strategy must hold, whatever it looks for: one suite over all of them."""

import math
from collections.abc import Iterator, Sequence
from inspect import signature
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from helpers import store_of, text_vectors, training_of, unit_vectors

from embedstore import EmbeddingStore
from embedstore.errors import SummaryError
from embedstore.summaries import STRATEGIES, Prototypes, Summary, TrainingVectors
from embedstore.summaries.class_loss import ClassLoss
from embedstore.vectors import Vectors, unit_length

COUNT, DIM = 150, 12
VECTORS = unit_vectors(1, COUNT, DIM)
VECTORS[40:44] = VECTORS[40]  # twins
LABELS = ["common" if number % 5 else "rare" for number in range(COUNT)]
LABELS[77] = "alone"
LABELS[99:102] = ["one part"] * 3
GROUPS = [f"part {number // 3}" for number in range(COUNT)]

every_strategy = pytest.mark.parametrize("strategy", STRATEGIES)
every_strategy_on_pictures = pytest.mark.parametrize("strategy", [name for name in STRATEGIES if name != "text"])


@pytest.fixture(autouse=True)
def texts_are_made_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """Stores made by hand have no teacher that could be loaded."""
    monkeypatch.setattr(EmbeddingStore, "embed_text", lambda store, texts: text_vectors(texts, store.dim))


def fitted(
    strategy: str, *, order: Sequence[int] | None = None, block: int = 64, seed: int = 3, **parameters: Any
) -> tuple[Prototypes, TrainingVectors]:
    """Return what a strategy makes of the samples, and how it got them."""
    training = training_of(VECTORS, LABELS, groups=GROUPS, order=order, block=block)
    return STRATEGIES[strategy](training, seed, **parameters), training


def said_of(prototypes: Prototypes, ids: list[str]) -> tuple[Any, ...]:
    """Return all that was found, by id instead of by position."""
    return (
        prototypes.labels,
        prototypes.vectors.tobytes(),
        [ids[at] if at >= 0 else None for at in prototypes.source],
        sorted(name for name, made in zip(ids, prototypes.fitted, strict=True) if made),
        prototypes.remarks,
        None if prototypes.axes is None else prototypes.axes.tobytes(),
        [
            (
                one.book.centroids.tobytes(),
                one.book.parts.tobytes(),
                sorted((ids[at], code.tobytes()) for at, code in zip(one.of, one.codes, strict=True)),
            )
            for one in prototypes.codes
        ],
        None if prototypes.distances is None else sorted(zip(ids, prototypes.distances.tolist(), strict=True)),
    )


@every_strategy
def test_prototypes_have_the_types_and_shapes_that_they_promise(strategy: str) -> None:
    prototypes, _ = fitted(strategy)
    k = len(prototypes.labels)
    assert (prototypes.vectors.shape, prototypes.vectors.dtype) == ((k, DIM), np.float32)
    assert np.isfinite(prototypes.vectors).all()
    assert (prototypes.source.shape, prototypes.source.dtype) == ((k,), np.int64)
    assert prototypes.source.min() >= -1
    assert prototypes.source.max() < COUNT
    assert (prototypes.fitted.shape, prototypes.fitted.dtype) == ((COUNT,), bool)
    assert (prototypes.axes is None) == (strategy != "class-distribution")
    assert (prototypes.codes == ()) == (prototypes.distances is None) == (strategy != "compressed-own")
    if prototypes.distances is not None:
        assert (prototypes.distances.shape, prototypes.distances.dtype) == ((COUNT,), np.float64)
    if prototypes.axes is not None:
        assert (prototypes.axes.shape[::2], prototypes.axes.dtype) == ((k, DIM), np.float32)
        assert np.isfinite(prototypes.axes).all()
    assert isinstance(prototypes.labels, list)
    assert isinstance(prototypes.remarks, tuple)
    assert all(isinstance(remark, str) and remark.endswith(".") for remark in prototypes.remarks)


@every_strategy
def test_every_label_has_a_prototype_and_labels_are_in_order(strategy: str) -> None:
    prototypes, _ = fitted(strategy)
    assert sorted(set(prototypes.labels)) == ["alone", "common", "one part", "rare"]
    assert prototypes.labels == sorted(prototypes.labels)


@every_strategy
def test_a_prototype_that_is_a_sample_is_that_sample_and_no_other_is_the_same(strategy: str) -> None:
    prototypes, training = fitted(strategy)
    own = prototypes.source >= 0
    at = prototypes.source[own]
    assert len(set(at.tolist())) == len(at)
    assert [prototypes.labels[number] for number in np.flatnonzero(own)] == [training.labels[one] for one in at]
    assert prototypes.vectors[own].tobytes() == VECTORS[at].astype(np.float32).tobytes()
    assert prototypes.fitted[at].all()


@every_strategy_on_pictures
def test_every_label_takes_part_in_what_was_made(strategy: str) -> None:
    prototypes, training = fitted(strategy)
    assert {label for label, made in zip(training.labels, prototypes.fitted, strict=True) if made} == set(LABELS)


@every_strategy
def test_the_same_seed_gives_the_same_to_the_last_bit(strategy: str) -> None:
    first, training = fitted(strategy)
    assert said_of(first, training.ids) == said_of(fitted(strategy)[0], training.ids)


@every_strategy
@pytest.mark.parametrize("block", [1, 7, 1000])
def test_neither_the_order_of_rows_nor_the_cut_of_blocks_changes_a_bit(strategy: str, block: int) -> None:
    prototypes, training = fitted(strategy)
    other, shuffled = fitted(strategy, order=np.random.default_rng(block).permutation(COUNT), block=block)
    assert shuffled.ids != training.ids
    assert said_of(other, shuffled.ids) == said_of(prototypes, training.ids)


@pytest.mark.parametrize("strategy", [name for name in STRATEGIES if name != "compressed-own"])  # which keeps all views
def test_only_the_plain_view_is_looked_at(strategy: str) -> None:
    views = np.stack([VECTORS, -VECTORS, unit_vectors(9, COUNT, DIM)])
    training = training_of(views, LABELS, groups=GROUPS)
    assert training.views == 2
    prototypes, plain = fitted(strategy)
    assert said_of(STRATEGIES[strategy](training, 3), training.ids) == said_of(prototypes, plain.ids)


@every_strategy_on_pictures
def test_vectors_lie_within_what_their_label_spans(strategy: str) -> None:
    """No prototype is larger than the largest sample, or outside the box around its label's samples."""
    prototypes, _ = fitted(strategy)
    labels = np.array(LABELS)
    for label, vector in zip(prototypes.labels, prototypes.vectors, strict=True):
        own = VECTORS[labels == label].astype(np.float32)
        assert (vector >= own.min(0) - 1e-6).all()
        assert (vector <= own.max(0) + 1e-6).all()


@every_strategy_on_pictures
def test_a_sample_that_is_alone_is_its_own_prototype(strategy: str) -> None:
    prototypes, _ = fitted(strategy)
    assert prototypes.labels.count("alone") == 1
    assert (prototypes.vectors[prototypes.labels.index("alone")] == VECTORS[77].astype(np.float32)).all()


@every_strategy
@pytest.mark.parametrize("count", [1, 2, 5])
def test_a_label_of_equal_samples_is_itself(strategy: str, count: int) -> None:
    vectors = np.repeat(unit_vectors(5, 1), count, axis=0)
    prototypes = STRATEGIES[strategy](training_of(vectors, ["only"] * count), 0)
    assert set(prototypes.labels) == {"only"}
    assert (prototypes.vectors == vectors[0].astype(np.float32)).all()


@every_strategy_on_pictures
def test_only_text_reads_text(strategy: str) -> None:
    def refuse(texts: list[str]) -> Vectors:
        raise AssertionError(texts)

    whole = training_of(VECTORS, LABELS, groups=GROUPS)
    mute = TrainingVectors(whole.ids, LABELS, GROUPS, whole.blocks, whole.read, refuse, DIM)
    assert said_of(STRATEGIES[strategy](mute, 3), whole.ids) == said_of(fitted(strategy)[0], whole.ids)


@every_strategy
def test_labels_may_hold_any_characters(strategy: str) -> None:
    labels = ["", "{}", "{0}%s'\"<b>", "\x1b[31m", "欠け", "a\nb"] * 25
    prototypes = STRATEGIES[strategy](training_of(VECTORS, labels, groups=GROUPS), 0)
    assert sorted(set(prototypes.labels)) == sorted(set(labels))


def wrong_parameters() -> Iterator[tuple[str, dict[str, Any]]]:
    wrong = {
        "k": [0, -1],
        "share": [0.0, -0.5, 1.5, math.nan],
        "per_class": [0],
        "rank": [0, -1],
        "bytes": [0, -1, 65],
        "rare_bytes": [0, 15, 257],
        "kept_views": [-1, 1],
        "prompt": ["no place"],
    }
    for strategy, fit in STRATEGIES.items():
        for name in wrong.keys() & signature(fit).parameters.keys():
            yield from ((strategy, {name: value}) for value in wrong[name])


@pytest.mark.parametrize(("strategy", "parameters"), sorted(wrong_parameters(), key=str), ids=str)
def test_a_parameter_that_can_not_be_is_refused_in_one_sentence(strategy: str, parameters: dict[str, Any]) -> None:
    with pytest.raises(SummaryError, match=r"^[^\n]*\.$"):
        fitted(strategy, **parameters)


@every_strategy
def test_parameters_are_given_by_name_and_have_defaults(strategy: str) -> None:
    """`embedstore summarize` and the header of a summary rely on that."""
    training, seed, *own = signature(STRATEGIES[strategy]).parameters.values()
    assert (training.name, seed.name) == ("training", "seed")
    for one in own:
        assert one.kind is one.KEYWORD_ONLY
        assert one.default is not one.empty


# Through a store

VECTORS_OF_VIEW_1 = unit_length(VECTORS + 0.5 * unit_vectors(2, COUNT, DIM)).astype(np.float16)


def summary_of(path: Path, strategy: str, outlier: npt.NDArray[np.float16] | None = None) -> Summary:
    vectors = np.stack([VECTORS, VECTORS_OF_VIEW_1])
    splits = [("train", "train", "val", "test", None)[number % 5 % 4 + number // 75] for number in range(COUNT)]
    at = next(number for number in range(COUNT) if splits[number] == "test")
    if outlier is not None:
        vectors[:, at] = outlier
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
    for vector, at in zip(summary.vectors, summary.source, strict=True):
        assert at == -1 or (vector == by_id[summary.seen[at]]).all()


@every_strategy
def test_in_each_view_the_nearest_prototype_of_its_own_label_speaks_for_a_sample(tmp_path: Path, strategy: str) -> None:
    summary = summary_of(tmp_path / "store", strategy)
    assert summary.serving.shape == (len(summary.seen), 2)
    directions = unit_length(summary.vectors).astype(np.float64)
    labels = np.array(summary.labels)
    for name, serving in zip(summary.seen, summary.serving, strict=True):
        number = int(name.split()[1])
        for vectors, at in zip((VECTORS, VECTORS_OF_VIEW_1), serving, strict=True):
            away = np.linalg.norm(directions - unit_length(vectors[number]), axis=1)
            assert labels[at] == LABELS[number]
            assert away[at] <= away[labels == LABELS[number]].min() + 1e-6


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


LOSSLESS = (np.round(VECTORS.astype(np.float64) * 2**21) / 2**21).astype(np.float16)  # an eighth of them is exact, too


def losses_at(path: Path, strategy: str, scale: float) -> dict[str, ClassLoss]:
    """Return what a summary hides of vectors of some length."""
    scaled = (LOSSLESS.astype(np.float64) * scale).astype(np.float16)
    with store_of(path, scaled, labels=LABELS, groups=GROUPS) as store:
        return dict(store.summarize(strategy).averaging_loss)


@every_strategy
def test_the_length_of_vectors_changes_nothing_of_what_is_hidden(tmp_path: Path, strategy: str) -> None:
    """Imported vectors keep theirs; CLIP's own are about 10 long."""
    expected = losses_at(tmp_path / "1", strategy, 1)
    for scale, tolerance in ((8, 0), (1 / 8, 0), (10, 0.02)):  # times 10 the float16 numbers round otherwise
        found = losses_at(tmp_path / f"times {scale}", strategy, scale)
        for label, loss in expected.items():
            assert found[label].near == (None if loss.near is None else pytest.approx(loss.near, rel=tolerance, abs=0))
            if strategy != "text":  # whose texts keep their length whatever the pictures' is
                assert found[label].far == pytest.approx(loss.far, abs=tolerance * loss.count)
                assert found[label].mean == pytest.approx(loss.mean, rel=max(tolerance, 1e-6))


@every_strategy
def test_a_store_without_labels_is_refused(tmp_path: Path, strategy: str) -> None:
    with (
        store_of(tmp_path / "store", unit_length(np.ones((3, DIM)))) as store,
        pytest.raises(SummaryError, match=r"No sample to summarise in .* has a label; a summary needs labels"),
    ):
        store.summarize(strategy)

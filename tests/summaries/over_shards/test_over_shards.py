"""Summaries over shards: neither cut nor row order changes a bit, gathered vectors give the same, and nothing is gathered."""

from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from helpers import store_of
from toy_shards import (
    COUNT,
    CUTS,
    DIM,
    GROUPS,
    IDS,
    LABELS,
    PARAMETERS,
    cloud,
    gathered,
    over,
    toy_store,
    training_over,
)

import embedstore
from embedstore import EmbeddingStore, Summary
from embedstore.errors import SettingsError, StoreError, SummaryError
from embedstore.exports import export
from embedstore.exports.summary_file import opened
from embedstore.parameters import taken_by
from embedstore.summaries import OVER_SHARDS, STRATEGIES, Prototypes, TrainingVectors, nearness, strategy
from embedstore.summaries.over_shards import clusters, near, sums
from embedstore.summaries.over_shards.shards import InProcess, Shard, Shards
from embedstore.summaries.updating import update
from embedstore.vectors import unit_length

every_strategy = pytest.mark.parametrize("name", OVER_SHARDS)
every_exact_one = pytest.mark.parametrize("name", [name for name in OVER_SHARDS if name != "class-distribution"])
OVER_SHARDS_AS_THEY_ARE = dict(OVER_SHARDS)
IN_NEED_OF_ALL = sorted(STRATEGIES.keys() - OVER_SHARDS.keys())


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddingStore]:
    with toy_store(tmp_path_factory.mktemp("shards") / "store") as made:
        yield made


def by_id(summary: Summary) -> dict[str, Any]:
    """Return all that a summary says, by id instead of by position."""
    said = {one.name: getattr(summary, one.name) for one in fields(summary)}
    ids, source = said.pop("seen"), said.pop("source")
    said["source"] = [ids[at] if at >= 0 else None for at in source]
    for name in ("serving", "fitted"):
        said[name] = dict(zip(ids, said[name].tolist(), strict=True))
    return {
        name: (value.tobytes(), value.shape) if isinstance(value, np.ndarray) else value for name, value in said.items()
    }


# What decides nothing


@every_exact_one
def test_the_cut_into_shards_changes_no_bit(name: str, store: EmbeddingStore) -> None:
    whole = over(store, name, CUTS[0])
    assert {over(store, name, samples).to_bytes() for samples in CUTS[1:]} == {whole.to_bytes()}


@every_exact_one
def test_the_order_of_rows_changes_no_bit(name: str, store: EmbeddingStore, tmp_path: Path) -> None:
    with toy_store(tmp_path / "s", np.random.default_rng(1).permutation(COUNT)) as other:
        assert other.ids != store.ids
        # A draw of 20 samples for a centroid: were it by row, it would be another.
        assert by_id(over(other, name, 140)) == by_id(over(store, name, 140))


@every_strategy
def test_parameters_are_those_of_the_strategy(name: str) -> None:
    assert taken_by(OVER_SHARDS[name]) == taken_by(STRATEGIES[name])


@every_strategy
def test_what_can_t_be_is_refused_in_the_same_words(name: str, store: EmbeddingStore) -> None:
    wrong = {"per_class": 0} if name == "class-mean" else {"rank": 0} if name == "class-distribution" else {"k": 0}
    with pytest.raises(SummaryError) as expected:
        gathered(store, name, **wrong)
    with pytest.raises(SummaryError) as found:
        over(store, name, 140, **wrong)
    assert str(found.value) == str(expected.value)


# The same as of gathered vectors


@pytest.mark.parametrize(
    ("name", "parameters"), [("class-mean", {}), ("class-mean", {"per_class": 9}), ("random-samples", {})]
)
def test_means_and_draws_are_those_of_gathered_vectors_to_the_bit(
    name: str, parameters: dict[str, Any], store: EmbeddingStore
) -> None:
    assert over(store, name, 60, **parameters).to_bytes() == gathered(store, name, **parameters).to_bytes()


@pytest.mark.parametrize("samples", CUTS)
def test_axes_are_those_of_gathered_vectors_but_for_rounding(
    samples: int, store: EmbeddingStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sums, "_PRODUCTS", 8 * DIM * DIM)  # a pass for each label
    found, expected = over(store, "class-distribution", samples), gathered(store, "class-distribution")
    assert found.axes is not None
    assert expected.axes is not None
    np.testing.assert_allclose(found.axes, expected.axes, atol=1e-6)
    assert found.remarks == expected.remarks
    assert found.vectors.tobytes() == expected.vectors.tobytes()


def test_near_is_that_of_gathered_vectors_to_the_bit(store: EmbeddingStore, monkeypatch: pytest.MonkeyPatch) -> None:
    training = training_over(store)
    assert training.shards is not None
    expected = nearness.near_distances(training)
    assert len(set(expected.values())) == 3
    assert near.near_distances(training, training.shards) == expected
    monkeypatch.setattr(near, "_QUERIES", 100)  # a pass for each label
    assert near.near_distances(training, training.shards) == expected


def test_the_length_of_vectors_changes_no_near_distance(store: EmbeddingStore, tmp_path: Path) -> None:
    with store_of(tmp_path / "s", 8 * cloud(), ids=IDS, labels=LABELS, groups=GROUPS) as longer:
        training = training_over(longer)
        assert training.near == training_over(store).near == nearness.near_distances(training)
        assert over(longer, "sub-prototypes", 60, k=None).labels == over(store, "sub-prototypes", 60, k=None).labels


def test_near_is_unknown_where_all_show_one_part(tmp_path: Path) -> None:
    groups = ["one part" if label == "rare" else group for label, group in zip(LABELS, GROUPS, strict=True)]
    with store_of(tmp_path / "s", cloud(), labels=LABELS, groups=groups) as made:
        training = training_over(made)
        assert training.near["rare"] is None
        assert training.near == nearness.near_distances(training)
        assert over(made, "sub-prototypes", 60, k=None).labels.count("rare") == 1  # as for gathered vectors
        assert over(made, "rare-samples", 60).averaging_loss["rare"].near is None


def planted(seed: int, count: int = 3000, modes: int = 5) -> tuple[npt.NDArray[np.float16], npt.NDArray[np.int64]]:
    """Return vectors (count, 16) around a few axes, and which of them each is around."""
    random = np.random.default_rng(seed)
    mode = random.integers(0, modes, count)
    return unit_length(np.eye(16)[mode] + 0.05 * random.normal(size=(count, 16))).astype(np.float16), mode


@pytest.mark.parametrize("seed", range(3))
def test_clear_clusters_have_the_means_of_gathered_vectors(
    seed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clusters, "STARTED_FROM", 8)  # of 3,000 samples it starts from 40
    vectors, mode = planted(seed)
    with store_of(tmp_path / "s", vectors, labels=["x"] * 3000) as made:
        found = summarize_k(made, 5, 700)
        expected = gathered(made, "sub-prototypes", k=5)
    by_hand = np.stack([vectors[mode == one].astype(np.float64).mean(axis=0) for one in range(5)])
    for summary in (found, expected):
        order = np.argsort(summary.vectors[:, :5].argmax(axis=1))
        np.testing.assert_allclose(summary.vectors[order], by_hand, atol=1e-6)


def test_medoids_are_those_of_gathered_vectors_where_clusters_are_clear(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clusters, "STARTED_FROM", 8)
    vectors, mode = planted(4)
    with store_of(tmp_path / "s", vectors, labels=["x"] * 3000) as made:
        found, expected = over(made, "medoids", 700, k=5), gathered(made, "medoids", k=5)
    assert sorted(found.source.tolist()) == sorted(expected.source.tolist())
    points = unit_length(vectors.astype(np.float64) - found.centre).astype(np.float64)
    by_hand = []
    for one in range(5):
        own = np.flatnonzero(mode == one)
        by_hand.append(int(own[np.linalg.norm(points[own] - points[own].mean(axis=0), axis=1).argmin()]))
    assert sorted(found.source.tolist()) == sorted(by_hand)


@pytest.mark.parametrize("k", [4, None])
def test_a_medoid_is_a_member_of_its_label_and_no_other_is_the_same(k: int | None, store: EmbeddingStore) -> None:
    found, expected = over(store, "medoids", 60, k=k), gathered(store, "medoids", k=k)
    assert found.labels == expected.labels
    assert [LABELS[at] for at in found.source] == found.labels
    assert len(set(found.source.tolist())) == len(found.labels)


def summarize_k(store: EmbeddingStore, k: int | None, samples: int) -> Summary:
    return over(store, "sub-prototypes", samples, k=k)


@pytest.mark.parametrize("k", [4, 16, None])
def test_where_nothing_is_clear_the_loss_is_within_two_in_a_hundred(
    k: int | None, store: EmbeddingStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clusters, "STARTED_FROM", 12)  # a fifth of the large label, where k is 4
    found, expected = summarize_k(store, k, 60), gathered(store, "sub-prototypes", k=k)
    assert found.labels == expected.labels
    assert mean_distance(found) <= mean_distance(expected) * 1.02


@pytest.mark.parametrize("k", [4, 16])
def test_passes_over_all_samples_better_what_the_draw_began(
    k: int, store: EmbeddingStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clusters, "STARTED_FROM", 2)
    found = summarize_k(store, k, 60)
    monkeypatch.setattr(clusters, "PASSES", 0)
    assert mean_distance(found) < 0.99 * mean_distance(summarize_k(store, k, 60))


def mean_distance(summary: Summary) -> float:
    return sum(loss.mean * loss.count for loss in summary.averaging_loss.values()) / COUNT


def test_serving_and_distances_are_those_by_hand(store: EmbeddingStore) -> None:
    summary = over(store, "sub-prototypes", 60)
    labels = np.array(summary.labels)
    towards = unit_length(summary.vectors).astype(np.float64)
    for view in (0, 1):
        points = unit_length(store.vectors(summary.seen, view=view)).astype(np.float64)
        away = np.linalg.norm(points[:, None] - towards, axis=2)
        away[np.array(LABELS)[:, None] != labels] = np.inf
        assert summary.serving[:, view].tolist() == away.argmin(axis=1).tolist()
        if view == 0:
            for label, loss in summary.averaging_loss.items():
                own = away.min(axis=1)[np.array(LABELS) == label]
                np.testing.assert_allclose([loss.mean, loss.worst], [own.mean(), own.max()], rtol=1e-9)


# What is gathered, and when


def test_no_more_is_read_at_once_than_a_block_and_what_k_means_starts_from(
    store: EmbeddingStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clusters, "STARTED_FROM", 5)
    monkeypatch.setattr(nearness, "MOST_QUERIES", 6)
    read, asked = EmbeddingStore.read, list[int]()

    def counted(self: EmbeddingStore, positions: npt.NDArray[np.int64], **options: Any) -> npt.NDArray[np.float32]:
        asked.append(len(positions))
        return read(self, positions, **options)

    monkeypatch.setattr(EmbeddingStore, "read", counted)
    over(store, "sub-prototypes", 60, k=4)
    assert max(asked) == 20  # 5 for each of 4 centroids
    asked.clear()
    gathered(store, "sub-prototypes", k=4)
    assert max(asked) == LABELS.count("common")


def test_only_what_is_too_large_goes_over_shards_by_itself(
    store: EmbeddingStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    largest = 4 * DIM * LABELS.count("common")
    expected = {name: over(store, name, 70).to_bytes() for name in OVER_SHARDS}
    monkeypatch.setattr(strategy, "MOST_GATHERED", largest)
    assert gathered(store, "sub-prototypes").to_bytes() != expected["sub-prototypes"]  # which says how it was made
    monkeypatch.setattr(strategy, "MOST_GATHERED", largest - 1)
    for name, data in expected.items():
        assert gathered(store, name).to_bytes() == data
    assert gathered(store, "herding", k=3).strategy == "herding"  # which needs all of a label together


@pytest.mark.parametrize("name", IN_NEED_OF_ALL)
def test_what_needs_a_label_together_is_refused_where_an_engine_is_asked_for(name: str, store: EmbeddingStore) -> None:
    with pytest.raises(
        SummaryError, match=f"'{name}' can't be made over shards; give no engine, or use one of .*sub-prototypes"
    ):
        over(store, name, 60)


def test_engines_go_by_name(store: EmbeddingStore) -> None:
    found = store.summarize("sub-prototypes", engine="shards", seed=3, **PARAMETERS["sub-prototypes"])
    assert found.vectors.tobytes() == over(store, "sub-prototypes", 60).vectors.tobytes()
    with pytest.raises(SettingsError, match="'dask' is unknown; use one of shards, ray"):
        store.summarize("class-mean", engine="dask")
    with pytest.raises(SettingsError, match="no cluster to find there"):
        store.summarize("class-mean", engine="shards", address="here:1")


# A store that changes


def test_an_earlier_version_is_summarised_as_it_was(tmp_path: Path) -> None:
    with toy_store(tmp_path / "s") as made:
        expected = over(made, "rare-samples", 60)
        with made.write() as writing:
            writing.delete(made.ids[:100])
            writing.set("label", {made.ids[120]: "odd"})
        assert over(made, "rare-samples", 60).to_bytes() != expected.to_bytes()
        assert len(over(made, "rare-samples", 60).seen) == COUNT - 100
    with embedstore.open(tmp_path / "s", expected.store_version) as then:
        assert over(then, "rare-samples", 60).to_bytes() == expected.to_bytes()


def test_a_compaction_meanwhile_is_refused(tmp_path: Path) -> None:
    with toy_store(tmp_path / "s") as made:
        training = training_over(made)
        made.compact()
        with pytest.raises(StoreError, match="was compacted while it was summarised"):
            InProcess(60).over([shard_of(training)])


def shard_of(training: TrainingVectors) -> Shard:
    none = np.zeros(0, np.int64)
    assert training.place is not None
    return Shard(training.place, none, none, none.astype(np.int32), none.astype(np.int32))


def test_who_is_aside_or_without_a_label_takes_no_part(tmp_path: Path) -> None:
    labels = [None if number % 7 == 0 else label for number, label in enumerate(LABELS)]
    splits = ["aside" if number % 11 == 0 else "train" for number in range(COUNT)]
    with store_of(tmp_path / "s", cloud(), labels=labels, groups=GROUPS, splits=splits) as made:
        found = over(made, "class-mean", 60)
        assert len(found.seen) == sum(number % 7 > 0 and number % 11 > 0 for number in range(COUNT))
        assert found.to_bytes() == gathered(made, "class-mean").to_bytes()


@every_strategy
def test_it_is_saved_read_exported_and_updated_as_others_are(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with toy_store(tmp_path / "s") as made:
        saved = made.summarize(name, name="s", engine="shards", **PARAMETERS.get(name, {}))
        assert made.summary("s").to_bytes() == saved.to_bytes()
        export(made, tmp_path / "s.safetensors", summary="s")
        assert opened(tmp_path / "s.safetensors")[0].to_bytes() == saved.to_bytes()
        with made.write() as writing:
            writing.delete(made.ids[:4])
        fitted = list[int]()

        def spied(training: TrainingVectors, shards: Shards, seed: int, **parameters: Any) -> Prototypes:
            fitted.append(len(training.ids))
            return OVER_SHARDS_AS_THEY_ARE[name](training, shards, seed, **parameters)

        monkeypatch.setitem(OVER_SHARDS, name, spied)
        for most in (2**28, 1):  # fitted again over shards, too, where a limit is passed
            monkeypatch.setattr(strategy, "MOST_GATHERED", most)
            renewal = update(made, saved.to_bytes(), limit=-1.0, version=made.version)
            assert renewal.summary is not None
            assert renewal.summary.seen == made.ids
            assert renewal.again == ("common",)
            assert fitted == ([] if most > 1 else [LABELS.count("common") - 4])
            assert len(set(renewal.summary.remarks)) == len(renewal.summary.remarks)

"""Rare samples over shards: scores by hand, top lists that lose nothing, a rare mode of three among ten thousand."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from helpers import store_of
from toy_shards import GROUPS, LABELS, cloud, gathered, over, toy_store, training_over

from embedstore import EmbeddingStore
from embedstore.summaries import sizes
from embedstore.summaries.over_shards.clusters import Clusters
from embedstore.summaries.over_shards.rare import Common, rarest_over
from embedstore.summaries.over_shards.shards import Shards
from embedstore.vectors import unit_length
from embedstore.verdicts import VERDICT

NOBODY = np.zeros(0, np.int64)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddingStore]:
    with toy_store(tmp_path_factory.mktemp("rare") / "store") as made:
        yield made


def shards_of(store: EmbeddingStore, samples: int = 60) -> Shards:
    shards = training_over(store, samples).shards
    assert shards is not None
    return shards


def scores_by_hand(
    store: EmbeddingStore, clusters: Clusters, lone: npt.NDArray[np.bool_], label: int
) -> dict[str, float]:
    """Return id -> the distance to the nearest mean that is not of the sample's own part alone; at most 2."""
    name, shards = shards_of(store).labels[label], shards_of(store)
    gaps = {}
    for at, sample in enumerate(store.samples):
        if sample.label == name:
            point = unit_length(store.read(np.array([at])))[0].astype(np.float64)
            others = [
                float(np.linalg.norm(point - unit_length(mean)))
                for mean, of, part in zip(clusters.means, clusters.label, clusters.part, strict=True)
                if of == label and (lone[label] or part != shards.parts[at])
            ]
            gaps[sample.id] = min([*others, 2.0])
    return gaps


def test_scores_are_those_by_hand_and_a_cluster_of_the_own_part_does_not_count(store: EmbeddingStore) -> None:
    shards = shards_of(store)
    labels = np.array(LABELS)
    first = {label: int(np.flatnonzero(labels == label)[0]) for label in shards.labels}
    vectors = store.read(np.arange(len(store)))
    # Two means a label: the one of the first part of it alone, the other of several.
    means = np.concatenate([vectors[[first[label], first[label] + 10]] for label in shards.labels])
    part = np.array([[shards.parts[first[label]], -1] for label in shards.labels]).reshape(-1)
    clusters = Clusters(means, np.repeat(np.arange(3), 2), part)
    lone = np.array([False, False, True])
    found = rarest_over(shards, Common.of(clusters, lone, NOBODY), 10_000)
    for number, label in enumerate(shards.labels):
        expected = scores_by_hand(store, clusters, lone, number)
        ids = [store.ids[at] for at in shards.positions[found[number].numbers]]
        assert sorted(ids) == sorted(expected)
        np.testing.assert_allclose(found[number].gaps, [expected[one] for one in ids], atol=1e-6)
        assert (np.diff(found[number].gaps) <= 0).all()
        own = store.ids[first[label]]
        assert (expected[own] < 1e-3) == lone[number]


@pytest.mark.parametrize("samples", [420, 140, 60, 1])
def test_top_lists_of_shards_merge_to_the_top_of_all(samples: int, store: EmbeddingStore) -> None:
    every, some = shards_of(store, 420), shards_of(store, samples)
    clusters = Clusters(store.read(np.array([0, 6, 8])), np.array([0, 1, 2]), np.full(3, -1))
    said = np.array([0, 200])
    whole = rarest_over(every, Common.of(clusters, every.lone, NOBODY), 10_000)
    found = rarest_over(some, Common.of(clusters, some.lone, said), 7)
    for label, scored in found.items():
        beyond = [one for one in whole[label].numbers[7:].tolist() if one in said]
        assert scored.numbers.tolist() == whole[label].numbers[:7].tolist() + beyond
        assert scored.gaps[:7].tolist() == whole[label].gaps[:7].tolist()


def test_of_equal_scores_the_first_by_id_comes_first(tmp_path: Path) -> None:
    vectors = np.repeat(unit_length(np.eye(4)[[0, 1]]), [30, 30], axis=0)
    ids = [f"{number:02}" for number in np.random.default_rng(0).permutation(60)]
    with store_of(tmp_path / "s", vectors, labels=["x"] * 60, ids=ids) as made:
        shards = shards_of(made, 7)
        clusters = Clusters(np.eye(4, dtype=np.float32)[:1], np.zeros(1, np.int64), np.full(1, -1))
        found = rarest_over(shards, Common.of(clusters, shards.lone, NOBODY), 5)[0]
        assert [made.ids[at] for at in shards.positions[found.numbers]] == sorted(ids[30:])[:5]


@pytest.mark.parametrize("samples", [10_003, 1_500])
def test_a_rare_mode_of_three_among_ten_thousand_is_kept(samples: int, tmp_path: Path) -> None:
    """Over shards as of gathered vectors: three parts that look alike and like nothing else."""
    random = np.random.default_rng(2)
    axes = np.eye(16)[np.append(random.integers(0, 6, 10_000), [9, 9, 9])] + 0.04 * random.normal(size=(10_003, 16))
    order = random.permutation(10_003)
    ids = [f"s{number:05}" for number in order]
    with store_of(tmp_path / "s", unit_length(axes).astype(np.float16)[order], labels=["x"] * 10_003, ids=ids) as made:
        mode = {f"s{number:05}" for number in (10_000, 10_001, 10_002)}
        for summary in (
            over(made, "rare-samples", samples, share=0.001, k=8),
            gathered(made, "rare-samples", share=0.001, k=8),
        ):
            kept = [summary.seen[at] for at in summary.source[summary.source >= 0]]
            assert len(kept) == 11
            assert mode & set(kept)
            assert summary.averaging_loss["x"].worst < 0.6  # the others of the mode have it near
            served = {one: summary.labels[at] for one, at in zip(summary.seen, summary.serving[:, 0], strict=True)}
            assert set(served.values()) == {"x"}


def test_what_is_kept_is_what_gathered_vectors_give(store: EmbeddingStore) -> None:
    """All of a label is drawn here, so k-means starts at the rest of the gathered one."""
    found, expected = over(store, "rare-samples", 60), gathered(store, "rare-samples")
    assert found.labels == expected.labels
    same = set(found.source[found.source >= 0]) & set(expected.source[expected.source >= 0])
    assert len(same) >= 0.8 * (expected.source >= 0).sum()


def test_what_a_person_called_rare_is_kept_in_any_case(tmp_path: Path) -> None:
    verdicts = [{VERDICT: "rare"} if number in (30, 31, 150) else {} for number in range(len(LABELS))]
    with store_of(tmp_path / "s", cloud(), labels=LABELS, groups=GROUPS, attributes=verdicts) as made:
        rare = np.flatnonzero([one.get(VERDICT) == "rare" for one in (sample.attributes for sample in made.samples)])
        found = over(made, "rare-samples", 60, share=0.001)
        expected = gathered(made, "rare-samples", share=0.001)
        assert set(rare.tolist()) <= set(found.source.tolist())
        assert sorted(found.source[found.source >= 0]) == sorted(expected.source[expected.source >= 0])
        assert [one for one in found.remarks if "called" in one] == [one for one in expected.remarks if "called" in one]
        assert any("called" in one for one in found.remarks)


def test_a_share_keeps_no_more_than_the_most(store: EmbeddingStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sizes, "MOST_KEPT", 9)
    for summary in (over(store, "rare-samples", 60, share=0.1), gathered(store, "rare-samples", share=0.1)):
        kept = [label for label, at in zip(summary.labels, summary.source, strict=True) if at >= 0]
        assert {label: kept.count(label) for label in set(LABELS)} == {"common": 9, "rare": 9, "odd": 9}
        assert "The label 'common' keeps 9 of its 252 samples, the most of one label, not 26." in summary.remarks
    for name in ("random-samples", "herding"):
        assert len(gathered(store, name, k=None, share=0.1).labels) == 27
        assert len(gathered(store, name, k=20, share=None).labels) == 60  # so many were asked for


def test_the_common_prototypes_are_of_those_that_are_not_kept(store: EmbeddingStore) -> None:
    made, labels = over(store, "rare-samples", 60, share=0.2, k=1), np.array(LABELS)
    for number, label in enumerate(made.labels):
        if made.source[number] < 0:
            rest = np.setdiff1d(np.flatnonzero(labels == label), made.source)
            expected = store.read(rest).astype(np.float64).sum(axis=0) / len(rest)
            assert made.vectors[number].tolist() == expected.astype(np.float32).tolist()
    assert (made.source < 0).sum() == 3

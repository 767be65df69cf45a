"""k-means over shards, against a plain one by hand: steps, ends, clusters that lose all, samples that take no part."""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import pytest
from toy_shards import LABELS, toy_store, training_over

from embedstore import EmbeddingStore
from embedstore.summaries import TrainingVectors
from embedstore.summaries.over_shards import clusters
from embedstore.summaries.over_shards.clusters import Assigned, Centroids, KMeans, assign
from embedstore.summaries.over_shards.shards import Shards
from embedstore.vectors import exact_directions

NOBODY = np.zeros(0, np.int64)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddingStore]:
    with toy_store(tmp_path_factory.mktemp("clusters") / "store") as made:
        yield made


def parts_of(store: EmbeddingStore) -> tuple[TrainingVectors, Shards]:
    training = training_over(store)
    assert training.shards is not None
    return training, training.shards


def points_of(training: TrainingVectors, label: str) -> npt.NDArray[np.float64]:
    return exact_directions(training.read(training.members[label]).astype(np.float64) - training.centre)


def test_a_step_sums_who_is_nearest_and_finds_the_worst(store: EmbeddingStore) -> None:
    training, shards = parts_of(store)
    of_common, of_rare = points_of(training, "common"), points_of(training, "rare")
    vectors = np.concatenate([of_common[[0, 10, 20]], of_rare[[4, 9]]])
    among = Centroids(training.centre, vectors, np.array([0, 3, 3, 5]), NOBODY)  # none for 'odd'
    total = Assigned.none(5, 3, training.dim)
    for part in shards.map("", assign, among):
        total.add(part)
    assert shards.labels == ["common", "odd", "rare"]
    for label, points, own in (("common", of_common, slice(0, 3)), ("rare", of_rare, slice(3, 5))):
        cosines = points @ vectors[own].T
        nearest = cosines.argmax(axis=1)
        number = shards.labels.index(label)
        for at in range(len(vectors[own])):
            assert total.sums[own][at].tolist() == points[nearest == at].sum(axis=0).tolist()
            assert total.counts[own][at] == (nearest == at).sum()
        worst = int(cosines.max(axis=1).argmin())
        assert total.worst_direction[number].tolist() == points[worst].tolist()
        assert total.worst[number] == cosines.max(axis=1)[worst]
        assert shards.positions[total.worst_number[number]] == training.members[label][worst]
        np.testing.assert_allclose(total.cosine[number] / 2**24, cosines.max(axis=1).sum(), atol=1e-5)
    assert np.isinf(total.worst[1])


def test_it_rests_where_each_sample_is_with_the_nearest_mean_direction(
    store: EmbeddingStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As k-means by hand does that goes on from the best of three starts until nothing moves."""
    monkeypatch.setattr(clusters, "STARTED_FROM", 4)
    monkeypatch.setattr(clusters, "PASSES", 200)
    monkeypatch.setattr(clusters, "SETTLED", 0.0)
    training, shards = parts_of(store)
    means = KMeans(training, shards, 1)
    found = means.clusters(np.array([6, 0, 3]))
    assert found.label.tolist() == [0] * 6 + [2] * 3
    moved = 0
    for number, label, own in ((0, "common", found.means[:6]), (2, "rare", found.means[6:])):
        points, samples = points_of(training, label), training.read(training.members[label]).astype(np.float64)
        starts = [means._start(number, len(own), NOBODY, start) for start in range(3)]
        assert len({start.tobytes() for start in starts}) == 3
        middles = max(starts, key=lambda start: (points @ start.T).max(axis=1).sum())  # the best to all samples
        nearest = np.full(len(points), -1)
        for _ in range(200):
            before, nearest = nearest, (points @ middles.T).argmax(axis=1)
            moved += int((before != nearest).sum())
            if (before == nearest).all():
                break
            middles = exact_directions(np.stack([points[nearest == one].sum(axis=0) for one in range(len(own))]))
        by_hand = np.stack([samples[nearest == one].mean(axis=0) for one in range(len(own))])
        assert own.tolist() == by_hand.astype(np.float32).tolist()
    assert moved > 400  # more than the first look: it did not start at rest


def test_a_centroid_without_samples_goes_to_the_worst_served_one() -> None:
    before = exact_directions(np.eye(3))
    sums = np.array([[0.0, 2, 2], [0, 0, 0], [0, 0, 0]])
    worst = exact_directions(np.array([-1.0, -1, 0]))
    moved = clusters._moved(before, sums, np.array([2, 0, 0]), worst)
    assert moved.tolist() == [exact_directions(np.array([0.0, 1, 1])).tolist(), worst.tolist(), before[2].tolist()]


def test_who_is_left_out_is_in_no_mean(store: EmbeddingStore) -> None:
    training, shards = parts_of(store)
    without = np.concatenate([training.members["common"][::3], training.members["odd"]])
    found = KMeans(training, shards, 0).clusters(np.array([1, 2, 1]), without)
    assert found.label.tolist() == [0, 2]  # of 'odd' nobody is left
    left = np.setdiff1d(training.members["common"], without)
    expected = training.read(left).astype(np.float64).sum(axis=0) / len(left)
    assert found.means[0].tolist() == expected.astype(np.float32).tolist()


def test_the_part_of_a_cluster_is_told_where_it_is_one(store: EmbeddingStore) -> None:
    training, shards = parts_of(store)
    members = training.members["rare"]
    found = KMeans(training, shards, 0).clusters(np.array([0, 0, len(members) // 2]))
    samples = training.read(members)
    nearest = np.linalg.norm(samples[:, None] - found.means, axis=2).argmin(axis=1)
    single = 0
    for at, part in enumerate(found.part.tolist()):
        parts = {int(shards.parts[one]) for one in members[nearest == at]}
        if part >= 0:
            single += 1
            assert parts == {part}
    assert single > len(members) // 4  # two pictures of a part are alike here


def test_as_many_clusters_as_samples_are_each_one(store: EmbeddingStore) -> None:
    training, shards = parts_of(store)
    k = LABELS.count("odd") + 5
    found = KMeans(training, shards, 0).clusters(np.array([0, k, 0]))
    samples = training.read(training.members["odd"])
    assert sorted(found.means.tolist()) == sorted(samples.tolist())


def test_medoids_are_the_members_nearest_to_the_middle_of_each_cluster_of_each_label(store: EmbeddingStore) -> None:
    training, shards = parts_of(store)
    means, k = KMeans(training, shards, 0), np.array([4, 2, 3])
    among = means._centroids(k, NOBODY)
    clusters, medoids = means.medoids(k)
    expected = []
    for number, label in enumerate(shards.labels):
        points, members = points_of(training, label), training.members[label]
        nearest = (points @ among.vectors[among.own(number)].T).argmax(axis=1)
        for one in range(k[number]):
            own = points[nearest == one]
            away = np.linalg.norm(own - own.mean(axis=0), axis=1)
            expected.append(int(members[nearest == one][away.argmin()]))
    assert medoids.tolist() == expected
    assert clusters.label.tolist() == [0] * 4 + [1] * 2 + [2] * 3

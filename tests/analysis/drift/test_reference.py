"""Held-out distances and radii against their definition, and how pictures stand apart against brute force."""

from pathlib import Path

import numpy as np
import planted_batches as planted
import pytest

from embedstore.analysis.drift.reference import FOLDS, RADIUS, drawn_parts, reference_of
from embedstore.analysis.drift.space import neighbours_of, space_of, whitened
from embedstore.errors import SettingsError, SummaryError
from embedstore.vectors import unit_length


def test_no_prototype_that_measures_a_picture_saw_its_part(tmp_path: Path) -> None:
    with planted.make(tmp_path / "s") as store:
        usual = reference_of(store, set())
    parts = np.array([sample.part for sample in usual.samples])
    ids = [sample.id for sample in usual.samples]
    assert ids == sorted(ids)
    assert len(usual.folds) == FOLDS
    found = set()
    for part in np.unique(parts):
        rows = np.flatnonzero(parts == part)
        away = [
            np.linalg.norm(usual.vectors[rows, None] - fold.directions[None], axis=2).min(axis=1)
            for fold in usual.folds
        ]
        fits = [at for at, one in enumerate(away) if np.allclose(one, usual.own.distance[rows], atol=1e-5)]
        assert fits  # one fold's prototypes, the same for all of a part
        found.update(fits)
    assert found == set(range(FOLDS))
    seen = np.linalg.norm(usual.vectors[:, None] - usual.directions[None], axis=2).min(axis=1)
    assert usual.own.distance.mean() > 1.1 * seen.mean()  # what members' own distances would hide


def test_new_parts_keep_to_the_radius_as_often_as_it_says(tmp_path: Path) -> None:
    with planted.make(tmp_path / "s") as store:
        usual = reference_of(store, set())
    vectors = unit_length(np.concatenate([planted.fresh(seed, 100).vectors for seed in range(4)]))
    measured = usual.measure(vectors)
    inside = (measured.distance <= usual.radius[measured.region]).mean()
    assert RADIUS - 0.03 <= inside <= 1
    cracks = [label == "crack" for seed in range(4) for label in planted.parts(100, 1000 + seed)[1]]
    np.testing.assert_array_equal(np.array(usual.labels)[measured.label] == "crack", cracks)
    assert (usual.prototype_label[measured.region] == measured.label).mean() > 0.99


def test_what_is_set_aside_or_dirt_describes_nothing(tmp_path: Path) -> None:
    count = len(planted.parts(planted.STORE_PARTS, 0)[1])
    splits = ["aside" if at < 10 else None for at in range(count)]
    said = [{"verdict": "dirt"} if 10 <= at < 25 else {} for at in range(count)]
    with planted.make(tmp_path / "s", splits=splits, attributes=said) as store:
        usual = reference_of(store, set())
    assert len(usual.samples) == count - 25


def test_prototypes_that_are_not_what_a_summary_keeps_are_refused(tmp_path: Path) -> None:
    with planted.make(tmp_path / "s") as store:
        coded = store.summarize("compressed-own")
        with pytest.raises(SummaryError, match="keeps a code of each picture's own vector"):
            reference_of(store, set(), against=coded)


def test_typical_pictures_are_of_the_prototypes_label(tmp_path: Path) -> None:
    with planted.make(tmp_path / "s") as store:
        usual = reference_of(store, set())
    for at, place in enumerate(usual.typical.tolist()):
        label = usual.labels[usual.prototype_label[at]]
        own = [row for row, sample in enumerate(usual.samples) if sample.label == label]
        away = np.linalg.norm(usual.vectors[own] - usual.directions[at], axis=1)
        assert place == own[int(away.argmin())]


def test_too_few_parts_are_refused(tmp_path: Path) -> None:
    with planted.make(tmp_path / "s") as store:
        all_but_nine = {sample.part for sample in store.samples if int(sample.id[5:].split("/")[0]) >= 9}
        with pytest.raises(SettingsError, match="has 9 parts to compare with, for the batch"):
            reference_of(store, all_but_nine)


def test_whole_parts_are_drawn_whatever_the_order(tmp_path: Path) -> None:
    with planted.make(tmp_path / "s") as store:
        samples = store.samples
    drawn = drawn_parts(samples, 100, seed=0)
    assert 90 < len(drawn) <= 100
    chosen = {sample.part for sample in drawn}
    assert {sample.id for sample in drawn} == {sample.id for sample in samples if sample.part in chosen}
    assert {sample.id for sample in drawn_parts(samples[::-1], 100, seed=0)} == {sample.id for sample in drawn}


def test_axes_are_scaled_to_the_same_spread() -> None:
    rng = np.random.default_rng(0)
    vectors = (rng.normal(size=(400, 30)) * np.linspace(3, 0.1, 30)).astype(np.float32)
    scaled = whitened(vectors, np.arange(400), seed=0)
    assert scaled.shape == (400, 30)
    np.testing.assert_allclose(scaled.T @ scaled / 400, np.eye(30), atol=1e-3)
    centred = vectors - vectors.mean(axis=0)
    covariance = (centred.T @ centred / 400).astype(np.float64)
    mahalanobis = np.einsum("nd,de,ne->n", centred, np.linalg.inv(covariance), centred)
    np.testing.assert_allclose((scaled**2).sum(axis=1), mahalanobis, rtol=2e-3)


def test_a_part_seen_often_pulls_axes_by_the_root_of_how_often() -> None:
    rng = np.random.default_rng(0)
    vectors, parts = rng.normal(size=(300, 6)).astype(np.float32), np.repeat(np.arange(120), [1, 4] * 60)
    weights = 1 / np.sqrt(np.bincount(parts)[parts])
    centred = vectors - np.average(vectors, axis=0, weights=weights)
    covariance = (centred.T * (weights / weights.sum())) @ centred
    mahalanobis = np.einsum("nd,de,ne->n", centred, np.linalg.inv(covariance.astype(np.float64)), centred)
    np.testing.assert_allclose((whitened(vectors, parts, seed=0) ** 2).sum(axis=1), mahalanobis, rtol=2e-3)


def test_apart_is_the_distance_to_the_kth_nearest_of_other_parts() -> None:
    rng = np.random.default_rng(1)
    vectors, parts = unit_length(rng.normal(size=(90, 10))), np.arange(90) // 3
    for known in (True, False):
        space = space_of(vectors, parts, neighbours_of(40), known=known, seed=0)
        scaled = whitened(vectors, parts, 0).astype(np.float64)
        for at in range(0, 90, 7):
            others = (parts != parts[at]) if known else (np.arange(90) != at)
            away = np.sort(np.linalg.norm(scaled[others] - scaled[at], axis=1))
            assert space.apart[at] == pytest.approx(away[10], rel=1e-3)
    np.testing.assert_allclose(space.distances, np.linalg.norm(vectors[:, None] - vectors[None], axis=2), atol=2e-3)

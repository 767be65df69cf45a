"""The map: axes against a full decomposition, packing, and maps that are kept."""

from pathlib import Path

import numpy as np
import pytest
from helpers import store_of, unit_vectors

from embedstore.errors import SettingsError
from embedstore.vectors import unit_length
from embedstore_inspector import maps


def spread(seed: int, count: int, dim: int) -> np.ndarray:
    """Return vectors with two long axes, at unit length, off the origin."""
    rng = np.random.default_rng(seed)
    lengths = np.r_[1.0, 0.6, np.full(dim - 2, 0.15)]
    turn = np.linalg.qr(rng.normal(size=(dim, dim)))[0]
    return unit_length(rng.normal(size=(count, dim)) * lengths @ turn + 0.5)


@pytest.mark.parametrize(("count", "dim"), [(300, 12), (1000, 40), (30, 64)])
def test_the_axes_are_the_principal_ones(count: int, dim: int) -> None:
    vectors = spread(1, count, dim)
    centred = (vectors - vectors.mean(axis=0)).astype(np.float32)
    axes = maps.principal_axes(centred)
    expected = np.linalg.svd(centred.astype(float), full_matrices=False)[2][:2]
    assert np.abs((axes * expected).sum(axis=1)) == pytest.approx([1, 1], abs=1e-4)
    assert (axes[np.arange(2), np.abs(axes).argmax(axis=1)] > 0).all()


def test_each_sample_lies_where_its_direction_does(tmp_path: Path) -> None:
    vectors = spread(2, 700, 16).astype(np.float16) * np.float16(0.5)  # of any length
    with store_of(tmp_path / "store", vectors) as store:
        places = maps.principal_map(store)
        again = maps.principal_map(store)
    directions = unit_length(vectors).astype(float)
    away = np.linalg.norm(directions - directions.mean(axis=0), axis=1)
    usual = directions[away <= np.quantile(away, 0.98)]
    axes = np.linalg.svd(usual - usual.mean(axis=0), full_matrices=False)[2][:2]
    expected = (directions - usual.mean(axis=0)) @ axes.T
    expected *= np.sign((expected * places).sum(axis=0))
    inside = np.linalg.norm(expected - np.median(expected, axis=0), axis=1)
    inside = inside < np.quantile(inside, 0.97)
    assert np.abs(places - expected)[inside].max() < 2e-3
    assert np.array_equal(places, again)


def test_what_lies_far_outside_is_seen_and_takes_no_room() -> None:
    rng = np.random.default_rng(3)
    places = np.r_[rng.normal(size=(990, 2)), [[50, 0], [500, 0], [0, -80], [30, 30]]].astype(np.float32)
    drawn = maps.drawn_in(places)
    middle = np.median(places, axis=0)
    away, now = (np.linalg.norm(one - middle, axis=1) for one in (places, drawn))
    radius = np.quantile(away, 0.98)
    assert np.abs(drawn - places)[away <= radius].max() < 1e-6
    assert now.max() <= 1.6 * radius * (1 + 1e-6)
    order = np.argsort(away)
    assert (np.diff(now[order]) > -1e-6).all()
    turned = (places - middle) / away[:, None] - (drawn - middle) / now[:, None]
    assert np.abs(turned).max() < 1e-5


@pytest.mark.parametrize("count", [0, 1, 2])
def test_a_map_of_hardly_any_samples(tmp_path: Path, count: int) -> None:
    with store_of(tmp_path / "store", np.zeros((count, 3)) + np.eye(3)[:count]) as store:
        places = maps.principal_map(store)
    assert places.shape == (count, 2)
    assert np.isfinite(places).all()
    assert len(maps.packed(places)) == 4 * count


def test_packing_keeps_the_shape() -> None:
    places = np.array([[0, 0], [4, 0], [4, 1], [2, 0.5]], np.float32)
    packed = np.frombuffer(maps.packed(places), "<u2").reshape(-1, 2).astype(float)
    steps = packed - packed[0]
    assert steps / 65535 * 4 == pytest.approx(places - places[0], abs=1e-3)
    assert (packed[:, 0].min(), packed[:, 0].max()) == (0, 65535)


def test_a_map_that_is_kept_is_offered_as_long_as_the_samples_stay(tmp_path: Path) -> None:
    with store_of(tmp_path / "store", unit_vectors(1, 6)) as store:
        assert maps.kept_maps(store) == []
        given = np.random.default_rng(1).normal(size=(6, 2)).astype(np.float32)
        maps.keep_map(store, "umap", given)
        assert maps.kept_maps(store) == ["umap"]
        assert np.array_equal(maps.kept_map(store, "umap"), given)
        with store.write() as writing:
            writing.set("label", {store.ids[0]: "new"})
        assert np.array_equal(maps.kept_map(store, "umap"), given)
        with store.write() as writing:
            writing.delete([store.ids[0]])
        assert maps.kept_maps(store) == []
        with pytest.raises(SettingsError, match="No map 'umap' is kept of version 3"):
            maps.kept_map(store, "umap")


def test_maps_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    with store_of(tmp_path / "store", unit_vectors(1, 6)) as store:
        for method, places in (
            ("a/b", np.zeros((6, 2))),
            ("umap", np.zeros((5, 2))),
            ("umap", np.full((6, 2), np.nan)),
        ):
            with pytest.raises(SettingsError, match="finite places"):
                maps.keep_map(store, method, places)
        with pytest.raises(SettingsError, match=r"No map '\.\./x'"):
            maps.kept_map(store, "../x")
        path = maps.keep_map(store, "umap", np.zeros((6, 2)))
        path.write_bytes(b"damaged")
        with pytest.raises(SettingsError, match="can't be read"):
            maps.kept_map(store, "umap")
        assert [one.name for one in path.parent.iterdir()] == [path.name]

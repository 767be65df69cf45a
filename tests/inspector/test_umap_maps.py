"""UMAP: what the package is asked for, what it is refused for, and the page that offers what was kept."""

import importlib.util
import os
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from browser import Page, needs_browser
from helpers import store_of, unit_vectors
from inspected import name_of, served
from live import load

import embedstore
from embedstore import files
from embedstore.errors import MissingPackageError, SettingsError
from embedstore.vectors import unit_length
from embedstore_inspector import maps
from embedstore_inspector.umap_maps import umap_map


class Stub:
    """Stands for umap.UMAP: it remembers what it was asked, and places by the first two numbers."""

    asked: dict[str, Any]

    def __init__(self, **asked: Any):
        Stub.asked = asked

    def fit_transform(self, directions: np.ndarray) -> np.ndarray:
        Stub.asked["directions"] = directions
        return directions[:, :2].astype(np.float64)


@pytest.fixture
def stub(monkeypatch: pytest.MonkeyPatch) -> type[Stub]:
    monkeypatch.setitem(sys.modules, "umap", SimpleNamespace(UMAP=Stub))
    return Stub


@pytest.mark.parametrize(("neighbours", "taken"), [(15, 15), (40, 29)])
def test_the_package_is_asked_for_directions_by_cosine_from_the_principal_map(
    tmp_path: Path, stub: type[Stub], neighbours: int, taken: int
) -> None:
    vectors = (np.random.default_rng(1).normal(size=(30, 8)) * 7).astype(np.float16)
    told: list[tuple[str, int, int]] = []
    with store_of(tmp_path / "s", vectors) as store:
        places = umap_map(store, neighbours=neighbours, seed=3, progress=lambda *step: told.append(step))
        principal = maps.principal_map(store)
    directions, begun = stub.asked.pop("directions"), stub.asked.pop("init")
    assert directions == pytest.approx(unit_length(vectors.astype(np.float32)), abs=1e-6)
    assert np.array_equal(begun, principal)
    assert stub.asked == {
        "n_neighbors": taken, "metric": "cosine", "random_state": 3, "n_jobs": 1, "disconnection_distance": np.inf,
    }  # fmt: skip
    assert np.array_equal(places, directions[:, :2])
    assert places.dtype == np.float32
    assert told[:2] == [("Loading UMAP", 0, 1), ("Loading UMAP", 1, 1)]
    assert told[-3:] == [("Reading", 30, 30), ("Placing", 0, 1), ("Placing", 1, 1)]


@pytest.mark.usefixtures("stub")
def test_what_can_not_be_placed_is_refused(tmp_path: Path) -> None:
    few = "has 9 samples, and UMAP places 10 or more"
    with store_of(tmp_path / "few", unit_vectors(1, 9)) as store, pytest.raises(SettingsError, match=few):
        umap_map(store)
    with store_of(tmp_path / "s", unit_vectors(1, 10)) as store:
        umap_map(store, neighbours=2)
        for asked in ({"neighbours": 1}, {"seed": -1}, {"seed": 2**32}):
            with pytest.raises(SettingsError, match="give 2 neighbours or more, and a seed from 0 to 4294967295"):
                umap_map(store, **asked)


def test_without_the_package_it_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "umap", None)
    with (
        store_of(tmp_path / "s", unit_vectors(1, 10)) as store,
        pytest.raises(MissingPackageError, match=r"pip install 'embedstore\[umap\]'$"),
    ):
        umap_map(store)


@pytest.mark.skipif(importlib.util.find_spec("umap") is None, reason="umap-learn is not installed")
@pytest.mark.filterwarnings("ignore:Tensorflow not installed:ImportWarning")
def test_the_package_itself_keeps_groups_apart_and_repeats_itself(tmp_path: Path) -> None:
    rng = np.random.default_rng(4)
    groups = np.repeat(np.arange(3), 20)
    vectors = np.eye(3, 12)[groups] + rng.normal(size=(60, 12)) * 0.05
    vectors[0] = 0  # has no direction, and a place all the same
    with store_of(tmp_path / "s", vectors) as store:
        places, again, other = (umap_map(store, neighbours=8, seed=seed) for seed in (0, 0, 1))
        vectors = store.read(np.arange(60)).astype(float)
    order = vectors[:, :3].argmax(axis=1)
    assert np.array_equal(places, again)
    assert not np.array_equal(places, other)
    assert np.isfinite(places).all()
    known = np.linalg.norm(vectors, axis=1) > 0
    apart = np.linalg.norm(places[:, None] - places[None], axis=2) + np.diag(np.full(60, np.inf))
    assert (order[apart.argmin(axis=1)] == order)[known].mean() > 0.95


def test_maps_of_versions_that_are_gone_are_deleted(tmp_path: Path) -> None:
    with store_of(tmp_path / "s", unit_vectors(1, 12)) as store:
        places = np.zeros((12, 2), np.float32)
        first = maps.keep_map(store, "umap", places)
        gone, another = first.with_name("umap-99.safetensors"), first.with_name("tsne-99.safetensors")
        for path in (gone, another):
            path.write_bytes(first.read_bytes())
        with store.write() as writing:
            writing.set("label", {store.ids[0]: "new"})
        second = maps.keep_map(store, "umap", places + 1)
        assert {path.name for path in first.parent.iterdir()} == {first.name, second.name, another.name}
        assert np.array_equal(maps.kept_map(store, "umap"), places + 1)


def test_a_map_that_could_not_be_written_whole_leaves_the_one_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: int) -> None:  # what was written does not all get to the disk
        raise OSError(28, "No space left on device")

    with store_of(tmp_path / "s", unit_vectors(1, 12)) as store:
        kept = maps.keep_map(store, "umap", np.ones((12, 2)))
        monkeypatch.setattr(files.os, "fsync", full)
        with pytest.raises(OSError, match="No space left"):
            maps.keep_map(store, "umap", np.zeros((12, 2)))
        assert list(kept.parent.iterdir()) == [kept]
        assert (maps.kept_map(store, "umap") == 1).all()


CHOOSER = "document.querySelector('#method')"
BAND = (  # the share of the rows of pixels that have a point
    "(() => { const c = document.querySelector('#points'), copy = new OffscreenCanvas(c.width, c.height);"
    " const context = copy.getContext('2d', { willReadFrequently: true }); context.drawImage(c, 0, 0);"
    " const d = context.getImageData(0, 0, c.width, c.height).data;"
    " let n = 0; for (let y = 0; y < c.height; y++) { for (let x = 0; x < c.width; x++) { const i = 4 * (y * c.width + x);"
    " if (d[i] !== d[0] || d[i + 1] !== d[1]) { n++; break; } } } return n / c.height; })()"
)
LOOK = "document.dispatchEvent(new Event('visibilitychange'))"  # as when a reader comes back to the page


@needs_browser
@pytest.mark.skipif(os.name == "nt", reason="the browser's pipe has no fixed numbers there")
def test_an_open_page_offers_a_map_that_was_kept_and_goes_back_where_it_is_gone(browser: Page, own_line: Path) -> None:
    place = own_line / "store"
    with served(place) as address:
        load(browser, address)
        assert browser.value("document.querySelector('#method-chooser').hidden")
        assert browser.value(BAND) > 0.2
        with embedstore.open(place) as store:
            line = np.stack([np.arange(len(store)), np.zeros(len(store))], axis=1)
            kept = maps.keep_map(store, "umap", line)
        browser.value(LOOK)
        browser.until("!document.querySelector('#method-chooser').hidden")
        assert browser.value(f"[...{CHOOSER}.options].map(one => one.innerText)") == ["principal axes", "UMAP"]
        browser.value(f"{CHOOSER}.value = 'umap', {CHOOSER}.dispatchEvent(new Event('change'))")
        browser.until(f"{BAND} < 0.05")
        with embedstore.open(place) as store, store.write() as writing:
            writing.set("label", {name_of(2): "crack"})
        browser.value(LOOK)
        browser.until("!!document.querySelector('[data-name=old] .button')")
        browser.value("document.querySelector('[data-name=old] .button').click()")
        browser.until("document.body.dataset.shown === '2'")
        assert browser.value(f"{CHOOSER}.value") == "umap"  # the pictures are the same
        assert browser.value(BAND) < 0.05
        kept.unlink()
        browser.value(LOOK)
        browser.until("document.querySelector('#method-chooser').hidden")
        browser.until(f"{BAND} > 0.2")
        browser.open("about:blank")
    assert browser.complaints == []

"""Making an index: what it is, which kind is chosen, how much it is said to find, and what is refused."""

import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers import store_of, unit_vectors
from hypothesis import given, settings
from hypothesis import strategies as st
from indexed_stores import (
    COUNT,
    DIM,
    FACTORY,
    VECTORS,
    copy_of_indexed_store,
    cosines,
    folder,
    queries_of,
)

import embedstore
from embedstore import EmbeddingStore
from embedstore.analysis import index_building
from embedstore.analysis.index_building import choose_kinds, least_effort, refinements
from embedstore.errors import SettingsError, StoreError, StoreLockedError
from embedstore.store import index_file
from embedstore.store.index import open_index


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return copy_of_indexed_store(tmp_path)


@pytest.fixture
def store(path: Path) -> Iterator[EmbeddingStore]:
    with embedstore.open(path) as opened:
        yield opened


def test_the_index_says_what_it_is(path: Path) -> None:
    with embedstore.open(path) as store:
        info = store.index_info
        assert info is not None
        assert dataclasses.asdict(info) == json.loads((folder(path) / "index.json").read_bytes())
        assert (info.version, info.rows, info.row_total, info.dim) == (store.version, COUNT, COUNT, DIM)
        assert (info.space, info.output, info.metric) == (store.fingerprint, "embedding", "cosine")
        assert (info.factory, info.refine, info.wanted, info.queries, info.seed) == (FACTORY, 1, 0.99, 512, 0)
        for name, size, sha in (
            (info.vectors_file, info.size, info.sha256),
            (info.rows_file, info.rows_size, info.rows_sha256),
        ):
            assert (folder(path) / name).stat().st_size == size
            assert index_file.sha256_of(folder(path) / name) == sha
        assert index_file.problems(store.generation, store.fingerprint, store.row_total) == []
    assert len(list(folder(path).iterdir())) == 4  # these, the marker, the lock


def test_the_recall_told_is_the_recall_found(path: Path) -> None:
    """By its own sample of queries, each left out of its own answers; and with one list less it would not surely do."""
    with embedstore.open(path) as store:
        info, index = store.index_info, open_index(store)
        assert info is not None
        assert index is not None
        assert info.nprobe is not None
        own = np.random.default_rng(0).permutation(COUNT)[-512:]
        queries = store.read(own)
        scores = cosines(store, queries)
        scores[np.arange(512), own] = -2
        least = np.sort(scores, axis=1)[:, -10] - 1e-12

        def recall(nprobe: int) -> tuple[float, float]:
            found = index.search(queries, 11, effort=nprobe)
            shares = np.array(
                [np.mean([scores[n, at] >= least[n] for at in row if at != own[n]][:10]) for n, row in enumerate(found)]
            )
            return float(shares.mean()), float(shares.mean() - 2 * shares.std() / 512**0.5)

        mean, surely = recall(info.nprobe)
        assert info.recall == pytest.approx(mean, abs=1e-9)
        assert surely >= 0.99 > recall(info.nprobe - 1)[1]


def test_the_same_seed_makes_the_same_index(path: Path, store: EmbeddingStore) -> None:
    before = store.index_info
    assert store.build_index(FACTORY) == before
    other = store.build_index(FACTORY, seed=1)
    assert before is not None
    assert other is not None
    assert other.sha256 != before.sha256
    assert len(list(folder(path).iterdir())) == 4  # the one before is gone


def test_lists_are_learnt_from_all_over_the_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Sorted by class, the first rows alone would give no list to the last class."""
    random = np.random.default_rng(0)
    around = np.repeat(np.eye(4), 300, axis=0) + random.normal(size=(1200, 4)) * 0.05
    monkeypatch.setattr(index_building, "_POINTS_PER_LIST", 20)
    with store_of(tmp_path / "s", around) as store:
        info = store.build_index("IVF4,Flat", recall=0.9)
        index = open_index(store)
        assert info is not None
        assert index is not None
        assert info.nprobe == 1
        for start in range(0, 1200, 300):
            found = index.search(around[start : start + 1], 1200, effort=1)
            assert sorted(found[found >= 0].tolist()) == list(range(start, start + 300))


def test_progress_is_told(store: EmbeddingStore) -> None:
    seen: list[tuple[str, int, int]] = []
    store.build_index(FACTORY, progress=lambda *step: seen.append(step))
    assert ("Adding", 0, COUNT) in seen
    assert ("Adding", COUNT, COUNT) in seen
    assert list(dict.fromkeys(step for step, _, _ in seen)) == ["Learning the lists", "Adding", "Measuring"]


def test_a_small_store_gets_no_index_unless_asked(tmp_path: Path) -> None:
    with store_of(tmp_path / "s", VECTORS[:30]) as store:
        assert store.build_index() is None
        assert store.index_info is None
        assert store.delete_index() is False
        with pytest.raises(StoreError, match="has no index; make one with: embedstore index"):
            store.search(queries_of(0, 1), exact=False)
        info = store.build_index("Flat", recall=1)
        assert info is not None
        assert (info.nprobe, info.recall, info.queries) == (None, 1.0, 30)
        assert store.delete_index() is True
        assert store.index_info is None
        assert store.delete_index() is False


def test_a_store_of_one_sample(tmp_path: Path) -> None:
    with store_of(tmp_path / "s", VECTORS[:1]) as store:
        assert store.build_index("IVF1,Flat") is not None
        assert [len(hits) for hits in store.search(queries_of(0, 2), exact=False)] == [1, 1]


@pytest.mark.parametrize(
    ("memory", "kinds"),
    [
        (None, ["IVF2048,PQ256x4fs", "IVF2048,SQfp16"]),
        (2 * 10**9, ["IVF2048,PQ256x4fs", "IVF2048,SQfp16"]),
        (512 * 10**6, ["IVF2048,PQ256x4fs", "IVF2048,PQ128x4fs"]),
    ],
)
def test_kinds_are_chosen_by_size_and_memory(memory: int | None, kinds: list[str]) -> None:
    assert choose_kinds(1_000_000, 512, memory) == kinds


def test_other_sizes_get_other_lists_and_parts() -> None:
    assert choose_kinds(200_000, 768, None) == ["IVF1024,PQ384x4fs", "IVF1024,SQfp16"]
    assert choose_kinds(10_000_000, 512, 2 * 10**9) == ["IVF8192,PQ128x4fs"]
    assert choose_kinds(1_000_000, 513, None)[0] == "IVF2048,PQ171x4fs"  # parts divide the dimension


def test_too_little_memory_is_refused() -> None:
    with pytest.raises(
        SettingsError, match=r"can't be made within 1,000 bytes; give [0-9,]+ or more, or search exactly"
    ):
        choose_kinds(1_000_000, 512, 1000)


@pytest.mark.parametrize(
    "factory", ["IVF8,PQ16", "IVF8,PQ4x4fs", "PCA64,IVF8,Flat", "SQ4", "OPQ8,IVF4,PQ8", "IVF8,RaBitQ"]
)
def test_coarse_codes_are_refined_more(factory: str) -> None:
    assert min(refinements(factory)) > min(refinements("IVF8,SQfp16")) == min(refinements("Flat")) == 1


def test_what_is_chosen_by_itself_reaches_the_recall(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Quarter bytes first; where they do not do, float16. Here even copies of one sample must be told apart by them."""
    monkeypatch.setattr(index_building, "EXACT_UP_TO", 100)
    with store_of(tmp_path / "spread", VECTORS) as store:
        info = store.build_index()
        assert info is not None
        assert info.factory == "IVF64,PQ4x4fs"
        assert info.recall >= 0.99
        assert info.refine >= 4
    random = np.random.default_rng(1)
    near = np.repeat(unit_vectors(1, 6, DIM), 200, axis=0) + random.normal(size=(1200, DIM)) * 0.002
    with store_of(tmp_path / "near", near) as store:
        info = store.build_index()
        assert info is not None
        assert info.factory == "IVF64,SQfp16"


@settings(max_examples=80)
@given(st.lists(st.integers(0, 100), min_size=40, max_size=40), st.floats(0.01, 1.0))
def test_the_least_effort_that_reaches_the_recall_is_found(steps: list[int], wanted: float) -> None:
    curve = np.maximum.accumulate(steps) / 100
    effort, recall = least_effort(lambda effort: float(curve[effort - 1]), 40, wanted)
    assert recall == curve[effort - 1]
    enough = np.flatnonzero(curve >= wanted) + 1
    if recall >= wanted:
        assert effort - enough[0] <= max(0, enough[0] // 8)
    else:
        assert len(enough) == 0 or enough[0] > 4  # given up, where eight times the effort had brought nothing


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"factory": "IVF16,Nonsense"}, "FAISS can't make the index 'IVF16,Nonsense' of this store"),
        ({"factory": "IVF5000,Flat"}, "can't make the index 'IVF5000,Flat' of this store .*training points"),
        ({"factory": "IVF16,PQ5"}, "can't make the index 'IVF16,PQ5'"),
        ({"factory": "PQ4x4"}, "can't make the index 'PQ4x4' of this store"),  # can't leave deleted samples out
        ({"factory": "IDMap,Flat"}, "can't make the index 'IDMap,Flat'"),
        ({"factory": FACTORY, "recall": 1.5}, "The recall is 1.5"),
        ({"factory": FACTORY, "recall": float("nan")}, "The recall is nan"),
    ],
)
def test_what_can_not_be_made_is_refused_and_the_index_stays(store: EmbeddingStore, options: Any, message: str) -> None:
    before = store.index_info
    with pytest.raises(SettingsError, match=message):
        store.build_index(**options)
    assert store.index_info == before
    assert len(list(folder(store.path).iterdir())) == 4


def test_an_empty_store_is_refused(tmp_path: Path) -> None:
    with (
        embedstore.create(tmp_path / "s", teacher="none", dim=3) as store,
        pytest.raises(StoreError, match="has no samples yet"),
    ):
        store.build_index("Flat")


def test_one_builder_at_a_time(store: EmbeddingStore) -> None:
    with (
        index_file.building(store.generation),
        pytest.raises(StoreLockedError, match="Another process is making an index"),
    ):
        store.build_index(FACTORY)

"""Making an index: what it is, which kind is chosen, and what is refused."""

import dataclasses
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers import store_of, unit_vectors
from indexed_stores import (
    COUNT,
    DIM,
    FACTORY,
    VECTORS,
    copy_of_indexed_store,
    folder,
    queries_of,
)

import embedstore
from embedstore import EmbeddingStore
from embedstore.analysis import index_building
from embedstore.analysis.index_building import choose_kinds, suggested
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
        assert (info.top, info.rare_wanted, info.rare_queries) == (10, 0.9, 64)
        assert info.in_words() == (
            f"IVF16,SQfp16 of 1,200 samples at version 1; as measured, recall@10 is {info.recall:.3f}, for rare samples "
            f"{info.rare_recall:.3f}"
        )
        for name, size, sha in (
            (info.vectors_file, info.size, info.sha256),
            (info.rows_file, info.rows_size, info.rows_sha256),
        ):
            assert (folder(path) / name).stat().st_size == size
            assert index_file.sha256_of(folder(path) / name) == sha
        assert index_file.problems(store.generation, store.fingerprint, store.row_total) == []
    assert len(list(folder(path).iterdir())) == 4  # these, the marker, the lock


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
        ({"factory": FACTORY, "rare_recall": 0}, "The recall for rare samples is 0"),
        ({"factory": FACTORY, "memory": 20_000}, "takes [0-9,]+ bytes, more than the memory of 20,000"),
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


@pytest.mark.parametrize("gone", [True, False])
def test_a_compaction_meanwhile_is_told(store: EmbeddingStore, monkeypatch: pytest.MonkeyPatch, gone: bool) -> None:
    """Whether it took the old generation away or had to leave it, since somebody reads it."""
    place = folder(store.path)

    def compacted(step: str, done: int, total: int) -> None:
        monkeypatch.setattr(index_building, "read_current", lambda path: path / "generations" / "another")
        if gone:
            shutil.rmtree(place, ignore_errors=True)

    with pytest.raises(
        StoreError, match=r"^A compaction replaced the rows of '.*' meanwhile; run the command again\.$"
    ):
        store.build_index(FACTORY, progress=compacted)


@pytest.mark.parametrize("factory", ["OPQ2,IVF8,PQ2np", "IVF8,PQ2np"])
def test_faiss_prints_nothing_while_it_learns(
    store: EmbeddingStore, capfd: pytest.CaptureFixture[str], factory: str
) -> None:
    store.build_index(factory, recall=0.1, rare_recall=0.1)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("count", [1, 28, 1000, 1200])
def test_the_kind_that_is_suggested_can_be_made(tmp_path: Path, count: int) -> None:
    with store_of(tmp_path / "s", VECTORS[:count]) as store:
        with pytest.raises(SettingsError, match=f"choose another, such as '{suggested(count)}'"):
            store.build_index("Nonsense")
        assert store.build_index(suggested(count)) is not None

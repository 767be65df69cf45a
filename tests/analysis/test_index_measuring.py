"""How much an index is said to find, of ordinary samples and of rare ones, and how far it looks for that."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from helpers import store_of
from hypothesis import given, settings
from hypothesis import strategies as st
from indexed_stores import COUNT, copy_of_indexed_store, cosines

import embedstore
from embedstore import EmbeddingStore
from embedstore.analysis.index_measuring import least_effort, refinements
from embedstore.store.index import open_index


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return copy_of_indexed_store(tmp_path)


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


@pytest.fixture(scope="module")
def with_outliers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddingStore]:
    """Give 1,200 samples around 24 points, of which the first 60 lie anywhere."""
    random = np.random.default_rng(0)
    vectors = random.normal(size=(24, 16)).repeat(50, axis=0) + random.normal(size=(1200, 16)) * 0.2
    vectors[:60] = random.normal(size=(60, 16))
    with store_of(tmp_path_factory.mktemp("outliers") / "store", vectors) as store:
        yield store


@pytest.mark.parametrize("factory", ["IVF48,SQfp16", "PCA15,IVF48,SQfp16"])
def test_rare_samples_are_measured_apart_and_looked_for_harder(with_outliers: EmbeddingStore, factory: str) -> None:
    """Measured again with the 64 that are farthest from the centre of every list."""
    store = with_outliers
    info = store.build_index(factory, recall=0.95, rare_recall=0.9)
    index = open_index(store)
    assert info is not None
    assert index is not None
    rarest = np.argsort(index.nearest_centre(store.vectors()))[:64]
    assert np.isin(rarest, range(60)).sum() > 40
    assert sorted(np.flatnonzero(index.rare(store.vectors() * 7))) == sorted(rarest)  # whatever their length
    scores = cosines(store, store.read(rarest))
    scores[np.arange(64), rarest] = -2
    right = np.argsort(-scores, axis=1)[:, :10]

    def recall(nprobe: int | None, refine: int) -> float:
        found = index.search(store.read(rarest), 11 * refine, effort=nprobe)
        ranked = [[at for at in right[n] if at in set(row)] for n, row in enumerate(found)]
        return sum(map(len, ranked)) / 640

    assert info.rare_recall == pytest.approx(recall(info.rare_nprobe, info.rare_refine), abs=0.004)
    assert info.rare_recall >= 0.9 > recall(info.nprobe, info.refine) + 0.05
    assert info.recall >= 0.95
    assert info.nprobe is not None
    assert info.rare_nprobe is not None
    assert info.rare_nprobe > info.nprobe

    found = store.nearest(store.read(rarest), 10, exact=False)
    exact = store.nearest(store.read(rarest), 10, exact=True)
    assert (found.similarities >= exact.similarities[:, -1:]).mean() >= 0.9


@pytest.mark.parametrize("factory", ["HNSW8", "SQ8"])
def test_where_rare_queries_can_not_be_told_all_get_what_they_need(with_outliers: EmbeddingStore, factory: str) -> None:
    info = with_outliers.build_index(factory, recall=0.9, rare_recall=0.9)
    assert info is not None
    assert info.rare_below is None
    assert (info.nprobe, info.refine) == (info.rare_nprobe, info.rare_refine)
    assert min(info.recall, info.rare_recall) >= 0.9
    assert info.rare_queries == 64


@pytest.mark.parametrize(
    "factory", ["IVF8,PQ16", "IVF8,PQ4x4fs", "PCA64,IVF8,Flat", "SQ4", "OPQ8,IVF4,PQ8", "IVF8,RaBitQ"]
)
def test_coarse_codes_are_refined_more(factory: str) -> None:
    assert min(refinements(factory)) > min(refinements("IVF8,SQfp16")) == min(refinements("Flat")) == 1


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

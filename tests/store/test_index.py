"""The index: what it finds, and how it keeps step with the store."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from helpers import store_of
from hypothesis import given, settings
from hypothesis import strategies as st
from indexed_stores import COUNT, FACTORY, copy_of_indexed_store, cosines, everywhere, queries_of

import embedstore
from embedstore import EmbeddingStore
from embedstore.errors import StoreError
from embedstore.store.index import IndexWarning, open_index


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return copy_of_indexed_store(tmp_path)


@pytest.fixture
def store(path: Path) -> Iterator[EmbeddingStore]:
    with embedstore.open(path) as opened:
        yield opened


@pytest.mark.parametrize("factory", [FACTORY, "IVF16,SQ8", "PCA6,IVF8,SQ8", "HNSW16", "Flat", "IVF4,PQ4x4fs"])
def test_any_kind_gives_the_stores_own_similarities(path: Path, factory: str) -> None:
    with embedstore.open(path) as store:
        info = store.build_index(factory, recall=0.9)
        assert info is not None
        queries = queries_of(1)
        found = store.nearest(queries, 10, exact=False)
        scores = cosines(store, queries)
        np.testing.assert_allclose(
            found.similarities, np.take_along_axis(scores, found.positions, 1), rtol=0, atol=1e-7
        )
        assert (np.diff(found.similarities) <= 0).all()
        assert (found.similarities >= np.sort(scores)[:, -10:-9] - 1e-7).mean() > 0.7
        assert info.recall > 0.8


operations = st.lists(
    st.tuples(st.just("add"), st.integers(1, 40))
    | st.tuples(st.just("delete"), st.integers(0, 10**6))
    | st.tuples(st.just("replace"), st.integers(0, 10**6)),
    max_size=4,
)


@settings(max_examples=15)
@given(operations, st.integers(1, 12), st.sampled_from([None, "good", "rare"]), st.integers(0, 100))
def test_an_index_that_looks_into_all_lists_answers_as_the_scan_does(
    tmp_path_factory: pytest.TempPathFactory,
    changes: list[tuple[str, int]],
    top: int,
    label: str | None,
    seed: int,
) -> None:
    """Whatever was added, deleted or replaced since, under any filter."""
    path = copy_of_indexed_store(tmp_path_factory.mktemp("changed"))
    with embedstore.open(path) as store:
        index = open_index(store)
        assert index is not None
        everywhere(index)
        for number, (what, detail) in enumerate(changes):
            with store.write() as writing:
                victim = store.ids[detail % len(store)]
                if what == "delete":
                    writing.delete([victim])
                elif what == "replace":
                    writing.add([victim], queries_of(detail, 1), labels=["rare"], replace=True)
                else:
                    writing.add(
                        [f"new {number} {n}" for n in range(detail)],
                        queries_of(detail, detail),
                        labels=["good"] * detail,
                    )
        where = {} if label is None else {"label": label}
        queries = np.concatenate([queries_of(seed, 3), store.vectors(store.ids[-2:])])
        exact = store.nearest(queries, top, where, store.ids[:3], exact=True)
        found = store.nearest(queries, top, where, store.ids[:3], exact=False)
        np.testing.assert_array_equal(found.similarities, exact.similarities)
        np.testing.assert_array_equal(found.positions, exact.positions)


def test_an_earlier_version_is_searched_as_it_was(path: Path, store: EmbeddingStore) -> None:
    queries = queries_of(3, 5)
    before = store.nearest(queries, 5, exact=True)
    with store.write() as writing:
        writing.delete(store.ids[:600:2])
        writing.add(["new"], queries[:1])
    store.build_index(FACTORY)
    with embedstore.open(path, version=1) as earlier:
        index = open_index(earlier)
        assert index is not None
        everywhere(index)
        found = earlier.nearest(queries, 5, exact=False)
        np.testing.assert_array_equal(found.positions, before.positions)
        with pytest.raises(StoreError, match="never changes"):
            earlier.build_index(FACTORY)


def test_a_narrow_filter_is_answered_by_a_scan_of_what_passes(store: EmbeddingStore) -> None:
    """The lists that are looked into hold few of the rare ones: the index by itself loses most answers."""
    index = open_index(store)
    assert index is not None
    queries, rare = queries_of(4, 30), store.where({"label": "rare"})
    exact = store.nearest(queries, 10, {"label": "rare"}, exact=True)
    naive = index.search(queries, 10, allowed=rare, effort=1)
    assert (naive >= 0).mean() < 0.5
    chosen = store.nearest(queries, 10, {"label": "rare"})
    np.testing.assert_array_equal(chosen.positions, exact.positions)
    assert (chosen.positions >= 0).all()


def test_the_index_is_asked_where_it_serves(store: EmbeddingStore, monkeypatch: pytest.MonkeyPatch) -> None:
    index = open_index(store)
    assert index is not None
    calls = 0
    search = index.search

    def counted(*args: Any, **options: Any) -> npt.NDArray[np.int64]:
        nonlocal calls
        calls += 1
        return search(*args, **options)

    monkeypatch.setattr(index, "search", counted)
    for where, exact in (({}, None), ({"label": "good"}, False), ({"label": "rare"}, False)):
        calls = 0
        store.search(queries_of(5, 2), where=where, exact=exact)
        assert calls > 0
    calls = 0
    store.search(queries_of(5, 2), where={"label": "good"})
    store.search(queries_of(5, 2), top=11)  # the recall was measured for 10
    store.search(queries_of(5, 2), exclude=store.ids[:11])
    store.search(queries_of(5, 2), exact=True)
    store.query(id=store.ids[3], exact=True)
    assert calls == 0
    store.query(id=store.ids[3])
    assert calls == 1


@pytest.fixture
def clusters(tmp_path: Path) -> Iterator[EmbeddingStore]:
    """Give 1,200 samples around 12 points in order, whose label is their point's number; the index looks into a list or two."""
    around = np.eye(12).repeat(100, axis=0) + np.random.default_rng(2).normal(size=(1200, 12)) * 0.05
    with store_of(tmp_path / "clusters", around, labels=[str(number // 100) for number in range(1200)]) as store:
        info = store.build_index("IVF12,SQfp16")
        assert info is not None
        assert (info.nprobe or 0) <= 2
        yield store


def test_a_filter_that_goes_with_the_vectors_loses_nothing(clusters: EmbeddingStore) -> None:
    """Near one cluster, all that passes is in another: the lists that are looked into hold none of it."""
    with clusters.write() as writing:
        writing.set("split", dict.fromkeys(clusters.ids[:1000], "train"))
    queries = clusters.read(np.arange(1100, 1110))
    exact = clusters.nearest(queries, 10, {"split": "train"}, exact=True)
    chosen = clusters.nearest(queries, 10, {"split": "train"})
    np.testing.assert_array_equal(chosen.positions, exact.positions)
    asked = clusters.nearest(queries, 10, {"split": "train"}, exact=False)
    assert (asked.positions >= 0).all()
    assert clusters.where({"split": "train"})[asked.positions].all()


def test_as_many_answers_as_can_be_whatever_the_index_holds(clusters: EmbeddingStore) -> None:
    queries = clusters.read(np.array([0, 500]))
    for top, where, count in ((700, {}, 700), (5000, {}, 1200), (50, {"label": "3"}, 50), (500, {"label": "3"}, 100)):
        for exact in (None, False):
            found = clusters.nearest(queries, top, where, exact=exact).positions
            assert (found >= 0).sum(axis=1).tolist() == [count, count]


def test_where_much_was_deleted_the_store_is_scanned(clusters: EmbeddingStore) -> None:
    """A query by what is gone: its lists hold next to nothing any more, but a tenth of all is few.

    What is new, and as far off as can be, must not take the places of what is in other lists.
    """
    queries = clusters.read(np.arange(300, 320))
    with clusters.write() as writing:
        writing.delete(clusters.ids[300:395])
        writing.add([f"new {number}" for number in range(20)], -queries)
    exact = clusters.nearest(queries, 10, exact=True)
    np.testing.assert_array_equal(clusters.nearest(queries, 10).positions, exact.positions)


def test_a_version_can_not_lose_the_index(path: Path) -> None:
    with embedstore.open(path, version=1) as pinned, pytest.raises(StoreError, match="which never changes"):
        pinned.delete_index()
    with embedstore.open(path) as store:
        assert store.index_info is not None


def test_hits_of_the_index_are_those_of_the_scan(store: EmbeddingStore) -> None:
    index = open_index(store)
    assert index is not None
    everywhere(index)
    assert store.search(queries_of(6), 7, exact=False) == store.search(queries_of(6), 7, exact=True)
    assert store.search(queries_of(6, 1), 7, {"label": "none"}, exact=False) == [[]]
    assert len(store.search(queries_of(6, 1), COUNT + 5, exact=False)[0]) == COUNT


def test_past_a_tenth_of_changes_the_store_is_scanned_and_that_is_said(store: EmbeddingStore) -> None:
    with store.write() as writing:
        writing.delete(store.ids[:60])
        writing.add([f"new {n}" for n in range(60)], queries_of(7, 60))
    store.search(queries_of(8, 1))  # a tenth: fine
    with store.write() as writing:
        writing.add(["one more"], queries_of(9, 1))
    with pytest.warns(
        IndexWarning, match=r"lacks 61 new samples and holds 60 that are gone, of 1,200.*embedstore index"
    ):
        (hits,) = store.search(queries_of(9, 1), 1)
    assert hits[0].id == "one more"
    store.build_index(FACTORY)
    store.search(queries_of(9, 1))
    info = store.index_info
    assert info is not None
    assert (info.rows, info.row_total) == (COUNT + 1, COUNT + 61)


def test_a_compacted_store_has_no_index_and_can_get_one(store: EmbeddingStore) -> None:
    with store.write() as writing:
        writing.delete(store.ids[:10])
    store.compact()
    assert store.index_info is None
    store.build_index(FACTORY)
    found, exact = (store.nearest(queries_of(1), 10, exact=way) for way in (False, True))
    assert (found.similarities >= exact.similarities[:, -1:]).mean() > 0.9

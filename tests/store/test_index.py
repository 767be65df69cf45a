"""The index: what it is made of, what it finds, how it keeps step with the store, and how a bad one is told."""

import dataclasses
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from helpers import run_python, store_of, unit_vectors
from hypothesis import given, settings
from hypothesis import strategies as st

import embedstore
from embedstore import EmbeddingStore
from embedstore.analysis import index_building
from embedstore.analysis.index_building import choose_kinds, least_effort, refinements
from embedstore.errors import CorruptStoreError, SettingsError, StoreError, StoreLockedError
from embedstore.store import index_file
from embedstore.store.index import IndexWarning, open_index

COUNT, DIM = 1200, 8
VECTORS = unit_vectors(5, COUNT, DIM) * np.float16(1.5)  # not of unit length, as imported ones may be
VECTORS[1::50] = VECTORS[::50]  # some copies
LABELS = ["rare" if number % 20 == 0 else "good" for number in range(COUNT)]
FACTORY = "IVF16,SQfp16"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with an index."""
    path = tmp_path_factory.mktemp("index") / "store"
    with store_of(path, VECTORS, labels=LABELS) as store:
        store.build_index(FACTORY)
    return path


@pytest.fixture
def path(made: Path, tmp_path: Path) -> Path:
    """A copy of it, to be changed."""
    return Path(shutil.copytree(made, tmp_path / "store"))


@pytest.fixture
def store(path: Path) -> Iterator[EmbeddingStore]:
    with embedstore.open(path) as opened:
        yield opened


def folder(path: Path) -> Path:
    (found,) = path.glob("generations/*/index")
    return found


def cosines(store: EmbeddingStore, queries: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Return the cosine of each query with each sample, by NumPy."""
    rows, asked = store.vectors().astype(np.float64), np.asarray(queries, np.float64)
    lengths = np.linalg.norm(asked, axis=1)[:, None] * np.linalg.norm(rows, axis=1)
    return (asked @ rows.T) / np.where(lengths > 0, lengths, 1)


def queries_of(seed: int, count: int = 20) -> npt.NDArray[np.float32]:
    return np.random.default_rng(seed).normal(size=(count, DIM)).astype(np.float32)


# What it is


def test_the_index_says_what_it_is(made: Path) -> None:
    with embedstore.open(made) as store:
        info = store.index_info
        assert info is not None
        assert dataclasses.asdict(info) == json.loads((folder(made) / "index.json").read_bytes())
        assert (info.version, info.rows, info.row_total, info.dim) == (store.version, COUNT, COUNT, DIM)
        assert (info.space, info.output, info.metric) == (store.fingerprint, "embedding", "cosine")
        assert (info.factory, info.refine, info.wanted, info.queries, info.seed) == (FACTORY, 1, 0.99, 512, 0)
        for name, size, sha in (
            (info.vectors_file, info.size, info.sha256),
            (info.rows_file, info.rows_size, info.rows_sha256),
        ):
            assert (folder(made) / name).stat().st_size == size
            assert index_file.sha256_of(folder(made) / name) == sha
        assert index_file.problems(store.generation, store.fingerprint, store.row_total) == []
    assert len(list(folder(made).iterdir())) == 4  # these, the marker, the lock


def test_the_recall_told_is_the_recall_found(made: Path) -> None:
    """By its own sample of queries, each left out of its own answers; and with one list less it would not surely do."""
    with embedstore.open(made) as store:
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


# What it finds


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
    made: Path,
    tmp_path_factory: pytest.TempPathFactory,
    changes: list[tuple[str, int]],
    top: int,
    label: str | None,
    seed: int,
) -> None:
    """Whatever was added, deleted or replaced since, under any filter."""
    path = Path(shutil.copytree(made, tmp_path_factory.mktemp("changed") / "store"))
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


def everywhere(index: Any) -> None:
    """Have an opened index look into all lists, so that only its bookkeeping is left to be wrong."""
    index.info = dataclasses.replace(index.info, nprobe=16, refine=3)


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
    for asked, (where, exact) in enumerate(
        [({}, None), ({"label": "good"}, None), ({"label": "rare"}, False)], start=1
    ):
        store.search(queries_of(5, 2), where=where, exact=exact)
        assert calls == asked
    store.search(queries_of(5, 2), where={"label": "rare"})
    store.search(queries_of(5, 2), exact=True)
    store.query(id=store.ids[3], exact=True)
    assert calls == 3
    store.query(id=store.ids[3])
    assert calls == 4


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


# What is chosen


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


# What is bad


def test_a_builder_that_is_killed_leaves_the_old_index(path: Path) -> None:
    """At each step of its appearing; the next build clears up."""
    with embedstore.open(path) as store:
        before = store.index_info
        expected = store.nearest(queries_of(0), 5, exact=False).positions
    for nth in (2, 3):  # between the files and at the marker
        code = """
import os, sys, pathlib, embedstore
replace, calls = pathlib.Path.replace, []
def killing(self, target):
    calls.append(target)
    if len(calls) == int(sys.argv[2]):
        os._exit(9)
    return replace(self, target)
store = embedstore.open(sys.argv[1])
pathlib.Path.replace = killing
store.build_index("IVF16,SQfp16", seed=5)
"""
        assert run_python(code, path, nth).returncode == 9
        with embedstore.open(path) as store:
            assert store.index_info == before
            np.testing.assert_array_equal(store.nearest(queries_of(0), 5, exact=False).positions, expected)
    assert len(list(folder(path).iterdir())) > 4
    with embedstore.open(path) as store:
        store.build_index(FACTORY)
    assert len(list(folder(path).iterdir())) == 4


def spoil(path: Path, **changes: Any) -> None:
    marker = folder(path) / "index.json"
    values = json.loads(marker.read_bytes()) | changes
    marker.write_text(json.dumps({name: value for name, value in values.items() if value != "dropped"}), "utf-8")


@pytest.mark.parametrize(
    "changes",
    [
        {"format": 2},
        {"format": True},
        {"rows": 0},
        {"rows": "1200"},
        {"rows": 10**30},
        {"rows": COUNT - 1},
        {"dim": DIM + 1},
        {"space": "0" * 32},
        {"space": "../../../etc/passwd"},
        {"sha256": "../../../../etc/passwd"},
        {"sha256": "0" * 64},
        {"rows_sha256": "0" * 64},
        {"metric": "l2"},
        {"nprobe": 0},
        {"nprobe": 1.5},
        {"refine": 10**6},
        {"recall": float("nan")},
        {"recall": 2},
        {"factory": "\x1b[31m"},
        {"size": 5},
        {"output": "dropped"},
        {"more": 1},
    ],
)
def test_a_marker_that_can_not_be_is_told(path: Path, changes: dict[str, Any]) -> None:
    spoil(path, **changes)
    with embedstore.open(path) as store:
        with pytest.raises(CorruptStoreError, match=r"can't be used, for .*; make it again with: embedstore index"):
            store.search(queries_of(0, 1), exact=False)
        with pytest.warns(IndexWarning, match="Until then the store is scanned"):
            hits = store.search(queries_of(0, 1))
        assert hits == store.search(queries_of(0, 1), exact=True)
        with pytest.raises(CorruptStoreError):
            _ = store.index_info


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff\xfe", b"[" * 60_000, b" " * 70_000, b"null"])
def test_a_marker_that_is_none_is_told(path: Path, content: bytes) -> None:
    (folder(path) / "index.json").write_bytes(content)
    with embedstore.open(path) as store:
        assert len(index_file.problems(store.generation, store.fingerprint, store.row_total)) == 1
        with pytest.raises(CorruptStoreError, match="make it again with: embedstore index"):
            store.search(queries_of(0, 1), exact=False)
        store.build_index(FACTORY)
        store.search(queries_of(0, 1), exact=False)


@pytest.mark.parametrize("suffix", [".faiss", ".npy"])
@pytest.mark.parametrize("damage", ["gone", "short", "long", "other", "flipped"])
def test_damaged_files_are_told(path: Path, suffix: str, damage: str) -> None:
    (file,) = folder(path).glob(f"*{suffix}")
    content = file.read_bytes()
    file.unlink()
    changed = {
        "short": content[:-1],
        "long": content + b"0",
        "other": bytes(len(content)),
        "flipped": content[:-9] + bytes([content[-9] ^ 16]) + content[-8:],
    }
    if damage != "gone":
        file.write_bytes(changed[damage])
    with embedstore.open(path) as store:
        assert len(index_file.problems(store.generation, store.fingerprint, store.row_total)) >= 1
        if damage == "flipped" and suffix == ".faiss":
            return  # found by its SHA-256 only, which is not read at each opening
        with pytest.raises(CorruptStoreError, match="make it again with: embedstore index"):
            store.search(queries_of(0, 1), exact=False)
        with pytest.warns(IndexWarning, match="embedstore index"):
            store.search(queries_of(0, 1))


def test_an_index_of_another_store_is_told(path: Path, tmp_path: Path) -> None:
    """Of the same teacher and marker, but other samples; and a file of FAISS that is no such index."""
    import faiss

    with store_of(tmp_path / "other", VECTORS[:700]) as other:
        info = other.build_index("Flat")
        assert info is not None
        foreign = (folder(other.path) / info.vectors_file).read_bytes()
    (file,) = folder(path).glob("*.faiss")
    for content in (foreign, faiss.serialize_index(faiss.IndexFlatL2(DIM)).tobytes()):
        file.write_bytes(content)
        spoil(path, size=len(content))
        with (
            embedstore.open(path) as store,
            pytest.raises(CorruptStoreError, match="is not the index that it should be"),
        ):
            store.search(queries_of(0, 1), exact=False)


def test_an_index_that_names_samples_it_does_not_hold_is_told(path: Path) -> None:
    import faiss

    (file,) = folder(path).glob("*.faiss")
    index = faiss.index_factory(DIM, "IVF1,SQfp16", faiss.METRIC_INNER_PRODUCT)
    index.train(VECTORS.astype(np.float32))
    index.add_with_ids(VECTORS.astype(np.float32), np.arange(COUNT) + 10**6)
    faiss.write_index(index, str(file))
    spoil(path, size=file.stat().st_size)
    with embedstore.open(path) as store:
        with pytest.raises(CorruptStoreError, match="samples that it does not hold"):
            store.search(queries_of(0, 1), exact=False)
        with pytest.warns(IndexWarning, match="Until then the store is scanned"):
            hits = store.search(queries_of(0, 1))
        assert hits == store.search(queries_of(0, 1), exact=True)


def test_no_flipped_bit_takes_the_process_down(tmp_path: Path) -> None:
    """In the parts that say how long the others are, at both ends of the file; each is told, or changes candidates only."""
    paths = [tmp_path / str(number) for number in range(3)]
    for path, factory in zip(paths, (FACTORY, "HNSW8", "IVF4,PQ4x4fs"), strict=True):
        with store_of(path, VECTORS[:300]) as store:
            store.build_index(factory, recall=0.5)
    code = """
import pathlib, random, sys, embedstore, numpy
from embedstore.errors import CorruptStoreError
from embedstore.store import index
for path in sys.argv[1:]:
    store = embedstore.open(path)
    (file,) = pathlib.Path(path).glob("generations/*/index/*.faiss")
    good, told, draw = file.read_bytes(), 0, random.Random(1)
    for _ in range(60):
        data = bytearray(good)
        data[draw.choice([draw.randrange(300), -1 - draw.randrange(300), draw.randrange(len(good))])] ^= 1 << draw.randrange(8)
        file.write_bytes(data)
        index._opened.cache_clear()
        try:
            store.nearest(numpy.ones((3, 8)), 10, exact=False)
        except CorruptStoreError:
            told += 1
    print(told)
"""
    result = run_python(code, *paths)
    assert result.returncode == 0, result.stderr
    assert min(map(int, result.stdout.split())) > 2

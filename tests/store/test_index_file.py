"""The files of an index: they appear all at once, and a bad one is told and never takes the process down."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers import run_python, store_of
from indexed_stores import COUNT, DIM, FACTORY, VECTORS, copy_of_indexed_store, folder, queries_of

import embedstore
from embedstore import EmbeddingStore
from embedstore.errors import CorruptStoreError
from embedstore.store import index_file
from embedstore.store.index import IndexWarning


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return copy_of_indexed_store(tmp_path)


@pytest.fixture
def store(path: Path) -> Iterator[EmbeddingStore]:
    with embedstore.open(path) as opened:
        yield opened


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
        {"format": 1},
        {"format": 3},
        {"format": True},
        {"rows": 0},
        {"rows": "1200"},
        {"rows": 10**30},
        {"rows": COUNT - 1},
        {"row_total": COUNT + 1},
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
        {"top": 0},
        {"rare_below": float("nan")},
        {"rare_nprobe": -1},
        {"rare_recall": 2},
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

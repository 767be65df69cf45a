"""The hashes that tell whether a copy is still a copy: of what is there, not of how or where it is kept."""

from pathlib import Path

import numpy as np
from helpers import store_of, unit_vectors

import embedstore
from embedstore import EmbeddingStore
from embedstore.search_engines.copies import collection_of
from embedstore.search_engines.exporting import columns_of
from embedstore.search_engines.record import fields_digest, history_digest, path_digest, vectors_digest

VECTORS = unit_vectors(1, 300, 4)


def both(store: EmbeddingStore) -> tuple[str, str]:
    return fields_digest(store), vectors_digest(store, 0)


def test_any_change_changes_them_and_taking_it_back_brings_them_back(tmp_path: Path) -> None:
    with store_of(tmp_path / "s", VECTORS, labels=["good"] * 300) as store:
        begun = both(store)
        for field, text in {"label": "bad", "mode": "good", "group": "g", "split": "train", "light": "north"}.items():
            with store.write() as writing:
                writing.set(field, {"sample 00007": text})
            assert fields_digest(store) != begun[0]
            assert vectors_digest(store, 0) == begun[1]
            with store.write() as writing:
                writing.set(field, {"sample 00007": "good" if field == "label" else None})
            assert both(store) == begun
        with store.write() as writing:  # two samples change places
            writing.add(["sample 00001", "sample 00002"], VECTORS[[2, 1]], replace=True)
        assert fields_digest(store) == begun[0]
        assert vectors_digest(store, 0) != begun[1]
        store.compact()
        assert fields_digest(store) == begun[0]
        with store.write() as writing:
            writing.add(["sample 00001", "sample 00002"], VECTORS[[1, 2]], replace=True)
        store.compact()
        assert both(store) == begun
        with store.write() as writing:
            writing.delete(["sample 00299"])
        assert fields_digest(store) != begun[0]


def test_equal_contents_in_another_order_have_equal_hashes_and_texts_do_not_change_sides(tmp_path: Path) -> None:
    order = np.random.default_rng(0).permutation(300)
    ids = np.array([f"id {at}" for at in range(300)])
    labels = np.array(["good", "bad", "odd"] * 100)
    with (
        store_of(tmp_path / "a", VECTORS, ids=ids.tolist(), labels=labels.tolist()) as first,
        store_of(tmp_path / "b", VECTORS[order], ids=ids[order].tolist(), labels=labels[order].tolist()) as second,
        store_of(tmp_path / "c", VECTORS, ids=ids.tolist(), modes=labels.tolist()) as third,
        store_of(tmp_path / "d", VECTORS, ids=ids.tolist(), labels=np.roll(labels, 1).tolist()) as fourth,
    ):
        assert both(first) == both(second)
        assert len({fields_digest(store) for store in (first, third, fourth)}) == 3


def test_history_and_place_tell_a_store_from_its_copy(tmp_path: Path) -> None:
    with store_of(tmp_path / "s", VECTORS) as store:
        first = history_digest(store, 1)
        with store.write() as writing:
            writing.delete(["sample 00000"])
        assert history_digest(store, 1) == first != history_digest(store, 2)
        store.path.rename(tmp_path / "t")
    with embedstore.open(tmp_path / "t") as moved:
        assert history_digest(moved, 1) == first
        assert path_digest(moved) != path_digest(store)


def test_names_are_those_that_engines_take(tmp_path: Path) -> None:
    names = ["parts.store", "2024 parts-A.store", "部品.store", "部品2.store"]
    found = []
    for name in names:
        attributes = [{"a_b": "1", "a-b": "2", "1": "3", "長さ": "4"}]
        with store_of(tmp_path / name, np.ones((1, 2)), attributes=attributes) as store:
            found.append(collection_of(store))
    assert found[:2] == ["parts", "store_2024_parts_A"]
    assert found[2].startswith("store_")
    assert found[3] == "store_2"
    assert list(columns_of(store).items())[6:] == [
        ("attribute:1", "attribute_1"), ("attribute:a-b", "attribute_1_"), ("attribute:a_b", "attribute_a_b"),
        ("attribute:長さ", "attribute_3"),
    ]  # fmt: skip

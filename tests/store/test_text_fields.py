"""Texts of all samples at once: the same whether blocks share them, and nothing for the garbage collector to walk through."""

import gc
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from helpers import noise_picture, store_of, unit_vectors, write_picture, write_pictures

import embedstore
from distill.targets import TrainingSet
from embedstore.analysis.twins import find_twins
from embedstore.exports import export
from embedstore.store.fields import join_blocks
from embedstore.store.layout import BLOCK
from embedstore.store.snapshot import Snapshot


@pytest.mark.parametrize("distinct", [False, True])
def test_blocks_are_joined_with_texts_that_stand_in_several(distinct: bool) -> None:
    blocks = [(1, ["c", "a"], np.array([0, 1, -1], np.int32)), (0, ["a", "b"], np.array([1, 0, 1], np.int32))]
    field = join_blocks(iter(blocks), 8, 3, distinct=distinct)  # rows 6 and 7 are of a block that is not there
    assert field.to_list() == ["b", "a", "b", "c", "a", None, None, None]
    assert np.flatnonzero(field.equals("a")).tolist() == [1, 4]
    assert np.flatnonzero(field.equals("b")).tolist() == [0, 2]
    assert not field.equals("d").any()
    assert np.flatnonzero(field.equals(None)).tolist() == [5, 6, 7]
    assert [field.at(row) for row in (0, 5)] == ["b", None]


def test_an_id_whose_row_was_replaced_is_found_where_it_is_now(tmp_path: Path) -> None:
    names = [f"good/{number:03}.png" for number in range(BLOCK)]
    write_pictures(tmp_path / "images", names)
    embedstore.build(tmp_path / "s", tmp_path / "images", teacher="pixels", views=0)
    write_picture(tmp_path / "images" / names[3], noise_picture(9999))
    embedstore.build(tmp_path / "s", tmp_path / "images")
    with embedstore.open(tmp_path / "s") as store:
        field = store.text_field("id")
        assert store.row_total == len(field.texts) == BLOCK + 1  # the replaced row's text beside the new one's
        assert field.to_list() == store.ids
        assert np.flatnonzero(field.equals(names[3])).tolist() == store.find([names[3]]).tolist()
        assert sorted(store.ids) == names


def test_the_garbage_collector_walks_through_no_texts_of_samples(tmp_path: Path) -> None:
    """Else each of its rounds, which come with the work done, would take as long as there are samples."""
    with store_of(tmp_path / "s", unit_vectors(0, 40), labels=["good", "bad"] * 20, groups=["a", None] * 20) as store:
        training = TrainingSet.from_source(store, np.arange(40))
        kept = [training.ids, training.labels, training.groups, store.text_field("id").texts]
        gc.collect()
        assert [gc.is_tracked(one) for one in kept] == [False] * len(kept)
        assert training.groups[:2] == ("group\0a", "sample\0sample 00001")


def test_few_ids_are_found_without_a_look_at_all_keys_once_these_are_sorted(tmp_path: Path) -> None:
    with store_of(tmp_path / "s", unit_vectors(0, 40)) as store:
        asked = [store.ids[7], "nothing", store.ids[0]]
        before = store.find(asked).tolist()
        assert store.find(store.ids).tolist() == list(range(40))
        store.alive["key"] = 0
        assert store.find(asked).tolist() == before == [7, -1, 0]


def test_ids_are_looked_up_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One by one, each of them would be compared with all others."""
    asked: list[int] = []
    find = Snapshot.find

    def counted(self: Snapshot, ids: Sequence[str]) -> npt.NDArray[np.int64]:
        asked.append(len(ids))
        return find(self, ids)

    with store_of(tmp_path / "s", unit_vectors(0, 60), labels=["good"] * 60) as store:
        store.summarize("class-mean", name="means")
        monkeypatch.setattr(Snapshot, "find", counted)
        export(store, tmp_path / "means.safetensors", summary="means")
        find_twins(store)
    assert 1 not in asked
    assert asked.count(60) == 2

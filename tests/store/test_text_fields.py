"""Texts of all samples at once: the same whether blocks share them, and nothing for the garbage collector to walk through."""

import gc
from pathlib import Path

import numpy as np
import pytest
from helpers import noise_picture, store_of, unit_vectors, write_picture, write_pictures

import embedstore
from distill.targets import TrainingSet
from embedstore.store.fields import join_blocks
from embedstore.store.layout import BLOCK


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

"""Names of attributes and tags, which look the same in two Unicode forms: a Mac writes one, a spreadsheet the other."""

import csv
import unicodedata
from pathlib import Path

import numpy as np
import pytest
from helpers import store_of, unit_vectors, write_pictures

import embedstore
from embedstore.errors import ImagesError, StoreError
from embedstore.imports import import_vectors
from embedstore.store.writing import writer

ONE = "ガ"
OTHER = unicodedata.normalize("NFD", ONE)


def write_csv(path: Path, *rows: list[str]) -> Path:
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows(rows)
    return path


@pytest.mark.parametrize("name", [ONE, OTHER])
def test_an_attribute_is_found_and_set_by_either_form(name: str, tmp_path: Path) -> None:
    write_pictures(tmp_path / "images", ["a.png", "b.png"])
    manifest = write_csv(tmp_path / "m.csv", ["path", name], ["a.png", "w"], ["b.png", "x"])
    embedstore.build(tmp_path / "s", tmp_path / "images", manifest=manifest, teacher="pixels", views=0)
    with embedstore.open(tmp_path / "s") as store:
        for asked in (ONE, OTHER):
            assert store.where({asked: "x"}).tolist() == [False, True]
            assert store.counts(asked)["x"] == 1
            with store.write() as changes:
                changes.set(asked, {"a.png": f"set by {len(asked)}"})
            assert store.changed_by(["a.png"], asked) == [store.version]
            assert store.field(asked)[0] == f"set by {len(asked)}"
        assert store.attribute_names == [ONE]
    assert embedstore.build(tmp_path / "s", tmp_path / "images", manifest=manifest).updated == 0


def test_two_columns_of_a_manifest_that_are_one_are_refused(tmp_path: Path) -> None:
    write_pictures(tmp_path / "images", ["a.png"])
    manifest = write_csv(tmp_path / "m.csv", ["path", ONE, OTHER], ["a.png", "w", "x"])
    with pytest.raises(ImagesError, match=f"has the column '{ONE}' more than once; delete all but one"):
        embedstore.build(tmp_path / "s", tmp_path / "images", manifest=manifest, teacher="pixels", views=0)


def test_two_columns_of_an_import_that_are_one_are_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "v.npy", unit_vectors(0, 1))
    write_csv(tmp_path / "v.csv", ["id", ONE, OTHER], ["a", "w", "x"])
    with pytest.raises(StoreError, match=f"The attribute '{ONE}' is given twice, its name in two Unicode forms"):
        import_vectors(tmp_path / "s", tmp_path / "v.npy", teacher="t")
    assert not (tmp_path / "s").exists()
    write_csv(tmp_path / "v.csv", ["id", OTHER], ["a", "w"])
    assert import_vectors(tmp_path / "s", tmp_path / "v.npy", teacher="t").attributes == (ONE,)


def test_a_tag_is_one_in_either_form(tmp_path: Path) -> None:
    with store_of(tmp_path / "s", unit_vectors(0, 3)) as store:
        assert store.tag(OTHER) == 1
        assert store.tags == {ONE: 1}
        for name in (ONE, OTHER):
            with pytest.raises(StoreError, match="names version 1 already"):
                store.tag(name)
            with embedstore.open(store.path, version=name) as opened:
                assert opened.version == 1
        assert store.delete_tag(OTHER) == 1
        assert store.tags == {}


def test_a_store_that_is_older_than_the_one_form_is_read_as_if_it_had_it(tmp_path: Path) -> None:
    with store_of(tmp_path / "s", unit_vectors(0, 2), attributes=[{ONE: "w"}, {ONE: "x"}]) as store:
        with writer(store.path) as session:
            names = session.read(lambda tables: tables.names())
            session.write(lambda tables: tables.put_names([name.replace(ONE, OTHER) for name in names]))
            session.write(lambda tables: tables.put_tag(OTHER, 1))
        store.refresh()
        assert store.attribute_names == [ONE]
        assert store.field(OTHER) == ["w", "x"]
        for name in (ONE, OTHER):
            assert store.number_of(name) == 1
            with pytest.raises(StoreError, match=f"The tag '{name}' names version 1 already; delete it first"):
                store.tag(name)
        assert store.delete_tag(ONE) == 1
        assert store.tags == {}


def test_two_forms_of_a_tag_that_an_older_store_has_stay_two(tmp_path: Path) -> None:
    with store_of(tmp_path / "s", unit_vectors(0, 2)) as store:
        with store.write("relabel") as writing:
            writing.set("label", dict.fromkeys(store.ids, "good"))
        with writer(store.path) as session:
            session.write(lambda tables: tables.put_tag(OTHER, 1))
            session.write(lambda tables: tables.put_tag(ONE, 2))
        assert (store.number_of(OTHER), store.number_of(ONE)) == (1, 2)
        assert store.delete_tag(ONE) == 2
        assert store.tags == {OTHER: 1}
        assert store.delete_tag(ONE) == 1


def test_two_forms_that_an_older_store_has_stay_two(tmp_path: Path) -> None:
    with store_of(
        tmp_path / "s", unit_vectors(0, 2), attributes=[{ONE: "w", "other": "y"}, {ONE: "x", "other": "z"}]
    ) as store:
        with writer(store.path) as session:
            names = session.read(lambda tables: tables.names())
            session.write(lambda tables: tables.put_names([name.replace("other", OTHER) for name in names]))
        store.refresh()
        assert store.attribute_names == [OTHER, ONE]
        assert store.field(OTHER) == store.field(ONE) == ["w", "x"]
        assert store.text_field(f"attribute:{OTHER}").to_list() == ["y", "z"]

"""Whose vectors they are: a file that names its teacher is believed, and a checked teacher stays checked."""

import json
from pathlib import Path

import numpy as np
import pytest
from helpers import CountingTeacher, write_pictures

import embedstore
from embedstore import EmbeddingStore, Recipe
from embedstore.errors import ImagesError, SettingsError, SourceError, TeacherMismatchError
from embedstore.exports import export
from embedstore.images import list_images
from embedstore.imports import import_vectors, open_source

NAMED = (".parquet", ".safetensors")


def declared(path: Path, teacher: str = "enc", **fields: object) -> EmbeddingStore:
    store = embedstore.create(path, teacher=teacher, dim=2)
    with store.write() as writer:
        writer.add(["a", "b"], np.array([[1, 0], [6e-6, 0]], np.float16), **fields)  # type: ignore[arg-type]
    return store


@pytest.mark.parametrize("ending", NAMED)
def test_the_file_names_its_teacher(ending: str, tmp_path: Path) -> None:
    with declared(tmp_path / "s") as store:
        export(store, tmp_path / f"o{ending}")
        with pytest.raises(
            TeacherMismatchError, match=r"are of the teacher 'enc', not of 'dino'; leave the teacher out\.$"
        ):
            import_vectors(tmp_path / "wrong", tmp_path / f"o{ending}", teacher="dino")
        assert not (tmp_path / "wrong").exists()
        assert import_vectors(tmp_path / "again", tmp_path / f"o{ending}").teacher == "enc"
        with embedstore.open(tmp_path / "again") as again:
            assert again.declared
            assert again.fingerprint == store.fingerprint
            np.testing.assert_array_equal(again.vectors(), store.vectors())  # one is shorter than float16 is fine


def test_a_file_that_names_none_needs_a_name(tmp_path: Path) -> None:
    with declared(tmp_path / "s") as store:
        export(store, tmp_path / "o.npy")
    with pytest.raises(SettingsError, match=r"does not say what made its vectors; name it: --teacher NAME$"):
        import_vectors(tmp_path / "again", tmp_path / "o.npy")


@pytest.mark.parametrize("ending", NAMED)
def test_a_checked_teacher_stays_checked(ending: str, tmp_path: Path) -> None:
    teacher, photos = CountingTeacher(), tmp_path / "photos"
    write_pictures(photos, ["good/1.png", "good/2.png", "bad/3.png"])
    embedstore.build(tmp_path / "s", photos, teacher=teacher, views=1, recipe=Recipe(seed=5, flips=False))
    with embedstore.open(tmp_path / "s") as store:
        export(store, tmp_path / f"o{ending}")
        export(store, tmp_path / f"view{ending}", view=1)
        import_vectors(tmp_path / "again", tmp_path / f"o{ending}", images=photos)
        with embedstore.open(tmp_path / "again") as again:
            assert not again.declared
            assert (again.fingerprint, again.teacher) == (store.fingerprint, store.teacher)
            assert (again.recipe, again.image_root) == (store.recipe, store.image_root)
            np.testing.assert_array_equal(again.vectors(store.ids), store.vectors())
            again.check_teacher(teacher)
        write_pictures(photos, ["bad/4.png"], seed=1)
        embedstore.add(tmp_path / "again", [photos / "bad" / "4.png"], teacher=teacher)
        embedstore.build(tmp_path / "s", photos, teacher=teacher)
        with embedstore.open(tmp_path / "again") as again:
            store.refresh()
            np.testing.assert_array_equal(again.vectors(["bad/4.png"]), store.vectors(["bad/4.png"]))
        with pytest.raises(TeacherMismatchError):
            embedstore.add(tmp_path / "again", [photos / "bad" / "3.png"], teacher=CountingTeacher(kind="another"))
    import_vectors(tmp_path / "view", tmp_path / f"view{ending}")  # these are no plain views
    with embedstore.open(tmp_path / "view") as view:
        assert view.declared


@pytest.mark.parametrize("ending", NAMED)
def test_a_checked_teacher_stays_checked_where_its_store_has_further_outputs(ending: str, tmp_path: Path) -> None:
    teacher, photos = CountingTeacher(early=True), tmp_path / "photos"
    write_pictures(photos, ["good/1.png", "good/2.png", "bad/3.png"])
    embedstore.build(tmp_path / "s", photos, teacher=teacher, views=0)
    with embedstore.open(tmp_path / "s") as store:
        export(store, tmp_path / f"o{ending}")
        import_vectors(tmp_path / "again", tmp_path / f"o{ending}", images=photos)
        with embedstore.open(tmp_path / "again") as again:
            assert (again.declared, again.fingerprint) == (False, store.fingerprint)
            assert again.outputs == {"embedding": 12}  # the one that an export holds
            np.testing.assert_array_equal(again.vectors(store.ids), store.vectors())
        embedstore.build(tmp_path / "again", photos, teacher=teacher, outputs=["early"])
        with embedstore.open(tmp_path / "again") as again:
            expected = store.vectors(output="early")
            np.testing.assert_array_equal(again.vectors(store.ids, output="early"), expected)


@pytest.mark.parametrize(
    "about",
    [
        b"[",
        b"[]",
        b'{"teacher": "t"}',
        b'{"teacher": 1, "declared": true}',
        b'{"teacher": "t", "declared": false, "view": 0, "outputs": ["embedding"]}',
        b'{"teacher": "t", "declared": false, "view": 0, "outputs": 3}',
    ],
)
def test_what_a_file_says_of_its_teacher_may_be_anything(about: bytes, tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    pytest.importorskip("pyarrow.parquet")
    table = pyarrow.table({"v": pyarrow.array([[1.0, 2.0]])}).replace_schema_metadata({"embedstore": about})
    pyarrow.parquet.write_table(table, tmp_path / "o.parquet")
    with pytest.raises(SourceError, match=r"says of its teacher can't be read; export it again\.$"):
        open_source(tmp_path / "o.parquet")


def test_a_fingerprint_that_is_none_is_refused(tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    pytest.importorskip("pyarrow.parquet")
    about = {
        "teacher": "t", "declared": False, "view": 0, "outputs": ["embedding"], "fingerprint": "../x", "input_size": 8,
        "recipe": Recipe().to_dict(),
    }  # fmt: skip
    table = pyarrow.table({"v": pyarrow.array([[1.0, 2.0]])}).replace_schema_metadata({"embedstore": json.dumps(about)})
    pyarrow.parquet.write_table(table, tmp_path / "o.parquet")
    with pytest.raises(SourceError, match="can't be read"):
        open_source(tmp_path / "o.parquet")


# The columns beside them


def test_a_column_in_capitals_is_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "v.npy", np.eye(2))
    (tmp_path / "v.csv").write_text("ID,label\na,x\nb,y\n", "utf-8")
    with pytest.raises(SourceError, match=r"v\.csv' has a column 'ID'; did you mean 'id'\? Rename it\.$"):
        import_vectors(tmp_path / "s", tmp_path / "v.npy", teacher="t")


def test_a_manifest_with_a_column_in_capitals_is_refused(tmp_path: Path) -> None:
    write_pictures(tmp_path, ["a.png"])
    (tmp_path / "m.csv").write_text("path,LABEL \na.png,good\n", "utf-8")
    with pytest.raises(ImagesError, match=r"m\.csv' has a column 'LABEL'; did you mean 'label'\? Rename it\.$"):
        list_images(tmp_path, tmp_path / "m.csv")


def test_an_attribute_in_capitals_comes_back(tmp_path: Path) -> None:
    with declared(tmp_path / "s", attributes={"Label": ["1", None]}) as store:
        export(store, tmp_path / "o.npy")
    assert import_vectors(tmp_path / "again", tmp_path / "o.npy", teacher="enc").attributes == ("Label",)


def test_what_all_paths_begin_with_is_taken_off(tmp_path: Path) -> None:
    np.save(tmp_path / "v.npy", np.eye(2))
    (tmp_path / "v.csv").write_text("path\n/data/photos/a.png\n/data/photos/b/c.png\n", "utf-8")
    import_vectors(tmp_path / "s", tmp_path / "v.npy", teacher="t", strip="/data/photos")
    with embedstore.open(tmp_path / "s") as store:
        assert store.ids == [sample.uri for sample in store.samples] == ["a.png", "b/c.png"]
    with pytest.raises(SourceError, match=r"has the path '/data/photos/a\.png', which does not begin with '/photos';"):
        import_vectors(tmp_path / "t", tmp_path / "v.npy", teacher="t", strip="/photos")
    (tmp_path / "v.csv").write_text("id\na\nb\n", "utf-8")
    with pytest.raises(
        SourceError, match=r"v\.csv' has no column 'path', from which '/photos' could be taken off; leave --str"
    ):
        import_vectors(tmp_path / "t", tmp_path / "v.npy", teacher="t", strip="/photos")
    assert not (tmp_path / "t").exists()

"""Paths that were written on Windows, read on any system: with slashes, and relative to the folder of pictures."""

import os
from pathlib import Path

import numpy as np
import pytest
from helpers import write_pictures

import embedstore
from embedstore.errors import SourceError
from embedstore.imports import import_vectors


def vectors_of(folder: Path, *paths: str) -> Path:
    np.save(folder / "v.npy", np.eye(len(paths)))
    (folder / "v.csv").write_text("path\n" + "".join(f"{path}\n" for path in paths), "utf-8")
    return folder / "v.npy"


@pytest.mark.parametrize(
    ("strip", "paths"),
    [
        ("C:\\data", ["C:\\data\\good\\1.png", "C:\\data\\bad\\2.png"]),
        ("C:\\data\\", ["C:\\data\\good\\1.png", "C:/data/bad/2.png"]),
        ("C:/data", ["C:\\data\\good\\1.png", "C:\\data\\bad\\2.png"]),
        ("\\\\server\\share\\data", ["\\\\server\\share\\data\\good\\1.png", "\\\\server\\share\\data\\bad\\2.png"]),
        ("data\\", ["data\\good\\1.png", "data\\bad\\2.png"]),
    ],
)
def test_what_all_paths_begin_with_is_taken_off_in_either_form(strip: str, paths: list[str], tmp_path: Path) -> None:
    import_vectors(tmp_path / "s", vectors_of(tmp_path, *paths), teacher="t", strip=strip)
    with embedstore.open(tmp_path / "s") as store:
        assert store.ids == [sample.uri for sample in store.samples] == ["good/1.png", "bad/2.png"]


def test_a_path_with_another_beginning_is_named(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"has the path 'D:/data/1\.png', which does not begin with 'C:\\data'; give"):
        import_vectors(tmp_path / "s", vectors_of(tmp_path, "D:\\data\\1.png"), teacher="t", strip="C:\\data")


def test_a_drive_tells_by_itself(tmp_path: Path) -> None:
    import_vectors(tmp_path / "s", vectors_of(tmp_path, "C:\\data\\1.png"), teacher="t")
    with embedstore.open(tmp_path / "s") as store:
        assert store.ids == ["C:/data/1.png"]


@pytest.mark.skipif(os.name == "nt", reason="no file there can have a backslash in its name")
def test_the_folder_of_pictures_tells_what_a_backslash_is(tmp_path: Path) -> None:
    write_pictures(tmp_path / "images", ["good/1.png", "odd\\name.png"])
    vectors = vectors_of(tmp_path, "good\\1.png", "odd\\name.png")
    import_vectors(tmp_path / "s", vectors, teacher="t", images=tmp_path / "images")
    with embedstore.open(tmp_path / "s") as store:
        assert [sample.uri for sample in store.samples] == ["good/1.png", "odd\\name.png"]
    import_vectors(tmp_path / "t", vectors, teacher="t")
    with embedstore.open(tmp_path / "t") as store:  # nothing tells, and a store's own export comes back as it left
        assert store.ids == ["good\\1.png", "odd\\name.png"]

"""Vectors from `.npy` files and fields from the CSV beside them: what is taken, and what is refused in which words."""

import csv
from pathlib import Path
from typing import Any

import hypothesis
import hypothesis.strategies as st
import numpy as np
import numpy.typing as npt
import pytest

from embedstore.errors import SourceError
from embedstore.imports.npy import NpySource
from embedstore.imports.source import Batch, Options
from embedstore.imports.tables import CsvTable

FOUR = np.array([[1, 2], [3, 4], [0, 0], [-0.5, 65504]])  # all exact in float16


def read(path: Path, **options: Any) -> Batch:
    """Return the one batch of a small source."""
    (batch,) = NpySource(path, Options(**options)).batches()
    return batch


def beside(path: Path, text: str | bytes) -> Path:
    """Write the file of four vectors with a CSV file beside it."""
    np.save(path, FOUR)
    path.with_suffix(".csv").write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


# Vectors


@pytest.mark.parametrize("dtype", ["<f2", "<f4", "<f8", ">f2", ">f4", ">f8"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_all_floats_in_any_order_are_taken(dtype: str, order: Any, tmp_path: Path) -> None:
    np.save(tmp_path / "v.npy", np.asarray(FOUR, dtype, order=order))
    source = NpySource(tmp_path / "v.npy", Options())
    assert (source.count, source.dim) == (4, 2)
    (batch,) = source.batches()
    assert batch.vectors.dtype == np.dtype("=f2")
    np.testing.assert_array_equal(batch.vectors, FOUR)


def test_without_a_csv_ids_are_the_files_name_and_the_rows_number(tmp_path: Path) -> None:
    np.save(tmp_path / "時計.v2.npy", FOUR)
    batch = read(tmp_path / "時計.v2.npy")
    assert batch.ids == ["時計.v2/0", "時計.v2/1", "時計.v2/2", "時計.v2/3"]
    assert batch.fields == {}


def test_values_are_rounded_to_the_nearest_and_lengths_stay(tmp_path: Path) -> None:
    wide = np.array([[0.1, 0.2, 7.0], [1e-4, 3e-8, -1e-5], [123.456, 1 / 3, -2]])
    np.save(tmp_path / "v.npy", wide)
    found = read(tmp_path / "v.npy").vectors.astype(np.float64)
    step = np.maximum(np.abs(wide) * 2.0**-10, 2.0**-24)  # from one float16 to the next, at most
    assert (np.abs(found - wide) <= step / 2).all()


HELD_OUT: dict[str, tuple[npt.NDArray[Any], str]] = {
    "NaN": (np.array([[1, 2], [3, np.nan]]), r"^Vector 1 of '.*v\.npy' \(counted from 0\) holds values that are not finite; "),
    "infinite": (np.array([[np.inf, 2]], np.float16), r"^Vector 0 of .* holds values that are not finite"),
    "too large": (np.array([[1], [-7e4]]), r"^Vector 1 of .* has a value of 7e\+04, but .* float16, which ends at 65504;"),
    "too large for float32": (np.array([[1e300]]), r"^Vector 0 of .* has a value of 1e\+300, but"),
    "too small": (np.array([[1], [0], [1e-6]]), r"^Vector 2 of .* has no value above 1e-06, but .* coarse below 6e-05; m"),
    "whole numbers": (np.array([[1, 2]]), r"^'.*v\.npy' holds int64; expected float16, float32 or float64"),
    "complex": (np.array([[1j]]), r"holds complex128; expected"),
    "texts": (np.array([["a"]]), r"holds str32; expected"),
    "one vector": (np.ones(3), r"^'.*v\.npy' has the shape \(3,\); expected \(n, d\), one row a vector\.$"),
    "three axes": (np.ones((1, 2, 3)), r"has the shape \(1, 2, 3\); expected"),
    "no rows": (np.ones((0, 3)), r"has the shape \(0, 3\); expected"),
    "no numbers": (np.ones((3, 0)), r"has the shape \(3, 0\); expected"),
    "objects": (np.array([[{}]], object), r"^'.*v\.npy' is no whole \.npy file of numbers \(ValueError\); write it again with"),
    "structures": (np.ones((2, 2), [("a", "f4")]), r"holds void32; expected"),
}  # fmt: skip


@pytest.mark.parametrize("case", HELD_OUT)
def test_other_vectors_are_refused(case: str, tmp_path: Path) -> None:
    rows, sentence = HELD_OUT[case]
    np.save(tmp_path / "v.npy", rows, allow_pickle=True)
    with pytest.raises(SourceError, match=sentence):
        read(tmp_path / "v.npy")


def test_what_is_no_npy_file_is_refused_and_never_run(tmp_path: Path) -> None:
    path = tmp_path / "v.npy"
    np.save(path, FOUR)
    whole = path.read_bytes()
    bomb = b"cos\nsystem\n(S'touch " + str(tmp_path / "ran").encode() + b"'\ntR."  # a pickle that would run a command
    header = b"\x93NUMPY\x01\x00\x40\x00" + b"__import__('os').getcwd()".ljust(63) + b"\n"
    for content in (
        b"",
        b"PK\x03\x04",
        b"hello",
        bomb,
        header,
        whole[:-1],
        whole[:40],
        whole[:8] + b"\xff\xff" + whole[10:],
    ):
        path.write_bytes(content)
        with pytest.raises(SourceError, match=r"^'.*v\.npy' (is no whole \.npy file of numbers|can't be read)"):
            read(path)
    assert not (tmp_path / "ran").exists()
    with path.open("wb") as file:
        np.savez(file, a=FOUR)
    with pytest.raises(SourceError, match=r"^'.*v\.npy' is no whole \.npy file of numbers"):
        read(path)


def test_an_option_without_a_meaning_is_refused(tmp_path: Path) -> None:
    with pytest.raises(
        SourceError, match=r"has no columns, since a \.npy file holds vectors only; leave --column out\.$"
    ):
        read(beside(tmp_path / "v.npy", "id\na\nb\nc\nd\n"), column="x")


# Fields


def test_columns_become_fields_and_other_columns_attributes(tmp_path: Path) -> None:
    text = (
        "path, label ,mode,group,split,light,id\nx/a.png,good,,p1,train,1,A\nb.png,,m,,,,B\nc,,,,aside,,C\nd,,,,,,D\n"
    )
    batch = read(beside(tmp_path / "v.npy", text))
    assert batch.ids == ["A", "B", "C", "D"]
    assert batch.fields == {
        "path": ["x/a.png", "b.png", "c", "d"],
        "label": ["good", None, None, None],
        "mode": [None, "m", None, None],
        "group": ["p1", None, None, None],
        "split": ["train", None, "aside", None],
        "light": ["1", None, None, None],
    }


def test_without_an_id_the_path_is_one(tmp_path: Path) -> None:
    batch = read(beside(tmp_path / "v.npy", "path\nカ\u3099.png\n/etc/passwd\n../up.png\nC:\\x.png\n"))
    assert batch.ids == ["ガ.png", "/etc/passwd", "../up.png", "C:/x.png"]
    assert batch.fields == {"path": ["カ\u3099.png", None, None, None]}  # the others lead out of any folder


def test_paths_become_relative_to_the_folder_of_pictures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "photos").mkdir()
    monkeypatch.chdir(tmp_path)
    text = f"path\nphotos/a/1.png\n{tmp_path}/photos/2.png\n3.png\n{tmp_path}/photos2/4.png\n"
    batch = read(beside(tmp_path / "v.npy", text), images=Path("photos"))
    assert batch.ids == ["a/1.png", "2.png", "3.png", f"{tmp_path}/photos2/4.png"]
    assert batch.fields["path"] == ["a/1.png", "2.png", "3.png", None]


def test_another_csv_is_taken_when_named(tmp_path: Path) -> None:
    source = beside(tmp_path / "v.npy", "id\na\nb\nc\nd\n")
    (tmp_path / "other.csv").write_text("id,x\n1,e\n2,f\n3,g\n4,h\n", "utf-8")
    batch = read(source, fields=tmp_path / "other.csv")
    assert (batch.ids, batch.fields) == (["1", "2", "3", "4"], {"x": ["e", "f", "g", "h"]})


@pytest.mark.parametrize(
    "text",
    [
        b'\xef\xbb\xbfid,label\r\n"a, 1",x\r\n"b ""2""",\r\n"c\r\n3",y\r\nd, z \r\n',  # as spreadsheets write it
        b'id,label\n"a, 1",x\n\n"b ""2""",\n"c\r\n3",y\nd, z ',
    ],
)
def test_csv_as_programs_write_it(text: bytes, tmp_path: Path) -> None:
    batch = read(beside(tmp_path / "v.npy", text))
    assert batch.ids == ["a, 1", 'b "2"', "c\r\n3", "d"]
    assert batch.fields == {"label": ["x", None, "y", " z "]}


def test_a_column_without_a_name_is_left_out_and_told(tmp_path: Path) -> None:
    source = NpySource(beside(tmp_path / "v.npy", ",id\n0,a\n1,b\n2,c\n3,d\n"), Options())
    assert source.left_out == ("(no name)",)
    assert next(source.batches()).fields == {}


REFUSED: dict[str, tuple[str | bytes, str]] = {
    "fewer rows": ("id\na\nb\n", r"^'.*v\.npy' has 4 vectors, but '.*v\.csv' has 2 rows; they must be of one export"),
    "no header": ("a\nb\nc\nd\n", r"has 4 vectors, but .* has 3 rows; .* \(the first row of a CSV is its header\)\.$"),
    "nothing": ("", r"^'.*v\.csv' has no header; write the names of the columns into its first row\.$"),
    "no names": (",\n1,2\n", r"has no header"),
    "a column twice": ("id,x, x\n", r"^'.*v\.csv' has the column 'x' more than once; delete all but one\.$"),
    "too many cells": ("id\na\nb,1\n", r"^Row 1 of '.*v\.csv' \(counted from 0, .*\) has 2 cells, but the header has 1; put"),
    "semicolons": ("id;label\na;b\n", r"does not separate its cells by commas; save it as CSV with commas\.$"),
    "not UTF-8": (b"id\n\x83\x4a\n", r"^'.*v\.csv' is not UTF-8 \(byte 3\); save it as 'CSV UTF-8'"),
    "a quote": ('id\n"a\n', r"^'.*v\.csv' is no CSV file: unexpected end of data; save it as CSV with commas\.$"),
    "an empty id": ("id,x\na,1\nb,1\n,1\nd,1\n", r"^Row 2 of '.*v\.csv' \(.*, below the header\) has no id; fill in .* 'id'"),
    "an empty path": ("path,x\na,1\n,1\nc,1\nd,1\n", r"^Row 1 of .* has no id; fill in the column 'path', or leave it out"),
    "a split": ("id,split\na,train\nb,Train\nc,\nd,\n", r"^Row 1 of .* has the split 'Train'; use one of train, val, test, as"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_other_csv_files_are_refused(case: str, tmp_path: Path) -> None:
    text, sentence = REFUSED[case]
    with pytest.raises(SourceError, match=sentence):
        read(beside(tmp_path / "v.npy", text))


def test_a_csv_that_is_not_there_is_named(tmp_path: Path) -> None:
    np.save(tmp_path / "v.npy", FOUR)
    for path in (tmp_path / "gone.csv", tmp_path):
        with pytest.raises(SourceError, match=r"^'.*' can't be read: .*; check the path\.$"):
            read(tmp_path / "v.npy", fields=path)


texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=6)


@hypothesis.given(st.lists(st.tuples(texts, texts), min_size=1, max_size=5))
@hypothesis.settings(max_examples=60)
def test_whatever_texts_are_written_are_read(rows: list[tuple[str, str]]) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "t.csv"
        with path.open("w", encoding="utf-8", newline="") as file:
            csv.writer(file, lineterminator="\r\n").writerows([("a", "b"), *rows])
        table = CsvTable(path)
        assert table.count == len(rows)
        chunks = list(table.chunks(2))
        assert [(a, b) for chunk in chunks for a, b in zip(chunk["a"], chunk["b"], strict=True)] == rows

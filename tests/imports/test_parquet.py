"""Vectors from Parquet: every kind of list, every kind of cell, and what is refused in which words."""

import datetime
import decimal
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from embedstore.errors import MissingPackageError, SourceError
from embedstore.imports.parquet import ParquetSource
from embedstore.imports.source import Batch, Options

pa = pytest.importorskip("pyarrow", reason="the extra 'parquet' is not installed")
pq = pytest.importorskip("pyarrow.parquet")

THREE = [[1.0, -2.0], [0.5, 4.0], [0.0, 3.0]]


def write(path: Path, /, **columns: Any) -> Path:
    """Write a file of columns, two rows a group, so that reading meets more than one."""
    pq.write_table(pa.table(columns), path, row_group_size=2)
    return path


def read(path: Path, **options: Any) -> Batch:
    """Return all rows as one batch; Arrow cuts them where row groups end if a column is a dictionary."""
    batches = list(ParquetSource(path, Options(**options)).batches())
    fields = {name: [text for batch in batches for text in batch.fields[name]] for name in batches[0].fields}
    ids = [name for batch in batches for name in batch.ids]
    return Batch(ids, np.concatenate([batch.vectors for batch in batches]), fields)


# Vectors


@pytest.mark.parametrize("kind", ["float16", "float32", "float64"])
@pytest.mark.parametrize("listed", ["list", "large", "fixed"])
def test_every_kind_of_list_is_taken(listed: str, kind: str, tmp_path: Path) -> None:
    number = getattr(pa, kind)()
    kinds = {"list": pa.list_(number), "large": pa.large_list(number), "fixed": pa.list_(number, 2)}
    # Cut from a longer array, so that it does not begin where its memory does.
    vectors = pa.array([[9.0, 9.0], *THREE], kinds[listed])[1:]
    source = ParquetSource(write(tmp_path / "x.parquet", vec=vectors), Options())
    assert (source.count, source.dim, source.left_out) == (3, 2, ())
    (batch,) = source.batches()
    assert batch.vectors.dtype == np.float16
    assert batch.vectors.tolist() == THREE
    assert (batch.ids, batch.fields) == (["x/0", "x/1", "x/2"], {})


def test_of_several_vectors_one_must_be_named(tmp_path: Path) -> None:
    path = write(tmp_path / "x.parquet", a=THREE, b=[[1.0], [2.0], [3.0]], c=[[1], [2], [3]])
    with pytest.raises(
        SourceError, match=r"has 2 columns with lists of floating-point numbers \('a', 'b'\); .* --column NAME$"
    ):
        ParquetSource(path, Options())
    with pytest.raises(
        SourceError, match=r"has no column 'c' with lists of floating-point numbers \(it has: 'a', 'b'\)"
    ):
        ParquetSource(path, Options(column="c"))
    source = ParquetSource(path, Options(column="b"))
    assert (source.dim, source.left_out) == (1, ("a", "c"))
    assert next(source.batches()).vectors.tolist() == [[1], [2], [3]]


def test_a_file_without_vectors_is_refused(tmp_path: Path) -> None:
    for columns in ({"id": ["a"]}, {"v": [[1, 2]]}, {"v": [["a"]]}, {"v": [[[1.0]]]}):
        with pytest.raises(
            SourceError, match=r"has no columns with lists of floating-point numbers \(none\); one must"
        ):
            ParquetSource(write(tmp_path / "x.parquet", **columns), Options())


HELD_OUT: dict[str, tuple[list[Any], str]] = {
    "shorter": ([[1.0, 2.0], [3.0], [4.0, 5.0]], r"^Vector 1 of '.*x\.parquet' .* has 1 numbers, but the first has 2; all"),
    "missing": ([[1.0, 2.0], [3.0, 4.0], None], r"^Vector 2 of .* has 0 numbers, but the first has 2"),
    "the first is missing": ([None, [3.0, 4.0]], r"^Vector 0 of .* is empty; leave the row out\.$"),
    "a hole": ([[1.0, 2.0], [3.0, None]], r"^Vector 1 of .* holds values that are not finite"),
    "no rows": ([], r"^'.*x\.parquet' has no rows; there is nothing to import\.$"),
    "lengths that make up for each other": ([[1.0, 2.0], [3.0], [4.0, 5.0, 6.0]], r"^Vector 1 of .* has 1 numbers"),
}  # fmt: skip


@pytest.mark.parametrize("case", HELD_OUT)
def test_other_vectors_are_refused(case: str, tmp_path: Path) -> None:
    rows, sentence = HELD_OUT[case]
    path = write(tmp_path / "x.parquet", v=pa.array(rows, pa.list_(pa.float32())))
    with pytest.raises(SourceError, match=sentence):
        read(path)


# Fields


def test_columns_become_fields_and_attributes_as_texts(tmp_path: Path) -> None:
    path = write(
        tmp_path / "x.parquet",
        **{
            "id": ["a", "b", "c"],
            "path": ["p/a.png", "p/b.png", None],
            "label": pa.array(["good", None, "good"]).dictionary_encode(),
            "split": ["train", "", None],
            "v": THREE,
            "exif": [1, 2, None],
            "exif.width": [1.5, float("nan"), None],  # as data frames flatten nested metadata
            "truth": [True, False, None],
            "day": [datetime.date(2026, 1, 2), None, None],
            "time": pa.array([1, None, None], pa.timestamp("ns")),
            "price": [decimal.Decimal("1.20"), None, None],
            "never": pa.nulls(3),
        },
    )
    batch = read(path)
    assert batch.ids == ["a", "b", "c"]
    assert batch.fields == {
        "path": ["p/a.png", "p/b.png", None],
        "label": ["good", None, "good"],
        "split": ["train", None, None],
        "exif": ["1", "2", None],
        "exif.width": ["1.5", None, None],
        "truth": ["True", "False", None],
        "day": ["2026-01-02", None, None],
        "time": ["1970-01-01 00:00:00.000000001", None, None],
        "price": ["1.20", None, None],
        "never": [None, None, None],
    }


def test_bytes_lists_and_structures_are_left_out_and_told(tmp_path: Path) -> None:
    path = write(tmp_path / "x.parquet", v=THREE, image=[b"1", b"2", b"3"], near=[{"ids": [1]}] * 3, tags=[["a"]] * 3)
    source = ParquetSource(path, Options())
    assert source.left_out == ("image", "near", "tags")
    assert next(source.batches()).fields == {}


def test_a_split_that_is_none_is_named_with_its_row(tmp_path: Path) -> None:
    path = write(tmp_path / "x.parquet", v=THREE, split=["train", "train", "validation"])
    with pytest.raises(
        SourceError, match=r"^Row 2 of '.*x\.parquet' \(counted from 0\) has the split 'validation'; use"
    ):
        read(path)


def test_texts_that_are_not_utf8_are_refused(tmp_path: Path) -> None:
    bad = pa.StringArray.from_buffers(1, pa.py_buffer(np.array([0, 1], np.int32)), pa.py_buffer(b"\xff"))
    path = write(tmp_path / "x.parquet", v=[[1.0]], label=bad)
    with pytest.raises(
        SourceError, match=r"^The column 'label' of '.*x\.parquet' can't be read \('utf-8' codec .*\); mend it"
    ):
        read(path)


# Files


def test_what_is_no_parquet_file_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "x.parquet", v=THREE, id=["a", "b", "c"])
    whole = path.read_bytes()
    for content in (b"", b"PAR1", b"hello" * 9, whole[:-1], whole[:100], whole[:-30] + whole[-20:]):
        path.write_bytes(content)
        with pytest.raises(SourceError, match=r"^'.*x\.parquet' can't be read as Parquet \(.*\); write it again\.$"):
            read(path)


def test_fields_beside_it_are_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "x.parquet", v=THREE)
    with pytest.raises(SourceError, match=r"has its fields in its own columns; leave --fields out\.$"):
        read(path, fields=path.with_suffix(".csv"))


def test_a_missing_package_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "x.parquet", v=THREE)
    for name in ("pyarrow", "pyarrow.parquet"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(
        MissingPackageError, match=r"^Reading Parquet needs pyarrow: pip install 'embedstore\[parquet\]'$"
    ):
        read(path)

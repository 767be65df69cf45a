"""Vectors that leave a store: what is in the files, for other programs too; written whole or not at all."""

import csv
import json
import os
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from helpers import run_python, store_of, unit_vectors
from safetensors.numpy import load_file

import embedstore
from embedstore import EmbeddingStore
from embedstore.errors import MissingPackageError, SettingsError, StoreError
from embedstore.exports import BESIDE, EXPORTS, Selection, export

COUNT, DIM = 300, 4  # more than one block of rows
VECTORS = np.stack([unit_vectors(0, COUNT, DIM), unit_vectors(1, COUNT, DIM)])
IDS = [f"部品/<b>{at * 7 % COUNT:03}.png" for at in range(COUNT)]
LABELS = [("good", 'a,\n"b"', None)[at % 3] for at in range(COUNT)]
LIGHT = [str(at % 2) if at % 5 else None for at in range(COUNT)]
COLUMNS = ["id", "path", "label", "mode", "group", "split", "light"]

Read = Callable[[Path], tuple[dict[str, list[str | None]], npt.NDArray[Any]]]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddingStore]:
    attributes = [{"light": light} if light else {} for light in LIGHT]
    path = tmp_path_factory.mktemp("exports") / "store"
    with store_of(path, VECTORS, ids=IDS, labels=LABELS, attributes=attributes) as opened:
        yield opened


def read_npy(path: Path) -> tuple[dict[str, list[str | None]], npt.NDArray[Any]]:
    with path.with_suffix(".csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    return {name: [row[name] or None for row in rows] for name in rows[0]}, np.load(path)


def read_parquet(path: Path) -> tuple[dict[str, list[str | None]], npt.NDArray[Any]]:
    table = pytest.importorskip("pyarrow.parquet").read_table(path)
    names = [name for name in table.column_names if name != "vector"]
    return {name: table[name].to_pylist() for name in names}, np.array(table["vector"].to_pylist(), np.float32)


def read_safetensors(path: Path) -> tuple[dict[str, list[str | None]], npt.NDArray[Any]]:
    """Read by the format's own package and by what `exports.vectors_file` says, not by its code."""
    tensors = load_file(path)
    texts: dict[str, list[str | None]] = {}
    for name in [name.removeprefix("end:") for name in tensors if name.startswith("end:")]:
        data, ends = tensors[f"text:{name}"].tobytes(), tensors[f"end:{name}"].tolist()
        texts[name] = [data[start:end].decode() or None for start, end in zip([0, *ends[:-1]], ends, strict=True)]
    return texts, tensors["vectors"]


READ: dict[str, Read] = {".npy": read_npy, ".parquet": read_parquet, ".safetensors": read_safetensors}


def test_each_format_is_tested() -> None:
    assert set(READ) == set(EXPORTS)


# What is in them


@pytest.mark.parametrize("ending", EXPORTS)
def test_other_programs_read_all_that_the_store_says(ending: str, store: EmbeddingStore, tmp_path: Path) -> None:
    path = tmp_path / f"out{ending}"
    export(store, path)
    texts, vectors = READ[ending](path)
    assert sorted(texts) == sorted(COLUMNS)
    assert (texts["id"], texts["path"], texts["label"], texts["light"]) == (IDS, IDS, LABELS, LIGHT)
    assert texts["mode"] == texts["group"] == texts["split"] == [None] * COUNT
    np.testing.assert_array_equal(vectors, VECTORS[0])
    assert sorted(one.name for one in tmp_path.iterdir()) == sorted(
        {f"out{ending}", f"out{BESIDE.get(ending, ending)}"}
    )


@pytest.mark.parametrize("ending", EXPORTS)
def test_conditions_and_view_choose(ending: str, store: EmbeddingStore, tmp_path: Path) -> None:
    export(store, tmp_path / f"out{ending}", where={"label": "good", "light": None}, view=1)
    texts, vectors = READ[ending](tmp_path / f"out{ending}")
    chosen = [at for at in range(COUNT) if LABELS[at] == "good" and LIGHT[at] is None]
    assert len(chosen) == 20
    assert texts["id"] == [IDS[at] for at in chosen]
    np.testing.assert_array_equal(vectors, VECTORS[1][chosen])


def test_an_earlier_version_leaves_as_it_was(tmp_path: Path) -> None:
    with embedstore.create(tmp_path / "s", teacher="x", dim=2) as opened:
        with opened.write() as writer:
            writer.add(["a", "b"], np.eye(2))
        with opened.write() as writer:
            writer.delete(["a"])
    with embedstore.open(tmp_path / "s", version=1) as earlier, embedstore.open(tmp_path / "s") as newest:
        export(earlier, tmp_path / "earlier.npy")
        export(newest, tmp_path / "newest.npy")
    assert np.load(tmp_path / "earlier.npy").tolist() == [[1, 0], [0, 1]]
    assert np.load(tmp_path / "newest.npy").tolist() == [[0, 1]]


def test_a_parquet_file_has_columns_that_embedding_atlas_takes(store: EmbeddingStore, tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    export(store, tmp_path / "out.parquet")
    schema = parquet.read_schema(tmp_path / "out.parquet")
    assert schema.names == [*COLUMNS, "vector"]
    assert [field.type for field in schema] == [
        *[pyarrow.string()] * len(COLUMNS),
        pyarrow.list_(pyarrow.float32(), DIM),
    ]
    about = json.loads(schema.metadata[b"embedstore"])
    assert about == {
        "teacher": "by hand", "fingerprint": store.fingerprint, "declared": False, "outputs": ["embedding"], "input_size": 16,
        "recipe": store.recipe.to_dict(), "version": 1, "view": 0,
    }  # fmt: skip


def test_an_attribute_may_be_called_vector_but_not_as_another_column(tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    with store_of(tmp_path / "s", np.ones((1, 2)), attributes=[{"vector": "north"}]) as opened:
        export(opened, tmp_path / "out.parquet")
        assert parquet.read_table(tmp_path / "out.parquet").to_pylist()[0]["vector"] == "north"
        assert parquet.read_table(tmp_path / "out.parquet").to_pylist()[0]["vector_"] == [1, 1]
    with (
        store_of(tmp_path / "t", np.ones((1, 2)), attributes=[{"id": "x"}]) as opened,
        pytest.raises(
            SettingsError, match=r"^The store has an attribute 'id', which in a file is the name of another column"
        ),
    ):
        export(opened, tmp_path / "out.npy")


def test_an_attribute_with_blanks_around_its_name_leaves_in_files_that_keep_them(tmp_path: Path) -> None:
    with store_of(
        tmp_path / "s", VECTORS[0][:2], ids=["a", "b"], attributes=[{" pad ": "x", "pad": "y"}, {}]
    ) as opened:
        with pytest.raises(
            SettingsError, match="The attribute ' pad ' has blanks around its name, which a CSV file does"
        ):
            export(opened, tmp_path / "out.npy")
        for ending in (".parquet", ".safetensors"):
            export(opened, tmp_path / f"out{ending}")
            texts = READ[ending](tmp_path / f"out{ending}")[0]
            assert (texts[" pad "], texts["pad"]) == (["x", None], ["y", None])
    assert sorted(one.name for one in tmp_path.iterdir()) == ["out.parquet", "out.safetensors", "s"]


# Whole or not at all


@pytest.mark.parametrize("ending", EXPORTS)
def test_files_that_are_there_are_replaced_only_when_asked(ending: str, store: EmbeddingStore, tmp_path: Path) -> None:
    target = tmp_path / f"out{ending}"
    for path in {target, target.with_suffix(BESIDE.get(ending, ending))}:
        path.write_bytes(b"mine")
        with pytest.raises(
            SettingsError, match=rf"^'.*{path.suffix}' exists; choose another name, or replace it with --over"
        ):
            export(store, target)
        assert [(one.name, one.read_bytes()) for one in tmp_path.iterdir()] == [(path.name, b"mine")]
        export(store, target, overwrite=True)
        assert READ[ending](target)[0]["id"] == IDS
        for one in tmp_path.iterdir():
            one.unlink()


@pytest.mark.parametrize("ending", EXPORTS)
def test_what_is_stopped_leaves_nothing_and_takes_nothing(
    ending: str, store: EmbeddingStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / f"old{ending}").write_bytes(b"mine")

    def stopped(self: Selection) -> Iterator[npt.NDArray[np.float16]]:
        yield VECTORS[0][:100]
        raise KeyboardInterrupt

    monkeypatch.setattr(Selection, "blocks", stopped)
    for name in ("old", "new"):
        with pytest.raises(KeyboardInterrupt):
            export(store, tmp_path / f"{name}{ending}", overwrite=True)
    assert [(one.name, one.read_bytes()) for one in tmp_path.iterdir()] == [(f"old{ending}", b"mine")]


KILLED = """
import os, pathlib, signal, sys
import embedstore
from embedstore.exports import export
replace, done = pathlib.Path.replace, []
def stop_after_some(path, target):
    done.append(replace(path, target))
    if len(done) == int(sys.argv[3]):
        os.kill(os.getpid(), signal.SIGKILL)
pathlib.Path.replace = stop_after_some
with embedstore.open(sys.argv[1]) as store:
    export(store, sys.argv[2], overwrite=True)
"""


@pytest.mark.skipif(os.name == "nt", reason="needs SIGKILL")
@pytest.mark.parametrize("moves", [1, 2, 3, 4, 5])
def test_a_kill_between_two_files_leaves_no_pair_that_does_not_belong_together(moves: int, tmp_path: Path) -> None:
    with store_of(tmp_path / "s", VECTORS[0], ids=IDS, labels=LABELS) as opened:
        export(opened, tmp_path / "out.npy", where={"label": "good"})
    old = {name: (tmp_path / name).read_bytes() for name in ("out.csv", "out.npy")}
    assert run_python(KILLED, tmp_path / "s", tmp_path / "out.npy", str(moves)).returncode == -signal.SIGKILL
    assert not (tmp_path / "out.npy").exists() or moves == 5
    assert (tmp_path / "out.csv").exists() == (moves not in (2, 3))
    with embedstore.open(tmp_path / "s") as opened:
        with pytest.raises(SettingsError, match="exists; choose another name, or replace it with --overwrite"):
            export(opened, tmp_path / "out.npy")  # of which nothing may be there by now
        if moves < 3:
            assert {name: (tmp_path / name).read_bytes() for name in old} == old
        else:
            assert read_npy(tmp_path / "out.npy")[0]["id"] == IDS
        assert sorted(one.name for one in tmp_path.iterdir()) == ["out.csv", "out.npy", "s"]
        export(opened, tmp_path / "out.npy", overwrite=True)
    assert read_npy(tmp_path / "out.npy")[0]["id"] == IDS
    assert sorted(one.name for one in tmp_path.iterdir()) == ["out.csv", "out.npy", "s"]


@pytest.mark.skipif(os.name == "nt", reason="needs SIGKILL")
def test_a_file_that_somebody_made_after_a_kill_stays(tmp_path: Path) -> None:
    with store_of(tmp_path / "s", VECTORS[0], ids=IDS, labels=LABELS) as opened:
        export(opened, tmp_path / "out.npy", where={"label": "good"})
    assert run_python(KILLED, tmp_path / "s", tmp_path / "out.npy", "2").returncode == -signal.SIGKILL
    (tmp_path / "out.csv").write_bytes(b"another")
    with embedstore.open(tmp_path / "s") as opened:
        export(opened, tmp_path / "other.npy")
    assert (tmp_path / "out.csv").read_bytes() == b"another"
    assert sorted(one.name for one in tmp_path.iterdir()) == ["other.csv", "other.npy", "out.csv", "s"]


def test_an_export_that_runs_is_not_taken_for_a_killed_one(
    store: EmbeddingStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    blocks = Selection.blocks

    def another_meanwhile(self: Selection) -> Iterator[npt.NDArray[np.float16]]:
        monkeypatch.setattr(Selection, "blocks", blocks)
        export(store, tmp_path / "other.npy")
        yield from blocks(self)

    monkeypatch.setattr(Selection, "blocks", another_meanwhile)
    export(store, tmp_path / "out.npy")
    assert sorted(one.name for one in tmp_path.iterdir()) == ["other.csv", "other.npy", "out.csv", "out.npy"]


@pytest.mark.parametrize("fails", [1, 2, 3, 4, 5])
def test_where_a_file_can_not_get_its_name_the_old_ones_are_there_again(
    fails: int, store: EmbeddingStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = {tmp_path / "out.npy": b"vectors", tmp_path / "out.csv": b"fields"}
    for path, content in old.items():
        path.write_bytes(content)
    replace, calls = Path.replace, [0]

    def held(path: Path, target: Path) -> Path:
        calls[0] += 1
        if calls[0] == fails:  # as on Windows, where a spreadsheet has the file open
            raise PermissionError(13, "Permission denied", str(path))
        return replace(path, target)

    monkeypatch.setattr(Path, "replace", held)
    with pytest.raises(OSError, match="Permission denied") as told:
        export(store, tmp_path / "out.npy", overwrite=True)
    assert Path(told.value.filename) in old
    assert {one: one.read_bytes() for one in tmp_path.iterdir()} == old


@pytest.mark.parametrize("made", [False, True])
@pytest.mark.parametrize("again", [0, 1, 2, 3])
@pytest.mark.parametrize("move", [1, 2, 3, 4, 5])
def test_an_interrupt_between_two_files_leaves_both_old_ones_or_both_new_ones(
    move: int, again: int, made: bool, store: EmbeddingStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether Ctrl-C comes before a move or after it, and also where it comes again on the way back."""
    for path in (tmp_path / "out.npy", tmp_path / "new.npy"):
        export(store, path)
    new = {ending: (tmp_path / f"new{ending}").read_bytes() for ending in (".csv", ".npy")}
    old = {".csv": b"fields", ".npy": b"vectors"}
    for ending, content in old.items():
        (tmp_path / f"out{ending}").write_bytes(content)
        (tmp_path / f"new{ending}").unlink()
    replace, calls = Path.replace, [0]

    def interrupted(path: Path, target: Path) -> Path:
        calls[0] += 1
        stops = calls[0] in (move, move + again)
        if not stops or made:
            replace(path, target)
        if stops:
            raise KeyboardInterrupt
        return target

    monkeypatch.setattr(Path, "replace", interrupted)
    with pytest.raises(KeyboardInterrupt):
        export(store, tmp_path / "out.npy", overwrite=True)
    left = {one.name.removeprefix("out"): one.read_bytes() for one in tmp_path.iterdir()}
    assert left in (old, new)
    assert left == old or move > 2


@pytest.mark.parametrize("made", [False, True])
@pytest.mark.parametrize("move", [1, 2, 3])
def test_an_interrupt_between_two_files_leaves_none_where_there_was_none(
    move: int, made: bool, store: EmbeddingStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    replace, calls = Path.replace, [0]

    def interrupted(path: Path, target: Path) -> Path:
        calls[0] += 1
        if calls[0] != move or made:
            replace(path, target)
        if calls[0] == move:
            raise KeyboardInterrupt
        return target

    monkeypatch.setattr(Path, "replace", interrupted)
    with pytest.raises(KeyboardInterrupt):
        export(store, tmp_path / "out.npy")
    assert sorted(one.name for one in tmp_path.iterdir()) == (["out.csv", "out.npy"] if made and move == 3 else [])


def test_old_files_that_can_not_be_brought_back_at_once_come_back_later(
    store: EmbeddingStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = {tmp_path / "out.npy": b"vectors", tmp_path / "out.csv": b"fields"}
    for path, content in old.items():
        path.write_bytes(content)
    replace, calls = Path.replace, [0]

    def held(path: Path, target: Path) -> Path:
        calls[0] += 1
        if calls[0] > 2:
            raise PermissionError(13, "Permission denied", str(path))
        return replace(path, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", held)
        with pytest.raises(OSError, match="Permission denied"):
            export(store, tmp_path / "out.npy", overwrite=True)
    export(store, tmp_path / "other.npy")
    assert {one: one.read_bytes() for one in tmp_path.iterdir() if one.name.startswith("out")} == old
    assert sorted(one.name for one in tmp_path.iterdir()) == ["other.csv", "other.npy", "out.csv", "out.npy"]


@pytest.mark.parametrize("name", ["out.npy", "out.csv"])
def test_a_folder_is_never_replaced(name: str, store: EmbeddingStore, tmp_path: Path) -> None:
    (tmp_path / name).mkdir()
    (tmp_path / name / "mine").touch()
    with pytest.raises(SettingsError, match=rf"{name}' is no file but a folder or a device; choose another name"):
        export(store, tmp_path / "out.npy", overwrite=True)
    assert [one.name for one in tmp_path.rglob("*")] == [name, "mine"]


# What is refused


@pytest.mark.parametrize("ending", EXPORTS)
def test_what_the_store_does_not_have_is_refused(ending: str, store: EmbeddingStore, tmp_path: Path) -> None:
    target = tmp_path / f"out{ending}"
    with pytest.raises(
        SettingsError, match=r"^No sample of the store meets the conditions, so there is nothing to export\.$"
    ):
        export(store, target, where={"label": "gooood"})
    with pytest.raises(StoreError, match=r"^No sample has the field 'lamp'; use one of"):
        export(store, target, where={"lamp": "1"})
    with pytest.raises(StoreError, match=r"has no view 7 of the output 'embedding' \(1 views\)"):
        export(store, target, view=7)
    with pytest.raises(StoreError, match=r"^The view is -1; expected 0, the plain picture, to \d\.$"):
        export(store, target, view=-1)
    with pytest.raises(SettingsError, match=r"^The directory '.*gone' does not exist; make it first\.$"):
        export(store, tmp_path / "gone" / target.name)
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_ending_is_refused_with_the_known_ones(store: EmbeddingStore, tmp_path: Path) -> None:
    for name in ("out", "out.csv", "out.npz", "out.PARQUET"):
        with pytest.raises(SettingsError, match=r"names no format; use one of \.npy, \.parquet, \.safetensors\.$"):
            export(store, tmp_path / name)
    assert list(tmp_path.iterdir()) == []


def test_a_missing_package_is_named(store: EmbeddingStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("pyarrow", "pyarrow.parquet"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(
        MissingPackageError, match=r"^Writing Parquet needs pyarrow: pip install 'embedstore\[parquet\]'$"
    ):
        export(store, tmp_path / "out.parquet")
    assert list(tmp_path.iterdir()) == []

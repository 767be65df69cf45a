"""Bad input to a build: each one clear sentence, and nothing half written."""

import csv
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from helpers import CountingTeacher, write_pictures

import embedstore
from embedstore.errors import (
    CorruptStoreError,
    EmbedstoreError,
    ImagesError,
    SettingsError,
    StoreError,
    TeacherError,
    TeacherMismatchError,
)


def manifest(root: Path, *rows: tuple[str, ...], header: tuple[str, ...] = ("path",)) -> Path:
    path = root / "manifest.csv"
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([header, *rows])
    return path


def files(root: Path) -> dict[str, bytes | None]:
    """Return all that is below a folder, hidden files too, but for LMDB's own bookkeeping of readers."""
    return {
        str(path.relative_to(root)): None if path.is_dir() else path.read_bytes()
        for path in sorted(root.rglob("*"))
        if path.name not in ("lock.mdb", "writer.lock")
    }


def build(root: Path, **options: Any) -> Any:
    return embedstore.build(root / "store", root / "images", **{"teacher": CountingTeacher(), **options})


def another_teacher(root: Path) -> None:
    build(root)


def another_format(root: Path) -> None:
    build(root)
    (root / "store" / "CURRENT").write_text(json.dumps({"format": 3, "generation": "0001"}))


def an_earlier_format(root: Path) -> None:
    build(root)
    (root / "store" / "CURRENT").write_text(json.dumps({"format": 1, "generation": "0001"}))


def damaged_current(root: Path) -> None:
    build(root)
    (root / "store" / "CURRENT").write_text("{")


def other_files(root: Path) -> None:
    (root / "store").mkdir()
    (root / "store" / "thesis.txt").write_text("ten years of work")


def a_file(root: Path) -> None:
    (root / "store").write_text("x")


def lost_current(root: Path) -> None:
    build(root)
    os.remove(root / "store" / "CURRENT")


def empty_folder(root: Path) -> None:
    (root / "empty").mkdir()
    (root / "empty" / ".hidden.png").write_bytes(b"x")
    (root / "empty" / "notes.txt").write_text("x")


CASES: dict[str, tuple[Callable[[Path], Any] | None, dict[str, Any], type[EmbedstoreError], str]] = {
    "no such folder": (None, {"images": "nowhere"}, ImagesError, "The image folder .*nowhere' does not exist; give"),
    "a file for a folder": (a_file, {"images": "store"}, ImagesError, "store' is a file; give the folder"),
    "an empty folder": (empty_folder, {"images": "empty"}, ImagesError, r"No images under .*it holds 1 x '\.txt'"),
    "an unknown teacher": (
        None, {"teacher": "clipp"}, TeacherError, "The teacher 'clipp' is unknown; use open_clip:ARCH/TAG",
    ),
    "too much of a teacher": (None, {"teacher": "pixels:large"}, TeacherError, "takes nothing after its name"),
    "another teacher": (
        another_teacher, {"teacher": "pixels"}, TeacherMismatchError, "filled by the teacher 'counting' .* but 'pix",
    ),
    "an earlier format": (an_earlier_format, {}, StoreError, "bring it to format 2 with: embedstore upgrade '"),
    "another format": (another_format, {}, StoreError, "has format version 3, this program reads version 2"),
    "a damaged CURRENT": (damaged_current, {}, CorruptStoreError, "CURRENT' is damaged; .* with: embedstore verify '"),
    "other files": (other_files, {}, StoreError, "holds other files and is no store; choose a new or empty directory"),
    "a lost CURRENT": (lost_current, {}, StoreError, "holds other files and is no store"),
    "a file for a store": (a_file, {}, StoreError, "store' is a file; choose a new or empty directory for the store"),
    "no parent": (None, {"path": "no/such/store"}, StoreError, "The directory .*such' does not exist; make it first"),
    "a name too long": (None, {"path": "x" * 300}, StoreError, "can't be made: .*; choose a path where you may write"),
    "views below 0": (None, {"views": -1}, SettingsError, "The number of views is -1; expected 0 to 65535"),
    "too many views": (None, {"views": 65_536}, SettingsError, "The number of views is 65536; expected 0 to 65535"),
    "no such manifest": (None, {"manifest": "m.csv"}, ImagesError, r"m\.csv' does not exist; give a \.csv or"),
    "an absent file": (
        lambda root: manifest(root, ("good/a.png",), ("good/gone.png",)),
        {"manifest": "manifest.csv"}, ImagesError,
        r"1 of the 2 files .* are not under .*\('good/gone.png'\).* take these rows out, or wait until the files are there\.$",
    ),
    "a duplicate id": (
        lambda root: manifest(root, ("good/a.png", "x"), ("bad/b.png", "x"), header=("path", "id")),
        {"manifest": "manifest.csv"}, ImagesError, r"gives 1 ids more than once \('x'\)",
    ),
    "a duplicate path": (
        lambda root: manifest(root, ("good/a.png",), ("good/a.png",)),
        {"manifest": "manifest.csv"}, ImagesError, r"gives 1 ids more than once \('good/a.png'\)",
    ),
    "a path that leaves the root": (
        lambda root: manifest(root, ("../outside.png",)),
        {"manifest": "manifest.csv"}, ImagesError, r"The path '\.\./outside\.png' in row 2 .* leads out of",
    ),
    "an absolute path": (
        lambda root: manifest(root, ("/etc/passwd",)),
        {"manifest": "manifest.csv"}, ImagesError, "The path '/etc/passwd' in row 2 .* leads out of",
    ),
    "an unknown split": (
        lambda root: manifest(root, ("good/a.png", "training"), header=("path", "split")),
        {"manifest": "manifest.csv"}, ImagesError, "The split 'training' in row 2 .* use one of train, val",
    ),
    "no column path": (
        lambda root: manifest(root, ("good/a.png",), header=("file",)),
        {"manifest": "manifest.csv"}, ImagesError, "has no column 'path'",
    ),
    "no rows": (manifest, {"manifest": "manifest.csv"}, ImagesError, "has no rows; give one row per image"),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_bad_input_is_one_sentence_and_leaves_everything_as_it_was(tmp_path: Path, name: str) -> None:
    prepare, options, error, sentence = CASES[name]
    write_pictures(tmp_path / "images", ["good/a.png", "bad/b.png"])
    (tmp_path / "outside.png").write_bytes((tmp_path / "images" / "good" / "a.png").read_bytes())
    if prepare is not None:
        prepare(tmp_path)
    before = files(tmp_path)
    given = {"path": "store", "images": "images", "teacher": CountingTeacher(), **options}
    for role in ("path", "images", "manifest"):
        if role in given:
            given[role] = tmp_path / given[role]
    with pytest.raises(error, match=sentence) as caught:
        embedstore.build(given.pop("path"), given.pop("images"), **given)
    message = str(caught.value)
    assert "\n" not in message
    assert message[0].isupper() or message[0] == "'" or message[0].isdigit()
    assert not message.endswith(" ")
    assert files(tmp_path) == before
    assert isinstance(caught.value, ValueError)


def test_a_teacher_that_fails_at_the_first_picture_leaves_a_store_that_goes_on(tmp_path: Path) -> None:
    write_pictures(tmp_path / "images", ["good/a.png"])
    with pytest.raises(MemoryError):
        build(tmp_path, teacher=CountingTeacher(stop_after=0, stop_with=MemoryError))
    report = build(tmp_path)
    assert (report.version, report.embedded) == (1, 3)
    assert not [name for name in os.listdir(tmp_path) if name.startswith(".")]


def test_nothing_is_embedded_where_the_store_can_not_be_made(tmp_path: Path) -> None:
    write_pictures(tmp_path / "images", ["good/a.png"])
    teacher = CountingTeacher()
    with pytest.raises(StoreError):
        embedstore.build(tmp_path / "no" / "such" / "store", tmp_path / "images", teacher=teacher)
    assert teacher.calls == 0


def test_a_store_that_may_not_be_written_is_read_and_refuses_to_change(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_pictures(tmp_path / "images", ["good/a.png"])
    build(tmp_path)
    before = files(tmp_path)
    monkeypatch.setattr(os, "access", lambda path, mode: False)  # the superuser may write anywhere
    with embedstore.open(tmp_path / "store") as store:
        assert store.ids == ["good/a.png"]
        assert len(store.vectors(view=2)) == 1
        with pytest.raises(StoreError, match=r"is read-only; copy it to where you may write\.$"):
            store.split()
        assert store.version == 1
    assert files(tmp_path) == before

"""A file is written whole or stays as it was, and nothing is left beside it."""

import os
import tempfile
from pathlib import Path
from typing import Any

import pytest

from embedstore.files import folder_beside, try_to_write, write_whole


def test_a_file_is_made_and_replaced(tmp_path: Path) -> None:
    for data in (b"first", b"and\r\nsecond"):
        write_whole(tmp_path / "f.txt", data)
        assert {one.name: one.read_bytes() for one in tmp_path.iterdir()} == {"f.txt": data}


def test_a_fault_before_the_rename_leaves_the_old_file_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_whole(tmp_path / "f.txt", b"old")

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left") as caught:
        write_whole(tmp_path / "f.txt", b"new")
    assert (caught.value.errno, caught.value.filename) == (28, str(tmp_path / "f.txt"))
    assert {one.name: one.read_bytes() for one in tmp_path.iterdir()} == {"f.txt": b"old"}


def test_a_name_that_another_program_holds_is_told_and_not_the_one_beside(tmp_path: Path) -> None:
    (tmp_path / "f.txt").mkdir()  # stands for what Windows does where a file is open
    with pytest.raises(OSError, match=r"f.txt'$") as caught:
        write_whole(tmp_path / "f.txt", b"new")
    assert (caught.value.filename, caught.value.filename2) == (str(tmp_path / "f.txt"), None)
    assert [one.name for one in tmp_path.iterdir()] == ["f.txt"]


def test_what_lies_at_the_name_beside_is_not_written_through(tmp_path: Path) -> None:
    (tmp_path / "victim").write_bytes(b"victim")
    try:
        (tmp_path / f".f.txt.new-{os.getpid()}").symlink_to(tmp_path / "victim")
    except OSError:
        pytest.skip("this system makes no links")
    write_whole(tmp_path / "f.txt", b"new")
    assert {one.name: one.read_bytes() for one in tmp_path.iterdir()} == {"victim": b"victim", "f.txt": b"new"}


def test_a_trial_leaves_nothing_and_names_the_file_that_was_asked_for(tmp_path: Path) -> None:
    (tmp_path / "f.txt").write_bytes(b"old")
    try_to_write(tmp_path / "f.txt")
    assert {one.name: one.read_bytes() for one in tmp_path.iterdir()} == {"f.txt": b"old"}
    long = tmp_path / ("x" * 300)
    with pytest.raises(OSError, match="name too long") as caught:
        try_to_write(long)
    assert caught.value.filename == str(long)


def test_a_folder_whose_lock_is_still_to_be_taken_is_not_what_a_kill_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make = tempfile.mkdtemp

    def another_meanwhile(**where: Any) -> str:
        made = make(**where)
        (Path(made) / "export.lock").touch()  # a lock file is there before it is locked
        monkeypatch.setattr(tempfile, "mkdtemp", make)
        with folder_beside(tmp_path / "other"):
            pass
        return made

    monkeypatch.setattr(tempfile, "mkdtemp", another_meanwhile)
    with folder_beside(tmp_path / "target") as folder:
        (folder / "written").touch()
    assert list(tmp_path.iterdir()) == []

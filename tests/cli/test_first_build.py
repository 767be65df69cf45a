"""What commands say of a store whose first build was stopped, or is still running in another process."""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from helpers import CountingTeacher
from test_console import given
from toy_commands import refused, save

import embedstore
from embedstore.errors import StoreError
from embedstore.store.embedding_store import refuse_unbuilt

HOLD = """
import sys
from pathlib import Path
from embedstore.store.writing import locked
with locked(Path("begun")):
    print("held", flush=True)
    sys.stdin.readline()
"""


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A folder with a store whose first build was stopped."""
    for number in range(12):
        save(tmp_path / "photos" / "good" / f"{number}.png", number)
    with pytest.raises(KeyboardInterrupt):
        embedstore.build(tmp_path / "begun", tmp_path / "photos", teacher=CountingTeacher(stop_after=6))
    return tmp_path


@contextmanager
def written(place: Path) -> Iterator[None]:
    """Let another process hold the store, as a build does."""
    command = [sys.executable, "-c", HOLD]
    with subprocess.Popen(command, cwd=place, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        yield
        process.communicate("\n")


COMMANDS = [
    ("embedstore", "query", "begun", "--id", "good/1.png"),
    ("embedstore", "summarize", "begun", "class-mean"),
    ("embedstore", "split", "begun"),
    ("embedstore", "twins", "begun"),
    ("embedstore", "inspect", "begun"),
    ("embedstore", "suggest", "begun"),
    ("distill", "init", "begun"),
    ("distill", "train", "begun", "--out", "run"),
]


def test_a_first_build_that_was_stopped_is_the_reason_that_commands_give(place: Path) -> None:
    for command in COMMANDS:
        assert "The first build of the store 'begun' was not finished; run the same" in refused(*command, cwd=place)


def test_a_first_build_that_runs_is_the_reason_that_commands_give(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(place)
    with written(place):
        code, out, err = given(monkeypatch, capsys, "query", "begun", "--id", "good/1.png")
        assert (code, out) == (75, "")
        assert "The first build of the store 'begun' is running in another process; try again when it is done." in err
        _, out, _ = given(monkeypatch, capsys, "info", "begun")
        assert " of a first build that is running.\n" in out
        assert "\nviews       none is complete yet (crops" in out
    code, out, _ = given(monkeypatch, capsys, "info", "begun")
    assert code == 0
    assert " of a first build that was interrupted; give the same command again.\n" in out
    _, out, _ = given(monkeypatch, capsys, "info", "begun", "--json")
    assert (json.loads(out)["first_build"], json.loads(out)["running"]) == (True, False)


def test_a_store_for_vectors_from_elsewhere_waits_for_no_build(tmp_path: Path) -> None:
    with (
        embedstore.create(tmp_path / "made", teacher="model", dim=2) as store,
        pytest.raises(StoreError, match="made' has no vectors yet; give it some first: embedstore import"),
    ):
        refuse_unbuilt(store)


def test_an_empty_version_of_a_built_store_is_no_unfinished_build(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(place)
    embedstore.build(place / "whole", place / "photos", teacher="pixels", views=0)
    embedstore.rollback(place / "whole", 0)
    helps = "bring one back with: embedstore rollback 'whole' VERSION"
    for options, version, way_out in (((), 2, helps), (("--version", "0"), 0, "choose another one")):
        code, out, err = given(monkeypatch, capsys, "query", "whole", "--id", "good/1.png", *options)
        assert (code, out) == (2, "")
        assert f"The store 'whole' has no vectors at version {version}; {way_out}; all versions are listed by:" in err
    _, out, _ = given(monkeypatch, capsys, "info", "whole")
    assert "unfinished" not in out
    assert embedstore.build(place / "whole", place / "photos").samples == 12


def test_a_store_without_any_change_has_nothing_to_undo(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(place)
    assert (
        "has no version 1 to undo; nothing has changed it yet." in given(monkeypatch, capsys, "undo", "begun", "1")[2]
    )

"""`distill init`: a first task file from what the store holds, never over another file."""

import json
from pathlib import Path

import pytest
from helpers import store_of, unit_vectors
from toy_commands import call, refused

from distill import Settings
from distill.training.task_file import read_task


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A folder with stores: one with a customary name of good parts, one without."""
    for name, labels in {"parts.store": ["良品", "傷\x1b[31m"], "odd.store": ["a", "b"]}.items():
        store_of(tmp_path / name, [unit_vectors(0, 4)] * 3, labels=labels * 2).close()
    return tmp_path


def test_it_writes_a_task_that_can_be_read_and_never_writes_over_it(place: Path) -> None:
    shown = call("distill", "init", "parts.store", cwd=place).stdout
    assert 'Good parts have the label "良品", going by its name' in shown
    assert "Wrote 'task.toml'." in shown
    text = (place / "task.toml").read_text("utf-8")
    assert text.startswith("# Written by: distill init parts.store\n")
    assert "\x1b" not in text
    assert read_task(place / "task.toml", labels=["良品", "傷\x1b[31m"]) == Settings(good="良品", views=2)

    assert "'task.toml' exists; choose another name" in refused("distill", "init", "parts.store", cwd=place)
    assert (place / "task.toml").read_text("utf-8") == text


def test_without_a_customary_name_it_asks(place: Path) -> None:
    sentence = refused("distill", "init", "odd.store", cwd=place)
    assert 'None of the labels ("a", "b") has a customary name of good parts; name theirs with --good LABEL' in sentence
    assert not (place / "task.toml").exists()

    told = json.loads(
        call("distill", "init", "odd.store", "--good", "b", "--out", "b.toml", "--json", cwd=place).stdout
    )
    assert (told["path"], told["settings"]["good"], told["remarks"]) == ("b.toml", "b", [])
    assert read_task(place / "b.toml").good == "b"
    call("distill", "init", "odd.store", "--no-good", "--out", "none.toml", cwd=place)
    assert read_task(place / "none.toml").good is None


def test_what_is_no_store_is_refused(place: Path) -> None:
    assert "'gone' does not exist" in refused("distill", "init", "gone", cwd=place)
    assert sorted(path.name for path in place.iterdir()) == ["odd.store", "parts.store"]

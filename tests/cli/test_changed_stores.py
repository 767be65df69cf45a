"""Stores that are changed, and pictures that are renamed, between two commands on one run or comparison."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from toy_commands import call, save

import distill
import embedstore
from distill import Settings
from distill.training import trainer
from distill_cli.main import main

QUICK = ("--good", "good", "--size", "32", "--epochs", "1", "--views", "0")


@pytest.fixture
def line(tmp_path: Path) -> Path:
    """A folder with photos and a store of them with a split, at version 2."""
    for number in range(40):
        kind = ("good", "bad")[number % 2]
        save(tmp_path / "photos" / kind / f"{number:02}.png", number, bright=kind == "bad")
    embedstore.build(tmp_path / "s", tmp_path / "photos", teacher="pixels", views=1)
    with embedstore.open(tmp_path / "s") as store:
        store.split()
    return tmp_path


def relabel(line: Path, name: str, label: str) -> None:
    with embedstore.open(line / "s") as store, store.write("relabel") as changes:
        changes.set("label", {name: label})


def defect_on_the_test_side(run: Path) -> str:
    rows = (run / "split.csv").read_text("utf-8").splitlines()
    return next(row.split(",")[0] for row in rows if ",test,bad," in row)


def test_a_run_goes_on_after_a_verdict_and_is_asked_after_a_rename(line: Path) -> None:
    call("distill", "train", "s", *QUICK, "--policy", "none", "--out", "run", cwd=line)
    student, report = ((line / "run" / name).read_bytes() for name in ("student.safetensors", "report.json"))
    (line / "run" / "student.safetensors").unlink()  # as if it had been killed before it wrote that
    name = defect_on_the_test_side(line / "run")
    relabel(line, name, "good")
    on = call("distill", "train", "s", "--out", "run", "--resume", cwd=line)
    assert "Warning: What is in 'run' goes on with version 2 of the store 's'" in on.stderr
    assert (line / "run" / "student.safetensors").read_bytes() == student
    assert (line / "run" / "report.json").read_bytes() == report

    relabel(line, name, "bad")
    (line / "photos" / name).rename(line / "photos" / "bad" / "renamed.png")
    embedstore.refresh(line / "s", prune=True)
    found = call("distill", "evaluate", "run", "--json", cwd=line)
    again = json.loads(found.stdout)
    assert again == json.loads(report) | {"remarks": again["remarks"]}
    assert f"(such as '{name}', now 'bad/renamed.png')" in found.stderr
    pytest.importorskip("onnxruntime")
    exported = call("distill", "export", "run", "part.onnx", cwd=line)
    assert f"(such as '{name}', now 'bad/renamed.png')" in exported.stderr


@pytest.mark.filterwarnings("default")
def test_a_comparison_goes_on_with_its_version_and_says_so_before_and_after(
    line: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    told: list[int | None] = []

    def here(
        store: Path,
        out: Path,
        settings: Settings,
        *,
        progress: Callable[[int, int], None],
        version: int | None,
        **_: Any,
    ) -> None:
        told.append(version)
        distill.train(
            store, out, settings, resume=True, progress=lambda done, all_, _: progress(done, all_), version=version
        )

    def compare(policies: str) -> None:
        given = [*QUICK, "--folds", "3", "--seeds", "1", "--out", "compared"]
        monkeypatch.setattr("sys.argv", ["distill", "compare", "s", "--policies", policies, *given])
        with pytest.raises(SystemExit) as ended:
            main()
        assert ended.value.code == 0

    monkeypatch.setattr(trainer, "train_apart", here)
    monkeypatch.setenv("COLUMNS", "300")
    monkeypatch.chdir(line)
    compare("none")
    relabel(line, "good/00.png", "bad")
    capsys.readouterr()
    compare("none,own")
    shown = capsys.readouterr()
    sentence = "What is in 'compared' goes on with version 2 of the store 's', with which it was begun; the newest is version 3"
    assert f"Warning: {sentence}" in shown.err
    assert sentence in shown.out
    assert told == [2] * 6

"""The training benchmarks in small: ratios, payback, growth and aims of made-up figures, and what is written down."""

import argparse
import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
sys.path.append(str(ROOT / "tools" / "bench"))

import parity  # noqa: E402
import training  # noqa: E402
from training_parts.table import table  # noqa: E402


def figure(seconds: float, memory: float = 500, whole: float = 10) -> dict[str, float]:
    spread = {"lowest": seconds, "highest": seconds, "workers": 0, "rounds": 3}
    return {"seconds": seconds, "memory": memory * 1e6, "whole": whole, **spread}


FIGURES = {
    "bare steps": figure(1.0),
    "image folder": figure(2.5),
    "plain, kept": figure(1.04, 600),
    "own, kept": figure(1.06, 632),
    "retrieved, kept": figure(1.3, 700),
    "pass, ViT-B/32": figure(90),
    "live, ViT-B/32": figure(61.06, 1200),
    "plain, grown, 1000": figure(0.2, 400),
    "plain, grown, 100000": figure(0.4, 450),
}


def lines(figures: dict[str, dict[str, float]], begin: str) -> list[str]:
    return [line for line in "\n".join(table(figures)).splitlines() if line.startswith(begin)]


def test_ways_are_held_against_the_limit_and_plain_training_from_files() -> None:
    (line,) = lines(FIGURES, "plain, kept  ")
    assert line.split() == ["plain,", "kept", "1.040", "1.040", "1.040", "1.04", "0.42", "600", "0", "3"]


def test_a_pass_is_told_as_live_epochs_and_as_trainings() -> None:
    found = [line.split()[1:] for line in lines(FIGURES, "ViT-B/32")]
    # 90 s a view; a live epoch takes 61.06 s, and 60 s more than one from the store: 1,800 s in 30 epochs.
    assert found == [["0", "90.0", "1.47", "0.05"], ["1", "180.0", "2.95", "0.10"], ["8", "810.0", "13.27", "0.45"]]
    (line, *_) = lines(FIGURES | {"live, ViT-B/32": figure(1.0)}, "ViT-B/32")
    assert line.endswith("never")


def test_growth_is_told_by_its_exponent() -> None:
    (line,) = lines(FIGURES, "  steps")
    assert line == "  steps: time for a picture grows as n^0.151; 50 MB more"


@pytest.mark.parametrize(
    ("aim", "value", "reached"),
    [
        ("epoch from kept pictures / bare steps", "1.04", "yes"),
        ("epoch from kept pictures / image folder", "0.42", "yes"),
        ("own, kept / plain", "1.02", "yes"),
        ("retrieved, kept / plain", "1.25", "NO"),
        ("own, kept: memory more than plain's / 64 MB", "0.50", "yes"),
        ("retrieved, kept: memory more than plain's / 64 MB", "1.56", "NO"),
        ("live, ViT-B/32 / own, kept", "57.60", "yes"),
        ("memory that own adds / that live, ViT-B/32 adds", "0.05", "yes"),
    ],
)
def test_each_aim_is_told_with_what_was_reached(aim: str, value: str, reached: str) -> None:
    (line,) = lines(FIGURES, f"{aim}  ")
    assert line.split()[-2:] == [value, reached]


def test_where_no_memory_is_told_no_ratio_is() -> None:
    nothing = {way: {**one, "memory": 0.0} for way, one in FIGURES.items()}
    assert not lines(nothing, "memory that own adds")


def test_few_figures_make_a_short_table() -> None:
    assert lines({"bare steps": figure(1.0)}, "bare steps")
    assert not lines({"bare steps": figure(1.0)}, "embedding pass")


def test_all_runs_are_on_the_disk_as_soon_as_they_are_made(tmp_path: Path) -> None:
    book = training.Book(argparse.Namespace(out=tmp_path))
    runs = [(3.0, 0), (2.0, 1), (2.5, 2), (2.2, 1)]
    for seconds, workers in runs:
        book.enter("image folder", {"seconds": [seconds], "workers": workers, "memory": 5, "whole": 1.0})
    assert book.fastest("image folder") == 1
    assert book.fastest("bare steps") == 0
    written = json.loads((tmp_path / "training.json").read_text("utf-8"))
    assert len(written["runs"]["image folder"]) == 4
    assert written["figures"]["image folder"]["seconds"] == pytest.approx(2.1)
    assert (written["figures"]["image folder"]["workers"], written["figures"]["image folder"]["rounds"]) == (1, 2)


def test_each_round_begins_with_another_way() -> None:
    assert [training.rotated(["a", "b", "c"], number) for number in range(4)] == [
        ["a", "b", "c"], ["b", "c", "a"], ["c", "a", "b"], ["a", "b", "c"],
    ]  # fmt: skip


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs /proc")
def test_memory_of_a_process_is_its_own() -> None:
    before = training.tree_bytes(os.getpid())
    block = b"x" * 100_000_000
    assert 90e6 < training.tree_bytes(os.getpid()) - before < 110e6
    assert len(block) == 100_000_000
    assert training.tree_bytes(2**22 + 1) == 0  # no such process


def test_parity_tells_the_difference_to_the_live_teacher_and_the_time_to_its_area(
    capsys: pytest.CaptureFixture[str],
) -> None:
    def told(areas: list[float], curve: list[float], seconds: list[float], before: float = 0) -> dict[str, Any]:
        return {
            "auroc": areas,
            "val_auroc": curve,
            "seconds": seconds,
            "seconds_epoch": 1.0,
            "seconds_embedding": before,
        }

    parity.table(
        {
            "plain": told([0.7, 0.8], [0.5, 0.6], [1, 2]),
            "own, 8 views": told([0.85, 0.89], [0.6, 0.895], [31, 32], 30),
            parity.LIVE: told([0.86, 0.90], [0.7, 0.9], [50, 100]),
        }
    )
    head, plain, own, live = capsys.readouterr().out.splitlines()
    assert head.endswith("s to val 0.890")
    assert plain.split()[-1] == "never"
    assert own.split() == ["own,", "8", "views", "0.870", "-0.010", "0.000", "1.00", "30", "32"]
    assert live.split()[-1] == "100"

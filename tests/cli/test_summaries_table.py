"""The tables of `embedstore summaries`: which kind is said to be hidden, and what a terminal of 80 columns shows."""

import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
from helpers import store_of, unit_vectors
from rich.console import Console
from test_console import given

from embedstore import Summary
from embedstore.summaries import ClassLoss
from embedstore_cli.summaries import _hidden, _made_by, _most_far


def loss(label: str, far_modes: dict[str, int], modes: dict[str, int]) -> ClassLoss:
    count, far = sum(modes.values()), sum(far_modes.values())
    return ClassLoss(label, count, 0.5, 0.7, 0.9, "worst.png", 0.6, far, far_modes, modes)


@pytest.mark.parametrize(
    ("losses", "told"),
    [
        ([], "-"),
        ([loss("defect", {"blowhole": 4}, {"blowhole": 100, "crack": 50})], "-"),  # hardly hidden
        ([loss("good", {"good": 90}, {"good": 100})], "-"),  # the label itself, which its own column tells
        ([loss("defect", {"crack": 27, "fray": 24}, {"crack": 50, "fray": 32})], "fray (75%)"),
        # Under another label the same kind is kept well.
        ([loss("defect", {"crack": 9}, {"crack": 10}), loss("dent", {}, {"crack": 90})], "crack (90%)"),
        ([loss("a", {"y": 9}, {"y": 10}), loss("b", {"x": 9}, {"x": 10})], "x (90%)"),
    ],
)
def test_a_kind_is_named_only_where_the_summary_warns_of_it(losses: list[ClassLoss], told: str) -> None:
    summary: Any = SimpleNamespace(averaging_loss={one.label: one for one in losses})
    assert _hidden(cast("Summary", summary)) == told
    assert any(one.hidden_modes for one in losses) == (told != "-")


@pytest.fixture
def line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a store `s` of six labels and two summaries, seen on a terminal of 80 columns."""
    count = 120
    vectors = unit_vectors(1, count)
    with store_of(
        tmp_path / "s",
        np.stack([vectors, vectors]),
        labels=[f"label-{number % 6}" for number in range(count)],
        modes=["blowhole" if number % 6 else None for number in range(count)],
    ) as store:
        store.summarize("compressed-own", name="compressed-own-of-a-week")
        store.summarize("class-mean", name="class-mean")
    monkeypatch.setattr(Console, "is_terminal", property(lambda _: True))
    for name, value in {"COLUMNS": "80", "NO_COLOR": "1", "TERM": "dumb"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_tables_are_whole_on_80_columns(
    line: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, _ = given(monkeypatch, capsys, "summaries", "s")
    assert code == 0
    tables, said = out.split("size: of all", 1)
    rows = [row.rstrip() for row in tables.splitlines()]
    assert max(map(len, rows)) <= 80
    assert sum(row.startswith("compressed-own-of-a-week ") for row in rows) == 2
    assert sum(row.startswith("class-mean ") for row in rows) == 2
    assert len(set(re.findall(r"label-\d", tables))) == 3
    assert "compressed-own bytes=16 share=0.1 rare_bytes=64" in " ".join(tables.split())
    assert "The table has the 3 labels with the largest shares; see all with --json.\n" in said


def test_a_kilobyte_is_of_a_thousand_bytes_as_everywhere(
    line: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(Summary, "training_bytes", lambda _: 50_000)
    monkeypatch.setattr(Summary, "own_bytes", lambda _: 90_000)
    _, out, _ = given(monkeypatch, capsys, "summaries", "s")
    assert out.count(" 50 kB ") == 2
    assert "a store keeps 90 kB of vectors of the same pictures" in " ".join(out.split())


@pytest.mark.parametrize(
    ("parameters", "told"),
    [
        ({"bytes": 16, "share": 0.0, "kept_views": 0}, "strategy bytes=16 share=0.0 kept_views=0"),
        ({"k": None, "groups": False, "medoids": True}, "strategy medoids=True"),
    ],
)
def test_none_and_no_are_left_out_of_how_it_was_made_but_not_nought(parameters: dict[str, Any], told: str) -> None:
    summary: Any = SimpleNamespace(strategy="strategy", parameters=parameters)
    assert _made_by(cast("Summary", summary)) == told


def test_a_column_is_for_the_labels_that_some_summary_leaves_farthest() -> None:
    def of(**far: int) -> Any:
        return SimpleNamespace(averaging_loss={label: loss(label, {"x": n}, {"x": 10}) for label, n in far.items()})

    assert _most_far([of(a=9, b=2, c=1, d=0), of(a=0, b=0, c=8, d=7)]) == ["a", "c", "d"]
    assert _most_far([of(b=1, a=1)]) == ["a", "b"]

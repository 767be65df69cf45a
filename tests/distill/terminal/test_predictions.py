"""Files of decisions: a row for each picture, whatever its name, and what could not be read beside them."""

import csv
import io
import json
import os
from pathlib import Path

import pytest

import distill
from distill.terminal.model import TerminalModel
from distill.terminal.predictions import By, Prediction, Predictions
from embedstore.errors import ModelError


def test_what_cannot_be_read_is_set_aside_and_the_rest_is_told(
    model: TerminalModel, images: Path, tmp_path: Path
) -> None:
    (tmp_path / "a.png").write_bytes((images / "spot001.png").read_bytes())
    (tmp_path / "b.png").write_bytes(b"nonsense")
    (tmp_path / "notes.txt").write_text("no picture")
    found = distill.predict(model, [tmp_path])
    assert [one.path for one in found.pictures] == [str(tmp_path / "a.png")]
    assert found.set_aside == {str(tmp_path / "b.png"): "is not a picture in a known format"}
    rows = list(csv.DictReader(io.StringIO(found.to_csv())))
    assert [(row["path"], row["decision"], row["nearest"]) for row in rows] == [
        (str(tmp_path / "a.png"), found.pictures[0].decision, "")
    ]
    assert float(rows[0]["score"]) == found.pictures[0].score
    found.write(tmp_path / "out.json")
    found.write(tmp_path / "out.csv")
    assert json.loads((tmp_path / "out.json").read_text("utf-8"))["pictures"][0]["score"] == found.pictures[0].score
    assert (tmp_path / "out.csv").read_text("utf-8") == found.to_csv()


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such names")
def test_a_name_that_is_no_text_costs_no_other_decision(model: TerminalModel, images: Path, tmp_path: Path) -> None:
    picture = (images / "spot001.png").read_bytes()
    (tmp_path / "good.png").write_bytes(picture)
    odd = tmp_path / os.fsdecode(b"bad\xff.png")
    try:
        odd.write_bytes(picture)
    except OSError:
        pytest.skip("this file system takes no such names")
    found = distill.predict(model, [tmp_path / "good.png", odd])
    assert [one.path for one in found.pictures] == [str(tmp_path / "good.png")]
    assert found.set_aside == {str(tmp_path / r"bad\xff.png"): "its name is not valid UTF-8; rename it"}
    assert distill.predict(model, [tmp_path]).set_aside == found.set_aside
    found.write(tmp_path / "out.csv")
    found.write(tmp_path / "out.json")
    assert json.loads((tmp_path / "out.json").read_text("utf-8"))["set_aside"] == found.set_aside


@pytest.mark.parametrize("odd", ["\r", "\n", "\r\n", ",", '"'])
def test_whatever_is_in_a_name_a_picture_has_one_row(odd: str, tmp_path: Path) -> None:
    paths = [f"a{odd}.png", f"{odd}", "c.png"]
    Predictions(By.retrieval, [Prediction(one, f"good{odd}", None, 0.5, f"b{odd}b") for one in paths]).write(
        tmp_path / "out.csv"
    )
    with (tmp_path / "out.csv").open(encoding="utf-8", newline="") as file:
        rows = [tuple(row.values()) for row in csv.DictReader(file)]
    assert rows == [(one, f"good{odd}", "", "0.5", f"b{odd}b") for one in paths]


def test_a_line_ends_in_a_line_feed_on_every_system(tmp_path: Path) -> None:
    Predictions(By.head, [Prediction("a.png", "good", 0.25, 0.5)]).write(tmp_path / "out.csv")
    expected = b"path,decision,score,threshold,nearest\na.png,good,0.25,0.5,\n"
    assert (tmp_path / "out.csv").read_bytes() == expected


@pytest.mark.parametrize("name", ["out.csv", "out.json", "OUT.CSV"])
def test_only_earlier_decisions_are_replaced(name: str, tmp_path: Path) -> None:
    found, file = Predictions(By.head, [Prediction("a.png", "good", 0.25, 0.5)]), tmp_path / name
    file.touch()  # as mktemp does
    found.write(file)
    first = file.read_bytes()
    Predictions(By.retrieval, []).write(file)
    found.write(file)
    assert file.read_bytes() == first
    for other in (b"path,group\na.png,part 7\n", b'{"by": 1}', b"path"):
        file.write_bytes(other)
        with pytest.raises(
            ModelError, match="holds something other than decisions; choose another name, or move it away"
        ):
            found.write(file)
        assert file.read_bytes() == other

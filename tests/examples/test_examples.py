"""The programs in `examples/` run as they are, on a store that keeps its pictures, and learn."""

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from helpers import python_environment
from PIL import Image, ImageDraw

import embedstore

ROOT = Path(__file__).parents[2]
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))
LINE = re.compile(r"epoch (\d+): loss (\d+\.\d+), validation AUROC (\d\.\d+)")


def draw(number: int) -> Image.Image:
    """Return a noisy part with six bright discs; every third has a ring in place of one, which is its defect."""
    random = np.random.default_rng(number)
    picture = Image.fromarray(random.normal(110, 12, (64, 64)).clip(0, 255).astype(np.uint8))
    pen = ImageDraw.Draw(picture)
    for at, place in enumerate(random.permutation(16)[:6]):
        left, top = (4 + 15 * int(along) for along in divmod(place, 4))
        if number % 3 == 0 and at == 0:
            pen.ellipse((left, top, left + 10, top + 10), outline=240, width=2)
        else:
            pen.ellipse((left, top, left + 10, top + 10), fill=240)
    return picture


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """240 pictures in folders named by their labels, a third of them defects."""
    folder = tmp_path_factory.mktemp("examples")
    for number in range(240):
        path = folder / "photos" / ("defect" if number % 3 == 0 else "good") / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        draw(number).save(path)
    embedstore.build(folder / "parts.store", folder / "photos", teacher="pixels", keep_images=64)
    return folder / "parts.store"


def run(example: Path, place: Path, *arguments: object) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, example, *map(str, arguments)],
        cwd=place,
        env=python_environment(),
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
@pytest.mark.parametrize("workers", [0, 2])
def test_an_example_learns_and_leaves_nothing_behind(example: Path, workers: int, store: Path, tmp_path: Path) -> None:
    if example.stem.startswith("lightning"):
        pytest.importorskip("lightning")
    done = run(example, tmp_path, store, "--good", "good", "--epochs", 10, "--size", 64, "--workers", workers)
    assert done.returncode == 0, done.stderr
    lines = [LINE.fullmatch(line) for line in done.stdout.splitlines()]
    assert None not in lines, done.stdout
    epochs, losses, areas = zip(*(map(float, line.groups()) for line in lines if line), strict=True)
    assert epochs == tuple(range(1, 11))
    assert losses[-1] < 0.8 * losses[0]
    assert areas[-1] > 0.85  # chance is 0.5
    assert "Error" not in done.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["nowhere.store"], "nowhere.store"),
        (["{store}", "--policy", "live-teacher"], "runs the teacher beside the student"),
        (["{store}", "--policy", "mixture"], "mixture"),
    ],
    ids=["path", "live-teacher", "mixture"],
)
def test_a_mistake_is_told_in_one_sentence(
    example: Path, arguments: list[str], why: str, store: Path, tmp_path: Path
) -> None:
    if example.stem.startswith("lightning"):
        pytest.importorskip("lightning")
    done = run(example, tmp_path, *(argument.format(store=store) for argument in arguments), "--epochs", 1)
    assert done.returncode == 2
    assert f"{example.name}: error: " in done.stderr
    assert why in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_a_label_that_is_not_there_is_named(example: Path, store: Path, tmp_path: Path) -> None:
    if example.stem.startswith("lightning"):
        pytest.importorskip("lightning")
    done = run(example, tmp_path, store, "--good", "god", "--epochs", 1)
    assert done.returncode == 2
    assert "no label is called 'god'; there are defect, good" in done.stderr

"""`embedstore map` as installed, with a stub of umap-learn: what it keeps, and what it says where it can't."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from helpers import store_of, unit_vectors
from toy_commands import SCRIPTS

import embedstore
from embedstore_inspector import maps

STUB = """
class UMAP:
    def __init__(self, n_neighbors, random_state, **_):
        self.shift = 100 * random_state + n_neighbors

    def fit_transform(self, directions):
        return directions[:, :2] + self.shift
"""


@pytest.fixture
def place(tmp_path: Path) -> Path:
    store_of(tmp_path / "s", unit_vectors(1, 24)).close()
    store_of(tmp_path / "few", unit_vectors(1, 9)).close()
    (tmp_path / "stub").mkdir()
    (tmp_path / "stub" / "umap.py").write_text(STUB, "utf-8")
    return tmp_path


def mapped(place: Path, *options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [SCRIPTS / "embedstore", "map", *options],
        cwd=place, capture_output=True, text=True, check=False, env={**os.environ, "PYTHONPATH": str(place / "stub")},
    )  # fmt: skip


def test_it_keeps_the_map_that_the_page_offers(place: Path) -> None:
    for options, shift in ((), 15), (("--neighbours", "5", "--seed", "2"), 205):
        done = mapped(place, "s", *options)
        assert done.returncode == 0, done.stderr
        assert done.stdout.startswith("Placed 24 samples by UMAP in ")
        assert f"kept as '{Path('s/maps/umap-1.safetensors')}'" in done.stdout
        with embedstore.open(place / "s") as store:
            assert maps.kept_maps(store) == ["umap"]
            expected = store.read(np.arange(24))[:, :2].astype(np.float32) + shift
            assert maps.kept_map(store, "umap") == pytest.approx(expected, abs=1e-2)
            assert store.version == 1


def test_what_it_can_not_place_is_told_and_nothing_is_kept(place: Path) -> None:
    for options, words in (
        (("few",), "The store 'few' has 9 samples, and UMAP places 10 or more"),
        (("s", "--neighbours", "1"), "give 2 neighbours or more"),
        (("nope",), "nope"),
    ):
        done = mapped(place, *options)
        assert done.returncode == 2
        assert words in done.stderr
        assert "Traceback" not in done.stderr
    assert not list(place.glob("*/maps"))


def test_without_umap_learn_it_says_what_to_install(place: Path) -> None:
    code = (
        "import sys; sys.modules['umap'] = None\n"
        f"from embedstore_cli.main import main; sys.argv = ['embedstore', 'map', {str(place / 's')!r}]; main()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.strip().endswith("pip install 'embedstore[umap]'")
    assert "Error: UMAP needs umap-learn (" in done.stderr

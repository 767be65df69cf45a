"""embedstore thin, and the light files of embedstore export: what is printed, and what the Python calls do not say."""

import json
from pathlib import Path

import pytest
from helpers import store_of, unit_vectors
from typer.testing import CliRunner

import embedstore
from embedstore.errors import SettingsError
from embedstore.exports import read_light_file, read_prototypes
from embedstore_cli.main import app

COUNT = 120
RUN = CliRunner()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    labels = ["defect" if at % 3 == 0 else "good" for at in range(COUNT)]
    splits = [("train", "test")[at % 2] for at in range(COUNT)]
    with store_of(
        tmp_path / "store", [unit_vectors(0, COUNT), unit_vectors(1, COUNT)], labels=labels, splits=splits
    ) as store:
        store.summarize("class-mean", name="means")
    return tmp_path / "store"


def printed(*arguments: object) -> str:
    result = RUN.invoke(app, [str(one) for one in arguments], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout


def test_thin_says_what_it_made_and_what_that_loses(path: Path, tmp_path: Path) -> None:
    told = printed(
        "thin", path, tmp_path / "small", "--views", 0, "--dims", 4, "--good", "good", "--where", "label=good"
    )
    with embedstore.open(tmp_path / "small") as small:
        assert (len(small), small.views, small.dim) == (80, 0, 4)
    assert "has 80 samples (of 120), 0 views (of 1) and 4 numbers a vector (of 12), in 0." in told
    assert "Of the 10 nearest neighbours of 60 held-out samples, among 40 (before: 60) of other parts, " in told
    assert "AUROC" not in told  # no defect is left to be the nearest
    assert "Make its summaries again with embedstore summarize: means." in told
    told = printed("thin", path, tmp_path / "other", "--views", 0, "--good", "good")
    assert "among 60 of other parts, 100.0% are the same." in told
    assert "AUROC of nearest defect minus nearest good part: 0." in told
    assert "+0.000)." in told


def test_figures_as_json(path: Path, tmp_path: Path) -> None:
    thinned = json.loads(printed("thin", path, tmp_path / "small", "--dims", 4, "--good", "good", "--json"))
    assert (thinned["dim"], thinned["dim_before"], thinned["loss"]["queries"]) == (4, 12, 60)
    file = tmp_path / "g.safetensors"
    exported = json.loads(
        printed("export", path, file, "--light", "--int8", "--dims", 4, "--views", 1, "--good", "good", "--json")
    )
    assert exported["bytes"] == file.stat().st_size
    light = read_light_file(file)
    assert (light.codes.dtype.name, light.codes.shape) == ("int8", (2, COUNT, 4))
    assert exported["loss"]["overlap"] == pytest.approx(thinned["loss"]["overlap"], abs=0.05)
    assert exported["loss"]["auroc"] == thinned["loss"]["auroc"]


def test_prototypes_alone_are_told_in_kilobytes(path: Path, tmp_path: Path) -> None:
    file = tmp_path / "g.safetensors"
    told = printed("export", path, file, "--summary", "means", "--prototypes-only")
    assert f"({file.stat().st_size / 1e3:.1f} kB)." in told
    found = read_prototypes(file)
    assert (found.labels, found.seen) == (["defect", "good"], [])


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (["--good", "good"], "with --good; give --light, too, or leave that out."),
        (["--int8", "--dims", "4"], "with --int8, --dims; give --light, too, or leave that out."),
        (
            ["--views", "1"],
            "with --views; give --light, too, or leave that out (the vectors of one view are written by --view).",
        ),
    ],
)
def test_what_only_a_light_file_takes_writes_none_by_itself(
    path: Path, tmp_path: Path, given: list[str], told: str
) -> None:
    result = RUN.invoke(app, ["export", str(path), str(tmp_path / "g.safetensors"), *given])
    assert isinstance(result.exception, SettingsError)
    assert str(result.exception) == f"Only a light file is written {told}"
    assert not (tmp_path / "g.safetensors").exists()

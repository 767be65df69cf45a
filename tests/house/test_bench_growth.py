"""The benchmark of growth in small: what is drawn, how exponents are fitted, that a stopped run goes on, the exact scores."""

import csv
import json
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[2]
sys.path += [str(ROOT / "tools" / "bench"), str(ROOT / "tools")]

import growth  # noqa: E402
from growth_parts import rare_scores  # noqa: E402
from growth_parts.fit import BUDGET, EACH, exponent, exponents, highest, larger, within_budget  # noqa: E402
from growth_parts.steps import STEPS  # noqa: E402
from growth_parts.vectors import PICTURES, Growing  # noqa: E402

import embedstore  # noqa: E402
from embedstore.errors import SettingsError  # noqa: E402


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Vectors of 3,001 samples, imported."""
    folder = tmp_path_factory.mktemp("growing")
    Growing(dim=16, rare=0.03).write(folder, 3001)
    assert STEPS["build"](folder) == {"rows": 3001}
    return folder


def test_samples_are_of_parts_labels_and_modes_and_of_unit_length(folder: Path) -> None:
    vectors = np.load(folder / "vectors.npy").astype(np.float64)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=2e-3)
    with (folder / "vectors.csv").open(encoding="utf-8", newline="") as table:
        rows = list(csv.DictReader(table))
    assert len({row["id"] for row in rows}) == len(rows) == len(vectors) == 3001
    assert [row["group"] for row in rows] == [f"p{number // PICTURES}" for number in range(3001)]
    good = np.array([row["label"] == "good" for row in rows])
    assert 0.85 < good.mean() < 0.95
    rare = [row["mode"] for row in rows if row["mode"].startswith("rare")]
    assert 0.015 < len(rare) / 3001 < 0.06
    assert max(rare.count(mode) for mode in set(rare)) == 2 * PICTURES  # a mode of two parts, however large the data
    middle = np.stack([vectors[at : at + PICTURES].mean(axis=0) for at in range(0, 3000, PICTURES)])
    within = np.linalg.norm(vectors[:3000] - middle.repeat(PICTURES, axis=0), axis=1).mean()
    assert within < 0.3 * np.linalg.norm(middle[:-1] - middle[1:], axis=1).mean()


def test_a_smaller_size_is_the_beginning_of_a_larger_one() -> None:
    (small, lines), *_ = Growing(dim=8).chunks(101)
    (large, more), *_ = Growing(dim=8).chunks(200)
    assert (len(small), len(large)) == (101, 200)
    assert lines == more[:101]
    assert small.tolist() == large[:101].tolist()


def test_exponents_are_slopes_over_the_larger_sizes() -> None:
    large = (1_000_000, 3_000_000, 10_000_000)
    linear = {size: 3e-6 * size for size in large}
    assert exponent(linear) == pytest.approx(1)
    assert exponent({size: 1e-9 * size**1.5 for size in large}) == pytest.approx(1.5)
    n_log_n = exponent({size: size * np.log(size) for size in large})
    assert n_log_n == pytest.approx(1.067, abs=0.001)
    assert exponent({100_000: 2.0}) is None
    assert larger([*large, 10_000, 100_000]) == list(large)
    assert larger([10_000, 1_000_000, 100_000]) == [100_000, 1_000_000]
    assert highest([*large, 10_000, 100_000]) == 1.1 > n_log_n
    assert highest([100_000, 1_000_000]) == pytest.approx(np.log10(2 * 10 * 6 / 5), abs=1e-9)  # twice n log n
    sizes = {str(size): {"a": {"seconds": seconds}} for size, seconds in linear.items()}
    sizes["10000"] = sizes["100000"] = {"a": {"seconds": 99.0}}
    sizes["1000000"]["b"] = {"seconds": 1.0}
    assert exponents(sizes) == {"a": 1.0}
    assert within_budget(1000, BUDGET + 1000 * EACH)
    assert not within_budget(1000, BUDGET + 1000 * EACH + 1)


def test_a_run_goes_on_where_it_stopped_and_refuses_another_record(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "growth.json"
    monkeypatch.setattr(growth, "ROUNDS", 1)
    given = ["--work", str(tmp_path / "work"), "--out", str(out), "--dim", "8", "--threads", "1", "--sizes", "200"]
    growth.main([*given, "--steps", "build,,open"])
    first = json.loads(out.read_text("utf-8"))
    assert set(first["sizes"]["200"]) == {"build", "open"}
    assert first["sizes"]["200"]["open"]["facts"]["rows"] == 200
    assert sum(first["sizes"]["200"]["open"]["facts"]["labels"].values()) == 200
    assert all(cell["seconds"] > 0 for cell in first["sizes"]["200"].values())
    growth.main([*given, "--steps", "build,,open,,summary class-mean"])
    second = json.loads(out.read_text("utf-8"))["sizes"]["200"]
    assert second["summary class-mean"]["facts"]["prototypes"] == 2
    assert (second["build"], second["open"]) == (first["sizes"]["200"]["build"], first["sizes"]["200"]["open"])
    assert not list((tmp_path / "work").iterdir())
    monkeypatch.setattr(growth, "run", None)  # nothing is measured twice
    growth.main([*given, "--steps", "build,,open,,summary class-mean"])
    growth.main(["--again", "--out", str(out)])
    assert "summary class-mean" in capsys.readouterr().out
    with pytest.raises(SystemExit, match="has another threads"):
        growth.main([*given[:-3], "2", "--sizes", "300"])


def test_a_step_that_fails_is_told(tmp_path: Path) -> None:
    options = growth.parsed(["--work", str(tmp_path), "--sizes", "200"])
    with pytest.raises(SettingsError, match=r"The step 'open' failed: .*NotAStoreError"):
        growth.run("open", tmp_path, options)


def test_scores_over_shards_are_the_exact_ones_of_the_same_prototypes(folder: Path) -> None:
    with embedstore.open(folder / "store") as store:
        top, training, common = rare_scores.over_shards(store)
        found = rare_scores.overlaps(training, common, top, store.field("mode"))
        labels = store.labels
        assert {label: len(at) for label, at in top.items()} == {
            label: int(np.ceil(0.01 * labels.count(label))) for label in ("good", "defect")
        }
        assert all(labels[one] == label for label, at in top.items() for one in at)
        planted = {at for at, mode in enumerate(store.field("mode")) if str(mode).startswith("rare")}
    listed = {int(one) for at in top.values() for one in at}
    assert found["planted found"] == len(planted & listed) / len(listed) > 0.3
    assert found["top"] == sum(map(len, top.values()))
    assert found["same prototypes"] == 1
    assert 0.3 < found["gathered"] <= 1

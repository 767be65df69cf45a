"""The storage benchmark in small: right answers, one figure from many, ratios of one run, and what it writes."""

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest

ROOT = Path(__file__).parents[2]
sys.path.append(str(ROOT / "tools" / "bench"))

import storage  # noqa: E402
from storage_parts import children, results, steps, systems, vectors  # noqa: E402
from storage_parts.systems.system import NotOfferedError  # noqa: E402

KEYS = ["embedstore", "memmap", "faiss"]


def in_this_process(
    place: children.Workplace, key: str, step: str, folder: Path, settings: dict[str, Any]
) -> dict[str, Any]:
    """Do what a child does, without the second that it takes to start."""
    system = systems.SYSTEMS[key](folder, place.rows, settings, place.threads, place.budget)
    found = steps.Outcome()
    try:
        steps.STEPS[step](system, steps.Truth(place.rows, dict(np.load(place.rows.folder / "truth.npz"))), found)
    except NotOfferedError as reason:
        found.facts["not offered"] = str(reason)
    return asdict(found)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    out = tmp_path_factory.mktemp("bench")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(storage, "run_step", in_this_process)
        patch.setattr(storage, "missing", lambda key: ["milvus_lite"] if key == "milvus-lite" else [])
        patch.setattr(storage, "QUERIES", 100)
        storage.main(
            ["--out", str(out), "--quick", "--rows", "2000", "--dim", "32", "--threads", "1",
             "--systems", "embedstore,memmap,faiss,milvus-lite"]
        )  # fmt: skip
    assert sorted(path.name for path in out.iterdir()) == ["storage-2000.json", "storage-2000.svg", "storage-2000.txt"]
    return {"out": out, **json.loads((out / "storage-2000.json").read_text("utf-8"))}


def test_every_system_finds_all_that_exact_search_should(run: dict[str, Any]) -> None:
    for key in KEYS:
        measures = run["systems"][key]["measures"]
        exact = [name for name in measures if name.startswith(("exact", "filtered rare"))]
        assert len(exact) == 4
        assert [measures[name]["recall"] for name in exact] == [1.0] * 4, key
    assert run["systems"]["faiss"]["measures"]["approximate 100"]["recall"] > 0.9


def test_all_is_measured_and_what_is_not_is_told(run: dict[str, Any]) -> None:
    ours = run["systems"]["embedstore"]
    assert set(ours["measures"]) == {measure.key for measure in results.MEASURES}
    assert ours["not run"] == {}
    assert set(run["systems"]["memmap"]["not run"]) == {"index"}
    assert run["systems"]["memmap"]["disk"]["vectors"] == 2 * 2000 * 32 + 128
    assert run["not_run"] == {"Milvus Lite": "not installed: milvus_lite"}
    text = (run["out"] / "storage-2000.txt").read_text("utf-8")
    assert "Milvus Lite: not run (not installed: milvus_lite)." in text
    assert "bulk write at least LanceDB's" in text
    picture = ElementTree.parse(run["out"] / "storage-2000.svg")  # noqa: S314  # our own
    bars = [one for one in picture.iter("{http://www.w3.org/2000/svg}rect") if "bar" in one.attrib["class"]]
    assert len(bars) == 8 * 3 - 1  # a memmap has no index


def test_ratios_are_of_the_same_run(run: dict[str, Any]) -> None:
    measures = {key: run["systems"][key]["measures"] for key in KEYS}
    for measure in results.MEASURES:
        for key, ratio in run["ratios"].get(measure.key, {}).items():
            ours, theirs = (measures[one][measure.key]["value"] for one in ("embedstore", key))
            assert ratio == pytest.approx(ours / theirs if measure.more_is_better else theirs / ours)
    aims = {aim["aim"]: aim for aim in run["aims"]}
    scan = aims["scan at least 0.9x the memmap's"]
    assert scan["ratio"] == pytest.approx(run["ratios"]["scan"]["memmap"])
    assert scan["reached"] == (scan["ratio"] >= 0.9)
    exact = aims["exact queries, 100 at once, at most 1.1x bare FAISS"]
    assert exact["ratio"] == pytest.approx(1 / run["ratios"]["exact 100"]["faiss"])
    assert aims["bulk write at least LanceDB's"]["reached"] is None


def test_recall_counts_right_answers_once_and_only_what_passes(tmp_path: Path) -> None:
    np.save(tmp_path / "vectors.npy", np.array([[1, 0], [0.8, 0.6], [0, 1], [0.6, 0.8]], np.float16))
    rows = vectors.Rows(tmp_path, 4)
    asked = np.array([[1, 0]], np.float32)
    every, needed = np.ones(4, bool), np.array([0.8 - 1e-3], np.float32)
    assert vectors.recall(rows, asked, np.array([[1, 0]]), needed, every) == 1
    assert vectors.recall(rows, asked, np.array([[0, 3]]), needed, every) == 0.5
    assert vectors.recall(rows, asked, np.array([[0, 0]]), needed, every) == 0.5
    assert vectors.recall(rows, asked, np.array([[0, -1]]), needed, every) == 0.5
    assert vectors.recall(rows, asked, np.array([[0, 1]]), needed, np.array([False, True, True, True])) == 0.5


def test_true_scores_are_those_of_a_full_sort(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vectors, "CHUNK", 300)
    rows = vectors.make_rows(tmp_path, 1000, vectors.Generator(dim=16, latent=4, clusters=5), 7)
    scores = rows.queries @ rows.vectors.astype(np.float32).T
    found = vectors.true_scores(rows, {"all": {}, "dent": {"label": "dent"}}, 10)
    assert found["all"] == pytest.approx(np.sort(scores, axis=1)[:, -10], abs=1e-6)
    dents = np.array(rows.labels()) == "dent"
    assert 10 <= dents.sum() < 40
    assert found["dent"] == pytest.approx(np.sort(scores[:, dents], axis=1)[:, -10], abs=1e-6)


def test_a_step_in_a_process_of_its_own(tmp_path: Path) -> None:
    rows = vectors.make_rows(tmp_path / "rows", 200, vectors.Generator(dim=8, latent=2, clusters=3), 3)
    np.savez(rows.folder / "truth.npz", **vectors.true_scores(rows, {"all": {}}, 10))
    place = children.Workplace(rows, threads=1, limit=60, budget=1 << 28)
    found = children.run_step(place, "memmap", "write", tmp_path / "memmap", {})
    assert found["work"] == {"write": 200}
    assert found["facts"]["disk"]["vectors"] == 2 * 200 * 8 + 128
    assert "FileNotFoundError" in children.run_step(place, "memmap", "scan", tmp_path / "nothing", {})["error"]

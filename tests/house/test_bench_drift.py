"""The benchmark of drift in small: what is drawn, how it is told, and that a stopped run goes on."""

import json
import sys
from argparse import Namespace
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[2]
sys.path += [str(ROOT / "tools" / "bench"), str(ROOT / "tests" / "analysis" / "drift")]

import drift as bench  # noqa: E402
import planted_batches as planted  # noqa: E402
from drift_parts import batches  # noqa: E402
from drift_parts.changes import STRENGTHS, changed  # noqa: E402
from drift_parts.picture import draw  # noqa: E402

from embedstore import EmbeddingStore  # noqa: E402


@pytest.fixture
def store(tmp_path: Path) -> EmbeddingStore:
    labels = planted.parts(planted.STORE_PARTS, 0)[1]
    return planted.make(tmp_path / "s", modes=["plain" if one == "good" else "long" for one in labels])


def stream_of(store: EmbeddingStore) -> batches.Stream:
    dark = {(change, one): store.vectors() + 0.01 for change, strengths in STRENGTHS.items() for one in strengths}
    lights = {key: np.full((len(store), 3), -1.0, np.float32) for key in dark}
    stream = batches.Stream(store, dark, lights, "good")
    assert stream.lights is None  # the planted store has no pictures
    stream.lights = np.zeros((len(store), 3))
    return stream


def test_batches_are_of_parts_that_the_reference_lacks(store: EmbeddingStore) -> None:
    stream = stream_of(store)
    for case in batches.cases(["long"], 10):
        batch, hidden = stream.batch(case), stream.hidden_from(case)
        if case.size == 50 and case.condition not in ("another mix", "hidden"):
            assert len(batch) == 50
        if case.condition == "no groups":
            assert all(sample.group is None for sample in batch.samples)
            continue
        assert {sample.part for sample in batch.samples} <= hidden
        long = sum(sample.mode == "long" for sample in batch.samples)
        if case.condition == "hidden":
            assert long == max(1, round(case.strength * case.size + 0.499))
        if case.condition == "another mix" and case.size == 50:
            there = sum(
                stream.fold[part] == case.fold and mode == "long"
                for part, mode in zip(stream.parts, stream.modes, strict=True)
            )
            assert long == min(25, there)
        if case.condition in STRENGTHS:
            own = store.vectors([sample.id for sample in batch.samples])
            np.testing.assert_allclose(batch.vectors - own, 0.01, atol=1e-6)
        assert batch.lights is not None
        changed = (batch.lights == -1).all(axis=1).mean()
        whole = case.condition in STRENGTHS
        assert changed == 1 if whole else (0.2 < changed < 0.8) == (case.condition == "half of the parts")


def test_darker_pictures_are_darker_by_as_much() -> None:
    from PIL import Image

    grey = Image.new("L", (8, 8), 200)
    assert np.asarray(changed(grey, "brightness", 0.3)).mean() == pytest.approx(140, abs=1)
    edge = Image.fromarray(np.repeat(np.array([[0, 0, 0, 0, 200, 200, 200, 200]], np.uint8), 8, axis=0))
    soft = np.asarray(changed(edge, "blur", 1.0)).astype(int)
    assert soft.mean() == pytest.approx(100, abs=2)
    assert np.abs(np.diff(soft[4])).max() < 100


def test_a_run_is_told_and_goes_on(
    store: EmbeddingStore, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    stream, options = stream_of(store), Namespace(out=tmp_path, false_alarms=0.05)
    asked = [
        case
        for case in batches.cases(["long"], 1)
        if case.size == 50 and case.fold == 0 and case.condition in ("unchanged", "hidden", "blur", "brightness")
    ]
    results = bench.answered(store, stream, asked, options)
    monkeypatch.setattr(bench, "find_drift", None)  # nothing is asked twice
    assert bench.answered(store, stream, asked, options) == results
    rows = bench.told(asked, results, 0.05)
    row = next(one for one in rows if one["condition"] == "unchanged")
    assert row["found"] == sum(results[case.key]["p"] <= 0.05 for case in asked if case.condition == "unchanged")
    hidden = [one for one in rows if one["condition"] == "hidden" and one["strength"] == 0.05]
    assert [one["kind"] for one in hidden] == [None, "long"]
    bench.table(rows)
    assert "unchanged" in capsys.readouterr().out
    result = {
        "teacher": "by hand",
        "samples": 1,
        "parts": 1,
        "false_alarms": 0.05,
        "rows": json.loads(json.dumps(rows)),
    }
    for language in ("en", "ja"):
        assert draw(result, language).count("<polyline") == 6


def test_intervals_are_wilsons() -> None:
    assert bench.wilson(0, 100) == [0.0, pytest.approx(0.037, abs=5e-4)]
    assert bench.wilson(10, 20) == [pytest.approx(0.2993, abs=5e-4), pytest.approx(0.7007, abs=5e-4)]

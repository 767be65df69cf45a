"""The study of what following an advice costs, in small: the outer fold is never seen, and regret is that of its figures."""

import argparse
import json
import shutil
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
from PIL import Image

import distill
import embedstore
from distill import Settings
from distill.advice import candidates, trials
from distill.advice.trials import Plan
from distill.training import trainer
from distill.training.task_file import read_task

ROOT = Path(__file__).parents[2]
sys.path.append(str(ROOT / "tools" / "study"))

import advice as study  # noqa: E402
from data import FEW_VIEWS, Data, Kept  # noqa: E402


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store of 80 pictures of 40 parts, half of them with a bright stripe."""
    place = tmp_path_factory.mktemp("study")
    rows = ["path,label,group"]
    (place / "images").mkdir()
    for number in range(80):
        pixels = np.random.default_rng(number).integers(60, 120, (40, 40)).astype(np.uint8)
        if number // 2 % 2:
            pixels[10:16] = 250
        Image.fromarray(pixels).save(place / "images" / f"{number}.png")
        rows.append(f"{number}.png,{'defect' if number // 2 % 2 else 'good'},part {number // 2}")
    (place / "parts.csv").write_text("\n".join(rows), "utf-8")
    embedstore.build(place / "s", place / "images", manifest=place / "parts.csv", teacher="pixels", views=1)
    return place / "s"


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch, store: Path, tmp_path: Path) -> None:
    """Train two ways on small pictures in this process, by a plan of one epoch, and ask one of them beside patches, too."""

    def here(
        source: Path,
        out: Path,
        settings: Settings,
        *,
        images: Path | None,
        progress: Callable[[int, int], None],
        **_: Any,
    ) -> None:
        distill.train(
            source, out, settings, images=images, resume=True, progress=lambda done, total, _: progress(done, total)
        )

    with torch.random.fork_rng():
        torch.manual_seed(2)
        torch.save(timm.create_model("test_resnet", num_classes=7).state_dict(), tmp_path / "weights.pt")
    shared = {"size": 32, "patches": f"timm:test_resnet@{tmp_path / 'weights.pt'}:3"}
    named = ("none", "own", "own-patches")
    some = [replace(one, settings={**one.settings, **shared}) for one in candidates.CANDIDATES if one.name in named]
    monkeypatch.setattr(trainer, "train_apart", here)
    monkeypatch.setattr(candidates, "CANDIDATES", tuple(some))
    monkeypatch.setattr(trials, "plan_trials", lambda *_, **__: Plan(3, 1, 1, 1.0))

    def copied(path: Path, folder: Path | None, kept: Kept) -> None:
        assert (folder, kept) == (None, FEW_VIEWS)
        shutil.copytree(store, path)

    monkeypatch.setitem(study.TASKS, "textiles", Data("textiles", "good", "stripes", build=copied))


def test_an_outer_fold_is_set_aside_for_the_advice_and_tested_by_all_ways(
    small: None, store: Path, tmp_path: Path
) -> None:
    options = argparse.Namespace(out=tmp_path, docs=None, tiles=None, minutes=5.0, jobs=1, quick=False)
    found = study.measure(study.TASKS["textiles"], 1, tmp_path / "work", options, epochs=1)
    place = tmp_path / "work" / "textiles" / "1"
    with embedstore.open(place / "asking") as asking, embedstore.open(place / "testing") as testing:
        tested = {one.id for one in testing.samples if one.split == "test"}
        assert tested == {one.id for one in asking.samples if one.split == "aside"}
        assert len(tested) == 16
        assert {one.split for one in asking.samples} == {None, "aside"}
    for run in (place / "trials" / "runs").iterdir():
        learned = (run / "split.csv").read_text("utf-8").splitlines()
        assert {line.split(",")[1] for line in learned if line.split(",")[0] in tested} == {"aside"}
    assert found["advised"] in found["mean_recall"]
    reports = {
        way: json.loads((place / "runs" / f"{way}-seed0" / "report.json").read_text("utf-8"))["mean_recall"]
        for way in ("none", "own")
    }
    settings = replace(read_task(place / "runs" / "own-seed0" / "task.toml"), answer="patches")
    beside = distill.train(place / "testing", tmp_path / "beside", settings).report
    assert found["mean_recall"] == reports | {"own-patches": beside.mean_recall}
    assert (place / "patches.json").exists()
    assert len(list((place / "runs").iterdir())) == 2


def test_regret_is_how_much_more_the_best_way_has() -> None:
    one = {"advised": "none", "mean_recall": {"none": 0.5, "own": 0.75, "class-mean": 0.625}}
    assert [study.regret(one, way) for way in ("none", "own", "class-mean")] == [0.25, 0.0, 0.125]

"""The learned map is kept with the run, of the epoch that its student is of; and a run says why it has none."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from toy_parts import make_store, parts, policy, quick

import distill
from distill.targets import TrainingSet
from distill.training import projection, run_directory
from distill.training.loop import Run
from embedstore import EmbeddingStore
from embedstore import open as open_store
from embedstore.errors import TrainingError


def test_it_is_the_map_of_the_last_epoch_and_the_centre_of_the_training_side(
    finished: Run, store: EmbeddingStore
) -> None:
    kept = load_file(finished.path / projection.FILE)
    checkpoint = run_directory.load_checkpoint(finished.path)
    assert checkpoint is not None
    for name in ("weight", "bias"):
        assert torch.equal(kept[name], checkpoint["loss"][f"projection.{name}"])
    train = np.array([at for at, one in enumerate(store.samples) if one.split == "train"])
    np.testing.assert_array_equal(kept["centre"].numpy(), TrainingSet.from_source(store, train).centre)
    made, centre = projection.load(finished.path, quick(policy="own"), 262) or (None, None)
    assert made is not None
    assert centre is not None
    assert torch.equal(made.weight, kept["weight"])
    assert torch.equal(centre, kept["centre"])


def test_the_centre_is_that_of_the_saved_summary_that_the_targets_come_from(tmp_path: Path) -> None:
    path = make_store(tmp_path, parts())
    with open_store(path) as store:
        saved = store.summarize("class-mean", name="old", split="train")
        with store.write() as writing:
            writing.delete([one.id for one in store.samples if one.split == "train"][:9])
    settings = quick(policy="class-mean", options={"class-mean": {"summary": "old"}})
    run = distill.train(path, tmp_path / "again", settings)
    kept = load_file(run.path / projection.FILE)["centre"].numpy()
    np.testing.assert_array_equal(kept, saved.centre)
    with open_store(path) as store:
        train = np.array([at for at, one in enumerate(store.samples) if one.split == "train"])
        assert not np.allclose(kept, TrainingSet.from_source(store, train).centre, atol=1e-4)


def test_it_is_of_the_epoch_that_is_kept(store: EmbeddingStore, tmp_path: Path) -> None:
    run = distill.train(store, tmp_path / "run", quick(policy="own", keep="best", epochs=3))
    with safe_open(run.path / projection.FILE, "pt") as file:
        assert int(file.metadata()["epoch"]) == run.epoch
    (run.path / projection.FILE).unlink()
    with pytest.raises(TrainingError, match="has not kept the map to the teacher's space"):
        projection.load(run.path, quick(policy="own", keep="best"), 262)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"policy": "none"}, "the policy 'none' teaches it no vector"),
        ({"policy": "own", "weight": 0}, "its lambda is 0"),
        ({"policy": "own", "projection": "teacher"}, "its projection is on the teacher's side"),
        ({"policy": "shuffled-own"}, "the targets of the policy 'shuffled-own' are no centred vectors of the teacher"),
        ({"policy": "compressed-own"}, "the targets of the policy 'compressed-own' are no centred vectors"),
        ({"policy": "own", "options": {"own": {"outputs": "maxima"}}}, "the policy 'own' was asked for other targets"),
        (
            {"policy": "mixture", "mixture": {"good": {"rotated-means": 1}, "defect": {"own": 1}}},
            "the targets of the policy 'rotated-means'",
        ),
    ],
)
def test_some_runs_learn_none(changes: dict[str, Any], reason: str) -> None:
    assert (projection.why_none(quick(**changes)) or "").startswith(reason)


@pytest.mark.parametrize("name", ["own", "class-mean", "rare-samples", "retrieved", "mixture"])
def test_most_runs_learn_one(name: str) -> None:
    assert projection.why_none(quick(**policy(name))) is None


def test_a_run_that_learns_none_writes_none(store: EmbeddingStore, tmp_path: Path) -> None:
    run = distill.train(store, tmp_path / "run", quick(policy="none"))
    assert not (run.path / projection.FILE).exists()
    assert projection.load(run.path, quick(policy="none"), 262) is None


@pytest.mark.parametrize("damage", ["nonsense", "shape", "infinite"])
def test_a_damaged_file_is_told(damage: str, finished: Run, tmp_path: Path) -> None:
    kept = load_file(finished.path / projection.FILE)
    if damage == "shape":
        kept["weight"] = kept["weight"][:, :-1].contiguous()
    kept["bias"][0] = torch.inf if damage == "infinite" else 0
    save_file(kept, tmp_path / projection.FILE)
    if damage == "nonsense":
        (tmp_path / projection.FILE).write_bytes(b"nonsense")
    with pytest.raises(TrainingError, match="is damaged"):
        projection.load(tmp_path, quick(policy="own"), 262)

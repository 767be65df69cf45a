"""What a run that was stopped does not go on with, and directories that it does not touch, each by a sentence."""

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
import toy_parts
from toy_parts import make_store, parts, quick
from toy_stops import EPOCHS, SETTINGS, Stop, same_run, stopped

import distill
import embedstore
from distill.students import make_student
from distill.training import loop
from distill.training.loop import Run
from embedstore import EmbeddingStore
from embedstore.errors import TrainingError
from embedstore.exports import export


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"epochs": 9}, "epochs = 4, not 9"),
        ({"policy": "none"}, "policy = own, not none"),
        ({"weight": 2.0}, r"weight = 1.0, not 2.0"),
        ({"good": None}, "good = good, not unset"),
        ({"seed": 1}, "seed = 0, not 1"),
    ],
)
def test_a_run_goes_on_with_its_own_settings_only(
    change: dict[str, Any], told: str, store: EmbeddingStore, uninterrupted: Run, tmp_path: Path
) -> None:
    path = shutil.copytree(uninterrupted.path, tmp_path / "run")
    with pytest.raises(TrainingError, match=f"was begun with {told}; resume it with what it was begun with"):
        distill.train(store, path, quick(**{"policy": "own", "epochs": EPOCHS} | change), resume=True)
    same_run(path, uninterrupted.path)


def test_a_run_goes_on_with_its_own_version_of_the_store_only(tmp_path: Path) -> None:
    store_path = make_store(tmp_path, parts(20, 10, 10, split=False))
    with embedstore.open(store_path) as store:
        stopped(store, tmp_path / "run")
        store.split(seed=3)
        with pytest.raises(TrainingError, match="was begun with version = 1, not 2"):
            distill.train(store, tmp_path / "run", SETTINGS, resume=True)


FROM_KEPT = quick(policy="sub-prototypes", options={"sub-prototypes": {"summary": "kept"}})


@pytest.fixture
def with_summary(tmp_path: Path) -> Path:
    """A folder with a store that has a saved summary `kept`, and a run from that which was stopped."""
    with embedstore.open(make_store(tmp_path, parts(30, 10, 10))) as store:
        store.summarize("sub-prototypes", name="kept", split="train", k=2)
        with pytest.raises(KeyboardInterrupt):
            distill.train(store, tmp_path / "run", FROM_KEPT, progress=Stop(1))
    return tmp_path


@pytest.mark.parametrize(
    ("how", "told"),
    [
        ({"strategy": "sub-prototypes", "k": 3}, r"parameters = \{'k': 3.*\}, then \{'k': 2.*\}"),
        ({"strategy": "medoids", "k": 2}, "strategy = medoids, then sub-prototypes"),
        ({"strategy": "sub-prototypes", "k": 2, "seed": 1}, "seed = 1, then 0"),
    ],
    ids=["another k", "another strategy", "another seed"],
)
def test_a_run_does_not_go_on_with_another_summary_of_the_same_name(
    how: dict[str, Any], told: str, with_summary: Path
) -> None:
    path = with_summary / "run"
    before = {file.name: file.read_bytes() for file in path.iterdir()}
    with embedstore.open(with_summary / "toy.store") as store:
        store.delete_summary("kept")
        store.summarize(**how, name="kept", split="train")
        message = (
            rf"^The summary 'kept' is another than when the run in '.*run' was begun \({told}\); choose another dir"
        )
        with pytest.raises(TrainingError, match=message):
            distill.train(store, path, FROM_KEPT, resume=True)
    assert {file.name: file.read_bytes() for file in path.iterdir()} == before


def test_a_summary_that_was_made_again_in_the_same_way_is_the_same(with_summary: Path) -> None:
    with embedstore.open(with_summary / "toy.store") as store:
        store.delete_summary("kept")
        store.summarize("sub-prototypes", name="kept", split="train", k=2)
        went_on = distill.train(store, with_summary / "run", FROM_KEPT, resume=True)
        whole = distill.train(store, with_summary / "whole", FROM_KEPT)
    assert (went_on.path / "student.safetensors").read_bytes() == (whole.path / "student.safetensors").read_bytes()


@pytest.mark.parametrize("policy", ["none", "sub-prototypes"])
def test_a_run_does_not_go_on_with_another_file_of_the_same_name(policy: str, with_summary: Path) -> None:
    """Not even where it takes no summary: the file says which pictures there are, and on which side each is."""
    file, path, images = with_summary / "kept.safetensors", with_summary / "from file", with_summary / "images"
    with embedstore.open(with_summary / "toy.store") as store:
        export(store, file, summary="kept")
        with pytest.raises(KeyboardInterrupt):
            distill.train(file, path, quick(policy=policy), images=images, progress=Stop(1))
        store.delete_summary("kept")
        store.summarize("sub-prototypes", name="kept", split="train", k=2, seed=1)
        export(store, file, summary="kept", overwrite=True)
    told = r"was begun with checksum_of_file = \w{8}, not \w{8}; resume it with what it was begun with"
    with pytest.raises(TrainingError, match=told):
        distill.train(file, path, quick(policy=policy), images=images, resume=True)


def test_a_name_that_is_not_utf8_is_refused_before_anything_is_trained(store: EmbeddingStore, tmp_path: Path) -> None:
    progress = Stop()
    with pytest.raises(TrainingError, match=r"caf\?' is not UTF-8, so nothing can be trained there"):
        distill.train(store, tmp_path / "caf\udce9", SETTINGS, progress=progress)
    assert progress.seen == []
    assert list(tmp_path.iterdir()) == []


def test_a_run_is_not_trained_over(store: EmbeddingStore, uninterrupted: Run) -> None:
    before = {file.name: file.stat().st_mtime_ns for file in uninterrupted.path.iterdir()}
    with pytest.raises(TrainingError, match="already holds a run; go on with it by --resume"):
        distill.train(store, uninterrupted.path, SETTINGS)
    assert {file.name: file.stat().st_mtime_ns for file in uninterrupted.path.iterdir()} == before


@pytest.mark.parametrize(
    ("change", "resume", "told"),
    [({}, False, "already holds a run"), ({"epochs": 9}, True, "epochs = 4, not 9"), (None, False, "other files")],
)
def test_what_is_wrong_with_the_directory_is_told_before_targets_are_made(
    change: dict[str, Any] | None,
    resume: bool,
    told: str,
    store: EmbeddingStore,
    uninterrupted: Run,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    path = shutil.copytree(uninterrupted.path, tmp_path / "run")
    if change is None:
        (path / "run.json").unlink()
    monkeypatch.setattr(loop, "make_policy", lambda *_, **__: pytest.fail("targets are made"))
    with pytest.raises(TrainingError, match=told):
        distill.train(store, path, quick(**{"policy": "own", "epochs": EPOCHS} | (change or {})), resume=resume)


@pytest.mark.parametrize("resume", [False, True])
def test_a_directory_of_something_else_is_left_alone(resume: bool, store: EmbeddingStore, tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(TrainingError, match="holds other files and no run"):
        distill.train(store, tmp_path, SETTINGS, resume=resume)
    assert [file.name for file in tmp_path.iterdir()] == ["thesis.txt"]


@pytest.mark.parametrize("damage", ["empty", "cut", "nonsense", "a flipped bit"])
def test_a_damaged_checkpoint_is_refused_and_says_what_to_do(
    damage: str, store: EmbeddingStore, uninterrupted: Run, tmp_path: Path
) -> None:
    path = shutil.copytree(uninterrupted.path, tmp_path / "run")
    (path / "student.safetensors").unlink()
    data = (path / "checkpoint.pt").read_bytes()
    middle = len(data) // 2
    flipped = data[:middle] + bytes([data[middle] ^ 16]) + data[middle + 1 :]
    kinds = {"empty": b"", "cut": data[:middle], "nonsense": b"nonsense", "a flipped bit": flipped}
    (path / "checkpoint.pt").write_bytes(kinds[damage])
    with pytest.raises(TrainingError, match=r"checkpoint.pt' is damaged; delete it to begin the run again"):
        distill.train(store, path, SETTINGS, resume=True)


@pytest.mark.parametrize("what", ["weights alone", "a list", "another student's", "another history"])
def test_a_checkpoint_of_something_else_is_refused_and_says_what_to_do(
    what: str, store: EmbeddingStore, uninterrupted: Run, tmp_path: Path
) -> None:
    path = shutil.copytree(uninterrupted.path, tmp_path / "run")
    (path / "student.safetensors").unlink()
    own = torch.load(path / "checkpoint.pt", weights_only=True)
    kinds = {
        "weights alone": own["student"],
        "a list": [own],
        "another student's": own | {"student": make_student("small", 3, 32, 0).state_dict()},
        "another history": own | {"history": 3},
    }
    torch.save(kinds[what], path / "checkpoint.pt")
    with pytest.raises(TrainingError, match=r"checkpoint.pt' is damaged; delete it to begin the run again"):
        distill.train(store, path, SETTINGS, resume=True)


def test_a_run_goes_on_with_as_many_views_as_it_began_with(tmp_path: Path) -> None:
    store = toy_parts.make_store(tmp_path, toy_parts.everything(), views=1)

    def stop(done: int, total: int, figures: dict[str, float]) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        distill.train(store, tmp_path / "run", quick(policy="own"), progress=stop)
    embedstore.build(store, tmp_path / "images", manifest=tmp_path / "parts.csv", views=2)
    with pytest.raises(TrainingError, match="begun with views = 1, not 2"):
        distill.train(store, tmp_path / "run", quick(policy="own"), resume=True)

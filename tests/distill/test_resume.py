"""A run that was stopped, however it was stopped, ends as if it had not been."""

import dataclasses
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import toy_parts
from torch import nn
from toy_parts import parts
from toy_stops import CHILD, EPOCHS, NEVER, SETTINGS, Stop, same_run, stopped

import distill
import embedstore
from distill.students import Student, make_student
from distill.targets.making import make_policy
from distill.training import loop, run_directory
from distill.training.loop import Run
from distill.training.run_directory import read_metrics
from embedstore import EmbeddingStore
from embedstore.errors import TrainingError


@pytest.mark.parametrize("after", [1, 3, EPOCHS])
def test_a_run_stopped_after_an_epoch_ends_as_if_it_had_not_been(
    after: int, store: EmbeddingStore, uninterrupted: Run, tmp_path: Path
) -> None:
    path = stopped(store, tmp_path / "run", after)
    progress = Stop()
    run = distill.train(store, path, SETTINGS, resume=True, progress=progress)
    assert progress.seen == (list(range(after + 1, EPOCHS + 1)) or [EPOCHS])  # where none is left, all are told as done
    assert run.report == uninterrupted.report
    same_run(path, uninterrupted.path)


def test_a_run_goes_on_where_weights_lie_otherwise_than_where_it_began(
    store: EmbeddingStore, uninterrupted: Run, tmp_path: Path
) -> None:
    path = stopped(store, tmp_path / "run")
    checkpoint = run_directory.load_checkpoint(path)
    assert checkpoint is not None
    turned = 0
    for averages in checkpoint["optimiser"]["state"].values():
        for name, average in averages.items():
            if average.ndim == 4:  # as on a GPU
                averages[name] = average.contiguous(memory_format=torch.channels_last)
                turned += averages[name].stride() != average.stride()
    assert turned
    run_directory.save_checkpoint(path, checkpoint)
    same_run(distill.train(store, path, SETTINGS, resume=True).path, uninterrupted.path)


def test_a_run_may_be_stopped_many_times(store: EmbeddingStore, uninterrupted: Run, tmp_path: Path) -> None:
    for epoch in range(1, EPOCHS):
        with pytest.raises(KeyboardInterrupt):
            distill.train(store, tmp_path / "run", SETTINGS, resume=True, progress=Stop(epoch))
    distill.train(store, tmp_path / "run", SETTINGS, resume=True)
    same_run(tmp_path / "run", uninterrupted.path)


def test_what_layers_draw_is_drawn_again(
    store: EmbeddingStore, uninterrupted: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def with_dropout(*arguments: Any, **options: Any) -> Student:
        student = make_student(*arguments, **options)
        student.trunk = nn.Sequential(student.trunk, nn.Dropout(0.5))
        return student

    monkeypatch.setattr(loop, "make_student", with_dropout)
    whole = distill.train(store, tmp_path / "whole", SETTINGS)
    path = stopped(store, tmp_path / "run")
    torch.rand(7)
    distill.train(store, path, SETTINGS, resume=True)
    same_run(path, whole.path)
    losses = [[line["cross_entropy"] for line in read_metrics(run)] for run in (path, uninterrupted.path)]
    assert losses[0] != losses[1]


@pytest.mark.parametrize("writer", ["save_checkpoint", "write_table", "save_student", "write_json", "write_text"])
@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_stop_at_any_write_of_the_last_epoch_loses_no_line(
    writer: str, moment: str, store: EmbeddingStore, uninterrupted: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = stopped(store, tmp_path / "run", EPOCHS - 1)
    work = getattr(run_directory, writer)

    def interrupted(target: Path, *arguments: Any, **named: Any) -> None:
        if writer == "write_table" and target.name != "metrics.csv":
            work(target, *arguments, **named)
            return
        if moment == "after":
            work(target, *arguments, **named)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(run_directory, writer, interrupted)
        with pytest.raises(KeyboardInterrupt):
            distill.train(store, path, SETTINGS, resume=True)
    distill.train(store, path, SETTINGS, resume=True)
    same_run(path, uninterrupted.path)


@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_stop_as_the_best_weights_are_written_loses_nothing(
    moment: str, store: EmbeddingStore, uninterrupted: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    work = run_directory.save_best

    def interrupted(*arguments: Any, **named: Any) -> None:
        if moment == "after":
            work(*arguments, **named)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(run_directory, "save_best", interrupted)
        with pytest.raises(KeyboardInterrupt):
            distill.train(store, tmp_path / "run", SETTINGS)
    distill.train(store, tmp_path / "run", SETTINGS, resume=True)
    same_run(tmp_path / "run", uninterrupted.path)
    best = "best.safetensors"
    assert (tmp_path / "run" / best).read_bytes() == (uninterrupted.path / best).read_bytes()


class Kill:
    """Stands for a kill before the checkpoint of an epoch."""

    def __init__(self, before: int):
        self.left, self.save = before, run_directory.save_checkpoint

    def __call__(self, path: Path, values: dict[str, Any]) -> None:
        self.left -= 1
        if self.left == 0:
            raise KeyboardInterrupt
        self.save(path, values)


def validated(*aurocs: float) -> Callable[..., dict[str, float]]:
    """Return what stands for the validation of epochs that reach this."""
    given = iter(aurocs)
    return lambda *_: dict.fromkeys(("val_auroc", "val_aupr"), next(given))


def test_an_epoch_that_is_drawn_again_and_rounds_otherwise_is_not_taken_for_the_best(
    store: EmbeddingStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second epoch is the best; the third was, by a hair, until the run was killed before its checkpoint."""
    settings, path = dataclasses.replace(SETTINGS, keep="best"), tmp_path / "run"
    with monkeypatch.context() as patch:
        patch.setattr(loop, "validation_figures", validated(0.7, 0.9, 0.9001))
        patch.setattr(run_directory, "save_checkpoint", Kill(before=3))
        with pytest.raises(KeyboardInterrupt):
            distill.train(store, path, settings)
    second = {name: (path / name).read_bytes() for name in ("best.safetensors", "projection.safetensors")}
    monkeypatch.setattr(loop, "validation_figures", validated(0.8999, 0.8))
    run = distill.train(store, path, settings, resume=True)
    assert [line["val_auroc"] for line in read_metrics(path)] == [0.7, 0.9, 0.8999, 0.8]
    assert run.epoch == 2
    assert {name: (path / name).read_bytes() for name in second} == second


def test_a_kill_between_the_checkpoint_and_the_best_weights_leaves_the_best_to_the_next_start(
    store: EmbeddingStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second epoch is the best, and the run was killed before its weights were written as such."""
    settings, work, done = dataclasses.replace(SETTINGS, keep="best"), run_directory.save_best, list[int]()

    def killed(*arguments: Any, **named: Any) -> None:
        done.append(1)
        if len(done) == 2:
            raise KeyboardInterrupt
        work(*arguments, **named)

    monkeypatch.setattr(loop, "validation_figures", validated(0.7, 0.9, 0.8, 0.8))
    expected = distill.train(store, tmp_path / "uninterrupted", settings)
    with monkeypatch.context() as patch:
        patch.setattr(loop, "validation_figures", validated(0.7, 0.9))
        patch.setattr(run_directory, "save_best", killed)
        with pytest.raises(KeyboardInterrupt):
            distill.train(store, tmp_path / "run", settings)
    monkeypatch.setattr(loop, "validation_figures", validated(0.8, 0.8))
    run = distill.train(store, tmp_path / "run", settings, resume=True)
    assert (run.epoch, expected.epoch) == (2, 2)
    for name in ("student.safetensors", "projection.safetensors"):
        assert (run.path / name).read_bytes() == (expected.path / name).read_bytes()


def test_figures_that_can_not_be_written_end_the_run_by_name_and_it_goes_on(
    store: EmbeddingStore, uninterrupted: Run, tmp_path: Path
) -> None:
    path = stopped(store, tmp_path / "run")
    (path / "metrics.csv").unlink()
    (path / "metrics.csv").mkdir()  # stands for a program that holds it open, on Windows
    with pytest.raises(IsADirectoryError) as caught:
        distill.train(store, path, SETTINGS, resume=True)
    assert caught.value.filename == str(path / "metrics.csv")
    (path / "metrics.csv").rmdir()
    distill.train(store, path, SETTINGS, resume=True)
    same_run(path, uninterrupted.path)


WAITING = """
def wait(*_):
    print("waiting", flush=True)
    sys.stdin.readline()

"""


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="this system has no kill -9")
@pytest.mark.parametrize(
    ("step", "checkpoint", "done"),
    [(6, NEVER, 1), (11, NEVER, 2), (NEVER, 2, 1)],  # of four steps an epoch
    ids=["second step of epoch 2", "third step of epoch 3", "writing the checkpoint of epoch 2"],
)
def test_a_run_killed_in_the_middle_ends_as_if_it_had_not_been(
    step: int, checkpoint: int, done: int, store: EmbeddingStore, uninterrupted: Run, tmp_path: Path
) -> None:
    arguments = [str(store.path), str(tmp_path / "run"), str(step), str(checkpoint), json.dumps(SETTINGS.to_dict())]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    child = subprocess.run([sys.executable, "-c", CHILD, *arguments], env=environment, check=False)
    assert child.returncode == -signal.SIGKILL
    progress = Stop()
    distill.train(store, tmp_path / "run", SETTINGS, resume=True, progress=progress)
    assert progress.seen == list(range(done + 1, EPOCHS + 1))
    same_run(tmp_path / "run", uninterrupted.path)
    assert not list((tmp_path / "run").glob("*.new*"))


def test_a_finished_run_is_not_trained_again(store: EmbeddingStore, uninterrupted: Run, tmp_path: Path) -> None:
    path = shutil.copytree(uninterrupted.path, tmp_path / "run")
    before = (path / "student.safetensors").stat().st_mtime_ns
    (path / "checkpoint.pt").unlink()
    (path / "report.json").unlink()
    progress = Stop()
    run = distill.train(store, path, SETTINGS, resume=True, progress=progress)
    assert run.report == uninterrupted.report
    assert progress.seen == [EPOCHS]
    assert (path / "student.safetensors").stat().st_mtime_ns == before
    same_run(path, uninterrupted.path)


@pytest.mark.parametrize("slow", ["the process that was stopped", "the one that went on"])
def test_what_making_the_targets_took_the_first_time_is_kept(
    slow: str, store: EmbeddingStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def slowly(*arguments: Any, **options: Any) -> Any:
        time.sleep(1)
        return make_policy(*arguments, **options)

    with monkeypatch.context() as patch:
        if slow == "the process that was stopped":
            patch.setattr(loop, "make_policy", slowly)
        path = stopped(store, tmp_path / "run")
    if slow != "the process that was stopped":
        monkeypatch.setattr(loop, "make_policy", slowly)
    distill.train(store, path, SETTINGS, resume=True)
    cost = run_directory.read_cost(path)
    assert (cost["seconds_targets"] >= 1) == (slow == "the process that was stopped")


def test_to_resume_what_was_not_begun_begins_it(store: EmbeddingStore, uninterrupted: Run, tmp_path: Path) -> None:
    distill.train(store, tmp_path / "run", SETTINGS, resume=True)
    same_run(tmp_path / "run", uninterrupted.path)


def test_without_its_checkpoint_a_run_begins_again(store: EmbeddingStore, uninterrupted: Run, tmp_path: Path) -> None:
    path = stopped(store, tmp_path / "run")
    (path / "checkpoint.pt").unlink()
    progress = Stop()
    distill.train(store, path, SETTINGS, resume=True, progress=progress)
    assert progress.seen == list(range(1, EPOCHS + 1))
    same_run(path, uninterrupted.path)


@pytest.mark.parametrize("resume", [False, True])
def test_a_run_that_failed_before_its_first_epoch_may_be_begun_there_as_if_it_had_not_been(
    resume: bool, tmp_path: Path
) -> None:
    rows = parts(30, 10, 10)
    store_path, out, images = toy_parts.make_store(tmp_path, rows), tmp_path / "run", tmp_path / "images"
    spoiled = next(row.path for row in rows if row.split == "train")
    (images / spoiled).write_bytes(b"no picture")
    with pytest.raises(TrainingError, match="--prune"):
        distill.train(store_path, out, SETTINGS)
    assert [file.name for file in out.iterdir()] == ["run.lock"]
    (images / spoiled).unlink()
    manifest = toy_parts.write_manifest(tmp_path / "left.csv", [row for row in rows if row.path != spoiled])
    embedstore.build(store_path, images, manifest=manifest, teacher="pixels", prune=True)
    run = distill.train(store_path, out, dataclasses.replace(SETTINGS, epochs=1), resume=resume)
    assert (run_directory.read(out)["store"]["version"], run.epoch) == (2, 1)


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="this system has no kill -9")
def test_two_processes_do_not_train_one_run(store: EmbeddingStore, uninterrupted: Run, tmp_path: Path) -> None:
    path, code = (
        tmp_path / "run",
        CHILD.replace("distill.train(", WAITING + "distill.train(")[:-2] + ", progress=wait)\n",
    )
    arguments = [str(store.path), str(path), str(NEVER), str(NEVER), json.dumps(SETTINGS.to_dict())]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    pipe = subprocess.PIPE
    with subprocess.Popen(
        [sys.executable, "-c", code, *arguments], env=environment, stdin=pipe, stdout=pipe, text=True
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "waiting\n"
        before = {file.name: file.read_bytes() for file in path.iterdir()}
        with pytest.raises(TrainingError, match=r"^Another process is working on the run in '.*run'; wait until it is"):
            distill.train(store, path, SETTINGS, resume=True)
        with pytest.raises(TrainingError, match="Another process is working"):
            distill.train(store, path, SETTINGS)
        assert {file.name: file.read_bytes() for file in path.iterdir()} == before
        other.kill()
    distill.train(store, path, SETTINGS, resume=True)
    same_run(path, uninterrupted.path)

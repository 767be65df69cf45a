"""A run that was stopped, however it was stopped, ends as if it had not been."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch
import toy_parts
from safetensors.torch import load_file
from torch import nn
from toy_parts import make_store, parts, quick

import distill
import embedstore
from distill.students import Student, make_student
from distill.targets.making import make_policy
from distill.training import loop, run_directory
from distill.training.loop import Run
from distill.training.run_directory import read_metrics
from embedstore import EmbeddingStore
from embedstore.errors import TrainingError
from embedstore.exports import export

EPOCHS = 4
SETTINGS = quick(policy="own", epochs=EPOCHS)
NEVER = -1


@pytest.fixture(scope="module")
def uninterrupted(store: EmbeddingStore, tmp_path_factory: pytest.TempPathFactory) -> Run:
    return distill.train(store, tmp_path_factory.mktemp("uninterrupted") / "run", SETTINGS)


class Stop:
    """Stands for a hand on Ctrl-C after an epoch, and counts the epochs."""

    def __init__(self, after: int | None = None):
        self.after, self.seen = after, list[int]()

    def __call__(self, done: int, total: int, figures: dict[str, float]) -> None:
        self.seen.append(done)
        if done == self.after:
            raise KeyboardInterrupt


def stopped(store: EmbeddingStore, path: Path, after: int = 2) -> Path:
    """Return the directory of a run that was stopped after an epoch."""
    with pytest.raises(KeyboardInterrupt):
        distill.train(store, path, SETTINGS, progress=Stop(after))
    assert not run_directory.is_complete(path)
    return path


def same_run(path: Path, other: Path) -> None:
    """Assert that two runs agree bit for bit in their weights, and in every figure but the seconds."""
    found, expected = load_file(path / "student.safetensors"), load_file(other / "student.safetensors")
    assert found.keys() == expected.keys()
    for name in expected:
        assert torch.equal(found[name], expected[name]), name
    for name in ("scores.csv", "report.json", "split.csv"):
        assert (path / name).read_bytes() == (other / name).read_bytes()
    history = [[{**line, "seconds": 0.0, "seconds_steps": 0.0} for line in read_metrics(run)] for run in (path, other)]
    assert history[0] == history[1]
    assert [line["epoch"] for line in history[0]] == list(range(1, EPOCHS + 1))


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


CHILD = """
import json, os, signal, sys
from pathlib import Path
import torch
import distill

torch.set_num_threads(1)
store, out, at_step, at_checkpoint = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
steps = checkpoints = 0
step, replace = torch.optim.AdamW.step, Path.replace

def killing_step(self, *arguments, **options):
    global steps
    steps += 1
    if steps == at_step:
        os.kill(os.getpid(), signal.SIGKILL)
    return step(self, *arguments, **options)

def killing_replace(self, target):
    global checkpoints
    checkpoints += Path(target).name == "checkpoint.pt"
    if checkpoints == at_checkpoint:
        os.kill(os.getpid(), signal.SIGKILL)
    return replace(self, target)

torch.optim.AdamW.step, Path.replace = killing_step, killing_replace
distill.train(store, out, distill.Settings(**json.loads(sys.argv[5])))
"""


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


# Refusals


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


def test_without_its_checkpoint_a_run_begins_again(store: EmbeddingStore, uninterrupted: Run, tmp_path: Path) -> None:
    path = stopped(store, tmp_path / "run")
    (path / "checkpoint.pt").unlink()
    progress = Stop()
    distill.train(store, path, SETTINGS, resume=True, progress=progress)
    assert progress.seen == list(range(1, EPOCHS + 1))
    same_run(path, uninterrupted.path)


def test_a_run_goes_on_with_as_many_views_as_it_began_with(tmp_path: Path) -> None:
    store = toy_parts.make_store(tmp_path, toy_parts.everything(), views=1)

    def stop(done: int, total: int, figures: dict[str, float]) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        distill.train(store, tmp_path / "run", quick(policy="own"), progress=stop)
    embedstore.build(store, tmp_path / "images", manifest=tmp_path / "parts.csv", views=2)
    with pytest.raises(TrainingError, match="begun with views = 1, not 2"):
        distill.train(store, tmp_path / "run", quick(policy="own"), resume=True)

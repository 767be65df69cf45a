"""A short run that is stopped on purpose, and how two runs are told to be the same."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from toy_parts import quick

import distill
from distill.training import run_directory
from distill.training.run_directory import read_metrics
from embedstore import EmbeddingStore

EPOCHS = 4
SETTINGS = quick(policy="own", epochs=EPOCHS)
NEVER = -1  # a step or a checkpoint that `CHILD` is killed at


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


# Trains: STORE OUT STEP CHECKPOINT SETTINGS; is killed at that step, or as it writes that checkpoint.
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

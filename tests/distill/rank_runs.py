"""Runs that are trained by several processes and by one alike: by one step of plain descent, which makes no more of rounding.

As a program, with a store and a directory to train in, it is one of the processes that torchrun, or a test in its place, starts.
"""

import os
import socket
import subprocess
import sys
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from torch import Tensor, nn
from torch.nn import functional
from toy_parts import Part, make_store, parts, quick

import distill

# Half of the 49 training pictures have no label; two processes can take no equal parts of them.
PARTS = [*parts(20, 10, 10), *(Part(f"unknown{n}.png", split="train", kind=("good", "spot")[n % 2]) for n in range(25))]
OWN = {"policy": "own"}
EXACT = {"precision": "float32"}  # in bfloat16, rounding hangs on how a batch is divided
CONTRAST = {"loss": "contrastive", "temperature": 0.5}
RUNS: dict[str, dict[str, Any]] = {
    "mse": OWN | {"loss": "mse", "weight": 0.2},
    "l1": OWN | {"loss": "l1", "ce_views": "whole"},
    "contrastive": OWN | CONTRAST,
    "prototypes": CONTRAST | {"policy": "sub-prototypes", "options": {"sub-prototypes": {"k": 2}}},
    "teacher's side": CONTRAST | {"policy": "class-mean", "projection": "teacher"},
    "recipe": OWN | {"balance": 0.5, "logit_adjustment": 1.0, "pretrain_epochs": 1, "ema": 0.9, "answer": "both"},
    "labels alone": {"policy": "none", "batch": 4, "learning_rate": 0.01},  # of which some batches have none
    "norms": OWN | {"student": "rank_runs:norms"},
}


class _Norm(nn.BatchNorm2d):
    """Does more than its class, as timm's do; for a layer of this kind none of PyTorch's may stand in."""

    def forward(self, maps: Tensor) -> Tensor:
        return functional.silu(super().forward(maps))


class _Pool(nn.Module):
    def forward(self, maps: Tensor) -> Tensor:
        return maps.mean(dim=(2, 3))


def norms() -> nn.Module:
    """Make a trunk with batch norms of several kinds."""
    maps = [nn.Conv2d(3, 8, 3, stride=2), _Norm(8, affine=False), nn.Conv2d(8, 8, 3, stride=2), _Norm(8, momentum=None)]
    return nn.Sequential(*maps, _Pool(), nn.BatchNorm1d(8))


def by_descent() -> AbstractContextManager[object]:
    """Let runs take steps along the gradient: the optimiser of others divides by its size, be it rounding or not."""
    return mock.patch.object(torch.optim, "AdamW", torch.optim.SGD)


def train_all(store: Path, out: Path) -> None:
    """Train each of the runs in a directory of its own."""
    with by_descent():
        for name, changes in RUNS.items():
            settings = quick(**EXACT | {"epochs": 1, "batch": 49, "learning_rate": 0.5, "weight_decay": 0.0} | changes)
            run = distill.train(store, out / name, settings)
            assert run.report.to_dict()["policy"] == settings.policy


def store_in(folder: Path) -> Path:
    """Make the store that the runs learn from."""
    return make_store(folder, PARTS)


def start(store: Path, out: Path, ranks: int) -> None:
    """Train the runs by so many processes, and wait for them."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    shared = os.environ | {"WORLD_SIZE": str(ranks), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    command = [sys.executable, __file__, str(store), str(out)]
    environment = shared | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    children = [subprocess.Popen(command, env=environment | {"RANK": str(rank)}) for rank in range(ranks)]
    assert [child.wait(timeout=120) for child in children] == [0] * ranks


if __name__ == "__main__":
    torch.set_num_threads(1)
    train_all(Path(sys.argv[1]), Path(sys.argv[2]))

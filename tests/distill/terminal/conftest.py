"""One exported model for all tests of the terminal; nobody writes to it."""

from pathlib import Path

import pytest
import timm
import torch
from toy_parts import quick

import distill
from distill.terminal.export import Export
from distill.training.loop import Run


@pytest.fixture(scope="session")
def exported(finished: Run, tmp_path_factory: pytest.TempPathFactory) -> Export:
    """The finished run, with the policy `own`, in float32."""
    return distill.export(finished.path, tmp_path_factory.mktemp("terminal") / "part.onnx")


@pytest.fixture(scope="session")
def patched(store_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A finished run with patches."""
    folder = tmp_path_factory.mktemp("patched")
    with torch.random.fork_rng():
        torch.manual_seed(2)
        torch.save(timm.create_model("test_resnet", num_classes=7).state_dict(), folder / "weights.pt")
    settings = quick(policy="own", answer="patches", patches=f"timm:test_resnet@{folder / 'weights.pt'}:3")
    return distill.train(store_path, folder / "run", settings)


@pytest.fixture(scope="session")
def patched_model(patched: Run) -> Export:
    """That run, in float32."""
    return distill.export(patched.path, patched.path.parent / "patched.onnx")

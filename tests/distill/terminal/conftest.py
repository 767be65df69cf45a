"""One exported model for all tests of the terminal; nobody writes to it."""

import shutil
from pathlib import Path

import pytest
from toy_parts import quick

import distill
import embedstore
from distill.terminal.export import Export
from distill.terminal.model import TerminalModel
from distill.training.loop import Run
from embedstore.exports import export as export_summary


@pytest.fixture(scope="session")
def exported(finished: Run, tmp_path_factory: pytest.TempPathFactory) -> Export:
    """The finished run, with the policy `own`, in float32."""
    return distill.export(finished.path, tmp_path_factory.mktemp("terminal") / "part.onnx")


@pytest.fixture(scope="session")
def patched(store_path: Path, patch_stages: str, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A finished run with patches."""
    settings = quick(policy="own", answer="patches", patches=patch_stages)
    return distill.train(store_path, tmp_path_factory.mktemp("patched") / "run", settings)


@pytest.fixture(scope="session")
def patched_model(patched: Run) -> Export:
    """That run, in float32."""
    return distill.export(patched.path, patched.path.parent / "patched.onnx")


@pytest.fixture(scope="module")
def model(exported: Export) -> TerminalModel:
    return TerminalModel(exported.path)


@pytest.fixture(scope="module")
def images(store_path: Path) -> Path:
    return store_path.parent / "images"


@pytest.fixture(scope="module")
def summed(store_path: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A store with a saved summary of the training side, and that summary as a file."""
    place = tmp_path_factory.mktemp("summed")
    shutil.copytree(store_path, place / "s")
    with embedstore.open(place / "s") as store:
        store.summarize("sub-prototypes", name="few", split="train", k=3)
        export_summary(store, place / "few.safetensors", summary="few")
    return place / "s", place / "few.safetensors"

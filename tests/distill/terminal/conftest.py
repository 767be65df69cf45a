"""One exported model for all tests of the terminal; nobody writes to it."""

from pathlib import Path

import pytest
from toy_parts import quick

import distill
from distill.terminal.export import Export
from distill.training.loop import Run


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

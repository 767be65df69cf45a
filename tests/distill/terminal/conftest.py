"""One exported model for all tests of the terminal; nobody writes to it."""

import pytest

import distill
from distill.terminal.export import Export
from distill.training.loop import Run


@pytest.fixture(scope="session")
def exported(finished: Run, tmp_path_factory: pytest.TempPathFactory) -> Export:
    """The finished run, with the policy `own`, in float32."""
    return distill.export(finished.path, tmp_path_factory.mktemp("terminal") / "part.onnx")

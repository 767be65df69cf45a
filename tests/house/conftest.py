"""What tests of the study's documents share."""

from pathlib import Path

import pytest
from toy_study import write_study


@pytest.fixture(scope="session")
def docs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The results of a study, made from random scores; to be copied where they are changed."""
    docs = tmp_path_factory.mktemp("toy") / "study"
    write_study(docs)
    return docs

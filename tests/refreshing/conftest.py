"""A built toy store, copied for each test."""

from pathlib import Path

import pytest
from toy_refresh import copied, toy_store


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("built")
    toy_store(root)
    return root


@pytest.fixture
def root(built: Path, tmp_path: Path) -> Path:
    copied(built / "store", tmp_path / "store")
    copied(built / "images", tmp_path / "images")
    return tmp_path

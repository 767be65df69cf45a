"""A store with hostile texts, and its export in milvus-lite."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from hostile_store import hostile_store

from embedstore import EmbeddingStore
from embedstore.search_engines import EngineExport, SearchExport, export_to, open_export


@pytest.fixture(scope="session", autouse=True)
def milvus() -> None:
    for package in ("pymilvus", "milvus_lite"):
        pytest.importorskip(package, reason="needs the extra 'milvus'")


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddingStore]:
    with hostile_store(tmp_path_factory.mktemp("engines") / "部品 parts.store") as opened:
        yield opened


@pytest.fixture(scope="module")
def made(store: EmbeddingStore) -> EngineExport:
    return export_to(store, "milvus", str(store.path.parent / "all.db"))


@pytest.fixture(scope="module")
def served(store: EmbeddingStore, made: EngineExport) -> Iterator[SearchExport]:
    with open_export(store, "milvus", made.uri) as opened:
        yield opened


@pytest.fixture
def uri(tmp_path: Path) -> str:
    return str(tmp_path / "parts.db")

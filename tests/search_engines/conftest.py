"""A store with hostile texts, and its export in milvus-lite."""

import time
from collections.abc import Iterator
from pathlib import Path
from unittest.mock import Mock

import pytest
from hostile_store import hostile_store

from embedstore import EmbeddingStore
from embedstore.search_engines import EngineExport, SearchExport, export_to, open_export


@pytest.fixture(scope="session", autouse=True)
def milvus() -> Iterator[None]:
    for package in ("pymilvus", "milvus_lite"):
        pytest.importorskip(package, reason="needs the extra 'milvus'")
    with pytest.MonkeyPatch.context() as patch:  # pymilvus looks every half second whether an index is made
        patch.setattr("pymilvus.client.grpc_handler.time", Mock(wraps=time, sleep=lambda seconds: time.sleep(0.005)))
        yield


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

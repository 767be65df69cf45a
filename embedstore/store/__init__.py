"""The store: one directory that keeps every embedding. LMDB holds the truth."""

from embedstore.store.adding import add
from embedstore.store.build_report import BuildReport
from embedstore.store.embedding_store import EmbeddingStore, create, open_store
from embedstore.store.ingest import build

__all__ = ["BuildReport", "EmbeddingStore", "add", "build", "create", "open_store"]

"""embedstore: keep every embedding that a vision teacher gave, and train small students from the store without it."""

from embedstore.errors import EmbedstoreError
from embedstore.exports import export
from embedstore.images import Sample
from embedstore.imports import import_vectors
from embedstore.refreshing import refresh
from embedstore.store import BuildReport, EmbeddingStore, add, build, create
from embedstore.store import open_store as open
from embedstore.store.health.repair import repair
from embedstore.store.health.verification import verify
from embedstore.store.migrations import upgrade
from embedstore.store.rolling_back import rollback
from embedstore.summaries import Summary
from embedstore.teacher_change import migrate
from embedstore.teachers import load_teacher
from embedstore.thinning import thin
from embedstore.views import Recipe

__version__ = "0.1.0"

__all__ = [
    "BuildReport",
    "EmbeddingStore",
    "EmbedstoreError",
    "Recipe",
    "Sample",
    "Summary",
    "add",
    "build",
    "create",
    "export",
    "import_vectors",
    "load_teacher",
    "migrate",
    "open",
    "refresh",
    "repair",
    "rollback",
    "thin",
    "upgrade",
    "verify",
]

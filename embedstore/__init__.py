"""embedstore: keep every embedding that a vision teacher gave, and train small students from the store without it."""

from embedstore.errors import EmbedstoreError
from embedstore.images import Sample
from embedstore.store import BuildReport, EmbeddingStore, add, build, create
from embedstore.store import open_store as open
from embedstore.summaries import Summary
from embedstore.teachers import load_teacher
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
    "load_teacher",
    "open",
]

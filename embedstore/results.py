"""What calls return: the types of reports, answers and versions, all in one place to look them up."""

from embedstore.analysis.exact_search import Neighbours
from embedstore.analysis.search import Hit
from embedstore.imports import ImportReport
from embedstore.store import BuildReport
from embedstore.store.changes import StoreWriter
from embedstore.store.compaction import CompactionReport
from embedstore.store.health.repair import RepairReport
from embedstore.store.health.verification import VerificationReport
from embedstore.store.index_file import IndexInfo
from embedstore.store.migrations import UpgradeReport
from embedstore.store.versions import Version

__all__ = [
    "BuildReport",
    "CompactionReport",
    "Hit",
    "ImportReport",
    "IndexInfo",
    "Neighbours",
    "RepairReport",
    "StoreWriter",
    "UpgradeReport",
    "VerificationReport",
    "Version",
]

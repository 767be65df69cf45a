"""What calls return: the types of reports, answers and versions, all in one place to look them up."""

from embedstore.analysis.exact_search import Neighbours
from embedstore.analysis.search import Hit
from embedstore.imports import ImportReport
from embedstore.refreshing import Plan, RefreshReport, RollbackReport, SummaryPlan
from embedstore.store import BuildReport
from embedstore.store.changes import StoreWriter
from embedstore.store.compaction import CompactionReport
from embedstore.store.health.repair import RepairReport
from embedstore.store.health.verification import VerificationReport
from embedstore.store.index_file import IndexInfo
from embedstore.store.migrations import UpgradeReport
from embedstore.store.versions import Version
from embedstore.summaries.updating import Renewal
from embedstore.teacher_change import MapReport, MigrationReport, SpaceState

__all__ = [
    "BuildReport",
    "CompactionReport",
    "Hit",
    "ImportReport",
    "IndexInfo",
    "MapReport",
    "MigrationReport",
    "Neighbours",
    "Plan",
    "RefreshReport",
    "Renewal",
    "RepairReport",
    "RollbackReport",
    "SpaceState",
    "StoreWriter",
    "SummaryPlan",
    "UpgradeReport",
    "VerificationReport",
    "Version",
]

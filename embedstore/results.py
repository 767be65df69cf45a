"""What calls return: the types of reports, answers and versions, all in one place to look them up."""

from embedstore.analysis.drift.report import DriftReport
from embedstore.analysis.exact_search import Neighbours
from embedstore.analysis.neighbour_loss import NeighbourLoss
from embedstore.analysis.search import Hit
from embedstore.imports import ImportReport
from embedstore.refreshing import Plan, RefreshReport, SummaryPlan
from embedstore.search_engines import EngineExport
from embedstore.store import BuildReport
from embedstore.store.changes import StoreWriter
from embedstore.store.compaction import CompactionReport
from embedstore.store.health.repair import RepairReport
from embedstore.store.health.verification import VerificationReport
from embedstore.store.index_file import IndexInfo
from embedstore.store.migrations import UpgradeReport
from embedstore.store.rolling_back import RollbackReport
from embedstore.store.versions import Version
from embedstore.summaries.updating import Renewal
from embedstore.teacher_change import MapReport, MigrationReport, SpaceState
from embedstore.thinning import ThinReport

__all__ = [
    "BuildReport",
    "CompactionReport",
    "DriftReport",
    "EngineExport",
    "Hit",
    "ImportReport",
    "IndexInfo",
    "MapReport",
    "MigrationReport",
    "NeighbourLoss",
    "Neighbours",
    "Plan",
    "RefreshReport",
    "Renewal",
    "RepairReport",
    "RollbackReport",
    "SpaceState",
    "StoreWriter",
    "SummaryPlan",
    "ThinReport",
    "UpgradeReport",
    "VerificationReport",
    "Version",
]

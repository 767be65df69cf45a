"""Another teacher for a store: both spaces side by side, the switch in one version, a map for what is of the old one."""

from embedstore.teacher_change.dropping import drop_old
from embedstore.teacher_change.mapped_summaries import MapReport
from embedstore.teacher_change.migration import MigrationReport, migrate
from embedstore.teacher_change.space_maps import MAPS
from embedstore.teacher_change.spaces import SpaceState, space_states

__all__ = ["MAPS", "MapReport", "MigrationReport", "SpaceState", "drop_old", "migrate", "space_states"]

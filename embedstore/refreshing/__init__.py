"""Refresh: a store and its summaries brought to what the image folder holds now, at the price of what changed."""

from embedstore.refreshing.plan import Plan, SummaryPlan
from embedstore.refreshing.settings import CONFIG, LIMIT, RefreshSettings, read_config, write_config
from embedstore.refreshing.work import RefreshReport, check, refresh

__all__ = [
    "CONFIG",
    "LIMIT",
    "Plan",
    "RefreshReport",
    "RefreshSettings",
    "SummaryPlan",
    "check",
    "read_config",
    "refresh",
    "write_config",
]

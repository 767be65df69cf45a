"""What a run's directory says of what was asked, and on what."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

import embedstore
from distill.source import Source, contents_of
from distill.training.run_data import RunData
from distill.training.same_run import CONTENTS, LAYERS
from distill.training.settings import Settings
from embedstore import Summary
from embedstore.errors import SettingsError, TrainingError
from embedstore.exports import SummaryFile


def describe_summary(summary: Summary) -> dict[str, Any]:
    """Return what made a summary, and a checksum of all that it holds: another may get its name."""
    made_by = ("name", "strategy", "parameters", "seed", "store_version")
    return {**{name: getattr(summary, name) for name in made_by}, "checksum": f"{zlib.crc32(summary.to_bytes()):08x}"}


def settings_of(path: Path, description: Mapping[str, Any]) -> Settings:
    """Return the settings that a run's directory tells.

    Raises:
        TrainingError: they are of another release.
    """
    values = dict(description["settings"])
    if values.get("folds") is None:  # an earlier release took a fold without their number, and it meant nothing
        values |= {"fold": 0, "val_fold": None}
    try:
        return Settings(**values)
    except (TypeError, SettingsError) as error:
        raise TrainingError(
            f"The settings of the run in '{path}' are not of this release; use the one that made it."
        ) from error


def describe(
    store: Source,
    settings: Settings,
    data: RunData,
    summaries: list[dict[str, Any]] | None = None,
    *,
    contents: str | None = None,
    layers: str | None = None,
) -> dict[str, Any]:
    """Return what a run's directory says of what was asked, and on what.

    Args:
        store: that the run learns from.
        settings: of the run.
        data: that it learns from and is tested on.
        summaries: that it uses, where they are at hand.
        contents: of the store, `source.contents_of`, where that is known already.
        layers: in what numbers the student's layers compute, where that is known; see `precision`.
    """
    described_store = {
        "path": str(store.path.resolve()),
        "version": store.version,
        "fingerprint": store.fingerprint,
        "views": store.views,
        CONTENTS: contents or contents_of(store),
    }
    if isinstance(store, SummaryFile):  # another file may get its name
        described_store["checksum_of_file"] = f"{zlib.crc32(store.path.read_bytes()):08x}"
    return {
        "settings": settings.to_dict(),
        "store": described_store,
        **({} if data.origin is None else {"from": data.origin.describe() | {"left_out": data.left_out}}),
        **({} if summaries is None else {"summaries": summaries}),
        **({} if layers is None else {LAYERS: layers}),
        "teacher": store.teacher,
        "recipe": store.recipe.to_dict(),
        "classes": data.classes,
        "remarks": data.remarks,
        "versions": {
            "embedstore": embedstore.__version__,
            **{name: version(name) for name in ("torch", "timm", "numpy", "pillow")},
        },
        "threads": torch.get_num_threads(),
    }

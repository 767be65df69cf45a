"""Drift: is a batch of pictures still what a store describes?

    store -> reference (prototypes, held-out radii) -+
    batch -------------------------------------------+-> comparison (permutations by part) -> verdict -> report

`batch` reads the batch, `reference` says what is usual, `light` measures pictures without the teacher, `space` and `draws` are
what `comparison` tests with, `verdict` tells the kinds apart.
"""

from embedstore.analysis.drift.batch import Batch, batch_of, embedded, from_store
from embedstore.analysis.drift.finding import find_drift, refuse_settings
from embedstore.analysis.drift.report import DriftReport

__all__ = [
    "Batch",
    "DriftReport",
    "batch_of",
    "embedded",
    "find_drift",
    "from_store",
    "refuse_settings",
]

"""The prototypes of a summary alone, as one `.safetensors` file: what a terminal compares pictures with, in a few kilobytes.

It is the summary itself with nothing of its samples: no ids, codes or own vectors, not who is served or what is hidden. No
student is trained from that. Prototypes and centre are float16, as vectors in a store are.
"""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from embedstore.exports.summary_file import opened
from embedstore.summaries import Summary
from embedstore.vectors import widened

if TYPE_CHECKING:
    from embedstore.store.embedding_store import EmbeddingStore


def write(store: EmbeddingStore, path: Path, *, summary: str) -> None:
    """Write the prototypes of a saved summary, which are what they were when it was made; see `embedstore.exports.export`."""
    kept = store.summary(summary)
    bare = replace(
        kept,
        vectors=kept.vectors.astype(np.float16),
        centre=kept.centre.astype(np.float16),
        source=np.full_like(kept.source, -1),
        seen=[],
        serving=kept.serving[:0],
        fitted=kept.fitted[:0],
        averaging_loss={},
        axes=None,
        codes=(),
    )
    path.write_bytes(bare.to_bytes())


def read_prototypes(path: str | os.PathLike[str]) -> Summary:
    """Read the summary of an exported file, be it whole or its prototypes alone; of the latter `seen` is empty.

    Raises:
        SummaryError: there is no such file, or it is none.
    """
    kept = opened(Path(path))[0]
    return replace(kept, vectors=widened(kept.vectors), centre=widened(kept.centre))

"""UMAP: a map on which neighbours lie together, by the package umap-learn, which is installed for this alone.

It is here and not in `embedstore.analysis`, since a map is a cache of the page: the library knows of none.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from embedstore.errors import MissingPackageError, SettingsError
from embedstore.store.embedding_store import EmbeddingStore
from embedstore.vectors import unit_length, widened
from embedstore_inspector.maps import Places, principal_map

UMAP = "umap"
LEAST = 10  # samples; of fewer, a graph of neighbours tells nothing that the principal axes don't


def umap_map(
    store: EmbeddingStore,
    *,
    neighbours: int = 15,
    seed: int = 0,
    progress: Callable[[str, int, int], None] | None = None,
) -> Places:
    """Return where UMAP places each sample, in the order of rows.

    Of the directions of the plain vectors, compared by cosine. It begins with the places of `principal_map`, so that far apart
    stays far apart, and goes on in one thread, so that a seed gives the same map again on the same machine. All vectors are in
    memory, as float32.

    Source: McInnes, Healy and Melville, 2018, "UMAP: Uniform Manifold Approximation and Projection", arXiv:1802.03426. Where to
    begin: Kobak and Linderman, 2021, "Initialization is critical for preserving global data structure in both t-SNE and UMAP".

    Args:
        store: at least 10 samples.
        neighbours: how many others each sample is held to, 2 or more; in a store of fewer, all.
        seed: of what is drawn.
        progress: is told a step, how much of it is done, and of how much.

    Raises:
        SettingsError: too few samples or neighbours, or a negative seed.
        MissingPackageError: umap-learn is not installed.
    """
    count = len(store)
    if count < LEAST:
        raise SettingsError(
            f"The store '{store.path}' has {count} samples, and UMAP places {LEAST} or more; the page shows fewer by their "
            "principal axes."
        )
    if neighbours < 2 or not 0 <= seed < 2**32:
        raise SettingsError(
            f"UMAP was asked for {neighbours} neighbours with the seed {seed}; give 2 neighbours or more, and a seed from 0 to "
            f"{2**32 - 1}."
        )
    tell = progress or (lambda *_: None)
    tell("Loading UMAP", 0, 1)
    try:
        import umap
    except ImportError as error:
        raise MissingPackageError(f"UMAP needs umap-learn ({error}): pip install 'embedstore[umap]'") from error
    tell("Loading UMAP", 1, 1)
    directions = np.empty((count, store.dim), np.float32)
    done = 0
    for at, block in store.scan():
        directions[at] = unit_length(widened(block))
        done += len(block)
        tell("Reading", done, count)
    tell("Placing", 0, 1)
    reducer = umap.UMAP(
        n_neighbors=min(neighbours, count - 1),
        metric="cosine",
        init=principal_map(store),
        random_state=seed,
        n_jobs=1,
        disconnection_distance=np.inf,  # else a sample opposite to all others would have no place
    )
    places = np.asarray(reducer.fit_transform(directions), np.float32)
    tell("Placing", 1, 1)
    return places

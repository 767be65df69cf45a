"""embedstore map: a UMAP of the store, kept for the live page."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer

from embedstore_cli import console


def map(
    store: Annotated[Path, typer.Argument(help="The store.", show_default=False)],
    neighbours: Annotated[
        int,
        typer.Option(help="How many others each sample is held to: few show fine groups, many the whole."),
    ] = 15,
    seed: Annotated[int, typer.Option(help="Of what is drawn; the same gives the same map again.")] = 0,
) -> None:
    """Compute a UMAP of the store's newest version, which embedstore serve offers beside the principal axes.

    It is kept in STORE/maps, and shown as long as samples and pictures stay: labels and verdicts may change. A page that is open
    offers it at once. Needs umap-learn: pip install 'embedstore[umap]'

    Example: embedstore map parts.store
    """
    import embedstore
    from embedstore_inspector.maps import keep_map
    from embedstore_inspector.umap_maps import UMAP, umap_map

    with embedstore.open(store) as opened:
        begun = time.perf_counter()
        with console.Steps() as steps:
            places = umap_map(opened, neighbours=neighbours, seed=seed, progress=steps.progress)
        path = keep_map(opened, UMAP, places)
        console.say(
            f"Placed {len(opened):,} samples by UMAP in {time.perf_counter() - begun:.1f} s, kept as '{path}'.",
            "embedstore serve offers it under 'Map by'.",
        )

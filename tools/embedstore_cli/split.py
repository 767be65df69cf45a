"""embedstore split: train, val, test and aside, by group."""

from collections import Counter
from pathlib import Path
from typing import Annotated

import typer

from embedstore_cli import console


def split(
    store: Annotated[Path, typer.Argument(help="The store.", show_default=False)],
    folds: Annotated[int, typer.Option(help="Deal the groups into so many folds; one is tested, one validates.")] = 5,
    fold: Annotated[int, typer.Option(help="Which fold is tested: 0 to folds - 1.")] = 0,
    seed: Annotated[int, typer.Option(help="Of the deal.")] = 0,
    keep: Annotated[
        bool, typer.Option("--keep", help="Samples that have a split keep it; deal the others only.")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="Print as JSON.")] = False,
) -> None:
    """Write train, val and test into the records, so that pictures of one part never fall on two sides.

    A split that the manifest gave is kept, and so is 'aside', whoever gave it.

    Example: embedstore split parts.store --folds 5 --seed 0
    """
    import embedstore
    from embedstore.store.embedding_store import refuse_unbuilt

    with embedstore.open(store) as opened:
        refuse_unbuilt(opened)
        plan = opened.split(folds=folds, fold=fold, seed=seed, keep=keep)
        version = opened.version
        found = Counter(zip(opened.field("split"), opened.field("label"), strict=True))
    labels = {
        side: {label or "(none)": count for (at, label), count in sorted(found.items(), key=str) if at == side}
        for side in plan.counts()
    }
    if json:
        console.print_json({"version": version, "counts": plan.counts(), "labels": labels, "remarks": plan.remarks})
        return
    counts = ", ".join(f"{count} {side}" for side, count in plan.counts().items())
    console.say(
        f"Fold {fold} of {folds}, seed {seed}: {counts}; written as version {version}.",
        *(f"{side:<7}{', '.join(f'{label} {count}' for label, count in of.items())}" for side, of in labels.items()),
        *plan.remarks,
    )

"""embedstore summarize: prototypes of what a store holds, and what they hide."""

from pathlib import Path
from typing import Annotated

import typer

from embedstore_cli import console


def summarize(
    store: Annotated[Path, typer.Argument(help="The store.", show_default=False)],
    strategy: Annotated[str, typer.Argument(help="class-mean", show_default=False)],
    name: Annotated[str | None, typer.Option(help="Save it under this name; the strategy's where not given.")] = None,
    per_class: Annotated[
        int | None,
        typer.Option("--per-class", help="Average so many random samples of each label; all where not given."),
    ] = None,
    split: Annotated[
        str | None, typer.Option(help="Summarise this side of the split: train where one is written, else all samples.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Of what is drawn.")] = 0,
    json: Annotated[bool, typer.Option("--json", help="Print as JSON.")] = False,
) -> None:
    """Make prototypes, save them in the store, and say how far samples lie from the prototype that speaks for them.

    Example: embedstore summarize parts.store class-mean --per-class 100
    """
    import embedstore

    with embedstore.open(store) as opened:
        side = split or ("train" if opened.counts("split").get("train") else None)
        parameters = {} if per_class is None else {"per_class": per_class}
        summary = opened.summarize(strategy, name=name or strategy, split=side, seed=seed, **parameters)
    losses = list(summary.averaging_loss.values())
    if json:
        facts = {
            "name": summary.name,
            "strategy": summary.strategy,
            "split": side,
            "seen": len(summary.seen),
            "store_version": summary.store_version,
            "prototypes": [
                {"label": label, "count": int(count), "radius": float(radius)}
                for label, count, radius in zip(summary.labels, summary.counts, summary.radius, strict=True)
            ],
            "averaging_loss": [loss.__dict__ for loss in losses],
        }
        console.print_json(facts)
        return
    seen = f"the {side} side" if side else "all samples, since no split is written"
    console.say(
        f"Saved '{summary.name}': {len(summary.labels)} prototypes of {len(summary.seen)} pictures ({seen}). What it hides:",
        *(f"  {loss.in_words()}" for loss in losses),
    )

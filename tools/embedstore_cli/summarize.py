"""embedstore summarize: prototypes of what a store holds, and what they hide."""

from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from embedstore_cli import console


def summarize(
    store: Annotated[Path, typer.Argument(help="The store.", show_default=False)],
    strategy: Annotated[
        str,
        typer.Argument(
            help="class-mean, class-distribution, sub-prototypes, rare-samples, compressed-own, medoids, text, or the controls "
            "random-samples and herding.",
            show_default=False,
        ),
    ],
    k: Annotated[
        int | None,
        typer.Option("--k", help="Prototypes per label; chosen, or the strategy's default, where not given."),
    ] = None,
    share: Annotated[
        float | None,
        typer.Option(
            help="Share of each label's samples to keep, for strategies that keep samples; compressed-own: share of all that "
            "get the longer code, where that describes them better."
        ),
    ] = None,
    code_bytes: Annotated[
        int | None,
        typer.Option("--bytes", help="compressed-own: of each picture's code, and of each view's; 16 where not given."),
    ] = None,
    rare_bytes: Annotated[
        int | None,
        typer.Option(
            "--rare-bytes", help="compressed-own: of the pictures that short codes describe worst; 64 where not given."
        ),
    ] = None,
    kept_views: Annotated[
        int | None, typer.Option("--kept-views", help="compressed-own: augmented views to keep; all where not given.")
    ] = None,
    per_class: Annotated[
        int | None, typer.Option("--per-class", help="class-mean: average so many random samples of each label.")
    ] = None,
    rank: Annotated[
        int | None, typer.Option(help="class-distribution: axes of each label's spread; 16 where not given.")
    ] = None,
    prompt: Annotated[
        str | None, typer.Option(help="text: what is told to the teacher, with {} for the label.", show_default=False)
    ] = None,
    name: Annotated[str | None, typer.Option(help="Save it under this name; the strategy's where not given.")] = None,
    split: Annotated[
        str | None,
        typer.Option(
            help="Summarise this side of the split, or 'all' that is not set aside; train where one is written, else all."
        ),
    ] = None,
    seed: Annotated[int, typer.Option(help="Of what is drawn.")] = 0,
    engine: Annotated[
        str | None,
        typer.Option(
            help="Pass over the vectors shard by shard, never gathering a label's: 'shards' in this process, 'ray' on a cluster "
            "whose nodes see the store under the same path. Where not given, only what is too large to be gathered goes so."
        ),
    ] = None,
    address: Annotated[
        str | None,
        typer.Option(
            help="Of the Ray cluster, HOST:PORT or 'auto'; RAY_ADDRESS where not given, else one is started here."
        ),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print as JSON.")] = False,
) -> None:
    """Make prototypes, save them in the store, and say how far samples lie from the prototype that speaks for them.

    Example: embedstore summarize parts.store rare-samples --share 0.2 --name rare20

    On a cluster: embedstore summarize parts.store rare-samples --engine ray --address 10.0.0.1:6379
    """
    import embedstore
    from embedstore.store.embedding_store import refuse_unbuilt

    given: dict[str, Any] = {
        "k": k,
        "share": share,
        "bytes": code_bytes,
        "rare_bytes": rare_bytes,
        "kept_views": kept_views,
        "per_class": per_class,
        "rank": rank,
        "prompt": prompt,
    }
    parameters = {option: value for option, value in given.items() if value is not None}
    with embedstore.open(store) as opened:
        refuse_unbuilt(opened)
        trained, aside = (opened.counts("split").get(side) for side in ("train", "aside"))
        side = None if split == "all" else split or ("train" if trained else None)
        with console.Steps() as steps, console.only_the_report_on_stdout():
            summary = opened.summarize(
                strategy,
                name=name or strategy,
                split=side,
                seed=seed,
                engine=engine,
                address=address,
                progress=partial(steps.progress, unit="shards"),
                **parameters,
            )
    losses = list(summary.averaging_loss.values())
    if json:
        facts = {
            "name": summary.name,
            "strategy": summary.strategy,
            "parameters": summary.parameters,
            "split": side,
            "seen": len(summary.seen),
            "store_version": summary.store_version,
            "prototypes": [
                {"label": label, "count": int(count), "radius": float(radius)}
                for label, count, radius in zip(summary.labels, summary.counts, summary.radius, strict=True)
            ],
            "averaging_loss": [loss.__dict__ for loss in losses],
            "remarks": summary.remarks,
            "warnings": summary.warnings,
        }
        console.print_json(facts)
        return
    every = "all samples that are not set aside" if aside else "all samples"
    seen = f"the {side} side" if side else every if split or trained else f"{every}, since none is in train"
    console.say(
        f"Saved '{summary.name}': {len(summary.labels)} prototypes of {len(summary.seen)} pictures ({seen}).",
        *summary.remarks,
        "What it hides:",
        *(f"  {loss.in_words()}" for loss in losses),
        *(f"Warning: {sentence}" for sentence in summary.warnings),
    )

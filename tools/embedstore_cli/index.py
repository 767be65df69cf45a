"""embedstore index: approximate search for big stores."""

import re
import time
from pathlib import Path
from typing import Annotated

import typer

from embedstore_cli import console

_UNITS = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}


def index(
    store: Annotated[Path, typer.Argument(help="The store.", show_default=False)],
    factory: Annotated[
        str | None,
        typer.Option(
            help="FAISS's word for the kind, such as IVF1024,SQfp16; chosen by size and memory where not given."
        ),
    ] = None,
    memory: Annotated[
        str | None, typer.Option(help="What making and using it may take, such as 512MB.", show_default=False)
    ] = None,
    recall: Annotated[float, typer.Option(help="The share of the 10 nearest that a query should find.")] = 0.99,
    rare_recall: Annotated[
        float,
        typer.Option(help="The same for rare samples, far from all others; they are looked for harder."),
    ] = 0.9,
    seed: Annotated[int, typer.Option(help="Of the samples that it learns from and is measured with.")] = 0,
    delete: Annotated[bool, typer.Option("--delete", help="Delete the index: every search scans again.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print as JSON.")] = False,
) -> None:
    """Make searches in a big store fast: an index that finds nearly all of the nearest, and how many it finds.

    Every search takes it where it can, and adds what came to the store since; --exact on a query leaves it aside. It is
    made again with the same command, after many changes or where it is damaged.

    Example: embedstore index parts.store --memory 2GB
    """
    import embedstore
    from embedstore.analysis.index_building import suggested

    with embedstore.open(store) as opened:
        if delete:
            there = opened.delete_index()
            if json:
                console.print_json({"deleted": there})
            else:
                console.say(f"Deleted the index of '{store}'." if there else f"'{store}' has no index.")
            return
        begun = time.perf_counter()
        with console.Steps() as steps:
            info = opened.build_index(
                factory,
                memory=_bytes(memory),
                recall=recall,
                rare_recall=rare_recall,
                seed=seed,
                progress=steps.progress,
            )
        seconds = time.perf_counter() - begun
        count = len(opened)
    if json:
        console.print_json(None if info is None else info.__dict__ | {"seconds": seconds})
        return
    if info is None:
        console.say(
            f"'{store}' has {count:,} samples, which are scanned fast enough, so no index was made; to have one all the "
            f"same, say which kind: --factory {suggested(count)}"
        )
        return
    effort = "" if info.nprobe is None else f", nprobe {info.nprobe}"
    console.say(
        f"Indexed {info.rows:,} samples: {info.factory}{effort}, {info.size / 1e6:,.1f} MB, {seconds:.1f} s.",
        f"recall@{info.top} {info.recall:.4f}, measured with {info.queries} stored samples; {info.rare_recall:.4f} with the "
        f"{info.rare_queries} rarest.",
    )
    for what, reached, wanted in (
        ("recall", info.recall, info.wanted),
        ("recall for rare samples", info.rare_recall, info.rare_wanted),
    ):
        if reached < wanted:
            console.say(
                f"Wanted was a {what} of {wanted}, which this kind does not reach here; give it more --memory, or another "
                "--factory."
            )


def _bytes(text: str | None) -> int | None:
    from embedstore.errors import SettingsError

    if text is None:
        return None
    found = re.fullmatch(r"\s*([0-9]{1,15}(?:\.[0-9]{1,6})?)\s*([KMGT]?)(i?)B?\s*", text, re.IGNORECASE)
    if found is None:
        raise SettingsError(f"The memory '{text}' is no number of bytes; give one such as 512MB or 2GB.")
    number, unit, binary = found.groups()
    step = _UNITS[unit.upper()]
    return int(float(number) * (2 ** (10 * list(_UNITS.values()).index(step)) if binary else step))

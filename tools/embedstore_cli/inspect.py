"""embedstore inspect: the oddest samples of each label, and why."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from embedstore_cli import console
from embedstore_cli.version_option import VersionOption, asked_version

if TYPE_CHECKING:
    from embedstore.analysis.odd_samples import OddSample, OddSamples

COMPARING = ("Comparing", "pictures")


def inspect(
    store: Annotated[Path, typer.Argument(help="The store.", show_default=False)],
    against: Annotated[
        str | None,
        typer.Option(
            help="Compare with this saved summary; where not given, with 16 sub-prototypes a label of the training side, made "
            "for this and not saved.",
            show_default=False,
        ),
    ] = None,
    top: Annotated[int, typer.Option(help="How many of each label.")] = 20,
    label: Annotated[
        list[str] | None,
        typer.Option(
            help="Only this label, '' for samples without one; may be given more than once.", show_default=False
        ),
    ] = None,
    html: Annotated[
        Path | None,
        typer.Option(help="Write a page with the pictures; an earlier one is replaced.", show_default=False),
    ] = None,
    images: Annotated[
        Path | None,
        typer.Option(help="Where the pictures are now, if not where the store was built from.", show_default=False),
    ] = None,
    version: VersionOption = None,
    json: Annotated[bool, typer.Option("--json", help="Print as JSON.")] = False,
) -> None:
    """List the samples that are least like the others of their label, such as rare kinds and spoilt pictures.

    Most wrong labels are not found: a common picture looks usual under any label.

    Example: embedstore inspect parts.store --top 10 --html odd.html
    """
    import embedstore
    from embedstore.analysis.odd_samples import find_odd
    from embedstore.errors import SettingsError
    from embedstore.store.embedding_store import refuse_unbuilt

    if html is not None:
        from embedstore.pages.odd_page import check_page_path

        check_page_path(html)
    if images is not None and not images.is_dir():
        raise SettingsError(f"The image folder '{images}' does not exist; give the folder that holds the pictures.")
    labels = None if label is None else [name or None for name in label]
    with embedstore.open(store, version=asked_version(version)) as opened:
        refuse_unbuilt(opened)
        with _progress(summarises=against is None) as progress:
            found = find_odd(opened, against, top=top, labels=labels, progress=progress)
        try:
            if html is not None:
                from embedstore.pages.odd_page import write_odd_page

                write_odd_page(found, opened, html, images=images)
        finally:  # the disk has become full, say: the list is not lost with the page
            if json:
                console.print_json(_facts(found))
            else:
                _show(found)
        root = images or opened.image_root
    if html is not None and not json:
        console.say(f"The page is '{html}'.")
        if not root.is_dir():
            console.say(
                f"The image folder '{root}' is not there, so the page has no pictures; tell where: --images DIR"
            )


def _show(found: OddSamples) -> None:
    for name, listed in found.by_label.items():
        title = f"'{name}'" if name is not None else "without a label"
        told = any(odd.verdict for odd in listed)
        console.table(
            f"{title}: the oddest {len(listed)} of {found.counts[name]}",
            ["distance", "percentile", "kind", "id", *["verdict"] * told, "why"],
            [_row(odd, told=told) for odd in listed],
            right=(0, 1),
        )
    console.say(found.compared_with.en, *(remark.en for remark in found.remarks))


@contextmanager
def _progress(*, summarises: bool) -> Iterator[Callable[[int, int], None]]:
    """Show a bar for the pictures compared; before that one for the summary that is made, if it is, which can't be counted."""
    with ExitStack() as shown:
        bar = shown.enter_context(console.progress(*(("Summarising", "summary") if summarises else COMPARING)))
        comparing = not summarises

        def update(done: int, total: int) -> None:
            nonlocal bar, comparing
            if not comparing:
                bar(1, 1)
                shown.close()
                bar, comparing = shown.enter_context(console.progress(*COMPARING)), True
            bar(done // 2, total // 2)  # two passes over the same pictures

        yield update


def _row(odd: OddSample, *, told: bool) -> list[str]:
    from embedstore.analysis.odd_samples import why

    return [
        "-" if odd.distance is None else f"{odd.distance:.2f}",
        "-" if odd.percentile is None else f"{odd.percentile:.0f}",
        odd.mode or "-",
        odd.id + (f" (+{odd.alike} alike)" if odd.alike else ""),
        *[odd.verdict or "-"] * told,
        why(odd),
    ]


def _facts(found: OddSamples) -> dict[str, Any]:
    from embedstore.analysis.odd_samples import why

    summary = found.against
    return {
        "against": {
            "name": summary.name,
            "strategy": summary.strategy,
            "parameters": summary.parameters,
            "split": summary.split,
            "store_version": summary.store_version,
            "prototypes": len(summary.labels),
        },
        "labels": [
            {
                "label": label,
                "count": found.counts[label],
                "odd": [{**asdict(odd), "reason": odd.reason, "why": why(odd)} for odd in listed],
            }
            for label, listed in found.by_label.items()
        ],
        "remarks": [found.compared_with.en, *(remark.en for remark in found.remarks)],
    }

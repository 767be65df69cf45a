"""embedstore drift: is a batch still what the store describes?"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from embedstore_cli import console
from embedstore_cli.exit_codes import ExitCode
from embedstore_cli.version_option import VersionOption, asked_version

if TYPE_CHECKING:
    from embedstore import EmbeddingStore
    from embedstore.analysis.drift import Batch, DriftReport


def drift(
    store: Annotated[Path, typer.Argument(help="The store.", show_default=False)],
    images: Annotated[
        Path | None,
        typer.Argument(
            help="The batch: a folder of pictures, which the store's teacher embeds; or, without a teacher, a file of its "
            "vectors (.npy with a .csv beside it, .parquet, .safetensors), or another store of the same teacher.",
            show_default=False,
        ),
    ] = None,
    ids_from: Annotated[
        Path | None,
        typer.Option(
            help="In place of IMAGES: samples that the store has, by a CSV file with a column 'id'; - reads it from the standard "
            "input. Their parts are left out of what they are compared with.",
            show_default=False,
        ),
    ] = None,
    manifest: Annotated[
        Path | None,
        typer.Option(
            help="CSV or Parquet as for build, of a folder; its column 'group' says which pictures show one part.",
            show_default=False,
        ),
    ] = None,
    teacher: Annotated[
        str | None,
        typer.Option(help="Where it is loaded from; the store's own spec where not given.", show_default=False),
    ] = None,
    against: Annotated[
        str | None,
        typer.Option(
            help="Tell of the prototypes of this saved summary; where not given, of 16 sub-prototypes a label, made for this.",
            show_default=False,
        ),
    ] = None,
    false_alarms: Annotated[
        float, typer.Option(help="How often an unchanged batch may be called drifted: .001 to .5.")
    ] = 0.01,
    top: Annotated[int, typer.Option(help="How many of the pictures that moved most to list.")] = 20,
    seed: Annotated[int, typer.Option(help="Of all that is drawn.")] = 0,
    html: Annotated[
        Path | None,
        typer.Option(help="Write a page with the pictures; an earlier one is replaced.", show_default=False),
    ] = None,
    version: VersionOption = None,
    json: Annotated[bool, typer.Option("--json", help="Print as JSON.")] = False,
) -> None:
    """Say whether a batch is still what the store describes, and if not, what changed: camera or light, a new defect, the line.

    Another mix of labels alone is no drift. Pictures of one part are no independent draws, so name the parts where you know
    them. Quiet is no proof: a rare kind in a small batch is not found, nor a change that shows neither to the teacher nor in
    the pictures' brightness, contrast and sharpness. Nothing is written to the store. Exit code: 0 quiet, or too few pictures
    to tell; 1 drift; 2 an error.

    Example: embedstore drift parts.store today/ --manifest today.csv --html drift.html
    """
    import embedstore
    from embedstore.analysis.drift import find_drift, refuse_settings

    refuse_settings(false_alarms, top)
    if html is not None:
        from embedstore.pages.odd_page import check_page_path

        check_page_path(html)
    with embedstore.open(store, version=asked_version(version)) as opened, console.Steps() as steps:
        batch = _batch(opened, images, ids_from, manifest, teacher, steps)
        found = find_drift(
            opened,
            batch,
            against=against,
            false_alarms=false_alarms,
            top=top,
            seed=seed,
            progress=lambda done, total: steps.progress("Comparing", done, total, unit="folds"),
        )
        steps.close()
        try:
            if html is not None:
                from embedstore.pages.drift_page import write_drift_page

                write_drift_page(found, batch, opened, html)
        finally:  # the disk has become full, say: the verdict is not lost with the page
            if json:
                console.print_json(found)
            else:
                _show(found)
    if html is not None and not json:
        console.say(f"The page is '{html}'.")
    if found.drifted:
        raise typer.Exit(ExitCode.ATTENTION)


def _batch(
    opened: EmbeddingStore,
    images: Path | None,
    ids_from: Path | None,
    manifest: Path | None,
    teacher: str | None,
    steps: console.Steps,
) -> Batch:
    """Return the batch from the one place that was named."""
    from embedstore.analysis.drift import batch_of, from_store
    from embedstore.errors import SettingsError
    from embedstore_cli.id_file import read_ids

    if (images is None) == (ids_from is None):
        raise SettingsError(
            "Give the batch in one way: IMAGES (a folder, a file of vectors, another store) or --ids-from FILE."
        )
    if images is not None:
        return batch_of(
            opened,
            images,
            manifest=manifest,
            teacher=teacher,
            progress=lambda done, total: steps.progress("Embedding", done, total, unit="pictures"),
        )
    if manifest is not None or teacher is not None:
        raise SettingsError("Samples of the store are embedded already; leave out --manifest and --teacher.")
    assert ids_from is not None  # noqa: S101  checked above
    return from_store(opened, opened, read_ids(ids_from)[0])


def _show(found: DriftReport) -> None:
    console.say(*(one.en for one in found.sentences), *(one.en for one in found.remarks), "")
    rows = [
        [
            f"'{row.label}'" if row.label else "without a label",
            str(row.pictures),
            f"{row.share:.0%} ({row.usual_share:.0%})",
            f"{_percent(row.beyond)} ({_percent(row.usual_beyond)})",
            _against(row.shift, None if row.usual_shift is None else f"to {row.usual_shift:.2f}"),
            _against(row.spread, row.usual_spread and "{:.2f} to {:.2f}".format(*row.usual_spread)),
        ]
        for row in found.labels
    ]
    columns = ["nearest label", "pictures", "share (store)", "beyond radius (store)", "shift (usual)", "spread (usual)"]
    console.table("By label", columns, rows, right=(1, 2, 3, 4, 5))
    around = [
        [
            row.name or "without a label",
            str(row.pictures),
            f"{row.share:.0%} ({row.usual_share:.0%})",
            f"{_percent(row.beyond)} ({_percent(row.usual_beyond)})",
            _against(row.shift),
            _against(row.spread),
        ]
        for row in found.prototypes
        if row.pictures
    ]
    console.table(
        "By prototype", ["nearest prototype", *columns[1:4], "shift", "spread"], around, right=(1, 2, 3, 4, 5)
    )
    if found.moved:
        listed = [
            [
                f"{one.percentile:.0f}",
                f"{one.distance:.2f} ({one.radius:.2f})",
                one.prototype or "without a label",
                one.typical,
                one.id,
            ]
            for one in found.moved
        ]
        title = f"The {len(listed)} pictures that moved most"
        console.table(
            title, ["percentile", "distance (radius)", "nearest prototype", "like", "id"], listed, right=(0, 1)
        )


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{value:.0%}"


def _against(value: float | None, usual: str | None = None) -> str:
    if value is None:
        return "-"
    return f"{value:.2f} ({usual})" if usual else f"{value:.2f}"

"""distill predict: what a terminal model says of pictures, without PyTorch."""

import sys
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from distill.terminal.model import Space
from distill.terminal.predict import Comparing
from distill.terminal.predictions import By, Prediction, Predictions, check_place
from embedstore.errors import ModelError
from embedstore.visible import visible
from embedstore_cli import console
from embedstore_cli.exit_codes import ExitCode


def predict(
    model: Annotated[Path, typer.Argument(help="A file that distill export wrote.", show_default=False)],
    images: Annotated[list[Path], typer.Argument(help="Pictures, or folders of them.", show_default=False)],
    by: Annotated[
        By, typer.Option(help="Who says what a picture is: the exported answer, or what it is most like.")
    ] = By.head,
    vectors: Annotated[
        Space | None,
        typer.Option(
            help="Whose vectors retrieval compares. The student's own tell single pictures apart far better than its guess of "
            "the teacher's; to make them, the model looks at the store's pictures. [default: the --gallery file's, else student]",
            show_default=False,
        ),
    ] = None,
    store: Annotated[Path | None, typer.Option(help="The store to compare with.")] = None,
    summary: Annotated[
        str | None, typer.Option(help="Prototypes: a summary of --store, or FILE.safetensors of embedstore export.")
    ] = None,
    gallery: Annotated[
        Path | None,
        typer.Option(
            help="Keep what is compared with in this .safetensors file, or take it from there; where --store or --labelled "
            "names what has changed since, it is made again. Or a light file of embedstore export --light, which is only read; "
            "that needs --store or --threshold, too."
        ),
    ] = None,
    labelled: Annotated[Path | None, typer.Option(help="A folder of labelled pictures instead of a store.")] = None,
    manifest: Annotated[Path | None, typer.Option(help="CSV or Parquet with the labels of --labelled.")] = None,
    store_images: Annotated[
        Path | None,
        typer.Option(
            help="The store's image folder, where it has moved; not --images, since IMAGES are the pictures that are asked about."
        ),
    ] = None,
    k: Annotated[int, typer.Option("-k", "--k", help="Of how many parts of each kind the mean cosine is taken.")] = 1,
    overkill: Annotated[
        float | None,
        typer.Option(
            help="Share of good parts that may be rejected; not by the head. [default: as the model was made for]"
        ),
    ] = None,
    threshold: Annotated[
        float | None,
        typer.Option(help="Reject above this score, instead of by --overkill: 0 to 1 by the head, otherwise -2 to 2."),
    ] = None,
    threads: Annotated[int, typer.Option(min=1, help="For one picture.")] = 1,
    out: Annotated[
        Path | None,
        typer.Option(
            help="Write to this .csv or .json file instead of printing; it replaces only earlier decisions. A .csv is for "
            "programs: in UTF-8 without a byte-order mark, and with names as they are, of which a spreadsheet may take some for "
            "formulas; for people there is --page."
        ),
    ] = None,
    page: Annotated[
        Path | None,
        typer.Option(
            help="Write a page to this .html file, too: the rejected pictures first, and where the defect is, if the model was "
            "trained with --answer patches. It replaces only an earlier such page."
        ),
    ] = None,
    json: Annotated[
        bool,
        typer.Option(
            "--json",
            help="Print JSON instead of CSV; it tells where the defect is, too, in pixels of the upright picture.",
        ),
    ] = False,
) -> None:
    """Say of each picture whether it is good, by onnxruntime alone; exit code 1 where a picture could not be read.

    Example: distill predict part.onnx photos

    A defect that nobody trained: distill predict part.onnx photos --by retrieval --store parts.store --gallery seen.safetensors
    """
    import distill
    from distill.terminal.model import TerminalModel
    from distill.terminal.predictions_page import check_page, write_page

    if out is not None:
        check_place(out)
        if json and out.suffix.lower() != ".json":
            raise ModelError(
                f"'{out}' is written as CSV, and --json asks for JSON; give --out a name that ends in .json, or leave --json out."
            )
    if page is not None:
        check_page(page)
    with console.Steps() as steps:
        found = distill.predict(
            TerminalModel(model, threads=threads),
            images,
            by=by,
            comparing=Comparing(vectors, store, summary, gallery, labelled, manifest, store_images, k, overkill),
            threshold=threshold,
            progress=steps.progress,
        )
    if out is None:
        _print(found, as_json=json)
    else:
        try:
            found.write(out)
        except (
            OSError,
            ModelError,
        ):  # the disk has become full, say: what was asked for long is not lost with the file
            _print(found, as_json=out.suffix.lower() == ".json")
            raise
    aside = [f"Set aside: '{path}': {reason}." for path, reason in found.set_aside.items()]
    aside += [f"Not compared with: '{path}': {reason}." for path, reason in found.labelled_set_aside.items()]
    for line in [*(one.en for one in found.remarks), *aside]:
        typer.echo(visible(line), err=True)  # what is printed is for a program
    if page is not None:
        with console.Steps() as steps:
            write_page(found, page, steps.progress)
    if aside:
        raise typer.Exit(ExitCode.ATTENTION)


def _print(found: Predictions, *, as_json: bool) -> None:
    if as_json:
        console.print_json(found.to_dict())
    else:
        if sys.stdout.isatty():  # it would obey what names may hold; a program gets them as they are
            found = replace(found, pictures=[_spelt_out(one) for one in found.pictures])
        sys.stdout.write(found.to_csv())


def _spelt_out(one: Prediction) -> Prediction:
    nearest = None if one.nearest is None else visible(one.nearest)
    return replace(one, path=visible(one.path), decision=visible(one.decision), nearest=nearest)

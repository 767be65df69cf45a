"""embedstore twins: pictures of the same part, found from the vectors, and groups for them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from embedstore_cli import console

if TYPE_CHECKING:
    from embedstore.analysis.twins import Agreement

_SHOWN = 5


def twins(
    store: Annotated[Path, typer.Argument(help="The store.", show_default=False)],
    similarity: Annotated[
        float | None,
        typer.Option(
            help="Pictures this much alike are twins, as a cosine of whitened vectors: 0 to 1, more gives fewer. Read off "
            "the store where not given.",
            show_default=False,
        ),
    ] = None,
    apply: Annotated[bool, typer.Option("--apply", help="Write the groups, all as one version.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print as JSON.")] = False,
) -> None:
    """Find pictures of the same part from the vectors alone, and propose groups, so that a split keeps them together.

    A sample that has a group keeps it. Where the manifest gave groups, their fit is told.

    Example: embedstore twins parts.store --apply
    """
    import embedstore
    from embedstore.analysis.twins import find_twins, torn_groups

    with embedstore.open(store) as opened:
        with console.progress("Comparing", "pictures") as progress:
            found = find_twins(opened, similarity=similarity, progress=progress)
        written = opened.set_groups(found.groups) if apply else 0
        version, samples, without = opened.version, len(opened), opened.counts("group").get(None, 0)
        torn = torn_groups(opened)
        labels = {sample.id: sample.label or "-" for sample in opened.samples}
    agreement = found.agreement
    if json:
        fit = agreement and {**agreement.__dict__, "precision": agreement.precision, "recall": agreement.recall}
        facts = {**found.__dict__, "agreement": fit, "version": version, "written": written, "torn_groups": torn}
        console.print_json(facts)
        return
    console.say(
        f"{len(found.sets)} sets of twins hold {sum(map(len, found.sets))} of the {samples} pictures.",
        f"Twins are more alike than {found.similarity:.3f} (cosine in {found.directions} whitened directions); "
        + (
            "of 1,000 vectors mixed at random from the store's own, 1 comes so near to any of them."
            if found.calibrated
            else "as given by --similarity."
        ),
    )
    if found.sets:
        rows = [
            [
                str(len(ids)),
                ", ".join(sorted({labels[name] for name in ids})),
                ", ".join(ids[:3]) + ", ..." * (len(ids) > 3),
            ]
            for ids in found.sets[:_SHOWN]
        ]
        console.table(f"The largest of {len(found.sets)}", ["pictures", "labels", "ids"], rows, right=(0,))
    if agreement is not None:
        console.say(_fit(agreement))
    console.say(*found.remarks)
    if apply:
        console.say(
            f"{written} samples got a group, written as version {version}; {without} have none."
            if written
            else f"No sample got a new group; the store stays at version {version}."
        )
    elif found.groups:
        console.say(f"{len(found.groups)} samples would get a group; nothing is written without --apply.")
    else:
        console.say("No sample would get a new group.")
    if torn:
        console.say(
            f"{len(torn)} groups have pictures on several sides of the written split, such as '{torn[0]}'; deal them "
            f"again: embedstore split '{store}'"
        )


def _fit(agreement: Agreement) -> str:
    precision, recall = (
        "none" if share is None else f"{share:.3f}" for share in (agreement.precision, agreement.recall)
    )
    return (
        f"Against the manifest's groups, which were not looked at: precision {precision} ({agreement.shared} of "
        f"{agreement.found} pairs found share a group), recall {recall} ({agreement.shared} of {agreement.given} pairs of a "
        "group were found). A pair that they do not know may still be one part, where groups are incomplete."
    )

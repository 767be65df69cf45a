"""embedstore twins: pictures of the same part, found from the vectors, and groups for them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from embedstore_cli import console

if TYPE_CHECKING:
    from embedstore.analysis.leaks import Leaks
    from embedstore.analysis.twin_groups import Agreement
    from embedstore.analysis.twins import Twins

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
    merge: Annotated[
        bool, typer.Option("--merge", help="Also unite groups that are there already, where they meet in one set.")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="Print as JSON.")] = False,
) -> None:
    """Find pictures of the same part from the vectors alone, and propose groups, so that a split keeps them together.

    A sample that has a group keeps it, unless --merge is given. Where the manifest gave groups, their fit is told; where a
    split is written, what it tears apart.

    Example: embedstore twins parts.store --apply
    """
    import embedstore
    from embedstore.analysis.leaks import find_leaks
    from embedstore.analysis.twins import find_twins
    from embedstore.store.embedding_store import refuse_unbuilt

    with embedstore.open(store) as opened:
        refuse_unbuilt(opened)
        with console.progress("Comparing", "pictures") as progress:
            found = find_twins(opened, similarity=similarity, progress=progress)
        written = opened.set_groups(found.groups, merge=found.merged if merge else None) if apply else 0
        version, samples, without = opened.version, len(opened), opened.counts("group").get(None, 0)
        leaks = find_leaks(opened, found.sets)
        labels = {sample.id: sample.label or "-" for sample in opened.samples}
        groups = {sample.id: sample.group for sample in opened.samples}
    agreement = found.agreement
    if json:
        fit = agreement and {**agreement.__dict__, "precision": agreement.precision, "recall": agreement.recall}
        facts = {**found.__dict__, "agreement": fit, "version": version, "written": written, "leaks": leaks.__dict__}
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
    console.say(*_outcome(found, written, version, without, apply=apply, merge=merge))
    again = f"embedstore twins '{store}'" + ("" if similarity is None else f" --similarity {similarity}")
    console.say(*_torn(leaks, groups, again, f"embedstore split '{store}'"))


def _outcome(found: Twins, written: int, version: int, without: int, *, apply: bool, merge: bool) -> list[str]:
    lines = []
    if written:
        what = "a group or another one" if merge and found.merged else "a group"
        lines.append(f"{written} samples got {what}, written as version {version}; {without} have none.")
    elif apply:
        lines.append(f"No sample got a new group; the store stays at version {version}.")
    elif found.groups:
        lines.append(f"{len(found.groups)} samples would get a group; nothing is written without --apply.")
    elif not (merge and found.merged):
        lines.append("No sample would get a new group.")
    after = len(set(found.merged.values()))
    before = len(found.merged) + after
    if found.merged and not merge:
        lines.append("Groups that are there already stay apart without --merge.")
    elif found.merged:
        lines.append(
            f"{before} groups became {after}."
            if apply
            else f"{before} groups would become {after}; nothing is written without --apply."
        )
    return lines


def _torn(leaks: Leaks, groups: dict[str, str | None], twins: str, split: str) -> list[str]:
    """Say what is torn, and how to mend it with the two commands `twins` (without --apply) and `split`."""
    lines = []
    if leaks.torn_sets:
        counts = [f"{leaks.twins_in_train[side]} of {count} {side}" for side, count in leaks.pictures.items()]
        lines.append(
            f"{len(leaks.torn_sets)} sets have pictures on several sides of the written split: {' and '.join(counts)} "
            "pictures have a twin in train, so figures look better than they are."
        )
    if leaks.torn_groups:
        lines.append(
            f"{len(leaks.torn_groups)} groups have pictures on several sides of the written split, such as "
            f"'{leaks.torn_groups[0]}'."
        )
    if not lines:
        return []
    in_sets = [{groups[name] for name in ids} for ids in leaks.torn_sets]
    commands = [split]
    if any(len(found - {None}) > 1 for found in in_sets):
        commands.insert(0, f"{twins} --merge --apply")
    elif any(None in found for found in in_sets):
        commands.insert(0, f"{twins} --apply")
    fixed = [f"{n} of these {what}" for n, what in ((leaks.fixed_sets, "sets"), (leaks.fixed_groups, "groups")) if n]
    if fixed:
        lines.append(
            f"The manifest's own split tears {' and '.join(fixed)}, and embedstore split keeps what a manifest gives: put "
            "each on one side there, or empty its cells in the split column, and build again."
        )
    start = "After that" if fixed else "To mend that"
    return [*lines, f"{start}: {', then '.join(commands)}"]


def _fit(agreement: Agreement) -> str:
    precision, recall = (
        "none" if share is None else f"{share:.3f}" for share in (agreement.precision, agreement.recall)
    )
    return (
        f"Precision {precision} ({agreement.shared} of {agreement.found} pairs found share a group) and recall {recall} "
        f"({agreement.shared} of {agreement.given} pairs of a group were found) against the given groups, which may be "
        "incomplete and were not looked at."
    )

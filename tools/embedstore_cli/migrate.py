"""embedstore migrate: another teacher for a store."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from embedstore_cli import console
from embedstore_cli.exit_codes import ExitCode

if TYPE_CHECKING:
    from embedstore.teacher_change import MigrationReport

_LISTED = 20  # samples that can't be embedded, one a line


def migrate(
    store: Annotated[Path, typer.Argument(help="The store.", show_default=False)],
    teacher: Annotated[
        str | None,
        typer.Option(help="The new one, as for build. It embeds all samples again.", show_default=False),
    ] = None,
    outputs: Annotated[
        str | None,
        typer.Option(
            help="Of the new teacher, with commas between, as for build; those that the store keeps now where not given, and "
            "just the embedding with: embedding",
            show_default=False,
        ),
    ] = None,
    back: Annotated[bool, typer.Option("--back", help="Change over to the teacher that was in use before.")] = False,
    switch: Annotated[bool, typer.Option(help="Change over once all samples are embedded.")] = True,
    without_missing: Annotated[
        bool,
        typer.Option("--without-missing", help="Leave samples whose picture is gone out of the new version."),
    ] = False,
    sample: Annotated[
        int | None,
        typer.Option(
            help="Embed only the plain views of so many training samples, enough for a map, and don't change over.",
            show_default=False,
        ),
    ] = None,
    map: Annotated[
        str | None,
        typer.Option(
            help="orthogonal or linear: map the old summaries into the new space, as estimates with their measured error.",
            show_default=False,
        ),
    ] = None,
    drop_old: Annotated[
        bool,
        typer.Option(
            "--drop-old",
            help="Remove the vectors of all teachers but the one in use, also of a new one that is half done, and the versions "
            "that need them. There is no way back.",
        ),
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
) -> None:
    """Give a store another teacher: embed all samples by it, beside the old vectors, then change over in one version.

    Until then everybody works with the old vectors; stopped at any moment, the same command goes on. Samples whose picture is
    gone are listed, and the store does not change over (exit code 1) unless they are to be left out. Versions before the
    switch keep their teacher. Students know theirs: train new ones afterwards, or map the old summaries until then.

    Example: embedstore migrate parts.store --teacher efficientnet-lite2
    """
    import embedstore
    from embedstore.errors import SettingsError

    if drop_old:
        if teacher or outputs or back or without_missing or sample is not None or map or not switch:
            raise SettingsError("--drop-old stands alone: change over first, see that all is well, then drop.")
        _drop(store, json=json)
        return
    with console.Steps() as steps:
        report = embedstore.migrate(
            store,
            teacher,
            outputs=None if outputs is None else [name.strip() for name in outputs.split(",")],
            back=back,
            switch=switch,
            without_missing=without_missing,
            sample=sample,
            map=map,
            progress=steps.progress,
        )
    if json:
        console.print_json(report)
    else:
        _show(store, report)
    if switch and sample is None and not report.active:
        raise typer.Exit(ExitCode.ATTENTION)


def _show(store: Path, report: "MigrationReport") -> None:
    console.say(
        f"The teacher '{report.teacher}' embedded {console.count(report.embedded, 'view', 'views')} in {report.seconds:.1f} s; "
        f"{report.complete} of {report.samples} samples have all of its vectors."
    )
    if report.reduced:
        console.say(
            f"Of {console.count(len(report.reduced), 'sample', 'samples')} the file is gone, so it saw the smaller picture that "
            f"the store keeps for students (such as of '{report.reduced[0]}')."
        )
    if report.missing:
        console.say(f"{console.count(len(report.missing), 'sample', 'samples')} can't be embedded any more:")
        console.say(*(f"  {name}: {why}" for name, why in list(report.missing.items())[:_LISTED]))
        if len(report.missing) > _LISTED:
            console.say(f"  and {len(report.missing) - _LISTED} more, all of them with --json")
    if report.map is not None:
        _show_map(report)
    if report.switched:
        left_out, way_back = "", f"migrate '{store}' --back"
        if report.removed:
            left_out = f", without {console.count(report.removed, 'sample', 'samples')}"
            way_back = f"rollback '{store}' {report.version - 1}"  # --back would leave these out as well
        console.say(
            f"'{store}' changed over from '{report.teacher_before}' to '{report.teacher}' with version {report.version}"
            f"{left_out}; go back with: embedstore {way_back}",
            "Summaries of the old teacher are refused from now on: make them again, then train. Students that are there can "
            "still be evaluated.",
        )
        if report.index_removed:
            console.say(f"The index was one of the old vectors; make it again with: embedstore index '{store}'")
    elif report.active:
        console.say(f"'{store}' has '{report.teacher}' in use, at version {report.version}.")
    elif report.missing:
        console.say(
            f"'{store}' stays with '{report.teacher_before}': put the pictures back and give the same command again "
            f"(where they have other names now, first: embedstore refresh '{store}'), or leave these samples out with "
            "--without-missing."
        )
    else:
        console.say(
            f"'{store}' stays with '{report.teacher_before}'; the same command without --sample and --no-switch goes on."
        )


def _show_map(report: "MigrationReport") -> None:
    found = report.map
    assert found is not None  # noqa: S101  see above
    strength = "" if found.strength is None else f", ridge {found.strength:g}"
    console.say(
        f"A map ({found.kind}{strength}) from '{found.teacher}' was fitted to {found.samples} samples of {found.groups} parts. "
        f"On parts that it did not see, the cosine with the true vectors is {found.cosine:.3f} in the mean, "
        f"{found.cosine_p5:.3f} at the 5th percentile; the mean of the new vectors alone has {found.cosine_of_mean:.3f}."
    )
    for name, renamed in found.mapped.items():
        console.say(f"  '{name}' is there as '{renamed}', an estimate")
    for name, why in found.left_out.items():
        console.say(f"  '{name}' has no estimate: {why}")
    if not found.mapped and not found.left_out:
        console.say("  The store has no summary of that teacher to map.")


def _drop(store: Path, *, json: bool) -> None:
    from embedstore.teacher_change import drop_old

    with console.progress("Compacting", "blocks") as progress:
        report = drop_old(store, progress)
    if json:
        console.print_json(report)
        return
    console.say(
        f"'{store}' has the vectors of its teacher only, and {report.bytes / 1e6:.1f} MB in place of "
        f"{report.bytes_before / 1e6:.1f} MB; {console.count(report.removed, 'version', 'versions')} can't be opened any more."
    )
    if report.tags_removed:
        tags = ", ".join(f"'{name}'" for name in report.tags_removed)
        console.say(
            f"What was refreshed by the old teacher can't be rolled back any more; the tags for it are gone: {tags}"
        )

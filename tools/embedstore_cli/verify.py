"""embedstore verify: reads all of a store and says what is wrong."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from embedstore_cli import console
from embedstore_cli.exit_codes import ExitCode

if TYPE_CHECKING:
    from embedstore.store.health.verification import Finding


def verify(
    store: Annotated[Path, typer.Argument(help="The store.", show_default=False)],
    json: Annotated[bool, typer.Option("--json", help="Print as JSON.")] = False,
) -> None:
    """Read every byte of a store and say what is wrong and how to mend it. Changes nothing; others may go on using it.

    Ends with 0 where all is well, 1 where something is wrong, 2 where it can't be said.

    Example: embedstore verify parts.store
    """
    from embedstore.store.health.verification import verify

    with console.progress("Verifying", "entries") as progress:
        report = verify(store, progress)
    if json:
        console.print_json(report)
    else:
        read = f"{report.samples:,} samples at version {report.version}" if report.version is not None else "no version"
        found = len(report.findings)
        verdict = f"{found} {'thing is' if found == 1 else 'things are'} wrong" if found else "nothing is wrong"
        console.say(f"{store}: {verdict} ({read}; {report.bytes / 1e6:,.1f} MB read in {report.seconds:.1f} s)")
        for finding in report.findings:
            _show(finding)
        if report.notes:
            console.say("", "Worth knowing, and no error:")
        for note in report.notes:
            _show(note)
    if not report.clean:
        raise typer.Exit(ExitCode.ATTENTION)


def _show(finding: "Finding") -> None:
    examples = "; ".join(finding.examples)
    more = finding.count > len(finding.examples) > 0 and not examples.endswith(".")
    console.say(
        "",
        f"  {finding.what}",
        f"    where   {finding.where}" + (f": {examples}" + (", ..." if more else "") if examples else ""),
        f"    number  {finding.count:,}",
        f"    mend    {finding.mend}",
    )

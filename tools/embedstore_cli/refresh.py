"""embedstore refresh: a store and its summaries brought to what the image folder holds now."""

import os
import shlex
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from embedstore_cli import console
from embedstore_cli.exit_codes import ExitCode

if TYPE_CHECKING:
    from embedstore.refreshing import Plan, RefreshReport, SummaryPlan


def refresh(
    store: Annotated[Path, typer.Argument(help="The store.", show_default=False)],
    config: Annotated[
        Path | None,
        typer.Option(help="A refresh.toml with what follows; options given here rule over it.", show_default=False),
    ] = None,
    images: Annotated[
        Path | None, typer.Option(help="The folder that holds the images; the one of the last build where not given.")
    ] = None,
    manifest: Annotated[
        Path | None, typer.Option(help="CSV or Parquet as for build; needed where the store was built with one.")
    ] = None,
    teacher: Annotated[
        str | None, typer.Option(help="Where it is loaded from; the store's own spec where not given.")
    ] = None,
    prune: Annotated[
        bool | None,
        typer.Option(
            "--prune",
            help="Remove samples whose picture is not listed any more, unless that is most of them.",
            show_default=False,
        ),
    ] = None,
    side: Annotated[
        str | None,
        typer.Option(
            help="Of the split, for samples without one, such as train; a group that is on a side draws its new pictures there."
        ),
    ] = None,
    limit: Annotated[
        float | None,
        typer.Option(
            help="By which share a label's averaging loss may rise since it was last clustered, before it is again; 0.05 where "
            "not given."
        ),
    ] = None,
    keep: Annotated[
        int | None, typer.Option(help="So many refreshes can be rolled back, the last ones; all where not given.")
    ] = None,
    write_config: Annotated[
        Path | None,
        typer.Option(
            "--write-config", help="Write these options to a refresh.toml and do nothing else.", show_default=False
        ),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print the plan and its price, and write nothing.")
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="Print one line, for a log: no plan, no bar.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print plan and outcome as JSON.")] = False,
) -> None:
    """Tell what changed and what it costs to follow, then do it: embed what is new or changed, update the saved summaries.

    Nothing is asked, so it runs from cron or the Task Scheduler. Each step is one version; an interrupted refresh goes on where
    it was when the command is given again. A refreshed summary takes the name, the one before stays as NAME@VERSION. The whole
    can be rolled back: embedstore rollback STORE before-refresh-N

    Exit code 0: done, or nothing to do; 1: done, but some pictures can't be used; 2: not done, by the reason that is told;
    75: not done, since another process writes to the store: try again later.

    Example: embedstore refresh parts.store --config refresh.toml --quiet
    """
    import embedstore
    from embedstore.refreshing import RefreshSettings, check, read_config
    from embedstore.refreshing import write_config as write

    given: dict[str, Any] = {
        "images": None if images is None else str(images),
        "manifest": None if manifest is None else str(manifest),
        "teacher": teacher,
        "prune": prune,
        "side": side,
        "limit": limit,
        "keep": keep,
    }
    chosen = {name: value for name, value in given.items() if value is not None}
    settings = RefreshSettings(**chosen) if config is None else read_config(config, chosen)
    if write_config is not None:
        with _telling_where_to_name_it("name it beside the other options: --manifest FILE"):
            check(store, settings)
        write(write_config, settings)
        command = ["embedstore", "refresh", str(store.resolve()), "--config", str(write_config.resolve()), "--quiet"]
        console.say(
            f"Wrote '{write_config}'; from cron or the Task Scheduler: "
            f"{subprocess.list2cmdline(command) if os.name == 'nt' else shlex.join(command)}"
        )
        return
    silent = quiet or json

    in_config = None if config is None else f"name it in '{config}' by the line: manifest = \"FILE\""
    with _telling_where_to_name_it(in_config), console.Steps() as steps:
        step = "Looking at pictures"

        def progress(done: int, total: int) -> None:
            steps.progress(step, done, total, unit="pictures")

        def tell(plan: "Plan") -> None:
            nonlocal step
            steps.close()  # the bar stays above what is printed
            console.say(*_in_words(store, plan))
            step = "Embedding"

        report = embedstore.refresh(
            store,
            **vars(settings),
            dry_run=dry_run,
            tell=None if silent else tell,
            progress=None if silent else progress,
        )
    if dry_run and not silent:
        console.say(*_in_words(store, report.plan))
    if json:
        console.print_json(_facts(report, dry_run))
    else:
        console.say(_outcome(store, report, dry_run=dry_run, alone=silent))
    if report.plan.unreadable and not dry_run:
        raise typer.Exit(ExitCode.ATTENTION)


@contextmanager
def _telling_where_to_name_it(remedy: str | None) -> Iterator[None]:
    """Say of a manifest that is lacking how to name it; a command would drop the config or the options given; None: say that."""
    from embedstore.errors import SettingsError
    from embedstore.store.lost_manifest import LostManifestError

    try:
        yield
    except LostManifestError as error:
        if remedy is None:
            raise
        raise SettingsError(f"{error.said}; give a manifest that names all pictures, and {remedy}") from error


def _in_words(store: Path, plan: "Plan") -> list[str]:
    gone = plan.without_picture
    lines = [
        f"Plan from version {plan.version}: of {console.count(plan.listed, 'picture', 'pictures')} {len(plan.new)} are new, "
        f"{len(plan.changed)} changed, {len(plan.unreadable)} can't be used; {gone} are gone"
        + ("" if not gone else ", which leave" if plan.prune else ", whose samples stay (--prune removes them)")
        + f"; {console.count(len(plan.updated), 'sample gets', 'samples get')} other labels or fields."
    ]
    lines += [f"  can't be used: '{path}': {reason}" for path, reason in list(plan.unreadable.items())[:5]]
    if plan.resumed:
        lines.append(f"  {plan.resumed} of them were embedded by an interrupted run already.")
    lines += [f"  label '{label}': {before} samples, then {after}" for label, (before, after) in plan.labels.items()]
    if plan.sides:
        lines.append(f"  {console.count(len(plan.sides), 'sample gets', 'samples get')} a side of the split.")
    lines += [f"  {sentence}." for sentence in _doubts(store, plan)]
    lines += [f"  summary {_on(one)}" for one in plan.summaries]
    if not plan.nothing:
        lines.append(_price(plan))
    return lines


def _price(plan: "Plan") -> str:
    from embedstore.refreshing.plan import STAYS

    untimed = sum(one.how != STAYS and one.seconds is None for one in plan.summaries)
    more = f", and {console.count(untimed, 'summary that was', 'summaries that were')} never timed" if untimed else ""
    pictures = "nothing to embed"
    if plan.seconds_each is not None:
        each = f"{plan.seconds_each:.2f} s a picture as just measured"
        pictures = f"{console.count(plan.to_embed, 'picture', 'pictures')} in {plan.views + 1} views each, {each}"
    return f"Price on this machine: {pictures}; {_minutes(plan.seconds)} from here on{more}."


def _doubts(store: Path, plan: "Plan") -> list[str]:
    """Say what a person should look at."""
    from embedstore_cli.change import told_of_pictures

    found = told_of_pictures(store, plan)
    if plan.without_side:
        found.append(
            f"{console.count(plan.without_side, 'new sample has', 'new samples have')} no side of the split, so summaries of one "
            "do not see them (--side gives one)"
        )
    if plan.without_group:
        found.append(
            f"{console.count(plan.without_group, 'new sample has', 'new samples have')} no group, so a part that the store has "
            f"already may come to two sides of the split (groups are found with: embedstore twins '{store}')"
        )
    if plan.moved:
        found.append(
            f"{console.count(plan.moved, 'picture is', 'pictures are')} under another name now and no more under the old one; "
            "label, part, side and verdict go along"
            + (f", but {plan.moved_to_another_label} moved to another label" if plan.moved_to_another_label else "")
        )
    return found


def _on(plan: "SummaryPlan") -> str:
    from embedstore.refreshing.plan import STAYS

    if plan.how == STAYS:
        return f"'{plan.name}' stays{f', for {plan.why}' if plan.why else ''}."
    timed = "not timed yet" if plan.seconds is None else f"{plan.seconds:.1f} s last time"
    return (
        f"'{plan.name}' ({plan.strategy}): {plan.how}; {plan.came} samples come, {plan.left} leave, labels "
        f"{', '.join(plan.labels)}; {timed}."
    )


def _outcome(store: Path, report: "RefreshReport", *, dry_run: bool, alone: bool) -> str:
    """Say what was done in one line; `alone`, where the plan was not told, with what is to be looked at."""
    from embedstore_cli.build import broken_samples

    plan = report.plan
    told = "".join(f"; {sentence}" for sentence in _doubts(store, plan)) if alone else ""
    if plan.unreadable:
        told += f"; {console.count(len(plan.unreadable), 'picture', 'pictures')} can't be used, see: embedstore info '{store}'"
    if report.pictures is not None and report.pictures.broken:
        told += f"; {broken_samples(report.pictures, store)}"
    if plan.nothing:
        return f"'{store}' is fresh at version {report.version}: nothing to do{told}."
    if dry_run:
        return "Nothing was written."
    did = report.pictures
    parts = (
        []
        if did is None
        else [f"{did.new} new", f"{did.changed} changed", f"{did.updated} updated", f"{did.removed} removed"]
    )
    parts += [f"{report.sides} got a side"] if report.sides else []
    parts += [
        f"summary {name} " + (f"with {', '.join(one.again)} made again" if one.again else "updated")
        for name, one in report.summaries.items()
    ]
    back = f"; back with: embedstore rollback '{store}' {report.tag}" if report.tag else ""
    return (
        f"'{store}' went from version {report.before} to {report.version} in {_minutes(report.seconds)}: {', '.join(parts)}"
        f"{told}{back}"
    )


def _minutes(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds < 60 else f"{seconds / 60:.1f} min"


def _facts(report: "RefreshReport", dry_run: bool) -> dict[str, Any]:
    plan = report.plan
    return {
        "dry_run": dry_run,
        "nothing_to_do": plan.nothing,
        "before": report.before,
        "version": report.version,
        "tag": report.tag,
        "seconds": report.seconds,
        "plan": {
            **{name: value for name, value in vars(plan).items() if name != "summaries"},
            "to_embed": plan.to_embed,
            "seconds": plan.seconds,
            "summaries": [vars(one) for one in plan.summaries],
        },
        "pictures": None if report.pictures is None else vars(report.pictures),
        "sides": report.sides,
        "summaries": {
            name: {
                "came": one.came,
                "left": one.left,
                "updated": one.updated,
                "made_again": one.again,
                "losses": one.losses,
                "seconds": one.seconds,
            }
            for name, one in report.summaries.items()
        },
    }

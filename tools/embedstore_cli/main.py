"""The `embedstore` command."""

import typer

from embedstore_cli import (
    add,
    build,
    compact,
    console,
    delete,
    export,
    import_,
    index,
    info,
    inspect,
    log,
    query,
    relabel,
    repair,
    split,
    summaries,
    summarize,
    tag,
    twins,
    upgrade,
    verify,
)

app = typer.Typer(
    help="Keep every embedding that a vision teacher gave, and look into them.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
for verb in (
    build.build,
    add.add,
    delete.delete,
    relabel.relabel,
    info.info,
    log.log,
    tag.tag,
    compact.compact,
    upgrade.upgrade,
    verify.verify,
    repair.repair,
    split.split,
    summarize.summarize,
    summaries.summaries,
    export.export,
    import_.import_,
    query.query,
    index.index,
    twins.twins,
    inspect.inspect,
):
    app.command()(verb)


def main() -> None:
    """Run the command."""
    console.run(app, interrupted="Stopped. What was finished is kept; give the same command again.")

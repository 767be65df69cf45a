"""The `embedstore` command."""

import typer

from embedstore_cli import build, console, export, import_, info, inspect, query, split, summaries, summarize, twins

app = typer.Typer(
    help="Keep every embedding that a vision teacher gave, and look into them.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
for verb in (
    build.build,
    info.info,
    split.split,
    summarize.summarize,
    summaries.summaries,
    export.export,
    import_.import_,
    query.query,
    twins.twins,
    inspect.inspect,
):
    app.command()(verb)


def main() -> None:
    """Run the command."""
    console.run(app, interrupted="Stopped. What was finished is kept; the same command goes on from there.")

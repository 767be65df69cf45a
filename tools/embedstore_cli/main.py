"""The `embedstore` command."""

import sys

from embedstore_cli.exit_codes import ExitCode

try:
    import typer

    from embedstore_cli import (
        add,
        build,
        compact,
        console,
        delete,
        drift,
        export,
        import_,
        index,
        info,
        inspect,
        log,
        map,
        migrate,
        query,
        refresh,
        relabel,
        release_option,
        repair,
        rollback,
        serve,
        split,
        suggest,
        summaries,
        summarize,
        tag,
        thin,
        triage,
        twins,
        undo,
        upgrade,
        verify,
    )
except KeyboardInterrupt:  # all this takes a moment, in which Ctrl-C would end in a traceback
    sys.exit(ExitCode.INTERRUPTED)

app = typer.Typer(
    help="Keep every embedding that a vision teacher gave, and look into them.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


@app.callback()
def _begin(version: release_option.ReleaseOption = False) -> None:
    pass


for verb in (
    build.build,
    add.add,
    refresh.refresh,
    delete.delete,
    relabel.relabel,
    triage.triage,
    undo.undo,
    rollback.rollback,
    info.info,
    log.log,
    tag.tag,
    compact.compact,
    migrate.migrate,
    thin.thin,
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
    suggest.suggest,
    drift.drift,
    serve.serve,
    map.map,
):
    app.command()(verb)


# What Ctrl-C leaves behind.
_KEPT = "Stopped. What was finished is kept; the same command goes on from there."
_NOTHING = "Stopped. Nothing was changed; give the same command again."
_WHOLE = "Stopped. The change was made whole or not at all: see whether embedstore log has it, else give the same command again."
_SUMMARISED = (
    "Stopped. The summary was saved whole or not at all: see embedstore summaries, else give the same command again."
)
_SERVED = "Stopped. The page is gone; what was saved on it is in the store."
# Or replaced in one last step.
_READING = {
    "info",
    "log",
    "query",
    "inspect",
    "suggest",
    "drift",
    "export",
    "verify",
    "compact",
    "thin",
    "index",
    "map",
}
_GOING_ON = {"build", "add", "refresh", "migrate"}
_LEFT = {
    **dict.fromkeys(_READING, _NOTHING),
    **dict.fromkeys(_GOING_ON, _KEPT),
    "summarize": _SUMMARISED,
    "serve": _SERVED,
}


def main() -> None:
    """Run the command."""
    verb = next((word for word in sys.argv[1:] if not word.startswith("-")), "")
    console.run(app, interrupted=_LEFT.get(verb, _WHOLE))


if __name__ == "__main__":
    main()

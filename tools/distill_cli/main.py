"""The `distill` command."""

import sys

from embedstore_cli.exit_codes import ExitCode

try:
    import typer

    from distill.training.ranks import refuse_ranks
    from distill_cli import advise, compare, evaluate, export, gate, init, predict, train
    from embedstore_cli import console, release_option
except KeyboardInterrupt:  # all this takes a moment, in which Ctrl-C would end in a traceback
    sys.exit(ExitCode.INTERRUPTED)

app = typer.Typer(
    help="Train small students from an embedstore, without the teacher.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


@app.callback()
def _begin(context: typer.Context, version: release_option.ReleaseOption = False) -> None:
    if context.invoked_subcommand not in {None, "train"}:
        refuse_ranks(f"distill {context.invoked_subcommand}")


for verb in (
    init.init,
    advise.advise,
    train.train,
    evaluate.evaluate,
    compare.compare,
    gate.gate,
    export.export,
    predict.predict,
):
    app.command()(verb)


# What Ctrl-C leaves behind.
_EPOCHS = "Stopped. Finished epochs are kept; the same command goes on from there"
_WHOLE = "Stopped. The file was written whole or not at all; where it was not, give the same command again."
_ANEW = "Stopped. Each file was written whole or not at all; give the same command again."
_LEFT = {
    "train": f"{_EPOCHS} with --resume.",
    **dict.fromkeys(("advise", "compare"), f"{_EPOCHS}."),
    **dict.fromkeys(("init", "export"), _WHOLE),
}


def main() -> None:
    """Run the command."""
    verb = next((word for word in sys.argv[1:] if not word.startswith("-")), "")
    console.run(app, interrupted=_LEFT.get(verb, _ANEW))


if __name__ == "__main__":
    main()

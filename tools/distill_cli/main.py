"""The `distill` command."""

import typer

from distill.training.ranks import refuse_ranks
from distill_cli import advise, compare, evaluate, export, gate, init, predict, train
from embedstore_cli import console
from embedstore_cli.release_option import ReleaseOption

app = typer.Typer(
    help="Train small students from an embedstore, without the teacher.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


@app.callback()
def _begin(context: typer.Context, version: ReleaseOption = False) -> None:
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


def main() -> None:
    """Run the command."""
    console.run(
        app,
        interrupted="Stopped. Finished epochs are kept; the same command goes on from there (train: with --resume).",
    )


if __name__ == "__main__":
    main()

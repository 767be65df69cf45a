"""`--version` of a whole command: which release it is of. The verbs' own `--version` is that of a store."""

from typing import Annotated

import typer

import embedstore


def _tell(asked: bool) -> None:
    if asked:
        typer.echo(f"embedstore {embedstore.__version__}")
        raise typer.Exit


ReleaseOption = Annotated[
    bool, typer.Option("--version", callback=_tell, is_eager=True, help="Print the release of embedstore and exit.")
]

"""embedstore serve: the live page of a store."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from embedstore_cli import console


def serve(
    store: Annotated[Path, typer.Argument(help="The store.", show_default=False)],
    against: Annotated[
        str | None,
        typer.Option(
            help="Compare with this saved summary; where not given, with 16 sub-prototypes a label of the training side, made "
            "for this and not saved.",
            show_default=False,
        ),
    ] = None,
    run: Annotated[
        Path | None,
        typer.Option(help="A finished run: colour held-out pictures by the error of its student.", show_default=False),
    ] = None,
    images: Annotated[
        Path | None,
        typer.Option(help="Where the pictures are now, if not where the store was built from.", show_default=False),
    ] = None,
    port: Annotated[int, typer.Option(help="Where to listen; 0: any that is free.", min=0, max=65535)] = 8765,
    host: Annotated[
        str,
        typer.Option(
            help="127.0.0.1: only this machine. Another, such as 0.0.0.0, lets in who has the token that is printed."
        ),
    ] = "127.0.0.1",
    open_browser: Annotated[bool, typer.Option("--open", help="Open the page in the browser.")] = False,
) -> None:
    """Show a store as a live page: a map, the oddest samples and why, prototypes, suggestions, search; and take decisions.

    What people decide there is saved as versions of the store, like those of embedstore triage, and can be undone there.

    Example: embedstore serve parts.store --against sub-prototypes --open
    """
    import webbrowser

    import embedstore
    from embedstore.errors import MissingPackageError, SettingsError
    from embedstore_cli.run_scores import held_out_scores

    try:
        from embedstore_inspector import serving
    except ImportError as error:
        raise MissingPackageError(
            "The live page needs Starlette and Uvicorn: pip install 'embedstore[serve]'"
        ) from error

    if images is not None and not images.is_dir():
        raise SettingsError(f"The image folder '{images}' does not exist; give the folder that holds the pictures.")
    student = None
    if run is not None:
        with embedstore.open(store) as opened:
            student = held_out_scores(run, opened)
    with serving.listen(store, host=host, port=port, against=against, student=student, images=images) as server:
        console.say(f"The page of '{store}' is at {server.address}")
        if server.elsewhere is not None:
            if server.elsewhere != server.address:
                console.say(f"From other machines: {server.elsewhere}")
            console.say("It is plain HTTP: who can listen on the network can read all of it, the token too.")
        console.say("Ctrl-C ends it.")
        if open_browser:
            webbrowser.open(server.address)
        serving.run(server)

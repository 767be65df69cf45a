"""distill init: a first task file for a store."""

from pathlib import Path
from typing import Annotated

import typer

from embedstore_cli import console


def init(
    store: Annotated[Path, typer.Argument(help="The store.", show_default=False)],
    out: Annotated[Path, typer.Option(help="The task file; one that is there is never replaced.")] = Path("task.toml"),
    good: Annotated[
        str | None, typer.Option(help="The label of good parts; by its name where not given.", show_default=False)
    ] = None,
    no_good: Annotated[
        bool, typer.Option("--no-good", help="There is no label of good parts: report the recall of each label.")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="Print as JSON.")] = False,
) -> None:
    """Look at a store's labels and views, and write a task file that fits it, for a person to read and change.

    Example: distill init parts.store --good good --out task.toml
    """
    import embedstore
    from distill.training.task_draft import draft_task
    from distill.training.task_file import write_task
    from embedstore.store.embedding_store import refuse_unbuilt

    with embedstore.open(store) as opened:
        refuse_unbuilt(opened)
        draft = draft_task(opened, good=good, without_good=no_good)
    write_task(out, draft.text)
    if json:
        console.print_json({"path": str(out), "settings": draft.settings.to_dict(), "remarks": draft.remarks})
        return
    console.say(
        *draft.remarks,
        f"Wrote '{out}'. Read it, change what you like, then: distill train '{store}' --task '{out}' --out RUN",
    )

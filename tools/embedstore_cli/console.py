"""What all verbs share: errors as one sentence, JSON, tables, progress. Both commands use it."""

import json
import os
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, is_dataclass
from typing import Any

import typer

from embedstore.errors import EmbedstoreError

BAD_INPUT, INTERRUPTED = 2, 130


def run(app: typer.Typer) -> None:
    """Run a command; a mistake of the user's ends in one sentence on stderr and exit code 2, never in a traceback."""
    # A picture with too many pixels is set aside with its reason; Pillow's own warning would only repeat it.
    warnings.filterwarnings("ignore", message="Image size .* exceeds limit")
    try:
        app()
    except EmbedstoreError as error:
        fail(str(error), BAD_INPUT)
    except KeyboardInterrupt:
        fail("Stopped. What was finished is kept; the same command goes on from there.", INTERRUPTED)
    except BrokenPipeError:  # the reader of our output went away, as `head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)


def fail(sentence: str, code: int) -> None:
    """Print a sentence to stderr and exit."""
    from rich.console import Console
    from rich.text import Text

    Console(stderr=True, soft_wrap=True).print(Text("Error: ", style="bold red") + Text(sentence))
    sys.exit(code)


def print_json(values: Any) -> None:
    """Print plain values or a dataclass as JSON, and nothing else."""
    plain = asdict(values) if is_dataclass(values) and not isinstance(values, type) else values
    json.dump(plain, sys.stdout, indent=2, ensure_ascii=False, allow_nan=False, default=list)
    sys.stdout.write("\n")


def say(*lines: str) -> None:
    """Print lines as they are: file names may hold what a markup language would take for its own."""
    from rich.console import Console

    console = Console(soft_wrap=True, highlight=False)
    for line in lines:
        console.print(line, markup=False)


def table(title: str, columns: list[str], rows: list[list[str]], *, right: tuple[int, ...] = ()) -> None:
    """Print a table; the columns whose numbers are in `right` are aligned to the right."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    shown = Table(title=Text(title), title_justify="left", header_style="bold", box=None, pad_edge=False)
    for number, column in enumerate(columns):
        shown.add_column(Text(column), justify="right" if number in right else "left", overflow="fold")
    for row in rows:
        shown.add_row(*(Text(cell) for cell in row))
    Console(highlight=False).print(shown)


@contextmanager
def progress(what: str, unit: str) -> Iterator[Callable[[int, int], None]]:
    """Show a bar on stderr while inside; yields a function of (done, total)."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn(unit),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task(what, total=None)

        def update(done: int, total: int) -> None:
            bar.update(task, completed=done, total=total)

        yield update

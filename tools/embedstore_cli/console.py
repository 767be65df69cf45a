"""What all verbs share: errors as one sentence, JSON, tables, progress. Both commands use it."""

import io
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
from embedstore.visible import visible

BAD_INPUT, INTERRUPTED = 2, 130


def run(app: typer.Typer, *, interrupted: str) -> None:
    """Run a command; a mistake of the user's ends in one sentence on stderr and exit code 2, never in a traceback.

    Args:
        app: the command.
        interrupted: what to say after Ctrl-C.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a redirected stream on Windows knows no Japanese
            stream.reconfigure(encoding="utf-8")
    # A picture with too many pixels is set aside with its reason; Pillow's own warning would only repeat it.
    warnings.filterwarnings("ignore", message="Image size .* exceeds limit")
    try:
        app()
    except EmbedstoreError as error:
        fail(str(error), BAD_INPUT)
    except SystemExit as stop:
        if stop.code == INTERRUPTED:  # what Typer makes of Ctrl-C
            fail(interrupted, INTERRUPTED)
        raise
    except BrokenPipeError:  # the reader of our output went away, as `head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except OSError as error:  # a path that the system refuses: no permission, name too long, disk full
        if error.filename is None:
            raise
        fail(
            f"'{error.filename}' can't be used: {error.strerror}; check the path, its permissions and the disk.",
            BAD_INPUT,
        )


def fail(sentence: str, code: int) -> None:
    """Print a sentence to stderr and exit."""
    from rich.console import Console
    from rich.text import Text

    start = Text("") if code == INTERRUPTED else Text("Error: ", style="bold red")
    Console(stderr=True, soft_wrap=True).print(start + Text(visible(sentence)))
    sys.exit(code)


def print_json(values: Any) -> None:
    """Print plain values or a dataclass as JSON, and nothing else."""
    plain = asdict(values) if is_dataclass(values) and not isinstance(values, type) else values
    json.dump(plain, sys.stdout, indent=2, ensure_ascii=False, allow_nan=False)
    sys.stdout.write("\n")


def say(*lines: str) -> None:
    """Print lines as they are: file names may hold what a markup language would take for its own."""
    from rich.console import Console

    console = Console(soft_wrap=True, highlight=False)
    for line in lines:
        console.print(visible(line), markup=False)


def table(title: str, columns: list[str], rows: list[list[str]], *, right: tuple[int, ...] = ()) -> None:
    """Print a table; the columns whose numbers are in `right` are aligned to the right."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    shown = Table(title=Text(visible(title)), title_justify="left", header_style="bold", box=None, pad_edge=False)
    for number, column in enumerate(columns):
        shown.add_column(Text(visible(column)), justify="right" if number in right else "left", overflow="fold")
    for row in rows:
        shown.add_row(*(Text(visible(cell)) for cell in row))
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

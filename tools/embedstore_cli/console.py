"""What all verbs share: errors as one sentence, JSON, tables, progress. Both commands use it."""

import contextlib
import io
import json
import os
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, is_dataclass
from typing import Any, NoReturn, TextIO

import typer

from embedstore.errors import EmbedstoreError
from embedstore.visible import visible

BAD_INPUT, INTERRUPTED = 2, 130
_WIDE = 1_000_000  # letters


def run(app: typer.Typer, *, interrupted: str) -> None:
    """Run a command; a mistake of the user's ends in one sentence on stderr and exit code 2, never in a traceback.

    Args:
        app: the command.
        interrupted: what to say after Ctrl-C.
    """
    _open_streams()
    try:
        try:
            with _warnings_as_sentences():
                app()
        finally:
            sys.stdout.flush()  # a full disk is told here, not by Python at its end
    except EmbedstoreError as error:
        fail(str(error), BAD_INPUT)
    except KeyboardInterrupt:
        fail(interrupted, INTERRUPTED)
    except SystemExit as stop:
        if stop.code == INTERRUPTED:  # what Typer makes of Ctrl-C
            fail(interrupted, INTERRUPTED)
        raise
    except UnicodeEncodeError as error:
        fail(f"The text '{error.object}' is not valid UTF-8; give it in another way, or rename it.", BAD_INPUT)
    except BrokenPipeError:  # the reader of our output went away, as `head` does
        _drop(sys.stdout)
        sys.exit(1)
    except OSError as error:  # a path that the system refuses: no permission, name too long, disk full
        if error.strerror is None:
            raise
        if error.filename is None:
            _drop(sys.stdout)
            fail(
                f"The system refused to read or write ({error.strerror}); check the disk, and where the output goes.",
                BAD_INPUT,
            )
        fail(
            f"'{error.filename}' can't be used: {error.strerror}; check the path, its permissions and the disk.",
            BAD_INPUT,
        )


@contextmanager
def _warnings_as_sentences() -> Iterator[None]:
    """Print warnings of our own as sentences on stderr, without the place in the code."""
    with warnings.catch_warnings():
        # A picture with too many pixels is set aside with its reason; Pillow's own warning would only repeat it.
        warnings.filterwarnings("ignore", message="Image size .* exceeds limit")
        shown = warnings.showwarning

        def show(
            message: Warning | str,
            category: type[Warning],
            filename: str,
            lineno: int,
            file: TextIO | None = None,
            line: str | None = None,
        ) -> None:
            if category.__module__.startswith("embedstore."):
                typer.echo(f"Warning: {visible(str(message))}", err=True)
            else:
                shown(message, category, filename, lineno, file, line)

        warnings.showwarning = show
        yield


def _open_streams() -> None:
    """Make the standard streams fit for all that is printed, closed ones (`>&-`) too."""
    if sys.stdin is None:
        sys.stdin = open(os.devnull, encoding="utf-8")  # noqa: SIM115 (for as long as the program runs)
    if sys.stdout is None:
        sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a redirected stream on Windows knows no Japanese
            stream.reconfigure(encoding="utf-8")


def _drop(stream: TextIO) -> None:
    """Send what is still waiting in a stream nowhere."""
    with contextlib.suppress(OSError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def fail(sentence: str, code: int) -> NoReturn:
    """Print a sentence to stderr and exit."""
    from rich.console import Console
    from rich.text import Text

    start = Text("") if code == INTERRUPTED else Text("Error: ", style="bold red")
    try:
        Console(stderr=True, soft_wrap=True).print(start + Text(visible(sentence)))
    except OSError:
        _drop(sys.stderr)  # the exit code is all that can be told
    sys.exit(code)


def outputs(dims: dict[str, int]) -> str:
    """Return a teacher's outputs with their dimensions."""
    return ", ".join(f"{name} ({dim})" for name, dim in dims.items())


def count(number: int, one: str, many: str) -> str:
    """Return a number with what is counted, in the singular or the plural."""
    return f"{number} {one if number == 1 else many}"


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
        console.print(visible(line), markup=False, emoji=False)


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
    console = Console(highlight=False)
    if not console.is_terminal:  # a program that reads it wants a row in one line
        console.width = _WIDE
    console.print(shown)


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


class Steps:
    """One bar after another, for what is done one after another."""

    def __init__(self) -> None:
        self._bars, self._step = contextlib.ExitStack(), ""

    def __enter__(self) -> "Steps":
        return self

    def __exit__(self, *error: object) -> None:
        self._bars.close()

    def progress(self, step: str, done: int, total: int) -> None:
        """Show how far a step is."""
        if step != self._step:
            self._bars.close()
            self._step, unit = step, "samples" if total > 1 else ""
            self._update = self._bars.enter_context(progress(step, unit))
        self._update(done, total)

"""What all verbs share: errors as one sentence, JSON, tables, progress. Both commands use it."""

import contextlib
import io
import json
import os
import signal
import sys
import threading
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, is_dataclass
from types import FrameType, TracebackType
from typing import Any, NoReturn, TextIO

import typer

from embedstore.errors import EmbedstoreError, StoreLockedError, system_refusal
from embedstore.visible import visible
from embedstore_cli.exit_codes import ExitCode

_WIDE = 1_000_000  # letters
_QUOTED = 80  # letters, of a text that can't be written
_WHOLE = 30  # columns of the terminal, of a cell that is not broken


def run(app: typer.Typer, *, interrupted: str) -> None:
    """Run a command; a mistake of the user's ends in one sentence on stderr and exit code 2, never in a traceback.

    A mistake of ours ends in a traceback and 2 as well: Python's own 1 would be taken for the answer of a verb, such as drift.

    Args:
        app: the command.
        interrupted: what to say after Ctrl-C.
    """
    _open_streams()
    with _interrupts_noted() as stopped:
        _run(app, stopped, interrupted)


def _run(app: typer.Typer, stopped: list[int], interrupted: str) -> None:
    try:
        _call(app)
    except StoreLockedError as error:
        fail(str(error), ExitCode.LOCKED)
    except EmbedstoreError as error:
        if stopped and error.__cause__ is not None:  # what a library made of Ctrl-C may look like damage
            fail(interrupted, ExitCode.INTERRUPTED)
        fail(str(error), ExitCode.ERROR)
    except KeyboardInterrupt:
        fail(interrupted, ExitCode.INTERRUPTED)
    except UnicodeEncodeError as error:
        fail(f"The text '{_around(error)}' is not valid UTF-8; give it in another way, or rename it.", ExitCode.ERROR)
    except BrokenPipeError:  # the reader of our output went away, as `head` does
        _drop(sys.stdout)
        sys.exit(ExitCode.BROKEN_PIPE)
    except Exception as error:  # noqa: BLE001  it is told whole
        if stopped:
            fail(interrupted, ExitCode.INTERRUPTED)
        if isinstance(error, OSError) and error.strerror is not None:
            _fail_by_system(error)
        with contextlib.suppress(OSError):
            traceback.print_exc()
        sys.exit(ExitCode.ERROR)


@contextmanager
def _interrupts_noted() -> Iterator[list[int]]:
    """Note Ctrl-C, which a library may make another error of: NumPy, comparing rows in `np.unique`, was seen to make a TypeError.

    Where another handles it, or it is ignored, as under nohup, that stays so.
    """
    stopped: list[int] = []

    def note(number: int, frame: FrameType | None) -> None:
        stopped.append(number)
        signal.default_int_handler(number, frame)

    ours = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    ours = ours and threading.current_thread() is threading.main_thread()  # no other may ask for signals
    if ours:
        signal.signal(signal.SIGINT, note)
    try:
        yield stopped
    finally:
        if ours:
            signal.signal(signal.SIGINT, signal.default_int_handler)


def _call(app: typer.Typer) -> None:
    """Run a command; what Typer makes exit codes of its own of is raised as it came."""
    try:
        try:
            with _warnings_as_sentences():
                app()
        finally:
            sys.stdout.flush()  # a full disk is told here, not by Python at its end
    except SystemExit as stop:
        if stop.code == ExitCode.INTERRUPTED:
            raise KeyboardInterrupt from stop
        cause = stop.__context__
        if isinstance(cause, typer.Abort):  # what Typer makes of an EOFError, such as of a file that is cut off
            cause = cause.__cause__
        if isinstance(cause, BrokenPipeError | EOFError):
            raise cause from None
        raise


def _around(error: UnicodeEncodeError) -> str:
    """Return the text that can't be written; of a long one, such as a whole table, what is around the place."""
    text, first = error.object, max(error.start - _QUOTED // 2, 0)
    return text if len(text) <= _QUOTED else f"...{text[first : first + _QUOTED]}..."


def _fail_by_system(error: OSError) -> NoReturn:
    if error.filename is None:
        _drop(sys.stdout)
    fail(system_refusal(error), ExitCode.ERROR)


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
            if category.__module__.startswith(("embedstore.", "distill.")):
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


def fail(sentence: str, code: ExitCode) -> NoReturn:
    """Print a sentence to stderr and exit."""
    from rich.console import Console
    from rich.text import Text

    start = Text("") if code is ExitCode.INTERRUPTED else Text("Error: ", style="bold red")
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


@contextmanager
def only_the_report_on_stdout() -> Iterator[None]:
    """Send to stderr whatever is printed while inside, such as Ray's remarks on what it loses: scripts read the report."""
    with contextlib.redirect_stdout(sys.stderr):
        yield


def say(*lines: str) -> None:
    """Print lines as they are: file names may hold what a markup language would take for its own."""
    from rich.console import Console

    console = Console(soft_wrap=True, highlight=False)
    for line in lines:
        console.print(visible(line), markup=False, emoji=False)


def table(
    title: str, columns: list[str], rows: list[list[str]], *, right: tuple[int, ...] = (), whole: tuple[int, ...] = ()
) -> None:
    """Print a table; the columns whose numbers are in `right` are aligned to the right.

    On a narrow terminal the others are broken before those in `whole` are, unless these have cells that are long by themselves.
    """
    from rich.cells import cell_len
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    shown = Table(title=Text(visible(title)), title_justify="left", header_style="bold", box=None, pad_edge=False)
    for number, column in enumerate(columns):
        unbroken = number in whole and all(cell_len(visible(row[number])) <= _WHOLE for row in rows)
        shown.add_column(
            Text(visible(column)), justify="right" if number in right else "left", overflow="fold", no_wrap=unbroken
        )
    for row in rows:
        shown.add_row(*(Text(visible(cell)) for cell in row))
    console = Console(highlight=False)
    if not console.is_terminal:  # a program that reads it wants a row in one line
        console.width = _WIDE
    console.print(shown)


@contextmanager
def progress(what: str, unit: str, *, then: str | None = None) -> Iterator[Callable[[int, int], None]]:
    """Show a bar on stderr while inside; yields a function of (done, total).

    Where an error ends it before anything was done, it leaves nothing: the sentence of a refusal stands alone.

    Args:
        what: is done.
        unit: of the numbers.
        then: what follows when all is done, which the bar says meanwhile; None where nothing takes long.
    """
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
            if done < bar.tasks[0].completed:  # the same once more: the time that the last one took tells nothing
                bar.reset(task)
            bar.update(task, completed=done, total=total, description=then if then and done == total else what)

        try:
            yield update
        except BaseException:
            bar.live.transient = not bar.tasks[0].completed
            raise
        bar.update(task, description=what)


class Steps:
    """One bar after another, for what is done one after another."""

    def __init__(self) -> None:
        self._bars, self._step = contextlib.ExitStack(), ""

    def __enter__(self) -> "Steps":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bars.__exit__(kind, error, trace)

    def close(self) -> None:
        """End the bar of the last step."""
        self._bars.close()
        self._step = ""

    def progress(self, step: str, done: int, total: int, unit: str = "samples") -> None:
        """Show how far a step is, and of what; a step of one piece has no unit."""
        if step != self._step:
            self.close()
            self._step = step
            self._update = self._bars.enter_context(progress(step, unit if total > 1 else ""))
        self._update(done, total)

"""distill advise: which way of training a task needs, found by short trials, as a task file with its reasons."""

from __future__ import annotations

import shlex
import sys
import unicodedata
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from distill.advice.candidates import CANDIDATES
from distill.advice.needs import Needs
from distill_cli import options
from embedstore.errors import SettingsError
from embedstore_cli import console

_DEFAULT = Needs()
_STAGES = {
    "looking": "Looking at the store",
    "measuring": "Measuring paces (ways)",
    "patches": "Looking at patches (folds)",
    "trying": "Trials (epochs)",
}


class Language(StrEnum):
    """Of the sentences."""

    en = "en"
    ja = "ja"


def advise(
    store: Annotated[Path, typer.Argument(help="The store.", show_default=False)],
    good: options.Good = None,
    overkill: options.Overkill = None,
    escape: Annotated[
        float | None,
        typer.Option(help="Share of defects that may pass, instead of the overkill: only 0.", show_default=False),
    ] = None,
    minutes: Annotated[
        float, typer.Option(help="How long the trials may take, with measuring how long an epoch takes.")
    ] = _DEFAULT.minutes,
    train_minutes: Annotated[
        float | None,
        typer.Option(
            help=options.explained("How long the training after them may take here.", "what 100 epochs take"),
            show_default=False,
        ),
    ] = None,
    max_megabytes: Annotated[
        float | None,
        typer.Option(
            help="The most that the student's weights, and patches where they are asked, may take at the terminal.",
            show_default=False,
        ),
    ] = None,
    max_milliseconds: Annotated[
        float | None,
        typer.Option(
            help="The most that one picture may take there, measured here with one thread, all its flips counted.",
            show_default=False,
        ),
    ] = None,
    ways: Annotated[
        str | None,
        typer.Option(
            help=options.explained("Which ways to try, with commas between.", ",".join(one.name for one in CANDIDATES)),
            show_default=False,
        ),
    ] = None,
    images: Annotated[Path | None, typer.Option(help="The image folder, where it has moved.")] = None,
    out: Annotated[Path, typer.Option(help="The task file.")] = Path("task.toml"),
    force: Annotated[bool, typer.Option("--force", help="Replace a task file that is there.")] = False,
    trials: Annotated[
        Path | None,
        typer.Option(
            help=options.explained("The directory of the trials.", "beside the task file"), show_default=False
        ),
    ] = None,
    jobs: Annotated[int, typer.Option(help="Trainings at a time, each with one thread where several.")] = 1,
    language: Annotated[Language, typer.Option(help="Of the sentences.")] = Language.en,
    json: Annotated[bool, typer.Option("--json", help="Print as JSON.")] = False,
) -> None:
    """Look at a store, try a few ways of training within a stated time, and write a task file for the one that fits.

    The simplest way whose figure is at most two points below the best is advised; the file gives the reasons. Finished trials
    are kept: after an interruption the same command goes on.

    Example: distill advise parts.store --good good --overkill 0.05 --minutes 20 --out task.toml
    """
    if overkill is not None and escape is not None:
        raise SettingsError("--overkill and --escape exclude each other; give one of them.")
    needs = Needs(
        good=None if good is None else unicodedata.normalize("NFC", good),  # as a store has it
        overkill=_DEFAULT.overkill if overkill is None else overkill,
        escape=escape,
        minutes=minutes,
        train_minutes=train_minutes,
        max_megabytes=max_megabytes,
        max_milliseconds=max_milliseconds,
        ways=() if ways is None else tuple(name.strip() for name in ways.split(",")),
    )
    import distill
    from distill.advice.look_words import unsure
    from distill.advice.task import refuse_place, table, task_text, write_advice
    from distill.advice.trial_words import doubts
    from distill.advice.words import reasons
    from embedstore.pages.words import in_language

    refuse_place(out, replace=force)
    place = out.with_name(f"{out.stem}.trials") if trials is None else trials
    with _progress() as progress:
        advice = distill.advise(store, place, needs, images=images, jobs=jobs, progress=progress)
    moved = [] if images is None else ["--images", str(images)]
    train_with = shlex.join(["distill", "train", str(store), "--task", str(out), *moved, "--out", "RUN"])
    text = task_text(
        advice, written_by=shlex.join(["distill", *sys.argv[1:]]), train_with=train_with, language=language
    )
    write_advice(out, text, replace=force)
    if json:
        console.print_json(advice.to_dict() | {"path": str(out), "trials": str(place)})
        return
    tempered = [*unsure(advice.looks), *doubts(advice)]
    console.say(
        *(in_language(one, language) for one in reasons(advice)),
        *table(advice, language),
        *(in_language(one, language) for one in tempered),
    )
    console.say(
        f"Wrote '{out}', with all reasons at its top; the trials are in '{place}'. Read it, change what you like, then: "
        f"{train_with}"
    )


@contextmanager
def _progress() -> Iterator[Callable[[str, int, int], None]]:
    """Show a bar for each stage on stderr; yields a function of (stage, done, total)."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True)) as bars:
        tasks: dict[str, TaskID] = {}

        def update(stage: str, done: int, total: int) -> None:
            if stage not in tasks:
                tasks[stage] = bars.add_task(_STAGES[stage], total=total)
            bars.update(tasks[stage], completed=done, total=total)

        yield update

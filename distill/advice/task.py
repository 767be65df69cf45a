"""An advice as a task file that `distill train` takes: the reasons as comments at the top, the settings below."""

from __future__ import annotations

import os
import textwrap
from collections.abc import Sequence
from pathlib import Path

from distill.advice.advice import Advice
from distill.advice.decision import NO_ESCAPE, Standing
from distill.advice.look_words import shown
from distill.advice.trial_words import doubts, tried
from distill.advice.words import figure_named, reasons, share
from distill.training import run_directory
from distill.training.task_file import write_task
from distill.training.task_format import format_task
from embedstore.errors import SettingsError
from embedstore.files import try_to_write
from embedstore.pages import Text
from embedstore.pages.words import in_language
from embedstore.visible import visible

_WIDTH = 110  # of a line of comments, in letters; Japanese, which has no blanks to break at, gets a line a sentence


def task_text(advice: Advice, *, written_by: str, train_with: str, language: str = "en") -> str:
    """Return the text of the task file.

    Args:
        advice: to write down.
        written_by: the command that made the advice.
        train_with: the command that trains by it.
        language: of the comments, `en` or `ja`.
    """
    parts: list[tuple[Text, Sequence[Text]]] = [
        (Text("The advice", "推奨"), reasons(advice)),
        (Text("What was tried", "試したこと"), tried(advice)),
        (Text("What the store shows", "ストアから分かること"), shown(advice.looks)),
        (Text("What the trials can't tell", "試行では分からないこと"), doubts(advice)),
    ]
    lines = [
        visible(f"{in_language(Text('Written by', '作成'), language)}: {written_by}"),
        visible(f"{in_language(Text('Train with', '学習'), language)}: {train_with}"),
    ]
    for title, said in parts:
        lines += ["", in_language(title, language)]
        for one in said:
            lines += _wrapped(in_language(one, language), language)
        if said is parts[1][1]:
            lines += ["", *table(advice, language)]
    return format_task(advice.settings, heading=lines).replace("# \n", "#\n")


def write_advice(path: str | os.PathLike[str], text: str, *, replace: bool) -> None:
    """Write a task file, complete or not at all.

    Args:
        path: of the file.
        text: of it.
        replace: one that is there already.

    Raises:
        SettingsError: the file is there already, or its directory is not.
    """
    refuse_place(path, replace=replace)
    if replace:
        run_directory.write_text(Path(path), text)
    else:
        write_task(path, text)


def refuse_place(path: str | os.PathLike[str], *, replace: bool) -> None:
    """Refuse at once what would else be refused when all trials are done.

    Raises:
        SettingsError: see `write_advice`.
        OSError: the system does not let it be written.
    """
    target = Path(path)
    if not target.parent.is_dir():
        raise SettingsError(f"The directory '{target.parent}' does not exist; make it first.")
    if target.is_dir():
        raise SettingsError(f"'{target}' is a directory; choose another name for the task file.")
    if not replace and os.path.lexists(target):
        raise SettingsError(f"'{target}' exists; choose another name for the task file, or replace it with --force.")
    try_to_write(target)


def table(advice: Advice, language: str = "en") -> list[str]:
    """Return the ways side by side, a line each, the simplest first; the advised one is marked."""
    decision = advice.decision
    counted = [Text("as counted", "合わせた値")] if decision.counts_alone else []
    columns = [
        Text("way", "方法"),
        figure_named(decision.figure),
        Text("95 % interval", "95 % 区間"),
        *counted,
        Text("recall", "検出率"),
        Text("overkill", "誤判定率"),
        Text("MB", "MB"),
        Text("ms", "ms"),
        Text("s an epoch", "秒/エポック"),
    ]
    rows = [[in_language(column, language) for column in columns]]
    for standing in decision.standings:
        need, pace = advice.footprints[standing.name], advice.paces[standing.name]
        low, high = standing.deciding.low, standing.deciding.high
        rows.append(
            [
                f"{'>' if standing.name == decision.chosen else ' '} {standing.name}",
                share(standing.deciding.value),
                "–" if low is None or high is None else f"{share(low)} – {share(high)}",
                *(share(standing.judged) for _ in counted),
                *_recall_and_overkill(advice, standing),
                f"{need.megabytes:.1f}",
                f"{need.milliseconds:.1f}",
                f"{pace.epoch_of(advice.training):.1f}",
            ]
        )
    if advice.needs.good is None:  # no escapes, no overkill
        rows = [row[: 3 + len(counted)] + row[5 + len(counted) :] for row in rows]
    widths = [max(_columns(row[at]) for row in rows) for at in range(len(rows[0]))]
    return ["  ".join(_padded(cell, width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]


def _recall_and_overkill(advice: Advice, standing: Standing) -> tuple[str, str]:
    """Return both at the threshold that was asked for."""
    own = advice.decision.figures_of(standing.name)
    if advice.decision.figure == NO_ESCAPE:
        return share(own.zero_escape_recall), share(own.zero_escape_overkill)
    return share(own.recall), share(own.overkill)


def _wrapped(sentence: str, language: str) -> list[str]:
    plain = visible(sentence)
    if language != "ja":
        kept = plain.replace(" %", "\u00a0%")  # on one line with its number
        lines = textwrap.wrap(kept, _WIDTH, initial_indent="- ", subsequent_indent="  ", break_on_hyphens=False)
        return [line.replace("\u00a0", " ") for line in lines]
    first, *rest = plain.replace("。", "。\n").rstrip("\n").split("\n")
    return [f"- {first}", *(f"  {one}" for one in rest)]


def _columns(text: str) -> int:
    """Return how many columns of an editor a text takes: a Japanese letter takes two."""
    from unicodedata import east_asian_width

    return sum(2 if east_asian_width(letter) in "WF" else 1 for letter in text)


def _padded(text: str, width: int) -> str:
    return text + " " * (width - _columns(text))

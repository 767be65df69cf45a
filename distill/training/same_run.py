"""Whether a run's directory holds the very run that is asked for: its settings, on its data, with its summaries."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import zip_longest
from pathlib import Path
from typing import Any

from distill.training.settings import Settings
from distill.training.task_file import TASK
from embedstore.errors import TrainingError

CONTENTS = "contents"  # of the store: `source.contents_of`
LAYERS = "layers"  # in what numbers the student's layers compute


def refuse_other(path: Path, begun: Mapping[str, Any], asked: Mapping[str, Any]) -> None:
    """Refuse to go on with a run that was begun otherwise.

    Args:
        path: the run's directory.
        begun: its description.
        asked: the description of the run that is to go on; without `summaries` it is compared without them.

    Raises:
        TrainingError: it has other settings, another store, another student to begin with, or another summary.
    """
    _refuse_other_settings(path, begun, asked)
    _refuse_other_store(path, begun["store"], asked["store"])
    begun_with, begins_with = (one.get("from", {}).get("student") for one in (begun, asked))
    if begun_with != begins_with:
        other = f"the student of '{begun['from']['path']}'" if begun_with else "no other run's student"
        again = "with the --from that it was begun with" if begun_with else "without --from"
        raise TrainingError(f"The run in '{path}' began with {other}; resume it {again}, or choose another directory.")
    if "summaries" in begun and "summaries" in asked:
        _refuse_other_summaries(path, begun["summaries"], asked["summaries"])


def refuse_two_stores(one: Mapping[str, Any], other: Mapping[str, Any]) -> None:
    """Refuse figures of two stores, or of two files: one that was made anew has versions of the same numbers.

    Args:
        one: the table `store` of a run's description.
        other: that of another run.

    Raises:
        TrainingError: they differ in more than where the store is.
    """
    for key in sorted((one.keys() & other.keys()) - {"path"}):  # earlier releases noted less
        if one[key] != other[key]:
            raise TrainingError(
                f"The store '{one['path']}' was made anew while runs trained, so they learned from different contents ({key} is "
                "another), and their figures can't be compared; begin again in another directory."
            )


def refuse_other_layers(path: Path, begun: Mapping[str, Any], layers: str) -> None:
    """Refuse to go on with a training in other numbers, as the precision `auto` would on another kind of processor.

    Raises:
        TrainingError: it was begun in others.
    """
    if begun.get(LAYERS, layers) != layers:  # earlier releases did not note it
        raise TrainingError(
            f"The run in '{path}' was begun in {begun[LAYERS]}, which its precision means on another kind of processor or GPU, "
            f"and here it would go on in {layers}; go on with it there, or train again in another directory."
        )


def _refuse_other_settings(path: Path, begun: Mapping[str, Any], asked: Mapping[str, Any]) -> None:
    before = Settings().to_dict() | begun["settings"]  # what an earlier release did not know was as it is now
    others = [
        f"{key} = {_shown(before.get(key))}, not {_shown(value)}"
        for key, value in asked["settings"].items()
        if before.get(key) != value
    ]
    if others:
        raise TrainingError(
            f"The run in '{path}' was begun with {'; '.join(others)}; resume it with what it was begun with, "
            f"which `distill train --resume` takes from '{path / TASK}' where no setting is given, or choose another directory."
        )


def _refuse_other_store(path: Path, begun: Mapping[str, Any], asked: Mapping[str, Any]) -> None:
    for key, value in asked.items():
        if key == CONTENTS and key not in begun:  # earlier releases did not note it
            continue
        if begun.get(key) == value:
            continue
        if key == CONTENTS:
            raise TrainingError(
                f"The run in '{path}' learned from other pictures, labels, groups or sides than the store '{asked['path']}' has, "
                "which was built anew since; choose another directory."
            )
        raise _begun_with(path, key, begun.get(key), value)


def _begun_with(path: Path, key: str, before: object, now: object) -> TrainingError:
    return TrainingError(
        f"The run in '{path}' was begun with {key} = {before}, not {now}; resume it with what it was begun with, or choose "
        "another directory."
    )


def _shown(value: object) -> object:
    return "unset" if value is None else value


def _refuse_other_summaries(path: Path, before: list[dict[str, Any]], now: list[dict[str, Any]]) -> None:
    for was, this in zip_longest(before, now, fillvalue=dict[str, Any]()):
        for key in [*this, *was]:
            if was.get(key) != this.get(key):
                raise TrainingError(
                    f"The summary '{this.get('name', was.get('name'))}' is another than when the run in '{path}' was begun "
                    f"({key} = {this.get(key)}, then {was.get(key)}); choose another directory to train with it as it is now."
                )

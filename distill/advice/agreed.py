"""What a directory of trials was begun for and with: kept, so that an interrupted call goes on with the very same."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from distill.advice.footprint import Footprint, LeftOut
from distill.advice.trials import Pace, Plan
from distill.training import run_directory
from embedstore.errors import SettingsError
from embedstore.pages import Text

PLAN = "plan.json"
_OF_STORE = ("store", "version", "contents")  # in a request


@dataclass(frozen=True)
class Agreed:
    """What a directory of trials was begun for and with, so that it goes on with the very same.

    Attributes:
        request: all that the trials hang on.
        plan: of the trials.
        paces, footprints: measured then, of each candidate that is tried.
        left_out: the candidates that are not.
    """

    request: dict[str, Any]
    plan: Plan
    paces: dict[str, Pace]
    footprints: dict[str, Footprint]
    left_out: list[LeftOut]


def begun_version(trials: Path) -> int | None:
    """Return which version of the store the trials in a directory were begun with; None where none were, or damage hides it."""
    try:
        version = json.loads((trials / PLAN).read_text("utf-8"))["request"]["version"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return version if type(version) is int else None


def _holds_more(trials: Path) -> bool:
    """Return whether a directory holds more than what a process that was killed as it wrote the plan may have left."""
    return any(not one.match(f".{PLAN}.new-*") for one in trials.iterdir())


def read_agreed(trials: Path, request: Mapping[str, Any]) -> Agreed | None:
    """Return what the trials in a directory were begun for; None where none were begun.

    Raises:
        SettingsError: they were begun for something else, or the file is damaged, or the directory holds something else.
    """
    path = trials / PLAN
    if not path.exists():
        if trials.exists() and (not trials.is_dir() or _holds_more(trials)):
            raise SettingsError(f"'{trials}' holds other files and no trials; choose another directory: --trials DIR")
        return None
    try:
        kept = json.loads(path.read_text("utf-8"))
        agreed = Agreed(
            dict(kept["request"]),
            Plan(**kept["plan"]),
            {name: Pace(**pace) for name, pace in kept["paces"].items()},
            {name: Footprint(**need) for name, need in kept["footprints"].items()},
            [
                LeftOut(one["name"], one["footprint"] and Footprint(**one["footprint"]), Text(**one["why"]))
                for one in kept["left_out"]
            ],
        )
        _refuse_damage(agreed)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise SettingsError(f"'{path}' is damaged; delete '{trials}' to begin the trials again.") from error
    now = json.loads(json.dumps(request))
    agreed.request.setdefault("contents", now.get("contents"))  # earlier releases did not note them
    if any(agreed.request.get(name) != now.get(name) for name in _OF_STORE):
        raise SettingsError(
            f"The trials in '{trials}' were begun on other contents of the store, which was built anew since, or is another; "
            "delete them to begin again, or choose another directory: --trials DIR"
        )
    for name in [*now, *agreed.request]:
        if agreed.request.get(name) != now.get(name):
            where, before, after = _difference(name, agreed.request.get(name), now.get(name))
            raise SettingsError(
                f"The trials in '{trials}' were begun with {where} = {_short(before)}, not {_short(after)}; go on with what they "
                "were begun with, choose another directory (--trials DIR), or delete this one."
            )
    return agreed


def _refuse_damage(agreed: Agreed) -> None:
    """Refuse what no call of `write_agreed` has written.

    Raises:
        ValueError: a number is none, or is out of range.
        TypeError: it is something else.
    """
    plan = agreed.plan
    counts = (plan.folds, plan.seeds, plan.epochs)
    if not agreed.footprints or not agreed.footprints.keys() <= agreed.paces.keys():
        raise ValueError("a way has no pace")
    if any(type(one) is not int or one < 1 for one in (*counts, *(pace.pictures for pace in agreed.paces.values()))):
        raise ValueError("a count is none")
    times = [plan.seconds, *(time for pace in agreed.paces.values() for time in (pace.start, pace.epoch))]
    if not all(math.isfinite(time) and time >= 0 for time in times):
        raise ValueError("a time is none")


def write_agreed(trials: Path, agreed: Agreed) -> None:
    """Write down what the trials are for, before the first of them."""
    trials.mkdir(parents=True, exist_ok=True)
    run_directory.write_json(trials / PLAN, asdict(agreed))


def _difference(name: str, before: Any, after: Any) -> tuple[str, Any, Any]:
    """Return where two values differ first, as deep as both have the same keys, and what stands there in each."""
    if isinstance(before, dict) and isinstance(after, dict) and before.keys() == after.keys():
        key = next(key for key in after if before[key] != after[key])
        return _difference(f"{name}.{key}", before[key], after[key])
    return name, before, after


def _short(value: Any) -> str:
    text = ", ".join(value) if isinstance(value, dict) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 80 else f"{text[:79]}…"

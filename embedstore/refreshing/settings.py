"""What a refresh is told, by hand or by a `refresh.toml` that a cron or Task Scheduler job names.

    images = "/data/parts"       # the folder that holds the images; the store's own where not given
    manifest = "/data/parts.csv" # what is known of them
    limit = 0.05                 # how far a label's averaging loss may rise before it is clustered again

Paths are relative to the file's folder, since such jobs start anywhere.
"""

from __future__ import annotations

import json
import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from embedstore.errors import SettingsError
from embedstore.files import write_whole
from embedstore.images import SPLITS
from embedstore.parameters import is_one_of

CONFIG = "refresh.toml"
# Beyond what another seed of the clustering does by itself: of eight seeds on magnetic tiles, 8 or 32 prototypes a label, the
# mean distances lie within 0.6 to 3.9 % of each other.
LIMIT = 0.05

_LARGEST = 1 << 16  # bytes
_KINDS: dict[str, tuple[tuple[type, ...], str]] = {
    "images": ((str,), "a path in quotation marks"),
    "manifest": ((str,), "a path in quotation marks"),
    "teacher": ((str,), "a text in quotation marks"),
    "prune": ((bool,), "true or false"),
    "side": ((str,), f"one of {', '.join(SPLITS)}, in quotation marks"),
    "limit": ((float,), "a number, 0 or more, such as 0.05"),
    "keep": ((int,), "a whole number, 1 or more"),
}
_SAID = {
    "images": "the folder that holds the images; where not given, the one that the store remembers",
    "manifest": "CSV or Parquet that says what is known of them, as for build",
    "teacher": "where it is loaded from; the store's own where not given",
    "prune": "remove samples whose picture is not listed any more",
    "side": "of the split, for samples that have none; a group that is on a side draws its new pictures there",
    "limit": "how far a label's averaging loss may rise, as a share of what it was, before the label is clustered again",
    "keep": "so many refreshes can be rolled back, and their summaries read; where not given, all",
}


@dataclass(frozen=True)
class RefreshSettings:
    """What a refresh is told.

    Attributes:
        images: the folder that holds the images; None: the one that the store remembers.
        manifest: says what is known of them; None: the folder's names are the labels.
        teacher: where it is loaded from; None: the store's own.
        prune: remove samples whose picture is not listed any more.
        side: of the split, for samples without one; None leaves them without.
        limit: by which share a label's averaging loss may rise since it was last clustered, before it is clustered again.
        keep: how many refreshes can be rolled back, the last ones; None: all.

    Raises:
        SettingsError: a value can't be.
    """

    images: str | None = None
    manifest: str | None = None
    teacher: str | None = None
    prune: bool = False
    side: str | None = None
    limit: float = LIMIT
    keep: int | None = None

    def __post_init__(self) -> None:
        if self.side is not None and self.side not in SPLITS:
            raise SettingsError(f"The side '{self.side}' is unknown; use one of {', '.join(SPLITS)}.")
        if not 0 <= self.limit < float("inf"):
            raise SettingsError(f"The limit is {self.limit}; expected a number, 0 or more.")
        if self.keep is not None and self.keep < 1:
            raise SettingsError(f"The refreshes to keep are {self.keep}; expected 1 or more, or none given for all.")


def read_config(path: str | os.PathLike[str], changes: Mapping[str, Any] | None = None) -> RefreshSettings:
    """Read a `refresh.toml`.

    Args:
        path: of the file.
        changes: settings that rule over the file's.

    Raises:
        SettingsError: the file is missing or no TOML, or it says what can't be; the sentence names the file and the key.
    """
    file = Path(path)
    given = _load(file)
    for name, value in given.items():
        if name not in _KINDS:
            near = get_close_matches(name, _KINDS, 1, 0.5)
            hint = f"did you mean '{near[0]}'?" if near else f"known are {', '.join(_KINDS)}."
            raise SettingsError(f"In '{file}', the key '{name}' is unknown; {hint}")
        kinds, expected = _KINDS[name]
        if not is_one_of(kinds, value):
            raise SettingsError(f"In '{file}', {name} is {json.dumps(value, default=str)}; expected {expected}.")
    for name in ("images", "manifest"):
        if name in given:
            given[name] = str(file.resolve().parent / given[name])
    try:
        return RefreshSettings(**(given | dict(changes or {})))
    except SettingsError as error:
        raise SettingsError(f"'{file}' can't be used: {error}") from error


def write_config(path: str | os.PathLike[str], settings: RefreshSettings) -> None:
    """Write a `refresh.toml` with all keys, each with what it means, those not given as comments; complete or not at all.

    Paths are written in full.

    Raises:
        SettingsError: the file is there already, or its directory is not.
    """
    target = Path(path)
    if os.path.lexists(target):
        raise SettingsError(f"'{target}' exists; choose another name, or remove it first.")
    if not target.parent.is_dir():
        raise SettingsError(f"The directory '{target.parent}' does not exist; make it first.")
    lines = ["# What `embedstore refresh STORE --config` of this file does. Unknown keys are refused.", ""]
    for field in fields(RefreshSettings):
        value = getattr(settings, field.name)
        if field.name in ("images", "manifest") and value is not None:
            value = str(Path(value).resolve())
        lines.append(f"# {_SAID[field.name]}")
        example = {"images": "photos", "manifest": "photos.csv", "teacher": "timm:...", "side": "train", "keep": 7}
        shown = json.dumps(example[field.name] if value is None else value, ensure_ascii=False)
        lines += [f"{'# ' if value is None else ''}{field.name} = {shown}", ""]
    write_whole(target, "\n".join(lines).encode())


def _load(path: Path) -> dict[str, Any]:
    if not os.path.isfile(path):
        what = "is a directory" if os.path.isdir(path) else "does not exist"
        raise SettingsError(
            f"'{path}' {what}; write such a file with: embedstore refresh STORE --write-config '{path}'"
        )
    with path.open("rb") as file:
        data = file.read(_LARGEST + 1)
    if len(data) > _LARGEST:
        raise SettingsError(f"'{path}' has more than {_LARGEST} bytes, so it is no {CONFIG}; name another.")
    try:
        return tomllib.loads(data.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise SettingsError(f"'{path}' is not UTF-8 text; save it as UTF-8 in the editor.") from error
    except (ValueError, RecursionError) as error:
        raise SettingsError(
            f"'{path}' is no valid TOML: {str(error).rstrip('.')}; expected lines such as limit = 0.05."
        ) from error

"""What a terminal model says of pictures, and the files that it is written to. Needs no PyTorch."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

from distill.terminal.facts import Map
from distill.terminal.where import Numbers, Place
from embedstore.errors import ModelError
from embedstore.files import try_to_write, write_whole
from embedstore.pages.words import Text

_COLUMNS = ("path", "decision", "score", "threshold", "nearest")
_BEGINNINGS = {
    ".csv": ",".join(_COLUMNS) + "\n",
    ".json": '{\n  "by": "',
}  # of the files that `Predictions.write` makes


class By(StrEnum):
    """Who says what a picture is."""

    head = "head"  # the run's own answer, whichever that is
    prototypes = "prototypes"
    retrieval = "retrieval"


@dataclass(frozen=True)
class Prediction:
    """What a model says of one picture.

    Attributes:
        path: of the picture, as it was found.
        decision: a label: the good one, or that of a defect.
        score: of being a defect; None without a good label.
        threshold: above which a picture is rejected; None without a good label.
        nearest: which defect of the gallery is the most alike; None by the head.
        where: which place looks most like a defect; None where the model was not trained with patches.
    """

    path: str
    decision: str
    score: float | None
    threshold: float | None
    nearest: str | None = None
    where: Place | None = None

    @property
    def rejected(self) -> bool:
        """Whether its score is above the threshold; never without a good label."""
        return self.score is not None and self.threshold is not None and self.score > self.threshold


@dataclass(frozen=True)
class Predictions:
    """What a model says of some pictures.

    Attributes:
        by: who was asked.
        pictures: in the order of their paths.
        set_aside: path -> why it can't be read.
        remarks: sentences on where the threshold comes from, and what was compared with, in English and in Japanese.
        maps: path -> (side, side) how much each place looks like a defect; see `model.Seen`. None are written to files.
        map: of which form these are; None where the model makes none.
        answer: who was taught to say what a picture is, one of `settings.ANSWERS`; None where that is not known.
        labelled_set_aside: the same as `set_aside`, of labelled pictures that were to be compared with: no part goes without a
            decision for them.
    """

    by: By
    pictures: list[Prediction]
    set_aside: dict[str, str] = field(default_factory=dict)
    remarks: list[Text] = field(default_factory=list)
    maps: dict[str, Numbers] = field(default_factory=dict, repr=False, compare=False)
    map: Map | None = None
    answer: str | None = None
    labelled_set_aside: dict[str, str] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, without the maps; remarks in English."""
        return {
            "by": self.by,
            "pictures": [asdict(one) for one in self.pictures],
            "set_aside": dict(self.set_aside),
            "labelled_set_aside": dict(self.labelled_set_aside),
            "remarks": [one.en for one in self.remarks],
        }

    def to_csv(self) -> str:
        """Return a table with one line a picture; what can't be read is not in it, and neither is where a defect is.

        It is for programs: a cell that begins with `=`, `+`, `-` or `@` is as it is, and a spreadsheet would take it for a
        formula.
        """
        rows = ([getattr(one, name) for name in _COLUMNS] for one in self.pictures)
        return "".join(map(_csv_line, [_COLUMNS, *rows]))

    def write(self, path: Path) -> None:
        """Write a `.csv` or `.json` file in UTF-8, without a byte-order mark, in one step.

        Raises:
            ModelError, OSError: it can't be written there; see `check_place`.
        """
        check_place(path)
        plain = json.dumps(self.to_dict(), indent=2, ensure_ascii=False, allow_nan=False)
        write_whole(path, (plain if path.suffix.lower() == ".json" else self.to_csv()).encode())


def _csv_line(cells: Sequence[str | float | None]) -> str:
    """Return a line that ends in a line feed alone, as on every system."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\r\n").writerow(cells)  # so that texts with either are put in quotes
    return text.getvalue().removesuffix("\r\n") + "\n"


def check_place(path: Path, beginnings: Mapping[str, str] = _BEGINNINGS, what: str = "decisions") -> None:
    """Refuse at once what `Predictions.write` would refuse when all pictures have been asked.

    Earlier decisions are replaced. Any other file is left alone: a manifest of the same pictures is easily given the same name.

    Args:
        path: of the file.
        beginnings: its ending -> with what each file begins that may be replaced.
        what: these hold.

    Raises:
        ModelError: the name ends in neither `.csv` nor `.json`, its directory is not there, or another file has it.
        OSError: the system does not let it be written.
    """
    beginning = beginnings.get(path.suffix.lower())
    if beginning is None:
        endings = "neither .csv nor .json" if len(beginnings) > 1 else f"something other than {next(iter(beginnings))}"
        raise ModelError(f"The name '{path}' ends in {endings}; give the file one that does.")
    if not path.resolve().parent.is_dir():
        raise ModelError(f"There is no directory '{path.parent}' to write '{path.name}' to; make it first.")
    if path.is_dir():
        raise ModelError(f"'{path}' is a directory; give the name of a file.")
    if path.exists():
        wanted = beginning.encode()
        with path.open("rb") as file:
            found = file.read(len(wanted))
        if found not in (b"", wanted):
            raise ModelError(f"'{path}' holds something other than {what}; choose another name, or move it away.")
    try_to_write(path)

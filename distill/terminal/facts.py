"""What a terminal model says of itself, as JSON inside of its ONNX file: labels, threshold, preprocessing, teacher."""

from __future__ import annotations

import base64
import json
from dataclasses import asdict, dataclass, replace
from typing import Any, get_args

import numpy as np
import numpy.typing as npt

from distill.training.settings import ANSWERS
from embedstore.vectors import Vectors
from embedstore.views import Fit

Probabilities = npt.NDArray[np.float64]

KEY = "embedstore.terminal"  # of the metadata
FORMAT = 1
PRECISIONS = ("float32", "int8")
_MOST_CLASSES, _MOST_NUMBERS = 10_000, 1 << 20
_MOST_PLACES = 1024  # a side


@dataclass(frozen=True)
class Map:
    """How a model says where a defect is: by a number for each place of the square to which it cuts a picture.

    Attributes:
        side: so many places across, and as many down.
        fit: how a picture is brought to a square.
    """

    side: int
    fit: Fit


@dataclass(frozen=True)
class Facts:
    """What goes with a graph.

    Attributes:
        classes: the labels; probabilities are in this order.
        good: the label of good parts, or None.
        threshold: a picture is rejected where 1 - p(good) is above it; None without a good label.
        overkill: the share of good validation parts that the threshold was chosen for; None without a good label.
        student: its name.
        policy: what it was taught.
        answer: who says what a picture is; one of `settings.ANSWERS`. It is in the graph.
        size: side of what the student sees, in pixels. Cutting to it is in the graph.
        student_side: pictures are resized once to this short side before the graph sees them.
        flips: over how many flips the graph averages.
        features: f, how many numbers the student makes of a picture.
        precision: `float32` or `int8`.
        teacher: its name.
        fingerprint: the teacher's.
        centre: (d,) what was taken off the teacher's vectors before the student learned them; None where it learned none.
        no_vectors: why it has learned no vectors of the teacher, as half a sentence; None where it has.
        release: of embedstore.
        where: of its map of where a defect is; None where it makes none, as those of earlier releases.
    """

    classes: tuple[str, ...]
    good: str | None
    threshold: float | None
    overkill: float | None
    student: str
    policy: str
    answer: str
    size: int
    student_side: int
    flips: int
    features: int
    precision: str
    teacher: str
    fingerprint: str
    centre: Vectors | None
    no_vectors: str | None
    release: str
    where: Map | None = None

    def at(self, threshold: float | None) -> Facts:
        """Return the same with another threshold, where there is a good label."""
        return self if self.good is None else replace(self, threshold=threshold)

    def scores(self, probabilities: Probabilities) -> Probabilities:
        """Return the defect scores (n,) of probabilities (n, classes); there must be a good label."""
        assert self.good is not None  # noqa: S101  asked before
        scores: Probabilities = 1 - probabilities[:, self.classes.index(self.good)]
        return scores

    def decisions(self, probabilities: Probabilities) -> list[str]:
        """Return the labels (n,) that probabilities (n, classes) mean: where rejected, that of the most likely defect."""
        if self.good is None or self.threshold is None:
            return [self.classes[at] for at in probabilities.argmax(axis=1)]
        defects = [at for at, label in enumerate(self.classes) if label != self.good]
        likely = probabilities[:, defects].argmax(axis=1)
        rejected = self.scores(probabilities) > self.threshold
        return [self.classes[defects[at]] if no else self.good for at, no in zip(likely, rejected, strict=True)]

    def to_json(self) -> str:
        """Return it as a text."""
        centre = None if self.centre is None else base64.b64encode(self.centre.astype("<f4").tobytes()).decode()
        plain = asdict(replace(self, centre=None)) | {"centre": centre, "format": FORMAT}
        if self.where is None:
            del plain["where"]  # as earlier releases write it, and read it
        return json.dumps(plain, ensure_ascii=False, sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> Facts:
        """Read what `to_json` gave; the text may be hostile.

        Raises:
            ValueError: it is something else; the message says what.
        """
        try:
            plain = json.loads(text)
        except RecursionError as error:
            raise ValueError("its facts are no JSON") from error
        if not isinstance(plain, dict):
            raise ValueError("its facts are no table")
        if plain.get("format") != FORMAT:
            raise ValueError(f"its format is {plain.get('format')!r}, and this program reads {FORMAT}")
        _check_names(plain)
        _check(plain)
        centre = plain["centre"]
        if centre is not None:
            found = np.frombuffer(base64.b64decode(centre, validate=True), "<f4").astype(np.float32)
            if not 0 < len(found) <= _MOST_NUMBERS or not np.isfinite(found).all():
                raise ValueError("its centre is no vector")
            plain["centre"] = found
        if (plain["centre"] is None) == (plain["no_vectors"] is None):
            raise ValueError("it does not say whether it has vectors of the teacher")
        del plain["format"]
        where = Map(**plain["where"]) if "where" in plain else None
        return cls(**plain | {"classes": tuple(plain["classes"]), "where": where})


def _check_names(plain: dict[str, Any]) -> None:
    known = {"format", *Facts.__dataclass_fields__}
    if odds := (plain.keys() | {"where"}) ^ known:
        odd = min(odds)
        raise ValueError(f"its facts {'lack' if odd in known else 'have an unknown'} '{odd[:80]}'")


def _check(plain: dict[str, Any]) -> None:
    """Refuse facts of the wrong kind, or that do not fit together."""

    def demand(holds: bool, name: str) -> None:
        if not holds:
            raise ValueError(f"its '{name}' is {str(plain[name])[:80]!r}")

    classes, good = plain["classes"], plain["good"]
    demand(
        isinstance(classes, list)
        and 2 <= len(classes) <= _MOST_CLASSES
        and all(isinstance(label, str) and label for label in classes)
        and len(set(classes)) == len(classes),
        "classes",
    )
    demand(good is None or good in classes, "good")
    for name in ("threshold", "overkill"):
        number = plain[name]
        demand((number is None) == (good is None) and (number is None or _is_share(number)), name)
    for name in ("student", "policy", "teacher", "fingerprint", "release"):
        demand(isinstance(plain[name], str) and bool(plain[name]), name)
    for name, low, high in (
        ("size", 16, 4096),
        ("student_side", 16, 65_535),
        ("flips", 1, 4),
        ("features", 1, 1 << 20),
    ):
        demand(type(plain[name]) is int and low <= plain[name] <= high, name)
    demand(plain["answer"] in ANSWERS, "answer")
    demand(plain["precision"] in PRECISIONS, "precision")
    demand("where" not in plain or _is_map(plain["where"]), "where")
    for name in ("centre", "no_vectors"):
        demand(plain[name] is None or isinstance(plain[name], str), name)


def _is_map(where: object) -> bool:
    """Return whether it says what `Map` does."""
    return (
        isinstance(where, dict)
        and where.keys() == set(Map.__dataclass_fields__)
        and type(where["side"]) is int
        and 1 <= where["side"] <= _MOST_PLACES
        and where["fit"] in get_args(Fit)
    )


def _is_share(number: object) -> bool:
    """Return whether it is a number that a probability or a share can be, up to rounding."""
    return isinstance(number, int | float) and not isinstance(number, bool) and -1e-6 <= number <= 1 + 1e-6

"""Whether a file for the terminal says what PyTorch says, and how long each takes: on the test side of its run."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from distill.answers.patches import SIZES, Patches
from distill.evaluation.metrics import Flags, rejected_share
from distill.students import device
from distill.terminal.facts import Facts, Probabilities
from distill.terminal.graph import Terminal
from distill.terminal.model import Picture, Seen, TerminalModel, as_input
from distill.training.answers import asked_of
from distill.training.evaluate import FinishedRun
from distill.training.scoring import class_probabilities

_TIMED = 30  # pictures
_READ_AT_ONCE = 64

Progress = Callable[[str, int, int], None]  # step, done, in all


@dataclass(frozen=True)
class Figures:
    """What a student does on the test side of its run; the shares at the run's threshold, None without a good label.

    Attributes:
        recall: share of defective pictures that it rejects.
        overkill: share of good ones that it rejects.
        milliseconds: for one picture on one thread, from resized pixels to the answer: the median of several.
    """

    recall: float | None
    overkill: float | None
    milliseconds: float


@dataclass(frozen=True)
class Agreement:
    """How far a file agrees with PyTorch, picture by picture.

    Attributes:
        precision: `float32` or `int8`.
        bytes: of the file.
        largest_difference: of any picture's score; without a good label, of any probability.
        changed: how many decisions differ.
        figures: what the file does.
        largest_where: difference of any place of any picture's map of where a defect is, in standard deviations, or as a share
            of what is more than one; None where the file makes none.
    """

    precision: str
    bytes: int
    largest_difference: float
    changed: int
    figures: Figures
    largest_where: float | None = None


@dataclass(frozen=True)
class Reference:
    """The n labelled pictures of a run's test side, as PyTorch answers on them.

    Attributes:
        run: it is of.
        positions: (n,) in the run's source.
        timed: some of the pictures, on which time is taken.
        probabilities: (n, classes) as `distill evaluate` has them.
        defect: (n,) which show a defect; none without a good label.
        facts: of the model in float32.
        figures: of PyTorch.
        where: (n, side, side) see `Patches.where`; None without patches.
    """

    run: FinishedRun
    positions: npt.NDArray[np.int64]
    timed: list[Picture]
    probabilities: Probabilities
    defect: Flags
    facts: Facts
    figures: Figures
    where: npt.NDArray[np.float32] | None

    @classmethod
    def of(cls, run: FinishedRun, facts: Facts, model: Terminal) -> Reference:
        """Ask PyTorch; for the time, the very module that is written as ONNX."""
        samples = run.data.samples
        positions = np.array([at for at in run.data.sides["test"] if samples[at].label is not None], np.int64)
        timed = list(pictures_at(run, positions[: _TIMED + 1]))
        asked = asked_of(run.path, run.settings, run.student, run.data.classes)
        probabilities = class_probabilities(run.student, run.pictures, positions, run.flips, asked)
        defect = np.array([facts.good is not None and samples[at].label != facts.good for at in positions])
        with _one_thread(), torch.inference_mode():
            taken = _milliseconds(lambda picture: model(torch.from_numpy(picture)), timed)
        figures = Figures(*_shares(facts, probabilities, defect), taken)
        where = None if asked.patches is None or asked.patches.usual is None else _where(run, asked.patches, positions)
        return cls(run, positions, timed, probabilities, defect, facts, figures, where)

    def __len__(self) -> int:
        return len(self.positions)

    def seen(self, model: TerminalModel, progress: Progress) -> list[Seen]:
        """Return what a file says of each picture."""
        found = []
        for picture in pictures_at(self.run, self.positions):
            found.append(model.look(picture))
            progress(f"Checking {model.facts.precision}", len(found), len(self))
        return found

    def agreement(self, model: TerminalModel, seen: list[Seen]) -> Agreement:
        """Compare what a file said with PyTorch, and time it."""
        said, facts = np.stack([one.probabilities for one in seen]), self.facts
        scores = [each if facts.good is None else facts.scores(each) for each in (said, self.probabilities)]
        pairs = zip(model.facts.decisions(said), facts.decisions(self.probabilities), strict=True)
        return Agreement(
            precision=model.facts.precision,
            bytes=model.path.stat().st_size,
            largest_difference=float(np.abs(scores[0] - scores[1]).max()),
            changed=sum(one != other for one, other in pairs),
            figures=Figures(*_shares(model.facts, said, self.defect), _milliseconds(model.look, self.timed)),
            largest_where=self._largest_where(seen),
        )

    def _largest_where(self, seen: list[Seen]) -> float | None:
        maps = [one.where for one in seen if one.where is not None]
        if self.where is None:
            return None
        return float((np.abs(np.stack(maps) - self.where) / np.abs(self.where).clip(1)).max())


def pictures_at(run: FinishedRun, positions: npt.NDArray[np.int64]) -> Iterator[Picture]:
    """Yield the pictures at some positions of a run's source as a terminal gets them: resized once, not cut."""
    for start in range(0, len(positions), _READ_AT_ONCE):
        read = run.pictures.read(positions[start : start + _READ_AT_ONCE])
        yield from (as_input(pixels.transpose(1, 0, 2)) for pixels in read.pixels)


def _where(run: FinishedRun, patches: Patches, positions: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
    """Return the maps (n, side, side) of where a defect is, of the pictures at some positions of a run's source."""
    found = []
    with torch.inference_mode():
        for start in range(0, len(positions), _READ_AT_ONCE):
            cuts = run.pictures.whole(positions[start : start + _READ_AT_ONCE], SIZES, device())
            found.append(patches.where(cuts).cpu().numpy())
    return np.concatenate(found)


def _shares(facts: Facts, probabilities: Probabilities, defect: Flags) -> tuple[float | None, float | None]:
    """Return recall and overkill at the run's threshold."""
    if facts.good is None or facts.threshold is None:
        return None, None
    scores = facts.scores(probabilities)
    return rejected_share(scores[defect], facts.threshold), rejected_share(scores[~defect], facts.threshold)


def _milliseconds(look: Callable[[Picture], object], pictures: list[Picture]) -> float:
    """Return how long one picture takes, in the median; the first is not counted."""
    taken = []
    for picture in pictures:
        started = time.perf_counter()
        look(picture)
        taken.append(time.perf_counter() - started)
    return 1000 * float(np.median(taken[1:] or taken))


@contextmanager
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)

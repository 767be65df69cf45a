"""One kind of defect left out: which pictures training saw, which set the threshold, which are tested, which may be added."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from embedstore.errors import SettingsError
from embedstore.images import Sample

Positions = npt.NDArray[np.int64]

COUNTS = (0, 1, 3, 5, 10)  # parts that are added
LEAST_TESTED = 3  # parts of the new kind that are left to be tested
NEW, KNOWN, GOOD = "new", "known", "good"
ADDED = (NEW, KNOWN, GOOD)  # parts of the new kind; the controls: of kinds that training knows, and good ones


@dataclass(frozen=True)
class Case:
    """The pictures of a store with one kind of defect left out, as positions in it.

    What is added as a control comes from the validation side, so training saw none of it, and the test side stays as it is.

    Attributes:
        mode: the kind that was left out.
        parts: (n,) the part that each picture of the store shows.
        defect: (n,) which are defects.
        train: what the gallery begins with, and what centre and scale come from.
        val_good: good pictures of the validation side, which set the threshold.
        val_known: its defects, of kinds that training knows.
        test_good: good pictures of the test side.
        test_known: its defects.
        new: pictures of the kind that was left out.
    """

    mode: str
    parts: npt.NDArray[np.str_]
    defect: npt.NDArray[np.bool_]
    train: Positions
    val_good: Positions
    val_known: Positions
    test_good: Positions
    test_known: Positions
    new: Positions

    @classmethod
    def of(cls, samples: Sequence[Sample], sides: Mapping[str, str], mode: str, good: str) -> Case:
        """Take the sides of a run.

        Args:
            samples: of the store, in its order.
            sides: id -> side, as the run has them.
            mode: the kind that the run never saw.
            good: the label of good parts.

        Raises:
            SettingsError: a part that shows that kind is not aside, so the run may have seen it, or none shows it.
        """
        left_out = {one.part for one in samples if one.mode == mode}
        seen = sorted(one.id for one in samples if one.part in left_out and sides[one.id] != "aside")
        if seen or not left_out:
            what = f"the part of '{seen[0]}' shows it and is not aside" if seen else "no picture shows it"
            raise SettingsError(f"The run did not leave '{mode}' out: {what}; train again in another directory.")

        def at(side: str, *, defect: bool) -> Positions:
            return np.array(
                [i for i, one in enumerate(samples) if sides[one.id] == side and (one.label != good) == defect],
                np.int64,
            )

        return cls(
            mode,
            np.array([one.part for one in samples]),
            np.array([one.label != good for one in samples], bool),
            np.sort(np.concatenate([at("train", defect=False), at("train", defect=True)])),
            at("val", defect=False),
            at("val", defect=True),
            at("test", defect=False),
            at("test", defect=True),
            np.array([i for i, one in enumerate(samples) if one.mode == mode], np.int64),
        )

    @property
    def asked(self) -> Positions:
        """What is asked about, side by side as `divided` parts it."""
        return np.concatenate([self.val_good, self.test_good, self.test_known, self.new])

    def divided(self, values: npt.NDArray[np.float64]) -> list[npt.NDArray[np.float64]]:
        """Part the values of what is `asked` about: val_good, test_good, test_known, new."""
        ends = np.cumsum([len(self.val_good), len(self.test_good), len(self.test_known)])
        return np.split(values, ends)

    @property
    def counts(self) -> tuple[int, ...]:
        """How many parts can be added so that enough of the new kind are left to be tested, and there are as many controls."""
        most = min(len(self.parts_of(NEW)) - LEAST_TESTED, len(self.parts_of(KNOWN)), len(self.parts_of(GOOD)))
        return tuple(count for count in COUNTS if count <= most)

    def parts_of(self, kind: str) -> list[str]:
        """Return the parts that may be added as one of `ADDED`, sorted."""
        return sorted(set(self.parts[self._pool(kind)].tolist()))

    def drawn(self, kind: str, count: int, draw: int) -> Positions:
        """Return the pictures that a draw adds: those of that kind which its parts have.

        A draw adds the same parts for every student and space, and more parts beside those of a smaller count.
        """
        order = self.parts_of(kind)
        random.Random(f"{kind} {self.mode} {draw}").shuffle(order)  # noqa: S311  nothing is kept secret
        pool = self._pool(kind)
        return pool[np.isin(self.parts[pool], order[:count])]

    def tested(self, added: Positions) -> Positions:
        """Return the pictures of the new kind of whose part none was added."""
        return self.new[~np.isin(self.parts[self.new], self.parts[added])]

    def _pool(self, kind: str) -> Positions:
        return {NEW: self.new, KNOWN: self.val_known, GOOD: self.val_good}[kind]

"""What a summary hides of one label: the averaging loss, and what is said of it."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class ClassLoss:
    """What a summary hides of one label. Distances are Euclidean between vectors at unit length: 0 to 2.

    Attributes:
        label: the label.
        count: its samples.
        mean, p95, worst: how far they lie from what the summary keeps of them: the prototype that speaks for them; where it
            has codes, what their own code says.
        worst_id: the farthest.
        near: the label's near distance (see `nearness`); None where all samples are of one group.
        far: how many samples have no prototype, or code, near.
        far_modes: of these, how many of each mode.
        modes: how many samples it has of each mode.
        coded: whether distances are those from own codes. Not written: a summary that has codes says so.
    """

    label: str
    count: int
    mean: float
    p95: float
    worst: float
    worst_id: str
    near: float | None
    far: int
    far_modes: dict[str, int]
    modes: dict[str, int]
    coded: bool = False

    @property
    def mostly_hidden(self) -> bool:
        """Whether over half of the label has no prototype, or code, near."""
        return 2 * self.far > self.count

    @property
    def hidden_modes(self) -> dict[str, int]:
        """The modes of which over half has no prototype, or code, near, with how many of each."""
        found = self.far_modes.items()
        return {mode: far for mode, far in found if 2 * far > self.modes[mode] and mode != self.label}

    @property
    def fits(self) -> bool:
        """Whether it says what one can say; one that was read may say anything."""
        distances = (self.mean, self.p95, self.worst, 0.0 if self.near is None else self.near)
        counts = (self.count, self.far, *self.modes.values(), *self.far_modes.values())
        return (
            isinstance(self.label, str)
            and isinstance(self.worst_id, str)
            and all(isinstance(one, float | int) and math.isfinite(one) for one in distances)
            and all(type(one) is int for one in counts)
            and 0 <= self.far <= self.count > 0
            and all(far <= self.modes[mode] for mode, far in self.far_modes.items())
        )

    def to_dict(self) -> dict[str, Any]:
        """Return what the header of a summary holds, from which `ClassLoss(**values)` is made again."""
        return {name: value for name, value in asdict(self).items() if name != "coded"}

    def warnings(self) -> list[str]:
        """Return a sentence where the summary is likely to lose the label, and one for each mode that it may lose."""
        said = []
        if self.mostly_hidden:
            said.append(
                f"Most of '{self.label}' ({self.far} of {self.count} pictures) has no {self._kept} near, so this "
                "summary alone says little of what the label looks like."
            )
        return said + [
            f"Most of the kind '{mode}' ({far} of {self.modes[mode]} pictures of '{self.label}') has no {self._kept} near, "
            "so a student that learns from this summary alone may miss it."
            for mode, far in self.hidden_modes.items()
        ]

    @property
    def _kept(self) -> str:
        return "code" if self.coded else "prototype"

    def in_words(self) -> str:
        """Say it as a technician would."""
        if self.count == 1:
            return f"'{self.label}': it has one picture, '{self.worst_id}', so there is nothing to average."
        if self.near is None:
            return (
                f"'{self.label}': its {self.count} pictures all show one part, so how different parts of it are is "
                f"unknown; the farthest from its {self._kept} is '{self.worst_id}' ({self.worst:.2f})."
            )
        if self.far == 0:
            verdict = (
                f"every picture lies nearer to its {self._kept} than pictures of its kind usually lie to the nearest other "
                "part, so little is hidden"
            )
        else:
            verb, whose = ("is", "its") if self.far == 1 else ("are", "their")
            verdict = (
                f"{self.far} of its {self.count} pictures ({self.far / self.count:.0%}) {verb} farther from {whose} "
                f"{self._kept} than pictures of {whose} kind usually are from the nearest other part"
            )
        if self.far_modes:
            verdict += "; among them " + ", ".join(
                f"{count} of {self.modes[mode]} {mode}" for mode, count in self.far_modes.items()
            )
        return (
            f"'{self.label}': {verdict}. Typical distance {self.mean:.2f}, near means below {self.near:.2f}; the "
            f"farthest is '{self.worst_id}' ({self.worst:.2f})."
        )

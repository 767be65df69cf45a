"""One odd sample: what was measured of it, and which of seven reasons that gives."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Reason = Literal[
    "nothing-to-compare", "nothing-near", "other-label", "between-labels", "averaged-away", "edge", "nothing-special"
]

NEIGHBOURS = 3  # parts that are told as nearest
EDGE = 75.0  # percentile from which a sample lies at the edge: only the farther quarter of what its prototype stands for does
REACH = 1.4  # times near: of four real data sets, 1 to 10 % of the samples have no other part within that


@dataclass(frozen=True)
class Neighbour:
    """A near sample of another part.

    Attributes:
        id, uri, label, mode, group: of the sample.
        similarity: cosine to the odd sample.
        distance: to the odd sample; Euclidean between directions, 0 to 2.
        seen: the summary was made with it in sight.
    """

    id: str
    uri: str
    label: str | None
    mode: str | None
    group: str | None
    similarity: float
    distance: float
    seen: bool


def prototype_name(label: str, number: int) -> str:
    """Return what a prototype is called: its label, and its number where the label has several (else 0)."""
    return f"{label} {number}" if number else label


@dataclass(frozen=True)
class NearestPrototype:
    """The prototype that a sample is compared with.

    Attributes:
        index: in the summary.
        label: that it speaks for.
        number: among the prototypes of that label, from 1; 0 where it is the only one.
        members: how many samples of other parts it speaks for.
        typical: ids of up to three of these, the nearest to it, one a part.
    """

    index: int
    label: str
    number: int
    members: int
    typical: tuple[str, ...]

    @property
    def name(self) -> str:
        """Its label, and its number where the label has several."""
        return prototype_name(self.label, self.number)


@dataclass(frozen=True)
class OddSample:
    """A sample, and how far it lies from what is usual. Distances are Euclidean between directions, 0 to 2.

    Attributes:
        id, uri, label, mode, group, split: of the sample.
        seen: the summary was made with it in sight.
        distance: to the nearest prototype of its label (without a label, or with one that the summary lacks: of any) that
            does not come from its own part alone; None where there is none.
        percentile: of 100 members of that prototype, of other parts, so many lie closer to it; None where it has none.
        prototype: which one that is.
        other_label, other_distance: of the nearest prototype of another label; None where there is none, or `distance` is
            to one of any label.
        nearest: the nearest samples of other parts and any label, one a part, the nearest first.
        near: the near distance of its prototype's label; None where unknown.
        alike: so many more pictures of its part and label are as odd and near to it, and not listed; 0 where `near`
            is unknown.
        verdict: what a person has said of it; see `triage.Verdict`.
    """

    id: str
    uri: str
    label: str | None
    mode: str | None
    group: str | None
    split: str | None
    seen: bool
    distance: float | None
    percentile: float | None
    prototype: NearestPrototype | None
    other_label: str | None
    other_distance: float | None
    nearest: tuple[Neighbour, ...]
    near: float | None
    alike: int
    verdict: str | None = None

    @property
    def reason(self) -> Reason:
        """What is odd, the first of these that holds; reach is `REACH` times near.

        nothing-to-compare: no prototype of its label comes from another part, or the store has no other part.
        nothing-near: no other part is within reach; whatever is nearest then says nothing of its label.
        other-label: the three nearest parts all have one label, which is not its own.
        between-labels: the nearest part has another label, and a prototype of another label is nearer than its own.
        averaged-away: one of the three nearest parts has its label and is within reach, but no prototype of it is.
        edge: at least `EDGE` of 100 members of its prototype lie closer to it.
        nothing-special: none of these; it is listed for want of odder ones.
        """
        if self.distance is None or not self.nearest:
            return "nothing-to-compare"
        reach = self.reach
        if self.nearest[0].distance > reach:
            return "nothing-near"
        labels = {near.label for near in self.nearest}
        strange = self.nearest[0].label not in (self.label, None) and self.label is not None
        if strange and len(labels) == 1 and len(self.nearest) == NEIGHBOURS:
            return "other-label"
        if strange and self.other_distance is not None and self.other_distance < self.distance:
            return "between-labels"
        if self.kin and self.distance > reach:
            return "averaged-away"
        return "edge" if self.percentile is not None and self.percentile >= EDGE else "nothing-special"

    @property
    def reach(self) -> float:
        """The distance within which a part is like it; infinite where near is unknown."""
        return float("inf") if self.near is None else REACH * self.near

    @property
    def kin(self) -> list[Neighbour]:
        """Those of its nearest samples that have its label (without a label: any) and are within reach."""
        return [n for n in self.nearest if self.label in (n.label, None) and n.distance <= self.reach]

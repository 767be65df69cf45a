"""What follows from sets of twins: groups to write, how they fit those that are given, and what a reader should know."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass
from math import comb
from typing import TYPE_CHECKING

import numpy as np

from embedstore.vectors import Vectors

if TYPE_CHECKING:
    from embedstore.images import Sample


@dataclass(frozen=True)
class Agreement:
    """How the twins, found without a look at the groups, fit the groups that the source gave; over pairs.

    Attributes:
        given: pairs of samples that share a given group.
        found: pairs found among the samples that have a given group.
        shared: pairs that are both.
    """

    given: int
    found: int
    shared: int

    @property
    def precision(self) -> float | None:
        """The share of the found pairs that the groups confirm; None where none was found."""
        return self.shared / self.found if self.found else None

    @property
    def recall(self) -> float | None:
        """The share of the given pairs that was found; None where none was given."""
        return self.shared / self.given if self.given else None


@dataclass(frozen=True)
class Proposal:
    """Groups for samples without one, and groups that meet.

    Attributes:
        groups: a group for each sample of a set that has none: id -> name.
        merged: groups that go into another one, if groups that meet in a set are united: group -> that group, which is
            never itself a key.
        conflicts: the groups that meet, set by set.
    """

    groups: dict[str, str]
    merged: dict[str, str]
    conflicts: list[list[str]]


def propose(samples: Sequence[Sample], found: Sequence[Sequence[int]], vectors: Vectors) -> Proposal:
    """Propose groups for sets of twins.

    Args:
        samples: all of them, sorted by id.
        found: the sets, as places in `samples`.
        vectors: (n, k) of unit length, in the order of the samples.
    """
    groups: dict[str, str] = {}
    conflicts: list[list[str]] = []
    taken = {sample.group for sample in samples}
    for members in found:
        fixed = [at for at in members if samples[at].group is not None]
        met = sorted({str(samples[at].group) for at in fixed})
        if len(met) > 1:
            conflicts.append(met)
        if not fixed:
            name = fresh_group(samples[members[0]].id, taken)
            taken.add(name)
            groups |= dict.fromkeys((samples[at].id for at in members), name)
            continue
        for at in (at for at in members if samples[at].group is None):
            nearest = fixed[int(np.argmax(vectors[fixed] @ vectors[at]))]
            groups[samples[at].id] = str(samples[nearest].group)
    sizes = Counter(groups.get(sample.id, sample.group) for sample in samples)
    return Proposal(groups, unite(conflicts, sizes), conflicts)


def fresh_group(sample_id: str, taken: Container[str | None]) -> str:
    """Return a name for the group of a sample that has none, other than those that are taken."""
    name = f"twins of {sample_id}"
    while name in taken:
        name += "+"
    return name


def unite(conflicts: Sequence[Sequence[str]], sizes: Mapping[str | None, int]) -> dict[str, str]:
    """Return for each group that meets others the one it goes into: the largest, of equals the first by name."""
    above: dict[str, str] = {}  # union-find

    def top(group: str) -> str:
        while above.setdefault(group, group) != group:
            above[group] = above[above[group]]
            group = above[group]
        return group

    for met in conflicts:
        for group in met[1:]:
            above[top(group)] = top(met[0])
    united = defaultdict(list)
    for group in sorted(above):
        united[top(group)].append(group)
    merged: dict[str, str] = {}
    for groups in united.values():
        largest = max(groups, key=sizes.__getitem__)
        merged |= {group: largest for group in groups if group != largest}
    return merged


def agree(given: Sequence[str | None], found: Sequence[Sequence[int]]) -> Agreement | None:
    """Count how the sets fit the groups given for the samples; None where no sample has one."""
    if not any(group is not None for group in given):
        return None
    sizes = Counter(group for group in given if group is not None)
    inside = [Counter(given[at] for at in members if given[at] is not None) for members in found]
    return Agreement(
        given=sum(comb(size, 2) for size in sizes.values()),
        found=sum(comb(counts.total(), 2) for counts in inside),
        shared=sum(comb(size, 2) for counts in inside for size in counts.values()),
    )


def remarks_on(samples: Sequence[Sample], found: Sequence[Sequence[int]], proposal: Proposal) -> list[str]:
    """Return sentences: which sets mix labels or modes, which hold several groups, and what uniting these would make."""
    remarks = []
    for field in ("label", "mode"):
        mixed = [m for m in found if len({getattr(samples[at], field) for at in m} - {None}) > 1]
        if mixed:
            values = sorted({getattr(samples[at], field) for at in mixed[0]} - {None})
            remarks.append(
                f"{len(mixed)} of {len(found)} sets mix {field}s: look for errors in them, such as at "
                f"'{samples[mixed[0][0]].id}' ({', '.join(values)})."
            )
    if proposal.conflicts:
        merged = proposal.merged
        after = [proposal.groups.get(sample.id, sample.group) for sample in samples]
        pictures = Counter(merged.get(name, name) for name in after if name is not None)
        groups = Counter(merged.values())
        largest = min(groups, key=lambda name: (-pictures[name], name))
        remarks.append(
            f"{len(proposal.conflicts)} sets hold pictures of several groups that are there already, such as "
            f"'{proposal.conflicts[0][0]}' and '{proposal.conflicts[0][1]}'. United, {len(merged) + len(groups)} groups "
            f"would be {len(groups)}, the largest with {pictures[largest]} pictures of {groups[largest] + 1} groups "
            f"('{largest}')."
        )
    return remarks

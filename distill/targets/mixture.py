"""mixture: for each label, weights over the other policies; one of them is drawn for each sample and step."""

from collections.abc import Mapping

import numpy as np

from distill.targets.policy import Policy, Positions, Targets, TrainingSet
from embedstore import Summary
from embedstore.errors import SettingsError
from embedstore.vectors import Vectors

Weights = Mapping[str, Mapping[str, float]]


class Mixture:
    """Draws which policy gives each sample's target.

    Args:
        training: the samples.
        members: name -> policy, or None, which gives no target.
        weights: label -> policy -> weight; a sample whose label is not there has no target.
        seed: of the draws.
    """

    prototypes: Vectors | None = None

    def __init__(self, training: TrainingSet, members: Mapping[str, Policy | None], weights: Weights, seed: int):
        self._members = [members[name] for name in sorted(members)]
        self._seed, self.dim = seed, next((member.dim for member in self._members if member is not None), training.dim)
        names = sorted(members)
        # (n, policies) where each policy's share ends; a draw from [0, 1) falls into one of them.
        sums = {label: np.cumsum([shares.get(name, 0) for name in names]) for label, shares in weights.items()}
        ends = {label: sum_ / sum_[-1] for label, sum_ in sums.items()}
        nobody = np.zeros(len(names))
        self._ends = np.array([nobody if label is None else ends.get(label, nobody) for label in training.labels])

    def targets(self, samples: Positions, views: Positions, step: int = 0) -> Targets:
        """Return for each sample the target that the drawn policy gives."""
        # The 1 keeps the draws apart from those of the order of samples, which begins with (seed, epoch).
        drawn = np.random.default_rng([self._seed, step, 1]).random(len(samples))
        number = (drawn[:, None] >= self._ends[samples]).sum(axis=1)
        vectors = np.zeros((len(samples), self.dim), np.float32)
        known = np.zeros(len(samples), bool)
        for index, member in enumerate(self._members):
            at = np.flatnonzero(number == index)
            if member is not None and len(at):
                found = member.targets(samples[at], views[at], step)
                vectors[at], known[at] = found.vectors, found.known
        return Targets(vectors, known)


class LabelWithoutPolicyError(SettingsError):
    """A mixture leaves out `label`, which is learned."""

    def __init__(self, label: str):
        super().__init__(
            f"The mixture gives no policy for the label '{label}'; name one for each of the training labels."
        )
        self.label = label


def fit(
    training: TrainingSet,
    summary: Summary | None,
    seed: int,
    *,
    weights: Weights,
    members: Mapping[str, Policy | None],
) -> Policy:
    """Mix policies.

    Args:
        training: the samples.
        summary: none is needed; the members have theirs.
        seed: of the draws.
        weights: label -> policy -> weight.
        members: the policies that the weights name, fitted.

    Raises:
        LabelWithoutPolicyError: a training label has no weights.
        SettingsError: the members' targets are of different lengths.
    """
    missing = sorted({label for label in training.labels if label is not None} - weights.keys())
    if missing:
        raise LabelWithoutPolicyError(missing[0])
    lengths = {name: member.dim for name, member in members.items() if member is not None}
    if len(set(lengths.values())) > 1:
        each = ", ".join(f"{name}: {length}" for name, length in sorted(lengths.items()))
        raise SettingsError(
            f"The mixture's policies give targets of different lengths ({each}); give all that take outputs the same ones, and "
            "mix compressed-own, whose targets are as long as its summary keeps axes, with 'none' only."
        )
    return Mixture(training, members, weights, seed)

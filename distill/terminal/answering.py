"""The answers of `distill.answers` as PyTorch modules of plain tables, which ONNX can hold: the same sums in the same order."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from distill.answers import Distribution, Memory, Neighbours, Patches
from distill.answers.neighbours import TEMPERATURE, VOICES
from distill.answers.patches import SIZES, beside, places_of
from distill.terminal.facts import Map
from distill.terminal.graph import Cutting
from embedstore.views import Fit


class ByHead(nn.Module):
    """What the head says."""

    def forward(self, _: Tensor, logits: Tensor) -> Tensor:
        """Map logits (m, classes) to probabilities (m, classes), float64."""
        return logits.double().softmax(dim=1)


class ByNeighbours(nn.Module):
    """See `answers.Neighbours`."""

    centre: Tensor
    scale: Tensor
    points: Tensor
    pictures: Tensor

    def __init__(self, memory: Neighbours):
        super().__init__()
        count = len(memory.classes)
        of_voice = [torch.nonzero(memory.voices == voice)[:, 0] for voice in range(count)]
        most = max(map(len, of_voice))
        # Where a part has fewer pictures than another, its first one stands there again: the nearest is the same.
        padded = torch.stack([torch.cat([own, own[:1].expand(most - len(own))]) for own in of_voice])
        self.register_buffer("centre", memory.centre)
        self.register_buffer("scale", memory.scale)
        self.register_buffer("points", memory.points)
        self.register_buffer("pictures", padded.flatten())
        self._most = most
        self._voices = torch.bincount(memory.classes).tolist()  # rising, so each class is one run of columns

    def forward(self, features: Tensor, _: Tensor) -> Tensor:
        """Map features (m, f) to probabilities (m, classes), float64."""
        cosines = normalize((features - self.centre) * self.scale) @ self.points.T
        nearest = cosines[:, self.pictures].reshape(len(features), -1, self._most).amax(dim=2).double() / TEMPERATURE
        said = []
        for voices in torch.split(nearest, self._voices, dim=1):
            count = min(VOICES, voices.shape[1])
            said.append(voices.topk(count, dim=1).values.logsumexp(dim=1) - math.log(count))
        return torch.stack(said, dim=1).softmax(dim=1)


class ByDistribution(nn.Module):
    """See `answers.Distribution`."""

    varying: Tensor
    centre: Tensor
    scale: Tensor
    means: Tensor
    whiteners: Tensor
    volumes: Tensor

    def __init__(self, memory: Distribution):
        super().__init__()
        varying = torch.nonzero(memory.scale)[:, 0]
        self.register_buffer("varying", varying)
        self.register_buffer("centre", memory.centre[varying])
        self.register_buffer("scale", memory.scale[varying])
        for name in ("means", "whiteners", "volumes"):
            self.register_buffer(name, getattr(memory, name))

    def forward(self, features: Tensor, _: Tensor) -> Tensor:
        """Map features (m, f) to probabilities (m, classes), float64."""
        points = ((features[:, self.varying] - self.centre) * self.scale).double()
        white = (points - self.means[:, None]) @ self.whiteners.transpose(1, 2)
        likelihood = -(white**2).sum(dim=2).T / 2 - self.volumes
        return (likelihood / max(1, len(self.varying))).softmax(dim=1)


class Both(nn.Module):
    """The mean of the head and another answer."""

    def __init__(self, other: nn.Module):
        super().__init__()
        self.head, self.other = ByHead(), other

    def forward(self, features: Tensor, logits: Tensor) -> Tensor:
        """Map features (m, f) and logits (m, classes) to probabilities (m, classes), float64."""
        said: Tensor = (self.head(features, logits) + self.other(features, logits)) / 2
        return said


class ByPatches(nn.Module):
    """Adds what patches say to an answer; see `answers.Patches`. Pictures are looked at as they are, unflipped.

    Args:
        patches: of the run.
        defects: (classes,) which of the classes are defects, 1 or 0.
        fit: how a picture is brought to a square.

    Attributes:
        map: of which form its map of where a defect is has; None where the run has not kept what is usual.
    """

    defects: Tensor

    def __init__(self, patches: Patches, defects: Tensor, fit: Fit):
        super().__init__()
        self.patches = patches
        self.map = None if patches.usual is None else Map(math.isqrt(places_of(patches.maps, max(SIZES))), fit)
        self.cuttings = nn.ModuleList(Cutting(size, fit) for size in SIZES)
        self.register_buffer("defects", defects)

    def forward(self, said: Tensor, picture: Tensor) -> tuple[Tensor, Tensor | None]:
        """Map probabilities (classes,) of a picture (height, width, 3) uint8 to others, float64, and a map (side, side).

        See `Patches.where` for the map, which is of the picture's square cut.
        """
        found = self.patches.places([self.patches.maps(cutting(picture)) for cutting in self.cuttings])
        where = None if self.map is None else self.patches.where_of(found)[0]
        return beside(said[None], self.patches.log_odds_of(found), self.defects)[0], where


def by_patches(memory: Memory | Patches | None, defects: Tensor, fit: Fit) -> ByPatches | None:
    """Return the module that adds what patches say, where a run keeps patches."""
    return ByPatches(memory, defects, fit) if isinstance(memory, Patches) else None


def answer_module(answer: str, memory: Memory | Patches | None) -> nn.Module:
    """Return the module for one of `settings.ANSWERS`, and what the run keeps for it.

    Raises:
        ValueError: nobody has written it yet.
    """
    if memory is None or isinstance(memory, Patches):
        return ByHead()
    if isinstance(memory, Neighbours):
        return Both(ByNeighbours(memory)) if answer == "both" else ByNeighbours(memory)
    if isinstance(memory, Distribution):
        return ByDistribution(memory)
    raise ValueError(f"the answer '{answer}' has no module for ONNX yet")

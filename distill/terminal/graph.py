"""All that a student says of a picture as one PyTorch module that ONNX can hold: cutting, flips, trunk, answer, average.

It gives what `scoring.class_probabilities` gives of a whole picture. Cutting is written anew, since `cutting.cut_views` makes its
tables outside of PyTorch, for many pictures of known sizes; here the size of the picture is known only when it comes.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from distill.students import Student
from distill.training.scoring import Flips
from embedstore.views import PADDING, Fit


class Cutting(nn.Module):
    """Cuts the whole picture to a square, as `cutting.cut_views` does: bicubic, anti-aliased, rounded after each axis.

    Args:
        size: side of the square, in pixels.
        fit: `squash` or `letterbox`.
    """

    def __init__(self, size: int, fit: Fit):
        super().__init__()
        self.size, self.fit = size, fit

    def forward(self, picture: Tensor) -> Tensor:
        """Map (height, width, 3) uint8 to (1, 3, size, size) levels as float32."""
        height, width = (torch.scalar_tensor(count, dtype=torch.float64) for count in picture.shape[:2])
        bars = self._bars(width, height)
        across, inside_x = self._weights(picture.shape[1], width, bars[0])
        down, inside_y = self._weights(picture.shape[0], height, bars[1])
        planes = picture.permute(2, 0, 1).float()
        columns = (planes @ across.T).round().clamp(0, 255)
        cut = (down @ columns).round().clamp(0, 255)
        if self.fit == "letterbox":
            cut = torch.where(inside_y[:, None] & inside_x, cut, float(PADDING))
        return cut[None]

    def _bars(self, width: Tensor, height: Tensor) -> tuple[Tensor, Tensor]:
        """Return how many places on either side stay free, across and down."""
        if self.fit == "squash":
            return torch.zeros_like(width), torch.zeros_like(height)
        scale = self.size / torch.maximum(width, height)
        across, down = (((self.size - side * scale) / 2).round() for side in (width, height))
        return across.clamp(max=(self.size - 1) // 2), down.clamp(max=(self.size - 1) // 2)

    def _weights(self, pixels: int, count: Tensor, bar: Tensor) -> tuple[Tensor, Tensor]:
        """Return how much each pixel along an axis counts for each place (size, pixels), and which places are no bar (size,)."""
        inner = self.size - 2 * bar
        places = torch.arange(self.size, dtype=torch.float64) - bar
        within = torch.minimum(places.clamp(min=0), inner - 1)
        scale = count / inner
        widened = scale.clamp(min=1)
        centre = (within + 0.5) * scale
        lowest = (centre - 2 * widened + 0.5).floor().clamp(min=0)[:, None]
        highest = torch.minimum((centre + 2 * widened + 0.5).floor(), count)[:, None]  # and without
        at = torch.arange(pixels, dtype=torch.float64)
        nearest = ((lowest + 0.5 - centre[:, None]) / widened).float()
        away = (nearest + (at - lowest).float() * (1 / widened).float()).abs()
        far, near = away.clamp(max=2), (1 - away).clamp(min=0)
        weights = (1 - far) * (2 - far) ** 2 / 2 + near**2 * (1 - 2 * near)
        weights = weights * ((at >= lowest) & (at < highest)).float()
        return weights / weights.sum(dim=1, keepdim=True), places == within


class Terminal(nn.Module):
    """A student with all that stands before and behind it.

    Args:
        student: in evaluation mode.
        cutting: makes its pixels.
        flips: what is averaged; see `scoring.flips_of`.
        answer: maps features and logits to probabilities in float64.
        projection: to the teacher's space, or None.
        beside: maps the probabilities (classes,), averaged over flips, and the picture to the final ones and a map (side, side)
            of where a defect is; None: they are final, and there is no map.
    """

    def __init__(  # noqa: PLR0917
        self,
        student: Student,
        cutting: Cutting,
        flips: Flips,
        answer: nn.Module,
        projection: nn.Module | None,
        beside: nn.Module | None = None,
    ):
        super().__init__()
        self.student, self.cutting, self.answer, self.projection = student, cutting, answer, projection
        self.flips, self.beside = flips, beside

    def forward(self, picture: Tensor) -> tuple[Tensor, ...]:
        """Map (height, width, 3) uint8 to probabilities (classes,), features (f,), a vector (d,) and a map (side, side).

        The vector is there with a projection, the map with what stands beside. Probabilities are averaged over the flips, and
        so are features, of which the vector is made.
        """
        pixels = self.cutting(picture)
        ways = torch.cat([pixels.flip(way) if way else pixels for way in self.flips])
        features, logits = self.student(ways)
        seen = features.mean(dim=0)
        probabilities = self.answer(features, logits).mean(dim=0)
        where = None
        if self.beside is not None:
            probabilities, where = self.beside(probabilities, picture)
        vector = None if self.projection is None else self.projection(seen)
        return tuple(one for one in (probabilities, seen, vector, where) if one is not None)

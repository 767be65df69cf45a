"""The students that come with this package: residual convolutional trunks, small and medium."""

from typing import ClassVar

import torch
from torch import Tensor, nn


class SmallTrunk(nn.Module):
    """A residual convolutional trunk of 0.3 M parameters that learns from a thousand pictures in minutes on two cores.

    It looks at each picture at the same contrast, so that the light of the day does not hide a scratch, and gets the
    picture's own level and contrast as features, so that a part that is dark as a whole still is. At the end stand the
    mean and the maximum over the picture: a mean alone averages a small defect away in space.

    Attributes:
        STAGES: (channels, residual layers, groups of these) of each stage, which begins by halving the sides of its maps.
        features: f, twice the last channels, and level and contrast of three colours.
    """

    STAGES: ClassVar[tuple[tuple[int, int, int], ...]] = ((32, 0, 1), (64, 1, 1), (96, 1, 4), (128, 1, 4))
    features = 262
    _FLOOR = 0.1  # of the contrast that is divided by: noise of an even surface is not blown up without limit

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        inputs = 3
        for channels, depth, groups in self.STAGES:
            layers += [_halving(inputs, channels), *(Residual(channels, groups) for _ in range(depth))]
            inputs = channels
        self.layers = nn.Sequential(*layers)

    def forward(self, pixels: Tensor) -> Tensor:
        """Map (m, 3, s, s) to (m, f)."""
        level = pixels.mean(dim=(2, 3), keepdim=True)
        contrast = pixels.std(dim=(2, 3), keepdim=True)
        maps = self.layers((pixels - level) / (contrast + self._FLOOR))
        return torch.cat([maps.mean(dim=(2, 3)), maps.amax(dim=(2, 3)), level.flatten(1), contrast.flatten(1)], dim=1)


class MediumTrunk(SmallTrunk):
    """The same with twice the channels at the end and more residual layers: 1.8 M parameters, twice the time a step."""

    STAGES = ((32, 0, 1), (64, 2, 1), (128, 3, 4), (256, 2, 1))
    features = 518


class Residual(nn.Module):
    """A layer beside a way past it (He et al., arXiv 1512.03385): what makes the trunk learn fast."""

    def __init__(self, channels: int, groups: int = 1):
        super().__init__()
        self.convolution = nn.Conv2d(channels, channels, 3, padding=1, groups=groups, bias=False)
        self.norm = nn.BatchNorm2d(channels)

    def forward(self, maps: Tensor) -> Tensor:
        """Map (m, c, h, w) to the same shape."""
        # In place, to the same bits: memory is what limits these sums, and a step is a twentieth shorter.
        added: Tensor = self.norm(self.convolution(maps)).add_(maps).relu_()
        return added


def _halving(inputs: int, outputs: int) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, stride=2, padding=1, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(inplace=True),
    )

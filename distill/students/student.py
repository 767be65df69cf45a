"""What a student is: a trunk that gives features, and a head that gives logits."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

MIDDLE, SPREAD = 127.5, 63.75  # a trunk gets (pixels - MIDDLE) / SPREAD
_AT_ONCE = 4 * 224 * 224  # pixels, on a processor


def device() -> torch.device:
    """Return where students are trained and asked: on this process' GPU, if there is one.

    By its number, since threads do not share which GPU is theirs.
    """
    return torch.device("cuda", torch.cuda.current_device()) if torch.cuda.is_available() else torch.device("cpu")


def few_at_a_time(pixels: Tensor) -> Sequence[Tensor]:
    """Return pictures (m, 3, s, s) in batches, as whoever asks a network without training it had best show them to it.

    On a processor few at a time, so that their maps fit its cache. The first five stages of EfficientNet-Lite0 took 15 ms a
    picture of 224 pixels in batches of 4, 25 in 8, 59 in 64 on one core; `small` a fifth less at 160 pixels than in 64.
    """
    if pixels.device.type != "cpu":
        return (pixels,)
    return torch.split(pixels, max(1, _AT_ONCE // (pixels.shape[2] * pixels.shape[3])))


class Student(nn.Module):
    """A trunk that gives features and a linear head that gives logits.

    Pixels are uint8 RGB; the student normalises them itself, so that whoever runs it can't do it differently.
    """

    def __init__(self, trunk: nn.Module, features: int, classes: int):
        super().__init__()
        self.trunk = trunk
        self.features = features
        self.head = nn.Linear(features, classes)

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """Map (m, 3, s, s) uint8 to features (m, f) and logits (m, classes)."""
        # Convolutions take a fifth less time where the channels of a pixel lie side by side.
        pixels = pixels.contiguous(memory_format=torch.channels_last)
        features = self.trunk((pixels.float() - MIDDLE) / SPREAD)
        return features, self.head(features)

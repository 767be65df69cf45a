"""What a student is: a trunk that gives features, and a head that gives logits."""

import torch
from torch import Tensor, nn

MIDDLE, SPREAD = 127.5, 63.75  # a trunk gets (pixels - MIDDLE) / SPREAD


def device() -> torch.device:
    """Return where students are trained and asked: on this process' GPU, if there is one.

    By its number, since threads do not share which GPU is theirs.
    """
    return torch.device("cuda", torch.cuda.current_device()) if torch.cuda.is_available() else torch.device("cpu")


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

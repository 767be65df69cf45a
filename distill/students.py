"""Students: one small default and every timm model by name, each with a head for labels."""

import torch
from torch import Tensor, nn

from embedstore.errors import SettingsError

SMALL = "small"


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
        features = self.trunk((pixels.float() - 127.5) / 63.75)
        return features, self.head(features)


class SmallTrunk(nn.Module):
    """A plain convolutional trunk of 0.3 M parameters: four halvings, then the mean and the maximum over the picture.

    The maximum is there because a mean alone averages a small defect away in space.
    """

    features = 256

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            _layer(3, 32, stride=2),
            _layer(32, 64, stride=2),
            _layer(64, 64),
            _layer(64, 96, stride=2),
            _layer(96, 96),
            _layer(96, 128, stride=2),
        )

    def forward(self, pixels: Tensor) -> Tensor:
        """Map (m, 3, s, s) to (m, 256)."""
        maps = self.layers(pixels)
        return torch.cat([maps.mean(dim=(2, 3)), maps.amax(dim=(2, 3))], dim=1)


def make_student(name: str, classes: int, seed: int) -> Student:
    """Make a student with freshly drawn weights: the same for the same name, classes and seed, whatever the policy.

    Args:
        name: `small`, or a timm model's name.
        classes: how many labels.
        seed: of the weights.

    Raises:
        SettingsError: timm has no such model.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        if name == SMALL:
            return Student(SmallTrunk(), SmallTrunk.features, classes)
        import timm

        if not timm.is_model(name):
            near = timm.list_models(f"{name[:6]}*")[:5] or ["mobilenetv3_small_050", "resnet18"]
            raise SettingsError(f"The student '{name}' is unknown; use '{SMALL}' or a timm model such as {', '.join(near)}.")
        trunk = timm.create_model(name, pretrained=False, num_classes=0)
        return Student(trunk, trunk.num_features, classes)


def make_projection(features: int, dim: int, seed: int) -> nn.Linear:
    """Make the map from the student's features to the targets' space; it is learned, and on the student's side."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return nn.Linear(features, dim)


def _layer(inputs: int, outputs: int, stride: int = 1) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU(inplace=True)
    )

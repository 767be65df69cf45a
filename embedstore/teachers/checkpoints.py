"""Reading a teacher's weights from a local file, without ever running code from it."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING

from embedstore.errors import TeacherError, WeightsUnavailableError

if TYPE_CHECKING:
    import torch


def read_weights(path: str) -> dict[str, torch.Tensor]:
    """Read a state dict from `.safetensors` or a PyTorch file (weights only).

    Raises:
        WeightsUnavailableError: the file is absent.
        TeacherError: the file holds no weights.
    """
    import torch

    file = Path(path)
    if not file.is_file():
        raise WeightsUnavailableError(f"The checkpoint '{path}' does not exist; give the path of a weights file.")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # PyTorch remarks on how a file was saved; either it can be read or not
            loaded = _read(file)
    except Exception as error:  # a damaged file raises whatever its decoder meets
        raise TeacherError(
            f"The checkpoint '{path}' can't be read as weights ({type(error).__name__}); give a .safetensors file or a "
            "PyTorch state dict."
        ) from error
    for key in ("state_dict", "model"):  # how training scripts wrap their weights
        if isinstance(loaded, dict) and isinstance(loaded.get(key), dict):
            loaded = loaded[key]
    if not isinstance(loaded, dict) or not all(isinstance(value, torch.Tensor) for value in loaded.values()):
        raise TeacherError(
            f"The checkpoint '{path}' holds no state dict; give a .safetensors file or a PyTorch state dict."
        )
    return {str(name).removeprefix("module."): value for name, value in loaded.items()}


def _read(file: Path) -> object:
    import torch

    if file.suffix == ".safetensors":
        from safetensors.torch import load_file

        return load_file(file)
    return torch.load(file, map_location="cpu", weights_only=True)


def load_weights(model: torch.nn.Module, weights: dict[str, torch.Tensor], path: str, architecture: str) -> None:
    """Load all weights into the model; refuse those of another architecture.

    Raises:
        TeacherError: names or shapes do not fit; the message names the first of each.
    """
    own = model.state_dict()
    missing = sorted(own.keys() - weights.keys())
    foreign = sorted(weights.keys() - own.keys())
    shapes = [name for name in sorted(own.keys() & weights.keys()) if own[name].shape != weights[name].shape]
    if not (missing or foreign or shapes):
        model.load_state_dict(weights)
        return
    faults = []
    if missing:
        faults.append(f"{len(missing)} weights are missing ('{missing[0]}')")
    if foreign:
        faults.append(f"{len(foreign)} do not belong ('{foreign[0]}')")
    if shapes:
        name = shapes[0]
        faults.append(f"'{name}' is {tuple(weights[name].shape)} instead of {tuple(own[name].shape)}")
    raise TeacherError(
        f"The checkpoint '{path}' is not of the architecture '{architecture}': {', '.join(faults)}; name the "
        "architecture that it was trained with."
    )

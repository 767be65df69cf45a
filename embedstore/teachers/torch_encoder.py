"""What all PyTorch teachers share: evaluation mode, normalisation, batches, unit length, fingerprint."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from embedstore.errors import MissingPackageError
from embedstore.teachers.protocol import EMBEDDING, check_pictures, fingerprint
from embedstore.vectors import Vectors, unit_length

if TYPE_CHECKING:
    import torch

# Measured on two cores with EfficientNet-Lite0: 92 pictures/s in batches of 4 to 8, 53 in batches of 16, 30 in 64.
_CPU_BATCH, _GPU_BATCH = 8, 128


def require_torch(wanted: str) -> None:
    """Raise a clear error where PyTorch is not installed."""
    try:
        import torch  # noqa: F401
    except ImportError as error:
        raise MissingPackageError(
            f"{wanted} needs PyTorch, which is not installed here: pip install torch torchvision (both in one command)."
        ) from error


class TorchEncoder:
    """A frozen PyTorch image encoder as a teacher.

    Args:
        name: the spec it was loaded by.
        model: the whole module whose weights make the fingerprint.
        encode: (n, 3, s, s) float32 tensor -> (n, d) tensor.
        input_size: s, in pixels.
        mean, std: the normalisation of the teacher's own transform, per channel, on pixels in 0..1.
        config: further plain values that change what the weights compute, for the fingerprint.
    """

    def __init__(
        self,
        name: str,
        model: torch.nn.Module,
        encode: Callable[[torch.Tensor], torch.Tensor],
        *,
        input_size: int,
        mean: tuple[float, ...],
        std: tuple[float, ...],
        config: Mapping[str, Any],
    ):
        import torch

        self.name = name
        self.input_size = input_size
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        convolutions = sum(isinstance(module, torch.nn.Conv2d) for module in model.modules())
        # One convolution is the patch embedding of a transformer, where the layout changes nothing.
        self._layout = torch.channels_last if convolutions > 1 else torch.contiguous_format
        self.fingerprint = fingerprint(
            {
                "input_size": input_size,
                "mean": [round(value, 6) for value in mean],
                "std": [round(value, 6) for value in std],
                "precision": "float32",
                "length": "unit",
                "layers": _parameter_free_layers(model),
                **config,
            },
            _tensors(model),
        )
        self.model = model.eval().requires_grad_(False).to(self.device, torch.float32, memory_format=self._layout)  # type: ignore[call-overload]
        self._encode = encode
        self._mean = torch.tensor(mean, device=self.device).view(1, -1, 1, 1) * 255
        self._std = torch.tensor(std, device=self.device).view(1, -1, 1, 1) * 255
        probe = self.embed(np.zeros((1, input_size, input_size, 3), np.uint8))
        self.outputs: Mapping[str, int] = {output: vectors.shape[1] for output, vectors in probe.items()}

    def embed(self, pictures: npt.NDArray[np.uint8]) -> dict[str, Vectors]:
        """Embed (n, s, s, 3) uint8 RGB; see `Teacher.embed`."""
        import torch

        check_pictures(self.name, self.input_size, pictures)
        size = _CPU_BATCH if self.device.type == "cpu" else _GPU_BATCH
        parts = []
        with torch.inference_mode():
            for start in range(0, len(pictures), size):
                part = np.ascontiguousarray(pictures[start : start + size])
                batch = torch.tensor(part, device=self.device).permute(0, 3, 1, 2)
                pixels = ((batch.float() - self._mean) / self._std).contiguous(memory_format=self._layout)
                parts.append(self._encode(pixels).float().cpu().numpy())
        return {EMBEDDING: unit_length(np.concatenate(parts))}


def _parameter_free_layers(model: torch.nn.Module) -> list[str]:
    """Return the kinds of leaf layers without weights: an activation changes the vectors and shows in no tensor."""
    leaves = (m for m in model.modules() if not any(m.children()) and not any(True for _ in m.parameters()))
    return sorted({type(leaf).__name__ for leaf in leaves} - {"Identity", "Dropout"})


def _tensors(model: torch.nn.Module) -> Iterator[tuple[str, memoryview]]:
    for name, tensor in sorted(model.state_dict().items()):
        yield name, memoryview(tensor.detach().cpu().contiguous().numpy().reshape(-1)).cast("B")

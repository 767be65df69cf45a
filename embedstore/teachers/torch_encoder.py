"""What all PyTorch teachers share: evaluation mode, normalisation, batches, unit length, fingerprint."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from embedstore.errors import MissingPackageError
from embedstore.teachers.outputs import OUTPUTS, definitions
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
        staged: the same pass with the maps that further outputs are made of; see `outputs.definitions`.
        outputs: to be given beside `embedding`.
        input_size: s, in pixels.
        mean, std: the normalisation of the teacher's own transform, per channel, on pixels in 0..1.
        config: further plain values that change what the weights compute, for the fingerprint.

    Raises:
        TeacherError: the model can't give an output.
    """

    def __init__(
        self,
        name: str,
        model: torch.nn.Module,
        encode: Callable[[torch.Tensor], torch.Tensor],
        staged: Callable[[torch.Tensor], tuple[torch.Tensor, Sequence[torch.Tensor]]] | None = None,
        outputs: Sequence[str] = (),
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
        self._encode, self._staged = encode, staged
        self._mean = torch.tensor(mean, device=self.device).view(1, -1, 1, 1) * 255
        self._std = torch.tensor(std, device=self.device).view(1, -1, 1, 1) * 255
        self.definitions: Mapping[str, str] = {}
        # Noise: on a plain picture two different passes can agree.
        trial = np.random.default_rng(0).integers(0, 256, (1, input_size, input_size, 3), np.uint8)
        if outputs:
            assert staged is not None  # noqa: S101  whoever takes outputs has it
            with torch.inference_mode():
                self.definitions = definitions(name, outputs, encode, staged, self._pixels(trial))
        self.outputs: Mapping[str, int] = {output: found.shape[1] for output, found in self.embed(trial).items()}

    def embed(self, pictures: npt.NDArray[np.uint8]) -> dict[str, Vectors]:
        """Embed (n, s, s, 3) uint8 RGB; see `Teacher.embed`."""
        import torch

        check_pictures(self.name, self.input_size, pictures)
        size = _CPU_BATCH if self.device.type == "cpu" else _GPU_BATCH
        with torch.inference_mode():
            parts = [
                {output: vectors.float().cpu().numpy() for output, vectors in self._pass(pixels).items()}
                for pixels in (self._pixels(pictures[at : at + size]) for at in range(0, len(pictures), size))
            ]
        return {output: unit_length(np.concatenate([part[output] for part in parts])) for output in parts[0]}

    def _pixels(self, pictures: npt.NDArray[np.uint8]) -> torch.Tensor:
        """Return pictures as the model takes them."""
        import torch

        batch = torch.tensor(np.ascontiguousarray(pictures), device=self.device).permute(0, 3, 1, 2)
        return ((batch.float() - self._mean) / self._std).contiguous(memory_format=self._layout)

    def _pass(self, pixels: torch.Tensor) -> dict[str, torch.Tensor]:
        """Return all outputs of some pictures, from one pass."""
        if self._staged is None or not self.definitions:
            return {EMBEDDING: self._encode(pixels)}
        embedding, maps = self._staged(pixels)
        return {EMBEDDING: embedding} | {output: OUTPUTS[output].compute(maps) for output in self.definitions}


def _parameter_free_layers(model: torch.nn.Module) -> list[str]:
    """Return the kinds of leaf layers without weights: an activation changes the vectors and shows in no tensor."""
    leaves = (m for m in model.modules() if not any(m.children()) and not any(True for _ in m.parameters()))
    return sorted({type(leaf).__name__ for leaf in leaves} - {"Identity", "Dropout"})


def _tensors(model: torch.nn.Module) -> Iterator[tuple[str, memoryview]]:
    for name, tensor in sorted(model.state_dict().items()):
        yield name, memoryview(tensor.detach().cpu().contiguous().numpy().reshape(-1)).cast("B")

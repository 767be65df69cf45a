"""distill: train small students from an embedstore, without the teacher.

Importing this package needs no PyTorch, and neither does `predict`; training, evaluating and exporting do.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from distill.training.settings import Settings

if TYPE_CHECKING:
    from distill.advice.advice import advise
    from distill.data import DistillationDataset
    from distill.losses import DistillationLoss
    from distill.terminal.export import export
    from distill.terminal.predict import Comparing, predict
    from distill.training.compare import compare
    from distill.training.evaluate import evaluate
    from distill.training.gate import gate
    from distill.training.loop import train

__all__ = [
    "Comparing",
    "DistillationDataset",
    "DistillationLoss",
    "Settings",
    "advise",
    "compare",
    "evaluate",
    "export",
    "gate",
    "predict",
    "train",
]

_LEAN = {"Comparing": "distill.terminal.predict", "predict": "distill.terminal.predict"}
_NEED_TORCH = {
    "DistillationDataset": "distill.data",
    "DistillationLoss": "distill.losses",
    "advise": "distill.advice.advice",
    "compare": "distill.training.compare",
    "evaluate": "distill.training.evaluate",
    "export": "distill.terminal.export",
    "gate": "distill.training.gate",
    "train": "distill.training.loop",
}


def __getattr__(name: str) -> Any:
    """Load what needs PyTorch, or is not always needed, when it is first asked for."""
    if name in _LEAN:
        return getattr(import_module(_LEAN[name]), name)
    if name not in _NEED_TORCH:
        raise AttributeError(f"module 'distill' has no attribute '{name}'")
    from embedstore.teachers.torch_encoder import require_torch

    require_torch(f"distill.{name}")
    return getattr(import_module(_NEED_TORCH[name]), name)

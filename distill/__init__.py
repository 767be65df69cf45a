"""distill: train small students from an embedstore, without the teacher.

Importing this package needs no PyTorch; training and evaluating do.
"""

from typing import TYPE_CHECKING, Any

from distill.training.settings import Settings

if TYPE_CHECKING:
    from distill.training.evaluate import evaluate
    from distill.training.loop import train

__all__ = ["Settings", "evaluate", "train"]


def __getattr__(name: str) -> Any:
    """Load what needs PyTorch when it is first asked for."""
    if name not in ("train", "evaluate"):
        raise AttributeError(f"module 'distill' has no attribute '{name}'")
    from embedstore.teachers.torch_encoder import require_torch

    require_torch(f"distill.{name}")
    if name == "train":
        from distill.training.loop import train

        return train
    from distill.training.evaluate import evaluate

    return evaluate

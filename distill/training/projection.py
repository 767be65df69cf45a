"""The learned map to the teacher's space, kept with a run: with it a student can be asked by what the store knows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from distill.losses import DistillationLoss
from distill.students import make_projection
from distill.training import run_directory
from distill.training.settings import Settings
from embedstore.errors import TrainingError
from embedstore.teachers.protocol import EMBEDDING
from embedstore.vectors import Vectors

FILE = "projection.safetensors"

_OF_THE_TEACHER = frozenset(
    ("class-distribution", "class-mean", "live-teacher", "own", "rare-samples", "retrieved", "sub-prototypes")
)


def why_none(settings: Settings) -> str | None:
    """Return why a run's student learns no vector in its teacher's space, as half a sentence; None where it does."""
    used = sorted({name for shares in settings.mixture.values() for name in shares}) or [settings.policy]
    if used == ["none"]:
        return "the policy 'none' teaches it no vector"
    for name in used:
        options = settings.options.get(name, {})
        if name not in {*_OF_THE_TEACHER, "none"}:
            return f"the targets of the policy '{name}' are no centred vectors of the teacher"
        if options.get("outputs", EMBEDDING) != EMBEDDING or not options.get("centred", True):
            return f"the policy '{name}' was asked for other targets than centred embeddings"
    if settings.projection != "student":
        return "its projection is on the teacher's side"
    return None if settings.weight else "its lambda is 0"


def keep(path: Path, loss: DistillationLoss, centre: Vectors, history: Sequence[Mapping[str, float]]) -> None:
    """Write the map after the last epoch of a history, and the centre (d,) that was taken off its targets.

    Call it where `why_none` gives no reason against it.
    """
    weights = {**loss.projection.state_dict(), "centre": torch.from_numpy(centre)}
    run_directory.save_weights(path / FILE, weights, epoch=int(history[-1]["epoch"]))


def load(path: Path, settings: Settings, features: int) -> tuple[nn.Linear, Tensor | None] | None:
    """Return a run's map from features (f,), and the centre (d,); None where it has none, see `why_none`.

    A run of an earlier release has it in its checkpoint, as it was after the last epoch, and does not know the centre.

    Raises:
        TrainingError: the file is damaged or may not be read, or the run is of an earlier release and its student of another
            epoch than the last.
    """
    if why_none(settings) is not None:
        return None
    if (path / FILE).is_file():
        from safetensors.torch import load

        try:
            kept = load((path / FILE).read_bytes())
            centre = kept.pop("centre")
            return _made(kept, features, len(centre)), centre
        except PermissionError as error:
            raise run_directory.may_not_read(path / FILE) from error
        except Exception as error:  # a damaged file raises whatever its decoder meets
            raise TrainingError(f"'{path / FILE}' is damaged; train again in another directory.") from error
    checkpoint = run_directory.load_checkpoint(path)
    if checkpoint is None or settings.keep != "last":
        raise TrainingError(
            f"The run in '{path}' is of an earlier release and has not kept the map to the teacher's space that belongs to its "
            "student; train again in another directory, or export without it: --no-vectors"
        )
    try:
        own = {name.removeprefix("projection."): value for name, value in checkpoint["loss"].items()}
        return _made(own, features, len(own["bias"])), None
    except Exception as error:  # whatever a checkpoint of something else has there
        raise run_directory.damaged_checkpoint(path) from error


def _made(weights: dict[str, Tensor], features: int, dim: int) -> nn.Linear:
    projection = make_projection(features, dim, 0)
    projection.load_state_dict(weights)
    if not all(bool(torch.isfinite(value).all()) for value in projection.state_dict().values()):
        raise ValueError("not finite")
    return projection

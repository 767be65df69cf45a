"""Further outputs of a teacher's pass: what its average over space hides, kept from two stages before the last.

A small defect fills a few cells of a map: the mean over all cells loses it, the maximum does not. What an output is stands in
its definition, which stores keep and compare; whoever changes the one changes the other.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, NamedTuple

from embedstore.errors import TeacherError
from embedstore.teachers.protocol import EMBEDDING

if TYPE_CHECKING:
    import torch

    Maps = Sequence[torch.Tensor]  # of the stages in `STAGES`, (n, c, h, w) each

MAXIMA, GRID = "maxima", "grid"
STAGES = (-3, -2)  # the maps of most convolutional nets that are 8 and 16 times smaller than the picture
_FINEST = 4  # cells a side of the grid
_MOST = 4096  # numbers of a grid
_SAME = 1e-4  # by which numbers of two embeddings of unit length may differ: the same sums, perhaps in another order on a GPU


def _maxima(maps: Maps) -> torch.Tensor:
    """Return the maximum of each channel of both maps, (n, c + c'); each map's part has length 1."""
    import torch

    return torch.cat([torch.nn.functional.normalize(each.amax((2, 3)), dim=1) for each in maps], dim=1)


def _grid(maps: Maps) -> torch.Tensor:
    """Return the maximum of each channel of the later map in each of k x k cells, (n, c k k), channel by channel.

    Not the mean: beside the embedding, means of 4 x 4 cells took a probe of EfficientNet-Lite0 on magnetic tiles from an AUROC of
    .860 to .851, maxima to .868.
    """
    import torch

    return torch.nn.functional.adaptive_max_pool2d(maps[-1], _cells(maps[-1])).flatten(1)


def _cells(later: torch.Tensor) -> int:
    """Return k: as fine a grid as the map has and as keeps the output at a few KB; 1 where no grid does."""
    channels, *sides = later.shape[1:]
    return next((k for k in range(_FINEST, 1, -1) if k * k * channels <= _MOST and k <= min(sides)), 1)


def _define_maxima(maps: Maps) -> str:
    return f"maxima of the channels of stages {STAGES[0]} ({_shape(maps[0])}) and {STAGES[1]} ({_shape(maps[1])})"


def _define_grid(maps: Maps) -> str:
    k = _cells(maps[-1])
    return f"maxima of the channels of stage {STAGES[-1]} ({_shape(maps[-1])}) in {k} x {k} cells"


def _shape(one: torch.Tensor) -> str:
    return " x ".join(map(str, one.shape[1:]))


class Output(NamedTuple):
    """A further output.

    Attributes:
        compute: maps -> (n, d), to be scaled to unit length.
        define: maps -> what it is, in words.
    """

    compute: Callable[[Maps], torch.Tensor]
    define: Callable[[Maps], str]


OUTPUTS: dict[str, Output] = {MAXIMA: Output(_maxima, _define_maxima), GRID: Output(_grid, _define_grid)}


def refuse_text(outputs: Iterable[str]) -> None:
    """Raise where outputs are given as one text, of which each letter would be taken for a name."""
    if isinstance(outputs, str):
        names = [name.strip() for name in outputs.split(",")]
        raise TeacherError(f"The outputs are the text '{outputs}'; give a list of names: outputs={names}.")


def further(outputs: Iterable[str]) -> tuple[str, ...]:
    """Return the outputs that are asked for beside `embedding`, each once.

    Raises:
        TeacherError: there is no such output, or they are one text.
    """
    refuse_text(outputs)
    asked = dict.fromkeys(name for name in outputs if name != EMBEDDING)
    for name in asked:
        if name not in OUTPUTS:
            raise TeacherError(
                f"The output '{name}' is unknown; beside embedding, a teacher may give {' and '.join(OUTPUTS)}."
            )
    return tuple(asked)


def definitions(
    name: str,
    asked: Sequence[str],
    encode: Callable[[torch.Tensor], torch.Tensor],
    staged: Callable[[torch.Tensor], tuple[torch.Tensor, Maps]],
    pixels: torch.Tensor,
) -> dict[str, str]:
    """Return what each output is, after a trial that the model gives its maps and, in that pass, the same embedding.

    Args:
        name: the teacher, to speak of.
        asked: output names.
        encode: (n, 3, s, s) -> the embedding (n, d).
        staged: the same, with the maps of `STAGES`.
        pixels: (1, 3, s, s) to try both on; of a picture on which every part of the pass shows.

    Raises:
        TeacherError: it does not, or its maps are too wide or too small for an output.
    """
    import torch

    def refused(why: str) -> TeacherError:
        return TeacherError(
            f"The teacher '{name}' can't give {' and '.join(asked)}: {why}; leave them out, or take another teacher."
        )

    try:
        embedding, maps = staged(pixels)
        fits = len(maps) == len(STAGES) and all(each.ndim == 4 for each in maps)
    except torch.OutOfMemoryError:  # says nothing of the model
        raise
    # What models raise that have no maps, too few stages, or a layout of their own.
    except (AttributeError, AssertionError, TypeError, ValueError, RuntimeError, LookupError) as error:
        raise refused(f"its model gives no maps of the stages before the last ({type(error).__name__})") from error
    if not fits:
        raise refused("its model gives no maps of the stages before the last")
    plain, unit = encode(pixels), torch.nn.functional.normalize
    same = embedding.shape == plain.shape and torch.allclose(
        unit(embedding.float()), unit(plain.float()), rtol=0, atol=_SAME
    )
    if not same:
        raise refused("the pass that gives its maps gives another embedding")
    if GRID in asked and min(maps[-1].shape[2:]) < 2:
        raise refused(f"its {_shape(maps[-1])} maps are too small for a grid")
    if GRID in asked and _cells(maps[-1]) < 2:
        raise refused(f"a grid of its {_shape(maps[-1])} maps would have more than {_MOST} numbers")
    return {output: OUTPUTS[output].define(maps) for output in asked}

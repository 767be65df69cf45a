"""Teachers: frozen encoders behind one small protocol. The only place that loads one.

To add a teacher, write a file with a `load(argument, outputs) -> Teacher` and add its line to `TEACHERS`. Nothing heavy is
imported before a teacher is loaded.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from embedstore.errors import TeacherError
from embedstore.teachers import efficientnet_lite, joined, open_clip, pixels, reduced, timm
from embedstore.teachers.outputs import further
from embedstore.teachers.protocol import Teacher, TextTeacher
from embedstore.teachers.reduction import KIND as REDUCED

DEFAULT_TEACHER = "open_clip:ViT-B-32/laion2b_s34b_b79k"

TEACHERS: dict[str, Callable[[str, tuple[str, ...]], Teacher]] = {
    "open_clip": open_clip.load,
    "timm": timm.load,
    "efficientnet-lite0": efficientnet_lite.load_lite0,
    "efficientnet-lite1": efficientnet_lite.load_lite1,
    "efficientnet-lite2": efficientnet_lite.load_lite2,
    "pixels": pixels.load,
    joined.KIND: lambda argument, outputs: joined.load(argument, outputs, load_teacher, tuple(TEACHERS)),
}

__all__ = ["DEFAULT_TEACHER", "TEACHERS", "Teacher", "TextTeacher", "load_described", "load_teacher"]


def load_teacher(spec: str, outputs: Iterable[str] = ()) -> Teacher:
    """Load a teacher by its spec.

    Args:
        spec: `open_clip:ARCH/TAG`, `open_clip:ARCH@CHECKPOINT`, `timm:NAME`, `timm:NAME@CHECKPOINT`,
            `efficientnet-lite0`, `-lite1`, `-lite2`, `pixels` (NumPy only, for tests and trials), or `joined:A+B`, the
            embeddings of several of these side by side.
        outputs: further vectors of the same pass, beside `embedding`: `maxima`, the maximum over space of each channel of the
            maps of two stages before the last, and `grid`, the same of the later one in 4 x 4 cells (fewer where that gives
            more than 4,096 numbers).

    Raises:
        TeacherError: the spec or an output is unknown, the teacher can't give an output, or the checkpoint belongs to another
            architecture.
        WeightsUnavailableError: the weights are not here and can't be fetched.
        MissingPackageError: PyTorch, or another package that this teacher needs, is not installed.
    """
    reduced.refuse_spec(spec)
    kind, _, argument = spec.partition(":")
    if kind not in TEACHERS:
        raise TeacherError(
            f"The teacher '{spec}' is unknown; use open_clip:ARCH/TAG, open_clip:ARCH@CHECKPOINT, timm:NAME, "
            "timm:NAME@CHECKPOINT, efficientnet-lite0, efficientnet-lite1, efficientnet-lite2, pixels or joined:A+B."
        )
    return TEACHERS[kind](argument, further(outputs))


def load_described(space: Mapping[str, Any], outputs: Iterable[str] = ()) -> Teacher:
    """Load the teacher that a store describes: by its name, and by the axes that the store keeps where it is a reduced one.

    Args:
        space: what the store says of it.
        outputs: as of `load_teacher`.

    Raises:
        TeacherError, WeightsUnavailableError, MissingPackageError: as `load_teacher`.
    """
    if REDUCED not in space:
        return load_teacher(str(space["teacher"]), outputs)
    return reduced.load(space, further(outputs), load_teacher)

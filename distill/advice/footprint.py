"""What a way needs at the terminal, the size of its weights and the time for a picture, and which candidates that fits."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from statistics import median

import torch

from distill.answers import Patches
from distill.answers.patches import SIZES
from distill.students import make_student
from distill.training.learned_patches import patch_maps
from distill.training.scoring import Flips
from distill.training.settings import PATCHES, Settings
from embedstore.errors import EmbedstoreError, SettingsError
from embedstore.pages import Text

_PASSES, _BEFORE = 20, 3  # forward passes that are timed, and those before them


@dataclass(frozen=True)
class Footprint:
    """What one student needs, with what it is asked beside.

    Attributes:
        megabytes: of its weights, 10^6 bytes; of the training pictures' features where neighbours answer; of patches and of the
            stages that make them.
        milliseconds: for one picture with one thread of the CPU, the median over passes; all its flips are counted, since the
            figures of the trials average over them. What neighbours add, a product with their features, is left out.
        flips: how many passes of the student one picture takes; patches look at it once.
    """

    megabytes: float
    milliseconds: float
    flips: int


@dataclass(frozen=True)
class LeftOut:
    """A candidate that is not tried.

    Attributes:
        name: of it.
        footprint: what it needs, where that is more than is allowed; else None.
        why: a sentence, where it can't be made, or would be as another one.
    """

    name: str
    footprint: Footprint | None = None
    why: Text = field(default_factory=lambda: Text("", ""))


def fitting(
    ways: Mapping[str, Settings],
    classes: int,
    flips: Flips,
    *,
    pictures: int,
    side: int,
    max_megabytes: float | None,
    max_milliseconds: float | None,
) -> tuple[dict[str, Footprint], list[LeftOut]]:
    """Return what each way needs that can be made and fits the terminal, and the ways that do not.

    Args:
        ways: name -> settings.
        classes: how many labels.
        flips: over which answers are averaged.
        pictures: that the student will learn from.
        side: of those, in pixels, before its views are cut.
        max_megabytes: that the terminal allows; None for any.
        max_milliseconds: the same for one picture.

    Raises:
        SettingsError: no way fits.
    """
    found: dict[str, Footprint] = {}
    left_out: list[LeftOut] = []
    measured: dict[tuple[str, int, str], Footprint] = {}
    for name, settings in ways.items():
        if settings.size > side and any(_is_smaller(one, settings) for one in ways.values()):
            left_out.append(LeftOut(name, why=_no_larger(side, settings.size)))
            continue
        asked = settings.student, settings.size, settings.answer
        try:
            if asked not in measured:
                measured[asked] = footprint(settings, classes, flips, pictures)
        except EmbedstoreError as error:  # a teacher has no such stages, or its weights are not installed
            left_out.append(LeftOut(name, why=Text(str(error), str(error))))
            continue
        need = measured[asked]
        if _exceeds(need.megabytes, max_megabytes) or _exceeds(need.milliseconds, max_milliseconds):
            left_out.append(LeftOut(name, need))
        else:
            found[name] = need
    if not found:
        raise SettingsError(_none_fits(left_out))
    return found, left_out


def footprint(settings: Settings, classes: int, flips: Flips, pictures: int) -> Footprint:
    """Make a student, weigh it, and time it.

    Args:
        settings: that name the student, its input's size, and what it is asked beside.
        classes: how many labels.
        flips: over which its answers are averaged; see `scoring.flips_of`.
        pictures: that it will learn from.

    Raises:
        SettingsError: there is no such student, or no such stages that make patches.
        TeacherError: a teacher's weights are needed, and they are not installed.
    """
    student = make_student(settings.student, classes, settings.size, settings.seed)
    size = _megabytes(student)
    seconds = len(flips) * _seconds(student, lambda: student(_pixels(settings.size)))
    if settings.answer == PATCHES:
        patches = Patches.blank(patch_maps(settings)).cpu()
        size += _megabytes(patches)
        seconds += _seconds(patches, lambda: patches([_pixels(side) for side in SIZES]))
    elif settings.answer != "head":
        size += 4 * student.features * pictures / 1e6  # features are float32
    return Footprint(size, 1000 * seconds, len(flips))


def _is_smaller(one: Settings, other: Settings) -> bool:
    """Return whether a way is another one with smaller pictures."""
    return one.size < other.size and replace(other, size=one.size) == one


def _no_larger(side: int, size: int) -> Text:
    return Text(
        f"The store's pictures for students have a short side of {side} pixels, so {size} would show little more; a store that "
        f"is built with --keep-images {size} shows more.",
        f"ストアの生徒用の画像は短辺 {side} 画素のため、{size} 画素にしてもほとんど変わりません。"
        f"--keep-images {size} で作り直したストアなら変わります。",
    )


def _exceeds(value: float, limit: float | None) -> bool:
    return limit is not None and value > limit


def _none_fits(left_out: list[LeftOut]) -> str:
    needing = [(one.name, one.footprint) for one in left_out if one.footprint is not None]
    if not needing:
        return f"None of the ways can be trained here: {left_out[0].why.en}"
    told = "; ".join(
        f"'{name}' needs {need.megabytes:.2f} megabytes and {need.milliseconds:.1f} milliseconds"
        for name, need in needing
    )
    return f"No way fits the terminal ({told}); raise --max-megabytes or --max-milliseconds."


def _megabytes(module: torch.nn.Module) -> float:
    weights: int = sum(tensor.nbytes for tensor in module.state_dict().values())
    return weights / 1e6


def _pixels(side: int) -> torch.Tensor:
    return torch.randint(0, 256, (1, 3, side, side), generator=torch.Generator().manual_seed(0)).byte()


def _seconds(module: torch.nn.Module, look: Callable[[], object]) -> float:
    """Return the median time in which a module looks at one picture, with one thread."""
    threads = torch.get_num_threads()
    module.eval()
    torch.set_num_threads(1)
    try:
        with torch.inference_mode():
            for _ in range(_BEFORE):
                look()
            taken: list[float] = []
            for _ in range(_PASSES):
                started = time.perf_counter()
                look()
                taken.append(time.perf_counter() - started)
    finally:
        torch.set_num_threads(threads)
    return median(taken)

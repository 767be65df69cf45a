"""The patches of a store's pictures, and what is learned of those on a run's training side; see `distill.answers.patches`."""

from __future__ import annotations

from collections import Counter

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from distill.answers import Patches, PatchMaps
from distill.answers.patches import SIZES, places_of, refuse_too_few
from distill.students import device
from distill.students.teacher_stages import teacher_stages
from distill.training.pictures import StudentPictures
from distill.training.run_data import RunData
from distill.training.settings import TRUNK, Settings
from embedstore.errors import SettingsError

# Of the patches of good pictures, and of those of defective ones, at the largest size; and so many pictures in any case.
_MOST_BYTES, _FEWEST = 1 << 27, 50
_AT_ONCE = 64


class SeenPatches:
    """Makes the patches of a store's pictures when they are asked for.

    Args:
        maps: makes them.
        pictures: of the store; at sizes of their own, whatever the student sees.
        room: bytes of patches that are kept, for those who ask for the same again; of the others each is made anew.
    """

    def __init__(self, maps: PatchMaps, pictures: StudentPictures, *, room: int = 0):
        self.maps = maps
        self._pictures, self._room = pictures, room
        self._kept: dict[tuple[int, int], Tensor] = {}  # (position, size) -> (places, c)

    def of(self, positions: npt.NDArray[np.int64], size: int) -> Tensor:
        """Return the patches (m, places, c) of the pictures at some positions in the store, one or more, at a size in pixels."""
        wanted = [int(at) for at in positions]
        found = {at: self._kept[at, size] for at in wanted if (at, size) in self._kept}
        missing = [at for at in wanted if at not in found]
        with torch.inference_mode():
            for start in range(0, len(missing), _AT_ONCE):
                part = missing[start : start + _AT_ONCE]
                (pixels,) = self._pictures.whole(np.array(part, np.int64), (size,), device())
                made = self.maps.of(pixels)
                found |= zip(part, made, strict=True)
                if made.nbytes <= self._room:
                    self._room -= made.nbytes
                    self._kept |= {(at, size): one for at, one in zip(part, made, strict=True)}
            return torch.stack([found[at] for at in wanted])

    def log_odds(self, patches: Patches, positions: npt.NDArray[np.int64]) -> Tensor:
        """Return what patches say of pictures: the log-odds (m,) of a defect, float64."""
        said = [torch.zeros(0, dtype=torch.float64)]
        for start in range(0, len(positions), _AT_ONCE):
            part = positions[start : start + _AT_ONCE]
            with torch.inference_mode():
                said.append(patches.log_odds([self.of(part, size) for size in SIZES]).cpu())
        return torch.cat(said)


def patch_maps(settings: Settings, *, pretrained: bool = True) -> PatchMaps:
    """Make what makes patches, where students train; with the teacher's weights if `pretrained`, else others follow.

    Raises:
        SettingsError: the teacher has no such stages.
        TeacherError: its weights are not installed.
    """
    try:
        stages = teacher_stages(f"{TRUNK}:{settings.patches}", max(SIZES), pretrained=pretrained)
    except SettingsError as error:
        raise _no_maps(settings, error) from error
    try:
        maps = PatchMaps(stages.to(device()))
        for size in SIZES if pretrained else ():
            places_of(maps, size)
    except torch.OutOfMemoryError:
        raise
    except (AssertionError, RuntimeError) as error:  # a model of one size of picture only
        raise _no_maps(settings, error) from error
    return maps


def _no_maps(settings: Settings, error: Exception) -> SettingsError:
    return SettingsError(
        f"The answer 'patches' looks at the maps of TEACHER:STAGES, such as {Settings().patches}, at "
        f"{', '.join(map(str, SIZES))} pixels, which '{settings.patches}' does not give: {error}"
    )


def refuse_unlearnable(maps: PatchMaps, data: RunData, settings: Settings) -> None:
    """Refuse beforehand what `learn_patches` would refuse.

    Raises:
        TrainingError: too few parts are good or defective.
    """
    refuse_too_few(*_parts_and_defects(data, settings, _looked_at(maps, data, settings)))


def learn_patches(seen: SeenPatches, data: RunData, settings: Settings) -> Patches:
    """Learn from a run's labelled training pictures, or some of them, where they are very many.

    Raises:
        TrainingError: see `Patches.of`.
    """
    looked_at = _looked_at(seen.maps, data, settings)
    parts, defect = _parts_and_defects(data, settings, looked_at)
    of_sizes = (seen.of(looked_at, size) for size in SIZES)  # one after the other, since they are large
    return Patches.of(seen.maps, of_sizes, defect, parts, settings.seed).eval()


def _looked_at(maps: PatchMaps, data: RunData, settings: Settings) -> npt.NDArray[np.int64]:
    """Return the positions of training pictures from which patches are learned: first a good and a defective one of each part."""
    most = max(_FEWEST, _MOST_BYTES // (4 * maps.channels * places_of(maps, max(SIZES))))
    drawn = np.random.default_rng(settings.seed).permutation(data.labelled("train"))
    taken: Counter[tuple[str, bool]] = Counter()
    turns = []
    for sample in (data.samples[at] for at in drawn):
        kind = sample.part, sample.label == settings.good
        turns.append(taken[kind])
        taken[kind] += 1
    drawn = drawn[np.argsort(turns, kind="stable")]
    _, defect = _parts_and_defects(data, settings, drawn)
    return np.sort(np.concatenate([drawn[defect == side][:most] for side in (False, True)]))


def _parts_and_defects(
    data: RunData, settings: Settings, positions: npt.NDArray[np.int64]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.bool_]]:
    """Return of labelled pictures which part each shows (n,), as numbers, and which show a defect (n,)."""
    parts = np.unique([data.samples[at].part for at in positions], return_inverse=True)[1]
    return parts, np.array([data.samples[at].label != settings.good for at in positions], np.bool_)

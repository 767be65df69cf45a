"""patches: beside its head, a student is asked how far each place of a picture is from anything that good parts show.

A head sees means over the picture, in which a small defect is hidden. Here each place of the maps of a teacher's first stages is
looked up among those of good training pictures (PatchCore, Roth et al., arXiv 2106.08265), and looked at by what defective ones
taught (see `places`), at three sizes of the picture.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import numpy.typing as npt
import torch
from sklearn.linear_model import LogisticRegression
from torch import Tensor, nn
from torch.nn import functional

from distill.answers.memory import are
from distill.answers.places import folds_of, learn_places, said_apart
from distill.answers.standard import standard
from distill.students.student import MIDDLE, SPREAD, few_at_a_time
from distill.students.teacher_stages import TeacherStages
from embedstore.errors import TrainingError

SIZES = (96, 160, 224)  # of the picture, in pixels
MOST = 2_500  # patches that are kept of each size; with four times as many hardly more is found
TOP, STATISTICS = 5, 6  # places of which the mean is a statistic; statistics of a picture at each size
_STRENGTH = 0.1  # C of the logistic regression
_TRIED_SIZE = 96  # of a picture on which the sizes of a trunk's maps are found out
_MOST_OF_ONE_PART = 0.95
_LEAST_SPREAD, _LEAST_ODDS = 1e-6, 1.0  # of a statistic; of log-odds of places
_PLAIN, _MOST = 15.0, 22.0  # log-odds of a defect: up to which they are as they were found, and which none reaches
_WIDEST = 6e4  # of a number that 16 bits hold
_OF_SIZE = ("kept", "centre", "scale", "place", "offset")  # the tables of each size

Places = tuple[
    Tensor, Tensor
]  # of one size: distances to the nearest patches kept, log-odds of a defect, (m, places) each
Flags = npt.NDArray[np.bool_]
Integers = npt.NDArray[np.int64]


def refuse_too_few(parts: Integers, defect: Flags) -> None:
    """Refuse what no patches can be learned from.

    Raises:
        TrainingError: too few parts are good or defective, or there are few good pictures beside those of one part.
    """
    folds_of(parts, defect, 0)
    counts = np.unique(parts[~defect], return_counts=True)[1]
    if counts.max() > _MOST_OF_ONE_PART * counts.sum():
        raise TrainingError(
            f"{counts.max()} of {counts.sum()} good training pictures show one part, and the answer 'patches' looks each picture "
            "up among other parts; label good pictures of more parts, or choose another answer."
        )


class PatchMaps(nn.Module):
    """Maps pixels to patches: the maps of a trunk's last stage, beside those of the last one with twice as many places a side.

    Each place is the mean over it and its neighbours.

    Args:
        trunk: the first stages of a teacher; it is left in evaluation mode.
    """

    def __init__(self, trunk: TeacherStages):
        super().__init__()
        self.trunk = trunk.eval()
        with torch.inference_mode():
            maps = list(trunk.stages(torch.zeros(1, 3, _TRIED_SIZE, _TRIED_SIZE, device=trunk.scale.device)))
        last = len(maps) - 1
        finer = [at for at, one in enumerate(maps) if one.shape[-1] >= 2 * maps[last].shape[-1]]
        self.looked_at = (*finer[-1:], last)
        self.channels = sum(maps[at].shape[1] for at in self.looked_at)

    def forward(self, pixels: Tensor) -> Tensor:
        """Map pixels (m, 3, s, s), 0 to 255, to patches (m, places, channels)."""
        maps = list(self.trunk.stages((pixels.float() - MIDDLE) / SPREAD))
        seen = [
            functional.avg_pool2d(maps[at], 3, stride=1, padding=1) / maps[at].shape[1] ** 0.5 for at in self.looked_at
        ]
        side = seen[-1].shape[-1]
        return torch.cat([functional.adaptive_avg_pool2d(one, side) for one in seen], dim=1).flatten(2).transpose(1, 2)

    def of(self, pixels: Tensor) -> Tensor:
        """Map pixels of any number of pictures to patches, as `forward` does, some at a time."""
        return torch.cat([self(few) for few in few_at_a_time(pixels)])


def places_of(maps: PatchMaps, size: int) -> int:
    """Return how many patches a picture of a size has, in pixels."""
    with torch.inference_mode():
        return int(maps(torch.zeros(1, 3, size, size, device=maps.trunk.scale.device)).shape[1])


class Patches(nn.Module):
    """Log-odds of a defect from how far a picture's patches are from those of good parts, and how much they look like a defect.

    Channels count alike: each is centred and divided by its spread over good patches; those that hardly vary there count nothing.
    Each place has a distance to the nearest patch that is
    kept, and log-odds of a defect. Of either the largest of the picture, the mean of the largest `TOP` and the mean of all are
    taken at each size, and a logistic regression makes log-odds of a defect of these: as if good and defect were equally
    frequent, since the head knows how frequent they are.

    Args:
        maps: makes the patches.
        tables: for each of `SIZES`, patches (k, c) of good training pictures, scaled, float16; what scales them, a centre (c,)
            and factors (c,); the weights (c,) and the bias () that make log-odds of a scaled patch.
        weights: (sizes x `STATISTICS`,) of the logistic regression.
        bias: () of it.
        usual: what is usual of places of good parts, by which `where` tells what is not: (sizes, 2, 2) mean and spread of the
            distances and of the log-odds at each size, and (2,) those of their mean. None in runs that have not kept it.
    """

    weights: Tensor
    bias: Tensor
    usual: Tensor | None
    usual_mean: Tensor | None

    def __init__(
        self,
        maps: PatchMaps,
        tables: Sequence[Sequence[Tensor]],
        weights: Tensor,
        bias: Tensor,
        usual: tuple[Tensor, Tensor] | None = None,
    ):
        super().__init__()
        self.maps = maps
        for at, of_size in enumerate(tables):
            for name, tensor in zip(_OF_SIZE, of_size, strict=True):
                self.register_buffer(f"{name}_{at}", tensor)
        for name, known in zip(("usual", "usual_mean"), usual or (None, None), strict=True):
            self.register_buffer(name, known)
        self.register_buffer("weights", weights)
        self.register_buffer("bias", bias)

    @classmethod
    def of(cls, maps: PatchMaps, seen: Iterable[Tensor], defect: Flags, parts: Integers, seed: int) -> Patches:
        """Learn from labelled training pictures, each of which is looked up among the patches of other parts only.

        Args:
            maps: that made the patches.
            seen: for each of `SIZES`, the patches (n, places, c) of all pictures; looked at one after the other.
            defect: (n,) which show a defect.
            parts: (n,) which part each shows.
            seed: of which patches are kept.

        Raises:
            TrainingError: fewer than two parts are good, or defective, or the patches are no numbers.
        """
        good = np.flatnonzero(~defect)
        refuse_too_few(parts, defect)
        tables, statistics, found = [], [], []
        for patches in seen:
            centre, scale = standard(patches[good].flatten(0, 1))
            scaled = (patches - centre) * scale
            drawn = np.random.default_rng(seed).permutation(len(good) * patches.shape[1])[:MOST]
            of_drawn = good[drawn // patches.shape[1]]
            kept = scaled[of_drawn, drawn % patches.shape[1]].clamp(-_WIDEST, _WIDEST).half()
            distances = _distances_apart(scaled, kept.float(), parts, parts[of_drawn])
            if not distances.isfinite().all():
                raise TrainingError(
                    "The patches are no numbers, so the weights of their teacher are none; take them from a copy."
                )
            said = said_apart(scaled, distances, defect, parts, seed)
            statistics += [_statistics(distances), _statistics(said)]
            found.append((distances[good], said[good]))
            tables.append((kept, centre, scale, *learn_places(scaled, distances, defect, seed)))
        weights, bias = _regression(torch.cat(statistics, dim=1).cpu().numpy().astype(np.float64), defect)
        device = tables[0][0].device
        return cls(maps, tables, weights.to(device), bias.to(device), _usual(found))

    @classmethod
    def blank(cls, maps: PatchMaps) -> Patches:
        """Return patches that have learned nothing, as large and as slow as others."""
        c = maps.channels
        of_size = (torch.ones(MOST, c).half(), torch.zeros(c), torch.ones(c), torch.zeros(c), torch.tensor(0.0))
        weights = torch.zeros(len(SIZES) * STATISTICS, dtype=torch.float64)
        tables = [[one.to(maps.trunk.scale.device) for one in of_size] for _ in SIZES]
        usual = torch.ones(len(SIZES), 2, 2), torch.ones(2)
        return cls(maps, tables, weights, torch.tensor(0.0, dtype=torch.float64), usual).eval()

    def places(self, seen: Sequence[Tensor]) -> list[Places]:
        """Return what is found at each place of pictures' patches (m, places, c), in the order of `SIZES`."""
        found = []
        for at, patches in enumerate(seen):
            kept, centre, scale, place, offset = (getattr(self, f"{name}_{at}") for name in _OF_SIZE)
            scaled = (patches - centre) * scale
            found.append((_nearest(scaled, kept.float()), scaled @ place + offset))
        return found

    def log_odds_of(self, found: Sequence[Places]) -> Tensor:
        """Return the log-odds (m,) of a defect, float64, of pictures by what `places` found."""
        statistics = [_statistics(numbers) for of_size in found for numbers in of_size]
        return torch.cat(statistics, dim=1).double() @ self.weights + self.bias

    def where_of(self, found: Sequence[Places]) -> Tensor:
        """Return maps (m, side, side), float32, of how far each place is from usual, by what `places` found; see `where`."""
        assert self.usual is not None  # noqa: S101  whoever asks has looked
        assert self.usual_mean is not None  # noqa: S101
        return (_unusual(found, self.usual) - self.usual_mean[0]) / self.usual_mean[1]

    def where(self, cuts: Sequence[Tensor]) -> Tensor:
        """Return maps (m, side, side) of pictures' own square cuts that say how much each place looks like a defect.

        In standard deviations of places of good parts, by what other parts taught: of the mean over distances and log-odds at the
        three sizes, at as many places as the largest size has. Either alone pointed at fewer pasted defects
        (docs/measurements.md), and so did maxima over the sizes.

        Args:
            cuts: (m, 3, s, s), 0 to 255, in the order of `SIZES`.
        """
        return self.where_of(self.places([self.maps.of(pixels) for pixels in cuts]))

    def log_odds(self, seen: Sequence[Tensor]) -> Tensor:
        """Return the log-odds (m,) of a defect, float64, of pictures' patches (m, places, c), in the order of `SIZES`."""
        return self.log_odds_of(self.places(seen))

    def forward(self, cuts: Sequence[Tensor]) -> Tensor:
        """Return the log-odds (m,) of a defect, float64, of pictures (m, 3, s, s), 0 to 255, in the order of `SIZES`."""
        return self.log_odds([self.maps.of(pixels) for pixels in cuts])

    @classmethod
    def fitting(cls, kept: Mapping[str, Tensor], maps: PatchMaps) -> Patches | None:
        """Return patches from a file's tensors, with whose weights the trunk goes on; None where they are none of it."""
        c, sizes = maps.channels, range(len(SIZES))
        counts = [kept[name].shape[:1] if name in kept else () for name in (f"kept_{at}" for at in sizes)]
        of_size = {"centre": (c,), "scale": (c,), "place": (c,), "offset": ()}
        expected = {
            **{f"maps.{name}": (tuple(one.shape), one.dtype) for name, one in maps.state_dict().items()},
            **{f"kept_{at}": ((*counts[at], c), torch.float16) for at in sizes},
            **{f"{name}_{at}": (shape, torch.float32) for name, shape in of_size.items() for at in sizes},
            "weights": ((len(SIZES) * STATISTICS,), torch.float64),
            "bias": ((), torch.float64),
        }
        if knows := "usual" in kept:
            expected |= {"usual": ((len(SIZES), 2, 2), torch.float32), "usual_mean": ((2,), torch.float32)}
        if not are(kept, expected) or not all(len(kept[f"kept_{at}"]) for at in sizes):
            return None
        tables = [[kept[f"{name}_{at}"] for name in _OF_SIZE] for at in sizes]
        usual = (kept["usual"], kept["usual_mean"]) if knows else None
        found = cls(maps, tables, kept["weights"], kept["bias"], usual)
        found.load_state_dict(dict(kept))
        return found.eval()


def beside(said: Tensor, log_odds: Tensor, defects: Tensor) -> Tensor:
    """Return probabilities (m, classes) to whose log-odds of a defect others are added; defects stay as likely among each other.

    Weights of the two, found on the validation side, made nothing better. Their sum is bounded, see `_below_most`.

    Args:
        said: (m, classes) probabilities, float64.
        log_odds: (m,) what is added.
        defects: (classes,) 1 for a defect, 0 for good parts.
    """
    tiny = torch.finfo(torch.float64).tiny
    of_head = (said @ defects).clamp_min(tiny).log() - (said @ (1 - defects)).clamp_min(tiny).log()
    added = log_odds + (_below_most(of_head + log_odds) - (of_head + log_odds))
    return (said.clamp_min(tiny).log() + added[:, None] * defects).softmax(dim=1)


def _below_most(log_odds: Tensor) -> Tensor:
    """Return log-odds in the same order, none of which reaches `_MOST`, or minus that; those up to `_PLAIN` are as they were.

    A probability of a defect is 1 to the last bit from log-odds of 37 on: no threshold could then stand between a hair on a good
    part and a hole.
    """
    size = log_odds.abs()
    more, room = (size - _PLAIN).clamp_min(0), _MOST - _PLAIN
    return log_odds.sign() * (size.clamp_max(_PLAIN) + room * more / (room + more))


def _nearest(patches: Tensor, kept: Tensor) -> Tensor:
    """Return the distances (m, places) of patches (m, places, c) to the nearest of those kept (k, c)."""
    return torch.stack([_nearest_of_one(one, kept) for one in patches])  # all at once, they take much memory


def _nearest_of_one(patches: Tensor, kept: Tensor) -> Tensor:
    squares = (patches * patches).sum(dim=1, keepdim=True) + (kept * kept).sum(dim=1) - 2 * patches @ kept.T
    return squares.amin(dim=1).clamp_min(0).sqrt()


def _usual(found: Sequence[Places]) -> tuple[Tensor, Tensor]:
    """Return what is usual of places of good parts, as `Patches` keeps it.

    Args:
        found: of good pictures at each size, by what other parts taught alone: of its own part's pictures a place is told too
            well, the fewer there are the more. Log-odds that hardly spread count as if they spread by `_LEAST_ODDS`.
    """
    least = (_LEAST_SPREAD, _LEAST_ODDS)
    usual = torch.stack([torch.stack(list(map(_mean_and_spread, of_size, least))) for of_size in found])
    return usual, _mean_and_spread(_unusual(found, usual), _LEAST_SPREAD)


def _mean_and_spread(numbers: Tensor, least: float) -> Tensor:
    return torch.stack([numbers.mean(), numbers.std(correction=0).clamp_min(least)])


def _unusual(found: Sequence[Places], usual: Tensor) -> Tensor:
    """Return maps (m, side, side) of the mean of what is found at each place, in spreads from usual (sizes, 2, 2)."""
    side = max(_side(distances) for distances, _ in found)
    maps = []
    for of_size, of_usual in zip(found, usual, strict=True):
        away = [(numbers - mean) / spread for numbers, (mean, spread) in zip(of_size, of_usual, strict=True)]
        own = torch.stack(away).mean(dim=0).reshape(len(away[0]), _side(away[0]), -1)
        maps.append(functional.interpolate(own[:, None], size=(side, side), mode="bilinear", align_corners=False))
    return torch.cat(maps, dim=1).mean(dim=1)


def _side(numbers: Tensor) -> int:
    """Return the side of the square that places (m, places) make."""
    return math.isqrt(numbers.shape[1])


def _distances_apart(patches: Tensor, kept: Tensor, parts: Integers, part_of_kept: Integers) -> Tensor:
    """Return the distances (n, places) of pictures' patches (n, places, c) to the nearest kept ones (k, c) of other parts."""
    found = torch.empty(patches.shape[:2], device=patches.device)
    for at, part in enumerate(parts):
        others = torch.from_numpy(np.flatnonzero(part_of_kept != part)).to(kept.device)
        found[at] = _nearest_of_one(patches[at], kept[others])
    return found


def _statistics(numbers: Tensor) -> Tensor:
    """Return the largest of a picture's numbers (m, places), the mean of the largest `TOP`, and the mean of all: (m, 3)."""
    largest = numbers.topk(min(TOP, numbers.shape[1]), dim=1).values
    return torch.stack([largest[:, 0], largest.mean(dim=1), numbers.mean(dim=1)], dim=1)


def _regression(statistics: npt.NDArray[np.float64], defect: Flags) -> tuple[Tensor, Tensor]:
    """Return the weights (numbers,) and the bias () of a logistic regression on statistics (n, numbers), of equal classes."""
    centre, spread = statistics[~defect].mean(axis=0), statistics[~defect].std(axis=0).clip(_LEAST_SPREAD)
    model = LogisticRegression(C=_STRENGTH, max_iter=2000).fit((statistics - centre) / spread, defect)
    weights = model.coef_[0] / spread
    prior = np.log(defect.sum() / (~defect).sum())
    return torch.from_numpy(weights), torch.tensor(float(model.intercept_[0] - weights @ centre - prior)).double()

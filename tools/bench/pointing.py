"""Does the map of where a defect is point at it? A pointing game on pasted defects.

    python tools/bench/pointing.py RUN [--store STORE] [--images DIR] [--pictures 160] [--seed 1]

RUN is a finished run with patches. Into good pictures of parts that it did not learn from, one defect each is pasted, 6 to 15 %
of the width and the height large: the darkest spot of a defective training picture, a dark line, a dark and a bright spot. It
counts how often the peak of a map is in the defect's box or at most one place beside it, for the map of `Patches.where` and for
its halves.
"""

import argparse
import sys
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFilter

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE.parents[1])]

from distill.answers.patches import SIZES, Patches  # noqa: E402
from distill.terminal.checking import pictures_at  # noqa: E402
from distill.terminal.graph import Cutting  # noqa: E402
from distill.training.answers import loaded_memory  # noqa: E402
from distill.training.evaluate import FinishedRun, finished_run  # noqa: E402

KINDS = ("crop", "line", "dark spot", "bright spot")
HALVES = ("both", "distances", "log-odds")
Levels = np.ndarray  # (height, width) float


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    for name in ("store", "images"):
        parser.add_argument(f"--{name}", type=Path)
    for name, default in (("pictures", 160), ("seed", 1)):
        parser.add_argument(f"--{name}", type=int, default=default)
    options = parser.parse_args()
    random = np.random.default_rng(options.seed)
    with finished_run(options.run, store=options.store, images=options.images, student=None, training=True) as run:
        patches = loaded_memory(run.path, run.settings, run.student)
        if not isinstance(patches, Patches):
            parser.error(f"the run in '{options.run}' keeps no patches")
        if patches.usual is None:
            parser.error(f"the run in '{options.run}' has not kept what is usual, as earlier releases had not")
        if run.source.recipe.fit != "squash":
            parser.error("boxes are shares of the picture, so the store's views must squash it")
        crops = [dark_spot(one) for one in levels(run, chosen(run, ("train",), random, defect=True))]
        hits: dict[tuple[str, str], list[bool]] = {}
        chance = []
        for picture in levels(run, chosen(run, ("test", "val"), random, defect=False)[: options.pictures]):
            for kind in KINDS:
                shown, box = pasted(picture, kind, crops, random)
                for half, where in zip(HALVES, maps(patches, run, shown), strict=True):
                    inside = near(box, len(where))
                    hits.setdefault((half, kind), []).append(bool(inside.flat[where.argmax()]))
                chance.append(inside.mean())
    print(f"{len(chance) // len(KINDS)} pictures; chance {np.mean(chance):.3f}")
    for half in HALVES:
        found = {kind: float(np.mean(hits[half, kind])) for kind in KINDS}
        print(
            f"{half:12}",
            *(f"{kind} {share:.3f}" for kind, share in found.items()),
            f"all {np.mean(list(found.values())):.3f}",
        )


def chosen(run: FinishedRun, sides: tuple[str, ...], random: np.random.Generator, *, defect: bool) -> np.ndarray:
    """Return the positions of the good or the defective pictures of some sides, shuffled."""
    at = [one for side in sides for one in run.data.sides[side] if run.data.samples[one].label is not None]
    return random.permutation([one for one in at if (run.data.samples[one].label != run.settings.good) == defect])


def levels(run: FinishedRun, positions: np.ndarray) -> list[Levels]:
    """Return grey pictures."""
    return [one.mean(axis=2) for one in pictures_at(run, positions)]


def dark_spot(picture: Levels) -> Levels:
    """Return what is darkest against its surroundings, as differences from their level."""
    image = Image.fromarray(picture.round().astype(np.uint8))
    fine, coarse = (np.asarray(image.filter(ImageFilter.GaussianBlur(radius)), float) for radius in (2, 12))
    half = min(12, min(picture.shape) // 4)
    inner = (coarse - fine)[half:-half, half:-half]
    row, column = np.unravel_index(inner.argmax(), inner.shape)
    spot = picture[row : row + 2 * half, column : column + 2 * half]
    return spot - np.median(spot)


def pasted(
    picture: Levels, kind: str, crops: list[Levels], random: np.random.Generator
) -> tuple[np.ndarray, tuple[float, float, float, float]]:
    """Return a picture (height, width, 3) uint8 with a defect, and the defect's box in shares: left, top, right, bottom."""
    height, width = picture.shape
    share = random.uniform(0.06, 0.15)
    wide, high = (max(3, round(share * side)) for side in (width, height))
    if kind == "crop":
        wide = high = min(wide, high)
    left, top = int(random.integers(width - wide + 1)), int(random.integers(height - high + 1))
    changed = picture.copy()
    if kind == "crop":
        crop = Image.fromarray(crops[random.integers(len(crops))].astype(np.float32))
        rim = 4 * np.minimum(np.arange(wide) + 1, wide - np.arange(wide)) / wide  # it fades out towards its rim
        fading = np.minimum.outer(rim, rim).clip(0, 1)
        changed[top : top + high, left : left + wide] += fading * np.asarray(crop.resize((wide, high)), float)
    else:
        finer = Image.new("L", (4 * width, 4 * height))
        box = [4 * left, 4 * top, 4 * (left + wide), 4 * (top + high)]
        if kind == "line":
            if random.random() < 0.5:
                box = [box[2], box[1], box[0], box[3]]
            ImageDraw.Draw(finer).line(box, fill=255, width=max(6, round(0.05 * min(width, height))))
        else:
            ImageDraw.Draw(finer).ellipse(box, fill=255)
        mask = finer.resize((width, height), Image.Resampling.BOX).filter(ImageFilter.GaussianBlur(0.7))
        changed += np.asarray(mask, float) / 255 * random.uniform(25, 60) * (1 if kind == "bright spot" else -1)
    pixels = np.repeat(changed.clip(0, 255).round().astype(np.uint8)[:, :, None], 3, axis=2)
    return pixels, (left / width, top / height, (left + wide) / width, (top + high) / height)


def maps(patches: Patches, run: FinishedRun, picture: np.ndarray) -> list[np.ndarray]:
    """Return the map (side, side) of a picture, and those by its distances and by its log-odds alone."""
    fit = run.source.recipe.fit
    with torch.inference_mode():
        cuts = [Cutting(size, fit)(torch.from_numpy(picture)) for size in SIZES]
        found = patches.places([patches.maps(cut) for cut in cuts])
        usual = patches.usual
        assert usual is not None  # noqa: S101  refused beforehand
        halves = []
        for kept in (0, 1):  # the other half is as usual
            own = [
                tuple(
                    one if at == kept else torch.full_like(one, float(usual[size, at, 0]))
                    for at, one in enumerate(both)
                )
                for size, both in enumerate(found)
            ]
            halves.append(patches.where_of(own))
        return [one[0].numpy() for one in (patches.where_of(found), *halves)]


def near(box: tuple[float, float, float, float], side: int) -> np.ndarray:
    """Return which places (side, side) are in a box, or at most one beside it."""
    at = (np.arange(side) + 0.5) / side
    across = (at >= box[0] - 1 / side) & (at <= box[2] + 1 / side)
    down = (at >= box[1] - 1 / side) & (at <= box[3] + 1 / side)
    return down[:, None] & across


if __name__ == "__main__":
    main()

"""Pictures that anyone can make again: soft surfaces, some of them scratched, as JPEG files of a camera's size."""

from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

LABELS = ("good", "scratch")


def make_pictures(folder: Path, count: int, size: tuple[int, int], seed: int = 0) -> None:
    """Write `count` RGB pictures into one folder per label, one in five of them scratched."""
    for label in LABELS:
        (folder / label).mkdir(parents=True)
    for number in range(count):
        random = np.random.default_rng([seed, number])
        coarse = random.integers(90, 170, (9, 12, 3), np.uint8)
        picture = Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC)
        noise = random.normal(0, 6, (size[1], size[0], 1))
        picture = Image.fromarray(np.clip(np.asarray(picture) + noise, 0, 255).astype(np.uint8))
        label = LABELS[number % 5 == 4]
        if label == "scratch":
            ends = random.uniform(0.2, 0.8, 4) * (*size, *size)
            ImageDraw.Draw(picture).line([*map(float, ends)], fill=(60, 55, 50), width=max(2, size[0] // 150))
        picture.save(folder / label / f"part-{number:06d}.jpg", quality=92)

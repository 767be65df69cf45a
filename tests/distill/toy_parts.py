"""A little data that tests make for themselves: noise is a good part, a bright spot or stripe on it is a defect."""

import csv
import zlib
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

import embedstore
from distill import Settings
from embedstore.views import Recipe

SIDE = 48  # pixels of a picture
_SIDES = ("train", "val", "train", "test", "train")  # of ten groups six train, two validate, two test


@dataclass(frozen=True)
class Part:
    """A row of the manifest; the kind decides what is drawn, and nobody is told."""

    path: str
    label: str = ""
    mode: str = ""
    group: str = ""
    split: str = ""
    kind: str = "good"


def draw(kind: str, seed: int) -> Image.Image:
    """Return grey noise, with a spot, a stripe, or bright rims where the kind says so."""
    random = np.random.default_rng(seed)
    pixels = random.normal(110, 12, (SIDE, SIDE))
    top, left = random.integers(8, SIDE - 20, 2)
    if kind == "spot":
        pixels[top : top + 12, left : left + 12] += 110
    elif kind == "stripe":
        pixels[:, left : left + 6] += 110
    elif kind == "rims":
        pixels[:10] = pixels[-10:] = 250
    return Image.fromarray(pixels.clip(0, 255).astype(np.uint8))


def parts(good: int = 60, spot: int = 20, stripe: int = 20, *, split: bool = True) -> list[Part]:
    """Return so many parts, two pictures a group."""
    return [
        Part(
            path=f"{kind}{number:03}.png",
            label="good" if kind == "good" else "defect",
            mode="" if kind == "good" else kind,
            group=f"{kind}-{number // 2}",
            split=_SIDES[number // 2 % len(_SIDES)] if split else "",
            kind=kind,
        )
        for kind, count in (("good", good), ("spot", spot), ("stripe", stripe))
        for number in range(count)
    ]


def everything() -> list[Part]:
    """Return 100 labelled parts on three sides, 6 without a label (4 train, 2 test), and 3 set aside."""
    return [
        *parts(),
        *(
            Part(f"unknown{n}.png", split="train", kind=kind)
            for n, kind in enumerate(("good", "spot", "stripe", "good"))
        ),
        *(Part(f"untold{n}.png", split="test", kind="spot") for n in range(2)),
        *(Part(f"aside{n}.png", "defect", "rims", f"rims-{n}", "aside", "rims") for n in range(3)),
    ]


def write_pictures(folder: Path, rows: Iterable[Part]) -> None:
    """Draw each part's picture; the same for the same path and kind."""
    for row in rows:
        path = folder / row.path
        path.parent.mkdir(parents=True, exist_ok=True)
        draw(row.kind, zlib.crc32(row.path.encode())).save(path)


def write_manifest(path: Path, rows: Iterable[Part]) -> Path:
    """Write what is known of the parts."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, ["path", "label", "mode", "group", "split"], extrasaction="ignore")
        writer.writeheader()
        writer.writerows(asdict(row) for row in rows)
    return path


def make_store(folder: Path, rows: list[Part], *, views: int = 2, recipe: Recipe | None = None) -> Path:
    """Draw the parts below `folder`, build a store of them with the NumPy teacher, and return its path."""
    images, store = folder / "images", folder / "toy.store"
    write_pictures(images, rows)
    manifest = write_manifest(folder / "parts.csv", rows)
    embedstore.build(store, images, manifest=manifest, teacher="pixels", views=views, recipe=recipe)
    return store


def quick(**changes: Any) -> Settings:
    """Return settings that train in half a second."""
    return Settings(**{"policy": "none", "good": "good", "size": 32, "epochs": 2, "batch": 16} | changes)


def policy(name: str) -> dict[str, Any]:
    """Return the settings that choose a policy; a mixture is of others, for each label its own."""
    weights = {"good": {"class-mean": 1, "own": 1}, "defect": {"rare-samples": 2, "none": 1}}
    return {"policy": name, "mixture": weights if name == "mixture" else {}}

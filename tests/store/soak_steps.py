"""What the kill trials do to a store, step by step; a process of its own runs this file and is killed in the middle.

python soak_steps.py STORE IMAGES FIRST says "begin N" and "end N" for each step from FIRST on.
"""

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from helpers import CountingTeacher, unit_vectors, write_pictures

import embedstore
from embedstore.engines import local
from embedstore.store import compaction, embedding_pass, writing


class SlowTeacher(CountingTeacher):
    """Takes its time, so that a kill finds it at work."""

    def embed(self, pictures: Any) -> Any:
        time.sleep(0.002)
        return super().embed(pictures)


def small_steps() -> None:
    """Let few pictures take many transactions."""
    local._CROPS_AT_ONCE, embedding_pass._COMMIT_ROWS, writing._AT_ONCE = 6, 10, 10
    compaction._BLOCKS_AT_ONCE = 1


def build(store: Path, images: Path) -> None:
    write_pictures(images, [f"{label}/{number:02}.png" for label in ("good", "crack") for number in range(30)])
    embedstore.build(store, images, teacher=SlowTeacher(), views=1)


def add_pictures(store: Path, images: Path) -> None:
    write_pictures(images, [f"pore/{number:02}.png" for number in range(20)], seed=1)
    embedstore.add(store, images / "pore", teacher=SlowTeacher())


def add_vectors(store: Path, images: Path) -> None:
    del images
    with embedstore.open(store) as opened, opened.write("add vectors") as writing_:
        for part in range(4):
            names = [f"given {part} {number}" for number in range(150)]
            vectors = np.stack([unit_vectors(part, 150), unit_vectors(part + 10, 150)])
            writing_.add(names, vectors, labels=["given"] * 150, replace=True)


def update(store: Path, images: Path) -> None:
    write_pictures(images, [f"crack/{number:02}.png" for number in range(0, 30, 2)], seed=2)
    embedstore.build(store, images, teacher=SlowTeacher())


def relabel(store: Path, images: Path) -> None:
    del images
    with embedstore.open(store) as opened, opened.write("relabel") as writing_:
        writing_.set("label", {f"good/{number:02}.png": "scratch" for number in range(25)})
        writing_.set("line", {name: "3" for name in opened.ids if name.startswith("given")})


def split(store: Path, images: Path) -> None:
    del images
    with embedstore.open(store) as opened:
        opened.split(seed=3)


def delete(store: Path, images: Path) -> None:
    del images
    with embedstore.open(store) as opened, opened.write("delete") as writing_:
        writing_.delete([name for name in opened.ids if name.startswith("given") and not name.endswith("7")])


def index(store: Path, images: Path) -> None:
    del images
    with embedstore.open(store) as opened:
        opened.build_index("IVF4,SQfp16")


def compact(store: Path, images: Path) -> None:
    del images
    with embedstore.open(store) as opened:
        opened.compact()


STEPS: tuple[Callable[[Path, Path], None], ...] = (
    build, add_pictures, add_vectors, update, relabel, index, split, delete, compact, index,
)  # fmt: skip


def tell(what: str) -> None:
    """Say at once what was reached."""
    sys.stdout.write(f"{what}\n")
    sys.stdout.flush()


def run(store: Path, images: Path, first: int, tell: Callable[[str], None] = lambda what: None) -> None:
    """Do all steps from `first` on."""
    for number in range(first, len(STEPS)):
        tell(f"begin {number}")
        STEPS[number](store, images)
        tell(f"end {number}")


if __name__ == "__main__":
    small_steps()
    tell("ready")
    run(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), tell)

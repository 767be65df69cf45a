"""A folder of little pictures, a store of them with three summaries, and what a reader sees."""

import shutil
from pathlib import Path
from typing import Any

from helpers import CountingTeacher, noise_picture, snapshot, write_picture, write_pictures

import embedstore
from embedstore.refreshing import RefreshReport

GOOD = [f"good/{number:02}.png" for number in range(12)]
CRACK = [f"crack/{number:02}.png" for number in range(8)]
SUMMARIES: dict[str, dict[str, Any]] = {
    "class-mean": {},
    "sub-prototypes": {"k": 3},
    "rare-samples": {"share": 0.25, "k": 2},
    "compressed-own": {"bytes": 2, "rare_bytes": 4},
}


def toy_store(root: Path, *, views: int = 1, splits: bool = True) -> Path:
    """Build `root/store` from `root/images`, with a split, kept pictures and summaries; return it."""
    write_pictures(root / "images", [*GOOD, *CRACK])
    recipe = embedstore.Recipe(student_side=16)
    embedstore.build(
        root / "store", root / "images", teacher=CountingTeacher(), views=views, recipe=recipe, keep_images=16
    )
    with embedstore.open(root / "store") as store:
        if splits:
            with store.write("split") as writing:
                held_out = {GOOD[0]: "val", CRACK[0]: "test"}
                writing.set("split", {one: held_out.get(one, "train") for one in store.ids})
        for strategy, parameters in SUMMARIES.items():
            store.summarize(strategy, name=strategy, split="train" if splits else None, **parameters)
    return root / "store"


def change_pictures(images: Path, seed: int = 5) -> None:
    """Change two pictures, add three, one of them of a label of its own, and delete one."""
    for number, name in enumerate((GOOD[1], CRACK[1])):
        write_picture(images / name, noise_picture(seed * 1000 + number, (5, 4)))
    write_pictures(images, ["good/new.png", "crack/new.png", "pore/new.png"], seed=seed)
    (images / GOOD[2]).unlink()


def refreshed(path: Path, **options: Any) -> RefreshReport:
    """Refresh with the teacher that filled the store, samples without a side going to train."""
    return embedstore.refresh(path, **{"teacher": CountingTeacher(), "side": "train", "prune": True} | options)


def state(root: Path) -> dict[str, Any]:
    """Return samples, vectors and what was set aside of `root/store`."""
    return seen(root / "store")


def refresh_at(root: Path, **options: Any) -> RefreshReport:
    """Refresh `root/store` from `root/images`."""
    return refreshed(root / "store", images=root / "images", **options)


def seen(path: Path, version: int | str | None = None) -> dict[str, Any]:
    """Return all that a reader sees at a version, but for its number."""
    with embedstore.open(path, version) as store:
        return {name: value for name, value in snapshot(store).items() if name != "version"}


def summaries(path: Path) -> dict[str, bytes]:
    """Return the saved summaries, those that stay aside too, without what tells of their updates."""
    with embedstore.open(path) as store:
        return {name: store.summary(name).to_bytes() for name in store.all_summary_names}


def copied(source: Path, target: Path) -> Path:
    """Put a copy of a folder in the place of another."""
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(source, target)
    return target

"""The pictures that are studied, each set as one store: built once, with all views that any condition asks for.

Which pictures show one tile is found from the vectors, whose last bits differ between machines, and one pair at the limit deals
other folds. So the groups that the study was begun with are kept with its results, and every later store takes those.
"""

from __future__ import annotations

import csv
import json
import shutil
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from aside import shuffled
from results import SAMPLES

import embedstore
from embedstore.analysis.twins import find_twins
from embedstore.errors import SettingsError
from embedstore.images import Sample

TEACHER = "efficientnet-lite0"
STORED_VIEWS = 32
THINNED, LEFT = ("Blowhole", "Break"), 2  # kinds of some 25 parts each, and how many of these training may see


@dataclass(frozen=True)
class Data:
    """A set of pictures.

    Attributes:
        name: of the folder of its results.
        good: the label of good parts.
        says: what it is, in a few words.
        make: (path of the built store, folder of the tiles, folder of the study's results) -> None; makes it this data's.
    """

    name: str
    good: str
    says: str
    make: Callable[[Path, Path, Path], None]


def tiles(path: Path, folder: Path, docs: Path) -> None:
    """Unite the groups that are twins of each other, since the given ones are incomplete."""
    begun = docs / "magnetic-tile" / SAMPLES
    with embedstore.open(path) as store:
        if not begun.exists():
            found = find_twins(store)
            store.set_groups(found.groups, merge=found.merged)
            return
        groups = {name: group for name, _, _, group in json.loads(begun.read_text("utf-8"))}
        with store.write("the groups that the study was begun with") as changes:
            changes.set("group", groups)


def tiles_as_given(path: Path, folder: Path, docs: Path) -> None:
    """Take the groups that the tiles come with; pictures of one tile fall on two sides."""
    with (folder / "manifest.csv").open(encoding="utf-8", newline="") as file:
        given = {row["path"]: row["group"] for row in csv.DictReader(file)}
    with embedstore.open(path) as store, store.write("the groups that the pictures come with") as changes:
        changes.set("group", {name: given[name] for name in store.ids})


def tiles_six(path: Path, folder: Path, docs: Path) -> None:
    """Take the kind of defect as the label: six labels, as published methods take them."""
    tiles(path, folder, docs)
    with embedstore.open(path) as store, store.write("the kind of defect as the label") as changes:
        changes.set("label", {one.id: one.mode or "" for one in store.samples})


def tiles_thinned(path: Path, folder: Path, docs: Path) -> None:
    """Set most parts of two kinds aside, which are tested and never learned: a tail whose rarity is known."""
    tiles(path, folder, docs)
    with embedstore.open(path) as store, store.write("two kinds thinned") as changes:
        aside = thinned(store.samples)
        changes.set("split", {one.id: "aside" for one in store.samples if one.part in aside})


def thinned(samples: Sequence[Sample]) -> set[str]:
    """Return the parts that are set aside: of those that show a thinned kind and nothing else, all but a few."""
    kinds_of: dict[str, set[str | None]] = defaultdict(set)
    for one in samples:
        kinds_of[one.part].add(one.mode)
    aside: set[str] = set()
    for kind in THINNED:
        alone = [part for part, kinds in kinds_of.items() if kinds == {kind}]
        aside.update(shuffled(alone, lambda part: "")[LEFT:])
    return aside


DATA = {
    one.name: one
    for one in (
        Data("magnetic-tile", "good", "magnetic tiles, good or defect, five kinds of defect hidden", tiles),
        Data(
            "magnetic-tile-given",
            "good",
            "magnetic tiles with the groups that were given with them, which leak",
            tiles_as_given,
        ),
        Data(
            "magnetic-tile-thinned",
            "good",
            f"magnetic tiles, good or defect, all but {LEFT} whole parts of {' and of '.join(THINNED)} never learned, yet tested",
            tiles_thinned,
        ),
        Data("magnetic-tile-six", "Free", "magnetic tiles, six labels", tiles_six),
    )
}


def store_of(data: Data, out: Path, folder: Path | None, docs: Path, views: int = STORED_VIEWS) -> Path:
    """Return the store of some data, built where it is not there yet.

    Args:
        data: which.
        out: directory of the stores.
        folder: of the tiles; needed where the store is not there yet.
        docs: directory of the study's results.
        views: augmented ones.

    Raises:
        SettingsError: the folder of pictures is needed and not given.
    """
    path = out / data.name / "store"
    if path.exists():
        return path
    if folder is None:
        raise SettingsError(
            f"The data '{data.name}' has no store in '{path}' yet; tell where its pictures are: --tiles DIR"
        )
    other = next(
        (at for name in ("magnetic-tile", "magnetic-tile-given") if (at := out / name / "store").exists()), None
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name("store.unfinished")
    if unfinished.exists():
        shutil.rmtree(unfinished)
    if other is not None:  # what the teacher saw is the same
        shutil.copytree(other, unfinished)
    else:
        embedstore.build(
            unfinished,
            folder,
            manifest=folder / "manifest.csv",
            teacher=TEACHER,
            views=views,
            keep_images=embedstore.Recipe().student_side,
        )
    data.make(unfinished, folder, docs)
    unfinished.rename(path)
    return path

"""The pictures that are studied, each set as one store: built once, with all views that any condition asks for.

Which pictures show one tile is found from the vectors, whose last bits differ between machines, and one pair at the limit deals
other folds. So the groups that the study was begun with are kept with its results, and every later store takes those.
"""

from __future__ import annotations

import csv
import json
import math
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
THINNED, LEFT = ("Blowhole", "Break"), 2  # kinds of some 25 parts each, and how many of these training may see


@dataclass(frozen=True)
class Kept:
    """What a store keeps of a teacher.

    Attributes:
        name: of the store.
        teacher: its spec.
        views: augmented ones.
        outputs: beside the embedding.
        share: of the parts of each kind; less than 1 for a quick study alone.
    """

    name: str
    teacher: str = TEACHER
    views: int = 8
    outputs: tuple[str, ...] = ()
    share: float = 1.0


STANDARD = Kept("standard", views=32)
FEW_VIEWS = Kept("few-views")
MAXIMA = Kept("maxima", outputs=("maxima",))
GRID = Kept("grid", outputs=("grid",))
TWO_TEACHERS = Kept("two-teachers", "joined:efficientnet-lite0+efficientnet-lite2")


def build_tiles(path: Path, folder: Path | None, kept: Kept) -> None:
    """Build the store of the magnetic tiles."""
    if folder is None:
        raise SettingsError(f"There is no store in '{path.parent}' yet; tell where its pictures are: --tiles DIR")
    build(path, folder, folder / "manifest.csv", kept)


def build(path: Path, folder: Path, manifest: Path, kept: Kept) -> None:
    """Build a store from the pictures of a manifest, or from a share of them."""
    embedstore.build(
        path,
        folder,
        manifest=manifest if kept.share == 1 else manifest_of_share(manifest, kept.share, path),
        prune=True,  # what an interrupted build of another manifest left
        teacher=kept.teacher,
        outputs=list(kept.outputs),
        views=kept.views,
        keep_images=embedstore.Recipe().student_side,
    )


def manifest_of_share(manifest: Path, share: float, beside: Path) -> Path:
    """Write a manifest of a share of the parts of each kind, rounded up, and return its path; always the same parts.

    Raises:
        SettingsError: there is no such manifest.
    """
    if not manifest.is_file():
        raise SettingsError(
            f"There is no manifest '{manifest}', which names the pictures; tell where they are: --tiles DIR"
        )
    with manifest.open(encoding="utf-8", newline="") as file:
        header, *lines = csv.reader(file)
    rows = [dict(zip(header, line, strict=True)) for line in lines]
    kind_of = {row.get("group") or row["path"]: row.get("mode") or row["label"] for row in rows}
    parts_of: dict[str, list[str]] = defaultdict(list)
    for part in shuffled(kind_of, kind_of.__getitem__):
        parts_of[kind_of[part]].append(part)
    chosen = {part for parts in parts_of.values() for part in parts[: math.ceil(share * len(parts))]}
    path = beside.with_name(f"{beside.name}.csv")
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, header)
        writer.writeheader()
        writer.writerows(row for row in rows if (row.get("group") or row["path"]) in chosen)
    return path


def as_it_is(path: Path, folder: Path | None, docs: Path) -> None:
    """Change nothing."""


@dataclass(frozen=True)
class Data:
    """A set of pictures.

    Attributes:
        name: of the folder of its results.
        good: the label of good parts.
        says: what it is, in a few words.
        change: (path of the built store, folder of the tiles, folder of the study's results) -> None; makes it this data's.
        build: (path of the store, folder of the tiles, what to keep) -> None.
    """

    name: str
    good: str
    says: str
    change: Callable[[Path, Path | None, Path], None] = as_it_is
    build: Callable[[Path, Path | None, Kept], None] = build_tiles


def tiles(path: Path, folder: Path | None, docs: Path) -> None:
    """Unite the groups that are twins of each other, since the given ones are incomplete."""
    begun = docs / "magnetic-tile" / SAMPLES
    with embedstore.open(path) as store:
        if not begun.exists():
            found = find_twins(store)
            store.set_groups(found.groups, merge=found.merged)
            return
        groups = {name: group for name, _, _, group in json.loads(begun.read_text("utf-8"))}
        with store.write("the groups that the study was begun with") as changes:
            changes.set("group", {name: groups[name] for name in store.ids if name in groups})


def tiles_as_given(path: Path, folder: Path | None, docs: Path) -> None:
    """Take the groups that the tiles come with; pictures of one tile fall on two sides."""
    if folder is None:
        raise SettingsError("The given groups stand in the tiles' manifest; tell where it is: --tiles DIR")
    with (folder / "manifest.csv").open(encoding="utf-8", newline="") as file:
        given = {row["path"]: row["group"] for row in csv.DictReader(file)}
    with embedstore.open(path) as store, store.write("the groups that the pictures come with") as changes:
        changes.set("group", {name: given[name] for name in store.ids})


def tiles_six(path: Path, folder: Path | None, docs: Path) -> None:
    """Take the kind of defect as the label: six labels, as published methods take them."""
    tiles(path, folder, docs)
    with embedstore.open(path) as store, store.write("the kind of defect as the label") as changes:
        changes.set("label", {one.id: one.mode or "" for one in store.samples})


def tiles_thinned(path: Path, folder: Path | None, docs: Path) -> None:
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


def store_of(data: Data, out: Path, folder: Path | None, docs: Path, kept: Kept = STANDARD) -> Path:
    """Return the store of some data, built where it is not there yet, or from where a build was interrupted.

    Args:
        data: which.
        out: directory of the stores.
        folder: of the tiles; needed where the store is not there yet.
        docs: directory of the study's results.
        kept: what it keeps of a teacher; each has a store of its own.

    Raises:
        SettingsError: the folder of pictures is needed and not given.
    """
    path = _path(out, data.name, kept)
    if path.exists():
        return path
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished, copy = (path.with_name(f"{path.name}.{state}") for state in ("unfinished", "copy"))
    other = _same_pictures(data, out, kept)
    if other is None:
        data.build(unfinished, folder, kept)  # goes on where it was interrupted
    else:  # what the teacher saw is the same
        for left in (unfinished, copy):
            if left.exists():
                shutil.rmtree(left)
        shutil.copytree(other, copy)  # under another name: an interrupted copy may lack anything
        unfinished = copy
    data.change(unfinished, folder, docs)
    unfinished.rename(path)
    return path


def needs_teacher(data: Data, out: Path, kept: Kept) -> bool:
    """Return whether a teacher must look at the pictures before `store_of` can return that store."""
    return not _path(out, data.name, kept).exists() and _same_pictures(data, out, kept) is None


def _same_pictures(data: Data, out: Path, kept: Kept) -> Path | None:
    """Return a store of the same pictures that is there already."""
    of_pictures = (_path(out, one.name, kept) for one in DATA.values() if one.build is data.build)
    return next((at for at in of_pictures if at.exists()), None)


def _path(out: Path, data: str, kept: Kept) -> Path:
    return out / data / ("store" if kept == STANDARD else f"store-{kept.name}")

"""Magnetic tiles beside solar cells without a label: do pictures of another kind teach a student to see?"""

from __future__ import annotations

import csv
import shutil
from pathlib import Path

from data import Data, Kept, build, tiles
from solar_cells import write_manifest

from embedstore.errors import SettingsError

CELLS = 1_500  # of the 2,624


def build_with_cells(path: Path, folder: Path | None, kept: Kept) -> None:
    """Build a store of the tiles and of solar cells without a label, which students can learn to see by.

    A store has one folder of pictures, so both are copied into one beside it. Tiles fall into the same folds as without the
    cells only where the number of these can be divided by the number of folds, since unlabelled samples are dealt first.
    """
    if folder is None:
        raise SettingsError(f"There is no store in '{path.parent}' yet; tell where its pictures are: --tiles DIR")
    pictures, manifest = path.with_name("pictures"), path.with_name("manifest.csv")
    cells = write_manifest(path.with_name("cells.csv"), CELLS)
    with path.with_name("cells.csv").open(encoding="utf-8", newline="") as file:
        names = [row["path"] for row in csv.DictReader(file)]
    with (folder / "manifest.csv").open(encoding="utf-8", newline="") as file:
        header, *rows = csv.reader(file)
    tiles_there = {row[header.index("path")]: folder for row in rows}
    for name, source in {**tiles_there, **dict.fromkeys(names, cells.folder)}.items():
        target = pictures / (name if source == folder else f"cells/{name}")
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source / name, target)
    rows += [[f"cells/{name}" if column == "path" else "" for column in header] for name in names]
    with manifest.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([header, *rows])
    build(path, pictures, manifest, kept)


WITH_CELLS = Data(
    "magnetic-tile-and-cells",
    "good",
    f"magnetic tiles, good or defect, and {CELLS:,} unlabelled solar cells",
    tiles,
    build_with_cells,
)

"""The elpv-dataset as images with a manifest: 2,624 solar cells in electroluminescence, with experts' votes.

Buerhop-Lutz et al., A Benchmark for Visual Identification of Defective Solar Cells in Electroluminescence Imagery,
EU PVSEC 2018; Deitsch et al., Automatic classification of defective photovoltaic module cells in electroluminescence
images, Solar Energy 185 (2019). CC BY-NC-SA 4.0.
"""

import csv
import importlib.util
from dataclasses import dataclass
from pathlib import Path

from embedstore.errors import MissingPackageError

# Probability of a defect, as the experts voted -> label, what modes are called, and whether it stays out of the split.
# 1/3 is "functional, but unsure": it can teach neither side, so it is scored apart.
_VOTES = {
    0: ("good", "good", ""),
    1 / 3: ("unsure", "unsure", "aside"),
    2 / 3: ("defect", "likely", ""),
    1: ("defect", "certain", ""),
}


@dataclass(frozen=True)
class Cells:
    """Where the pictures are, and how many the manifest names."""

    folder: Path
    count: int


def write_manifest(path: Path, most: int | None = None) -> Cells:
    """Write a manifest of the installed package's pictures; with `most`, of an even sample of about so many.

    Modes are the certainty of the votes and the type of the cell; they are used for reporting only.

    Raises:
        MissingPackageError: the package is not installed.
    """
    package = importlib.util.find_spec("elpv_dataset")
    if package is None or not package.submodule_search_locations:
        raise MissingPackageError("The pilot's pictures are not installed: pip install 'embedstore[pilot]'.")
    folder = Path(next(iter(package.submodule_search_locations))) / "data"
    rows = []
    for line in (folder / "labels.csv").read_text("utf-8").splitlines():
        name, probability, kind = line.split()
        label, certainty, split = _VOTES[min(_VOTES, key=lambda vote: abs(vote - float(probability)))]
        rows.append((name, label, f"{certainty} {kind}", split, kind))
    if most is not None:
        rows = [rows[len(rows) * at // most] for at in range(most)]
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("path", "label", "mode", "split", "cell type"))
        writer.writerows(rows)
    return Cells(folder, len(rows))

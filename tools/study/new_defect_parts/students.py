"""Students that never saw a kind of defect: every part that shows it is set aside in a store of their own."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from conditions import CONDITIONS, FOLDS
from data import DATA, Data

import embedstore
from distill.training import run_directory
from distill.training.run_process import train_apart
from distill.training.settings import Settings
from embedstore.errors import SettingsError
from embedstore.images import Sample

TILES = DATA["magnetic-tile"]


@dataclass(frozen=True)
class Trained:
    """A student that never saw a kind of defect.

    Attributes:
        condition: the study's, whose recipe it takes.
        mode: the kind that was left out.
        seed: of the training, and of which fold is tested.
        store: where all parts of that kind are aside.
        run: its directory.
    """

    condition: str
    mode: str
    seed: int
    store: Path
    run: Path


def planned(out: Path, conditions: Sequence[str], modes: Sequence[str], seeds: int) -> list[Trained]:
    """Return the students in the order of training: the first condition with its first seed is done first."""
    return [
        Trained(
            condition,
            mode,
            seed,
            out / "stores" / mode,
            out / "runs" / f"{condition}-without-{mode}-seed{seed}",
        )
        for condition in conditions
        for seed in range(seeds)
        for mode in modes
    ]


def parts_with(samples: Sequence[Sample], mode: str) -> set[str]:
    """Return the parts of which any picture shows a kind of defect; all of them are left out, whatever else they show."""
    return {one.part for one in samples if one.mode == mode}


def store_without(mode: str, whole: Path, path: Path) -> None:
    """Copy a store and set aside every part that shows a kind of defect; a store that is there already stays as it is.

    Raises:
        SettingsError: no sample shows that kind.
    """
    if path.exists():
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f"{path.name}.unfinished")
    if unfinished.exists():
        shutil.rmtree(unfinished)
    shutil.copytree(whole, unfinished)
    with embedstore.open(unfinished) as store:
        left_out = parts_with(store.samples, mode)
        if not left_out:
            raise SettingsError(
                f"No picture in '{whole}' is of the kind '{mode}'; name a kind that the manifest's modes have."
            )
        with store.write(f"{mode} left out") as changes:
            changes.set("split", {one.id: "aside" for one in store.samples if one.part in left_out})
    unfinished.rename(path)


def settings_for(student: Trained, docs: Path, data: Data = TILES, epochs: int | None = None) -> Settings:
    """Return what a student is trained with: its condition's recipe, the fold that its seed says, one split for each kind."""
    chosen = CONDITIONS[f"{data.name}/{student.condition}"].chosen(data.good, docs / data.name, epochs)
    return replace(chosen, folds=FOLDS, fold=student.seed % FOLDS, seed=student.seed)


def train(
    student: Trained, whole: Path, settings: Settings, images: Path, progress: Callable[[int, int], None]
) -> None:
    """Train a student in a process of its own, going on where it was; nothing is done where it is complete.

    Raises:
        SettingsError: the run that is there is of other settings.
        TrainingError: the run can't be done.
    """
    store_without(student.mode, whole, student.store)
    if run_directory.is_complete(student.run) and (student.run / run_directory.SCORES).is_file():
        before = Settings(**run_directory.read(student.run)["settings"])
        if before != settings:
            raise SettingsError(
                f"The run in '{student.run}' is of other settings than these; delete it or choose another --out."
            )
        return
    train_apart(student.store, student.run, settings, images=images, threads=1, progress=progress)

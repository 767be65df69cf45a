"""What a reader of a run's figures should know of the sides that it learns from and is tested on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from distill.evaluation.metrics import too_few
from distill.source import Source
from distill.training.settings import Settings

if TYPE_CHECKING:
    from distill.training.run_data import RunData


def doubts(data: RunData, store: Source, settings: Settings) -> list[str]:
    """Return sentences on the sides as they are, so ask when nothing is taken off them any more."""
    said = _of_split(data)
    if settings.good is not None and (few := few_goods(data.labels("val")[settings.good], settings)):
        said.append(few)
    if settings.size > (side := store.recipe.student_side):
        said.append(
            f"The student's input has {settings.size} pixels a side, and its views are cut from pictures with a short side of "
            f"{side}, so it sees little more than with --size {side}; a store that is built with --keep-images {settings.size} "
            "shows more, where the photographs have it."
        )
    if settings.keep == "best" and settings.good is not None and not data.labels("val").keys() - {settings.good}:
        said.append(
            "The validation side has no defect to tell from good parts, so no epoch is the best; the last one is kept."
        )
    return said


def few_goods(goods: int, settings: Settings) -> str | None:
    """Return what is to be said where a run's validation side has so few good pictures, if anything."""
    if (few := too_few(goods, settings.overkill)) is None:
        return None
    rejected, enough = few
    return (
        f"The validation side has {goods} '{settings.good}' pictures, too few for an overkill of {settings.overkill:.1%}: "
        f"a threshold on so few rejects {rejected:.1%} of new good parts on average, and far more or fewer in a single case; "
        f"from {enough} on it is at most half more than asked on average."
    )


def _of_split(data: RunData) -> list[str]:
    tested = data.labels("test")
    said = [
        f"No '{label}' picture is on the test side, so the figures say nothing of it."
        for label in data.classes
        if label not in tested
    ]
    sides_of: dict[str, set[str]] = {}
    for side in ("train", "val", "test"):
        for at in data.sides[side]:
            group = data.samples[at].group
            if group is not None:
                sides_of.setdefault(group, set()).add(side)
    torn = sorted(group for group, sides in sides_of.items() if len(sides) > 1)
    if torn:
        said.append(
            f"{len(torn)} groups (such as '{torn[0]}') are on several sides of the split, so pictures of one part are both "
            "learned and tested, and the figures look better than they are."
        )
    return said

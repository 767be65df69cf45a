"""What verbs that change samples share: what is said at the end."""

from collections.abc import Container, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Self

from embedstore import EmbeddingStore
from embedstore.store.index_file import marker_state
from embedstore_cli import console

if TYPE_CHECKING:
    from embedstore.refreshing import Plan
    from embedstore.results import BuildReport


@dataclass(frozen=True)
class Generation:
    """Where the data of a store was before a command, and whether an index was beside it."""

    path: Path
    indexed: bool

    @classmethod
    def of(cls, store: EmbeddingStore) -> Self:
        """Return what is in use now."""
        return cls(store.generation, marker_state(store.generation) is not None)

    def compacted(self, store: EmbeddingStore) -> list[str]:
        """Return what is to be said where the store was compacted by itself since; nothing where it was not."""
        if store.generation == self.path:
            return []
        lines = [
            "The store was compacted by itself, since more than half of what it kept was of no use; which earlier versions "
            f"can still be opened is told by: embedstore log '{store.path}'"
        ]
        if self.indexed:
            lines.append(
                f"The index, which knew the old rows, went with that; make it again with: embedstore index '{store.path}'"
            )
        return lines


def told_of_pictures(store: Path, report: "BuildReport | Plan") -> list[str]:
    """Return sentences, without their full stops, on what became of what was known of pictures that are others now."""
    found = []
    if report.overwritten:
        found.append(
            f"{console.count(report.overwritten, 'sample', 'samples')} left with all that was known, since another picture "
            "has the name now, and nothing tells which the one before became: it has no other name, or several new ones"
        )
    if dropped := report.verdicts_dropped:
        found.append(
            f"{console.count(len(dropped), 'picture has', 'pictures have')} other bytes, being taken again or written anew (such "
            f"as '{dropped[0]}'; --json names all), so the verdict on the old one went; what was dirt goes back to the side of "
            "the split that it had, where that is still known"
        )
    if unknown := report.sides_unknown:
        found.append(
            f"{console.count(len(unknown), 'picture that was', 'pictures that were')} dirt may have been on the test side (such "
            f"as '{unknown[0]}'; --json names all), for nothing tells any more which side the old one had; give it one by hand: "
            f"embedstore relabel '{store}' ID SIDE --field split"
        )
    if kept := report.fields_kept:
        first, names = next(iter(kept.items()))
        have = "picture that has other bytes has" if len(kept) == 1 else "pictures that have other bytes have"
        found.append(
            f"{len(kept)} {have} what a person said of the old one (such as '{first}': {', '.join(names)}; --json names all); "
            "look whether it is still true"
        )
    return found


def new_labels(given: Iterable[str | None], before: Container[str | None]) -> list[str]:
    """Return a sentence on labels that no sample had before: mostly they are slips of the keyboard."""
    fresh = sorted({label for label in given if label is not None and label not in before})
    return [f"New labels, which no sample had before: {', '.join(fresh)}."] if fresh else []


def way_back(store: Path, version: int) -> str:
    """Return a sentence on the version that a change has made, with the command that takes it back."""
    return f"'{store}' is at version {version}; to take it back: embedstore undo '{store}' {version}"

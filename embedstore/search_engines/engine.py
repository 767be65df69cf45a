"""What a search engine offers: to take a copy of a store in, whole or not at all, and to be asked for the nearest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from embedstore.store.fields import Texts
from embedstore.vectors import Vectors

ID, URI, VECTOR = "id", "uri", "vector"  # columns that every collection has, beside those of the fields


@dataclass(frozen=True)
class Found:
    """What lies under a collection's name.

    Attributes:
        place: the engine's own name for it, which stays the same when the name moves to another.
        said: what its export said of itself; None where it is nothing of ours.
    """

    place: str
    said: str | None


@dataclass(frozen=True)
class Told:
    """What an engine answers to n queries, best first.

    Attributes:
        ids: n lists of up to as many as were asked for.
        similarities: (n, k) inner products in the engine's float32; -inf where there are fewer.
    """

    ids: Sequence[Sequence[str]]
    similarities: npt.NDArray[np.float64]


class SearchEngine(Protocol):
    """One opened engine. Whatever goes wrong there is a `SearchEngineError` in one sentence.

    Attributes:
        uri: where it is, as it was given.
        most_answers: that one search may ask for.
    """

    uri: str
    most_answers: int

    def close(self) -> None:
        """Let go of it, with whatever process or lock belongs to it; once is enough."""

    def kind_for(self, asked: str | None, count: int) -> str:
        """Return the kind of index for so many vectors: the one that was asked for, or what suits.

        Raises:
            SettingsError: there is no such kind.
        """

    def is_exact(self, kind: str) -> bool:
        """Return whether an index of this kind misses nothing."""

    def most_effort(self, kind: str, count: int) -> int | None:
        """Return the highest effort that a search in so many vectors can make; None where there is no choice."""

    def found(self, collection: str) -> Found | None:
        """Return what searchers of a name meet; None where there is nothing."""

    def begin(self, collection: str, dim: int, longest: Mapping[str, int]) -> str:
        """Make an empty place that nobody searches yet, and remove those that interrupted exports left.

        Args:
            collection: whose place it is to become.
            dim: of the vectors.
            longest: column -> bytes of its longest text; all but `id` may lack texts.

        Raises:
            SettingsError: a text is too long for the engine, or the collection's name is none.
        """

    def insert(self, place: str, columns: Mapping[str, Texts], vectors: Vectors) -> None:
        """Add rows (m,) with their texts and their vectors (m, d) of unit length."""

    def finish(self, place: str, kind: str, count: int) -> None:
        """Write down and index all that was inserted, so that it can be searched."""

    def load(self, place: str) -> None:
        """Let a place be searched that is at rest, as after a restart."""

    def count(self, place: str) -> int:
        """Return how many rows a place has."""

    def publish(self, collection: str, place: str, said: str) -> None:
        """Let the place say what it is, then let the name lead to it, in one step."""

    def drop(self, place: str) -> None:
        """Remove a place."""

    def search(  # noqa: PLR0917
        self, place: str, queries: Vectors, count: int, where: Mapping[str, str | None], kind: str, effort: int | None
    ) -> Told:
        """Return the `count` rows with the highest inner product with each query (n, d) among those that meet conditions.

        Args:
            place: where to look.
            queries: of unit length.
            count: 1 to `most_answers`.
            where: column -> text, or None for rows without one; the texts may hold anything.
            kind: of the index that the place has.
            effort: how hard to search; None where there is no choice.
        """

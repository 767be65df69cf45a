"""What an engine is: from pictures that are wanted it makes embedded ones, wherever it works.

The store's writer says what is wanted and writes what comes back (`store.embedding_pass`); an engine reads, cuts and embeds, and
never touches the store.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from embedstore.views import Recipe

Halves = npt.NDArray[np.float16]
Pixels = npt.NDArray[np.uint8]  # (width, height, 1 or 3), as `store.kept_pictures` keeps them
WantsPixels = Callable[[bytes], bool]  # content hash -> whether a picture's pixels are to be kept, too


@dataclass(frozen=True, slots=True)
class Request:
    """One picture that is to be looked at.

    Attributes:
        id: of the sample.
        uri: of its file, relative to the image root.
        lacking: content hash of a picture that the store has for this sample -> the views that it lacks; any other lacks all.
    """

    id: str
    uri: str
    lacking: Mapping[bytes, tuple[int, ...]]

    def missing(self, content: bytes, views: int) -> tuple[int, ...]:
        """Return the views, of so many beside the plain one, that a picture of this content lacks."""
        found = self.lacking.get(content)
        return tuple(range(views + 1)) if found is None else found


@dataclass(frozen=True)
class Job:
    """What is the same for all pictures of a run; plain values, that travel to other machines.

    Attributes:
        store: its path.
        root: the image folder.
        recipe: how views are drawn.
        views: augmented views beside the plain picture.
        fingerprint: of the store's teacher.
        space: what the store is to say of that teacher; see `store.layout`.
        teacher: spec that it was named by; None: as the store names it.
        shards: folder that an engine on several machines may use, which all of them see.
    """

    store: Path
    root: Path
    recipe: Recipe
    views: int
    fingerprint: str
    space: Mapping[str, Any]
    teacher: str | None
    shards: Path

    @property
    def outputs(self) -> Mapping[str, int]:
        """The teacher's outputs that are kept: name -> dimension."""
        outputs: Mapping[str, int] = self.space["outputs"]
        return outputs

    @property
    def input_size(self) -> int:
        """Side of the square pictures that the teacher takes, in pixels."""
        return int(self.space["input_size"])


@dataclass(slots=True)
class Embedded:
    """One picture that was looked at.

    Attributes:
        id: of the sample.
        content: hash of its file; None where that can't be read.
        views: that were embedded, of those that it lacked.
        vectors: output -> (len(views), d), finite.
        pixels: to keep, where they were wanted and could be had.
        problem: why the picture can't be used; None where it can.
    """

    id: str
    content: bytes | None = None
    views: tuple[int, ...] = ()
    vectors: Mapping[str, Halves] = field(default_factory=dict)
    pixels: Pixels | None = None
    problem: str | None = None


class Engine(Protocol):
    """Reads, cuts and embeds pictures."""

    def embed(self, requests: Iterable[Request], job: Job, wants: WantsPixels) -> Generator[list[Embedded]]:
        """Yield an answer to each request, some at a time, in any order.

        Args:
            requests: taken as the work goes on.
            job: what they have in common.
            wants: asked before pixels are made; its answers change as pictures come in.

        Raises:
            EmbedstoreError: the work can't be done; what was yielded by then holds.
        """
        ...

    def committed(self) -> None:
        """Hear that all that was yielded is in the store by now."""
        ...

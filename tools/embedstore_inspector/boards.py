"""Boards: all that the page is told of one version of a store, each thing read or computed once."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import TypeVar

import numpy as np
import numpy.typing as npt
from starlette.concurrency import run_in_threadpool

import embedstore
from embedstore.analysis.odd_samples import Comparison, check_comparable
from embedstore.analysis.suggestions import StudentScores, Suggestions, suggest
from embedstore.pages import Text
from embedstore.store.embedding_store import EmbeddingStore
from embedstore.triage import VERDICT
from embedstore_inspector import maps
from embedstore_inspector.later import Later
from embedstore_inspector.refusals import RefusedError

T = TypeVar("T")

FIELDS = ("label", "mode", "split", VERDICT)  # that the page colours and filters by
SUGGESTED = 50  # of each kind, at most

_CHANGED = Text(
    "The page shows an earlier state of the store, or another store that was here; load the page again.",
    "ページの内容が、現在のストアと異なります。ページを再読み込みしてください。",
)


class Board:
    """One version of a store. Positions are places in the order of the store's rows, as everywhere in the store.

    Args:
        path: the store.
        against: the name of the summary to compare with; None: one is made for this.
        student: what a student says of held-out samples; None: nothing is known of one.
        earlier: the board that this one replaces; its map stays where the vectors do. `student` speaks of its samples.

    Attributes:
        store: open at this version, and never moved on.
        key: what tells this store from others that were served at the same address; see `key_of`.
        version: of the store.
        compared: (samples compared, samples to compare) so far.
        suggestions: what deserves a look.
        superseded: another board is served instead, so that what is under way here stops.
    """

    def __init__(self, path: Path, against: str | None, student: StudentScores | None, earlier: Board | None = None):
        self.path = path
        self.store: EmbeddingStore = embedstore.open(path)
        self.key, self.version = key_of(self.store), self.store.version
        if student is not None and earlier is not None:
            student = student.since(earlier.store if earlier.key == self.key else None, self.store)
        self.against, self.student = against, student
        self.compared = (0, len(self.store))
        self.superseded = False
        self._lock = threading.Lock()
        self._principal: bytes | None = None
        if earlier is not None and self._has_vectors_of(earlier):
            self._principal = earlier._principal
        self._comparison: Later[Comparison] = Later(lambda: Comparison(self.store, against, self._tell))
        self.suggestions: Later[Suggestions] = Later(
            lambda: suggest(
                self.store, against=against, student=student, top=SUGGESTED, progress=lambda *_: self._go_on()
            )
        )

    def map(self, method: str) -> bytes:
        """Return a map as the page reads it; see `maps.packed`."""
        if method != maps.PCA:  # which may be computed anew at any time
            return maps.packed(maps.kept_map(self.store, method))
        with self._lock:
            if self._principal is None:
                self._principal = maps.packed(maps.principal_map(self.store))
            return self._principal

    @cached_property
    def ids(self) -> list[str]:
        """The id at each position."""
        return self.store.ids

    @cached_property
    def rows(self) -> str:
        """What is the same for two versions whose samples have the same positions; see `maps.rows_of`."""
        return maps.rows_of(self.store)

    @cached_property
    def order(self) -> npt.NDArray[np.int64]:
        """The place in the comparison's order, that of ids, of each position."""
        places = np.empty(len(self.store), np.int64)
        places[self.comparison().samples.positions] = np.arange(len(self.store))
        return places

    def comparison(self) -> Comparison:
        """Return the store compared with its summary; waits until that is done."""
        return self._comparison.result()

    async def compared_with(self, work: Callable[[Comparison], T]) -> T:
        """Return what `work` makes of the comparison, in a thread; no thread is held while there is none yet."""
        found = await self._comparison.awaited()
        return await run_in_threadpool(work, found)

    def _tell(self, done: int) -> None:
        self._go_on()
        self.compared = (done, len(self.store))

    def _go_on(self) -> None:
        if self.superseded:
            raise RefusedError(409, _CHANGED, {"old": True})

    def _has_vectors_of(self, earlier: Board) -> bool:
        """Return whether all positions have the vectors that they had: rows of one store are written once."""
        mine, its = self.store, earlier.store
        return (self.key, mine.generation, mine.fingerprint) == (earlier.key, its.generation, its.fingerprint) and (
            np.array_equal(mine.rows, its.rows)
        )


def key_of(store: EmbeddingStore) -> str:
    """Return what tells a store from another one that was, or will be, at its path: that, and how it was begun."""
    began = [repr((entry.time, entry.action, sorted(entry.details.items()))) for entry in store.log()[:2]]
    text = "\0".join([str(store.path.resolve()), *began])
    return hashlib.blake2b(text.encode(errors="surrogateescape"), digest_size=8).hexdigest()


def check_key(store: EmbeddingStore, key: str) -> None:
    """Refuse a write that was meant for another store.

    Args:
        store: inside its `write`, for until then another may be put at its path.
        key: of the store that is meant.

    Raises:
        RefusedError: they are not the same.
    """
    if key != key_of(store):
        raise RefusedError(409, _CHANGED, {"version": store.version, "old": True})


class Boards:
    """The board of the version that is served, and the step to a newer one.

    Args:
        path: the store.
        against, student: see `Board`.

    Raises:
        SummaryError: the store has no such summary, or one that is no comparison: of another teacher, or of own codes.
    """

    def __init__(self, path: Path, against: str | None = None, student: StudentScores | None = None):
        self.path, self.against = path, against
        self._lock = threading.Lock()
        self._current = Board(path, against, student)
        if against is not None:
            check_comparable(self._current.store, self._current.store.summary(against))

    @property
    def current(self) -> Board:
        """The board that is served."""
        return self._current

    def newest(self) -> Board:
        """Return the board of the store's newest version, and serve that from now on."""
        with self._lock:
            earlier = self._current
            with embedstore.open(self.path) as now:
                # A build from a folder that moved says where the pictures are now, and makes no version.
                same = (key_of(now), now.version, now.image_root) == (
                    earlier.key,
                    earlier.version,
                    earlier.store.image_root,
                )
            if not same:
                self._current = Board(self.path, self.against, earlier.student, earlier)
                earlier.superseded = True  # threads that read it keep it open
            return self._current

    def at(self, version: str, key: str | None = None) -> Board:
        """Return the board of a version, as a page asks for it.

        Args:
            version: that the page shows.
            key: of the store that it shows; None where it does not say.

        Raises:
            RefusedError: another version or store is served, so that the page would mix two.
        """
        board = self._current
        if key not in (None, board.key):
            raise RefusedError(409, _CHANGED, {"version": board.version, "old": True})
        if version != str(board.version):
            raise RefusedError(
                409,
                Text(
                    f"The page shows version {version or '?'} of the store, but version {board.version} is served now; load the "
                    "page again.",
                    f"ページはバージョン {version or '?'} を表示していますが、現在のバージョンは {board.version} です。"
                    "ページを再読み込みしてください。",
                ),
                {"version": board.version, "old": True},
            )
        return board

    def on_disk(self) -> tuple[str, int]:
        """Return the key and the version of the store that is at the path now."""
        with embedstore.open(self.path) as now:
            return key_of(now), now.version

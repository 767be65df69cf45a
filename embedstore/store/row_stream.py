"""New rows on their way to the disk: many in one transaction, which a thread of its own writes while more are prepared."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from embedstore.store.fields import Texts
from embedstore.store.layout import BLOCK, NEVER, Column
from embedstore.store.rows import by_block
from embedstore.store.tables import Tables
from embedstore.store.writing import Writer
from embedstore.teachers.protocol import EMBEDDING

_LARGE = 16 * BLOCK  # rows
_MOST_BYTES = 1 << 25  # of vectors in one transaction, which holds its dirty pages in memory; twice that at work


@dataclass(frozen=True)
class NewRows:
    """What new rows (n,) hold.

    Attributes:
        keys: (n, 16) of their ids.
        vectors: (views + 1, n, d), in parts that follow each other along n.
        fields: name -> n texts.
        contents: (n, 16) hashes of the pictures that the vectors are of; `layout.UNKNOWN_CONTENT` where nothing says which.
    """

    keys: npt.NDArray[np.uint8]
    vectors: Sequence[npt.NDArray[np.float16]]
    fields: Mapping[str, Texts]
    contents: npt.NDArray[np.uint8]

    def __len__(self) -> int:
        return len(self.keys)


class RowStream:
    """Appends rows to a store that its one writer has open; none of them is seen before a publication.

    Args:
        session: the writer.
        space: the fingerprint of the teacher that the vectors are of.
    """

    def __init__(self, session: Writer, space: str):
        self._session, self._space = session, space
        self._waiting: list[NewRows] = []
        self._waiting_bytes = 0
        self._next: int | None = None  # row number
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="embedstore-write")
        self._under_way: Future[None] | None = None

    def append(self, rows: NewRows) -> None:
        """Take rows over; nobody else may change them from now on.

        Raises:
            StoreError: earlier ones could not be written.
        """
        if self._under_way is not None and self._under_way.done():
            self._finish()
        self._waiting.append(rows)
        self._waiting_bytes += sum(part.nbytes for part in rows.vectors)
        if self._waiting_bytes >= _MOST_BYTES:
            self._hand_over()

    def settle(self) -> None:
        """Write what waits, and wait until it is on the disk.

        Raises:
            StoreError: it, or what came before, could not be written.
        """
        self._hand_over()
        self._finish()

    def close(self) -> None:
        """Wait for what is under way, and forget about the rest; an interruption is raised only when the wait is over."""
        interruption: BaseException | None = None
        while self._under_way is not None and not self._under_way.done():
            try:
                wait([self._under_way])
            except BaseException as error:  # noqa: BLE001  a second Ctrl-C, while the thread writes what is to be undone
                interruption = error
        self._thread.shutdown(wait=False)
        if interruption is not None:
            raise interruption

    def _hand_over(self) -> None:
        if not self._waiting:
            return
        rows, self._waiting, self._waiting_bytes = _joined(self._waiting), [], 0
        self._finish()
        if self._next is None:
            self._next = self._session.read(lambda tables: tables.row_count())
        first, self._next = self._next, self._next + len(rows)
        version = self._session.begin()
        self._under_way = self._thread.submit(self._write, version, first, rows)

    def _finish(self) -> None:
        if self._under_way is not None:
            self._under_way.result()
            self._under_way = None  # only now: `close` waits for what is interrupted, and a failure is told again

    def _write(self, version: int, first: int, rows: NewRows) -> None:
        """Write rows from the number `first` on with all that belongs to them, in one transaction."""
        numbers = np.arange(first, first + len(rows))

        def write(tables: Tables) -> None:
            for block, inside in by_block(numbers):
                own, at = tables.row_block(block), numbers[inside] % BLOCK
                own["born"][at], own["died"][at], own["key"][at] = version, NEVER, rows.keys[inside]
                own["content"][at] = rows.contents[inside]
                tables.put_row_block(block, own)
            ends = np.cumsum([part.shape[1] for part in rows.vectors]).tolist()
            for end, part in zip(ends, rows.vectors, strict=True):
                for view, values in enumerate(part):
                    tables.put_vectors(Column(self._space, EMBEDDING, view), numbers[end - len(values) : end], values)
            tables.put_fields(numbers, rows.fields, version)
            tables.put_row_count(first + len(rows))

        self._session.write(write, under=version)


def _joined(parts: list[NewRows]) -> NewRows:
    if len(parts) == 1:
        return parts[0]
    fields: dict[str, Texts] = {}
    for name in dict.fromkeys(name for part in parts for name in part.fields):
        fields[name] = [text for part in parts for text in part.fields.get(name, [None] * len(part))]
    keys, contents = (np.concatenate(found) for found in zip(*((p.keys, p.contents) for p in parts), strict=True))
    return NewRows(keys, _large([values for part in parts for values in part.vectors]), fields, contents)


def _large(parts: Sequence[npt.NDArray[np.float16]]) -> list[npt.NDArray[np.float16]]:
    """Join small parts: each of them would write its last block again with the next. Large ones are not copied for that."""
    found: list[npt.NDArray[np.float16]] = []
    small: list[npt.NDArray[np.float16]] = []
    rows = 0
    for number, part in enumerate(parts, start=1):
        small.append(part)
        rows += part.shape[1]
        if rows >= _LARGE or number == len(parts):
            found.append(small[0] if len(small) == 1 else np.concatenate(small, axis=1))
            small, rows = [], 0
    return found

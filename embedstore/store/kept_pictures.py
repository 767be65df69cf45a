"""Kept pictures: the pixels that students cut their views from, so that no file is decoded twice.

    STORE/pictures/SIDE/  an LMDB environment beside the generations; SIDE is the recipe's short side in pixels
    database   key                          value
    pictures   hash of the file's bytes     width, height (u32), channels (u8), pixels (width, height, channels) uint8, CRC32

Each is the picture resized once to that short side, and nothing but a cache: what is missing is read from its file. Pixels
stand column by column, the order in which views are cut from them.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import struct
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import lmdb
import numpy as np
import numpy.typing as npt
from PIL import Image

from embedstore.errors import CorruptStoreError, StoreError
from embedstore.store.data_file import DATA, fill_up
from embedstore.store.environment import Environment, make_environment, open_environment
from embedstore.store.layout import seal, sync_directory, unseal
from embedstore.views import Recipe, student_picture

Pixels = npt.NDArray[np.uint8]  # (width, height, 1 or 3)

FOLDER = "pictures"
MOST_BYTES = 16 << 30  # of kept pictures; what comes later is read from its file
_UNFINISHED = ".new-"
_PICTURES = b"pictures"
_HEAD = struct.Struct("<IIB")
_DROPPED_AT_ONCE = 1024


class KeptPictures:
    """The kept pictures of a store, by the hash of the file that each was in; get them by `open_kept`, close them in the end.

    Raises:
        CorruptStoreError: by every method: something of them can't be read; the message says what to do.
    """

    def __init__(self, environment: Environment, store: Path):
        self._environment, self._store = environment, store
        self._checked: set[bytes] = set()
        self._open = True

    def close(self) -> None:
        """Give the handle back; once is enough."""
        if self._open:
            self._open = False
            self._environment.release()

    def settle(self) -> None:
        """Lengthen the data file to all of its pages, so that nobody has to walk it; only under the writer's lock."""
        with contextlib.suppress(OSError):  # a full disk: then whoever opens it looks closer
            fill_up(self._environment.directory)

    def get(self, contents: Sequence[bytes]) -> list[Pixels | None]:
        """Return copies of the pixels of some pictures; None where one is not kept. A checksum is checked once."""
        with self._reading() as transaction:
            database = self._environment.database(_PICTURES)
            return [self._pixels(content, transaction.get(content, db=database)) for content in contents]

    def contents(self) -> set[bytes]:
        """Return the hashes of all that are kept."""
        with self._reading() as transaction:
            cursor = transaction.cursor(self._environment.database(_PICTURES))
            return {bytes(key) for key in cursor.iternext(keys=True, values=False)}

    def size(self) -> int:
        """Return how many bytes they take on the disk."""
        with self._reading() as transaction:
            stat = transaction.stat(self._environment.database(_PICTURES))
        return int(stat["psize"] * (stat["branch_pages"] + stat["leaf_pages"] + stat["overflow_pages"]))

    def put(self, pictures: Mapping[bytes, Pixels]) -> None:
        """Keep some pictures, in one synced transaction.

        Raises:
            StoreError: the disk is full, or they are read-only.
        """

        def write(transaction: lmdb.Transaction) -> None:
            database = self._environment.database(_PICTURES)
            for content, pixels in pictures.items():
                value = seal(content, _HEAD.pack(*pixels.shape), np.ascontiguousarray(pixels).data.cast("B"))
                transaction.put(content, value, db=database)

        self._environment.write(write)

    def drop(self, contents: Iterable[bytes]) -> None:
        """Keep some pictures no longer."""
        gone = list(contents)
        for start in range(0, len(gone), _DROPPED_AT_ONCE):
            part = gone[start : start + _DROPPED_AT_ONCE]

            def delete(transaction: lmdb.Transaction, part: list[bytes] = part) -> None:
                for content in part:
                    transaction.delete(content, db=self._environment.database(_PICTURES))

            self._environment.write(delete)

    @contextlib.contextmanager
    def _reading(self) -> Iterator[lmdb.Transaction]:
        try:
            with self._environment.read() as transaction:
                yield transaction
        except CorruptStoreError as error:
            raise damaged(self._store) from error

    def _pixels(self, content: bytes, value: bytes | memoryview | None) -> Pixels | None:
        if value is None:
            return None
        payload = unseal(_PICTURES, content, value, check=content not in self._checked)
        try:
            width, height, channels = _HEAD.unpack_from(payload)
            pixels = np.frombuffer(payload, np.uint8, offset=_HEAD.size).reshape(width, height, channels)
        except (struct.error, ValueError) as error:
            raise damaged(self._store) from error
        if not pixels.size or channels not in (1, 3):
            raise damaged(self._store)
        self._checked.add(content)
        return pixels.copy()


def to_keep(picture: Image.Image, recipe: Recipe) -> Pixels:
    """Return the pixels of a picture (mode `L` or `RGB`) as they are kept: resized once, column by column."""
    pixels = np.asarray(student_picture(picture, recipe))
    return np.ascontiguousarray(np.atleast_3d(pixels).transpose(1, 0, 2))


def open_kept(store: Path, side: int) -> KeptPictures | None:
    """Return the kept pictures of a store whose recipe has this short side; None where it keeps none.

    Raises:
        CorruptStoreError: they can't be used; the message says what to do.
    """
    directory = store / FOLDER / str(side)
    if not os.path.lexists(directory):
        return None
    _refuse_link(store, side)
    try:
        return KeptPictures(open_environment(directory, (_PICTURES,)), store)
    except CorruptStoreError as error:
        raise damaged(store) from error


def make_kept(store: Path, side: int) -> KeptPictures:
    """Return the kept pictures of a store under its writer's lock; an empty place for some, where it keeps none.

    Raises:
        StoreError: the system does not let it be made.
        CorruptStoreError: those that are there can't be used; the message says what to do.
    """
    if (found := open_kept(store, side)) is not None:
        return found
    _refuse_link(store, side)
    directory = store / FOLDER / str(side)
    fresh = directory.with_name(f"{_UNFINISHED}{side}")
    shutil.rmtree(fresh, ignore_errors=True)  # of a build that was killed
    try:
        make_environment(fresh, (_PICTURES,)).release()
        fresh.rename(directory)  # complete or not there at all
        sync_directory(directory.parent)
    except (OSError, lmdb.Error) as error:
        shutil.rmtree(fresh, ignore_errors=True)
        raise StoreError(
            f"'{directory}' can't be made ({error}); free some disk space, or build without --keep-images."
        ) from error
    return KeptPictures(open_environment(directory, (_PICTURES,)), store)


def remove_kept(store: Path) -> None:
    """Remove all kept pictures of a store.

    Raises:
        StoreError: the system does not let them be removed, or a link stands in their place.
    """
    folder = store / FOLDER
    if folder.is_symlink():
        raise _is_link(folder)
    shutil.rmtree(folder, ignore_errors=True)
    if os.path.lexists(folder):
        raise StoreError(f"'{folder}' can't be removed; see who may write there, then remove it by hand.")


def damaged(store: Path) -> CorruptStoreError:
    """Return the error that says that kept pictures can't be read."""
    return CorruptStoreError(
        f"The pictures that the store '{store}' keeps for students are damaged; remove the folder '{store / FOLDER}' (nothing "
        "is lost with it), then build again with --keep-images, or train from the files."
    )


def _refuse_link(store: Path, side: int) -> None:
    directory = store / FOLDER / str(side)
    for path in (store / FOLDER, directory, directory / DATA):
        if path.is_symlink():
            raise _is_link(path)


def _is_link(path: Path) -> CorruptStoreError:
    return CorruptStoreError(f"'{path}' is a link, which no store has; remove it, then run the command again.")

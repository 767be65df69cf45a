"""Kept pictures: the pixels that students cut their views from, so that no file is decoded twice.

    STORE/pictures/      an LMDB environment beside the generations
    database   key                          value
    pictures   hash of the file's bytes     width, height (u32), channels (u8), pixels (width, height, channels) uint8, CRC32

Each is the picture resized once to the recipe's short side, and nothing but a cache: what is missing is read from its file.
Pixels stand column by column, the order in which views are cut from them.
"""

from __future__ import annotations

import contextlib
import shutil
import struct
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import lmdb
import numpy as np
import numpy.typing as npt
from PIL import Image

from embedstore.errors import CorruptStoreError, StoreError
from embedstore.store.data_file import DATA
from embedstore.store.environment import Environment, make_environment, open_environment
from embedstore.store.layout import seal, unseal
from embedstore.views import Recipe, student_picture

Pixels = npt.NDArray[np.uint8]  # (width, height, 1 or 3)

FOLDER = "pictures"
MOST_BYTES = 16 << 30  # of kept pictures; what comes later is read from its file
_PICTURES = b"pictures"
_HEAD = struct.Struct("<IIB")
_DROPPED_AT_ONCE = 1024


class KeptPictures:
    """The kept pictures of a store, by the hash of the file that each was in; get them by `open_kept`, close them in the end."""

    def __init__(self, environment: Environment):
        self._environment = environment
        self._checked: set[bytes] = set()
        self._open = True

    def close(self) -> None:
        """Give the handle back; once is enough."""
        if self._open:
            self._open = False
            self._environment.release()

    def get(self, contents: Sequence[bytes]) -> list[Pixels | None]:
        """Return copies of the pixels of some pictures; None where one is not kept.

        Raises:
            CorruptStoreError: one fails its checksum, which is checked when it is first read.
        """
        with self._environment.read() as transaction:
            database = self._environment.database(_PICTURES)
            return [self._pixels(content, transaction.get(content, db=database)) for content in contents]

    def contents(self) -> set[bytes]:
        """Return the hashes of all that are kept."""
        with self._environment.read() as transaction:
            cursor = transaction.cursor(self._environment.database(_PICTURES))
            return {bytes(key) for key in cursor.iternext(keys=True, values=False)}

    def size(self) -> int:
        """Return how many bytes they take on the disk."""
        with self._environment.read() as transaction:
            stat = transaction.stat(self._environment.database(_PICTURES))
        return int(stat["psize"] * (stat["branch_pages"] + stat["leaf_pages"] + stat["overflow_pages"]))

    def put(self, pictures: Mapping[bytes, Pixels]) -> None:
        """Keep some pictures, in one synced transaction."""

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

    def _pixels(self, content: bytes, value: bytes | memoryview | None) -> Pixels | None:
        if value is None:
            return None
        payload = unseal(_PICTURES, content, value, check=content not in self._checked)
        try:
            shape = _HEAD.unpack_from(payload)
            pixels: Pixels = np.frombuffer(payload, np.uint8, offset=_HEAD.size).reshape(shape).copy()
        except (struct.error, ValueError) as error:
            raise CorruptStoreError(f"A kept picture in '{self._environment.directory}' is none ({error}).") from error
        self._checked.add(content)
        return pixels


def to_keep(picture: Image.Image, recipe: Recipe) -> Pixels:
    """Return the pixels of a picture (mode `L` or `RGB`) as they are kept: resized once, column by column."""
    pixels = np.asarray(student_picture(picture, recipe))
    return np.ascontiguousarray(np.atleast_3d(pixels).transpose(1, 0, 2))


def open_kept(store: Path) -> KeptPictures | None:
    """Return the kept pictures of a store; None where it keeps none.

    Raises:
        CorruptStoreError: they can't be used; the message says what to do.
    """
    directory = store / FOLDER
    if not (directory / DATA).is_file():  # a build was killed before there was any
        return None
    try:
        return KeptPictures(open_environment(directory, (_PICTURES,)))
    except CorruptStoreError as error:
        raise CorruptStoreError(
            f"The kept pictures of '{store}' can't be read ({error}); remove the folder '{directory}' and build again with "
            "--keep-images, or train without them."
        ) from error


def make_kept(store: Path) -> KeptPictures:
    """Return the kept pictures of a store; where it keeps none, or they can't be used, an empty place for some.

    Raises:
        StoreError: the system does not let it be made.
    """
    with contextlib.suppress(CorruptStoreError):
        if (found := open_kept(store)) is not None:
            return found
    try:
        remove_kept(store)
        return KeptPictures(make_environment(store / FOLDER, (_PICTURES,)))
    except (OSError, lmdb.Error) as error:
        raise StoreError(f"The folder '{store / FOLDER}' can't be made ({error}); free some disk space.") from error


def remove_kept(store: Path) -> None:
    """Remove all kept pictures of a store."""
    shutil.rmtree(store / FOLDER, ignore_errors=True)

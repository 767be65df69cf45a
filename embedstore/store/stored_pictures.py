"""The picture that a stored sample's vectors are of: from the store's kept pictures, or from its file."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING

from PIL import Image

from embedstore.errors import PictureError
from embedstore.images import leaves
from embedstore.pictures import content_hash, decode
from embedstore.store.kept_pictures import KeptPictures, Pixels, open_kept, to_keep
from embedstore.store.layout import UNKNOWN_CONTENT

if TYPE_CHECKING:
    from embedstore.store.reading import StoreReader


class StoredPictures:
    """Gives the picture that a sample's vectors are of, never another one that has its name now.

    Args:
        store: whose samples are asked for.
        kept: its kept pictures, if it has some.
    """

    def __init__(self, store: StoreReader, kept: KeptPictures | None):
        self._root, self._recipe, self._kept = store.image_root, store.recipe, kept

    def get(self, content: bytes, uri: str) -> tuple[Image.Image, bool]:
        """Return a sample's picture, and whether it was made smaller than the file's.

        A kept picture is taken at once where it was not made smaller; else the file, from which a build embeds, too, so that no
        space holds vectors of two kinds of pictures without need. Where the file is gone, a kept picture that was made smaller
        stands in for it.

        Args:
            content: the hash of the picture's file when it was embedded.
            uri: where that file is, below the image folder.

        Raises:
            PictureError: there is none any more; the message is the reason alone.
        """
        pixels = self._kept_one(content)
        side = self._recipe.student_side
        if pixels is not None and min(pixels.shape[:2]) < side:  # of that size it may have been made smaller
            return _picture(pixels), False
        try:
            return decode(self._bytes(content, uri)), False
        except PictureError:
            if pixels is None:
                raise
            return _picture(pixels), True

    def as_kept(self, content: bytes, uri: str) -> Pixels:
        """Return a sample's picture as the store keeps it, or would; the kept one where there is one; see `get`."""
        pixels = self._kept_one(content)
        return to_keep(decode(self._bytes(content, uri)), self._recipe) if pixels is None else pixels

    def _kept_one(self, content: bytes) -> Pixels | None:
        if content == UNKNOWN_CONTENT:
            raise PictureError("its vectors were imported, and nothing says which picture they are of")
        return None if self._kept is None else self._kept.get([content])[0]

    def _bytes(self, content: bytes, uri: str) -> bytes:
        if leaves(uri):
            raise PictureError("its path leads out of the image folder")
        try:
            data = (self._root / uri).read_bytes()
        except (FileNotFoundError, NotADirectoryError) as error:
            raise PictureError("its file is gone") from error
        except OSError as error:
            raise PictureError(f"its file can't be read: {error.strerror}") from error
        if content_hash(data) != content:
            raise PictureError("its file is another picture now, which embedstore build takes up")
        return data


@contextlib.contextmanager
def stored_pictures(store: StoreReader) -> Iterator[StoredPictures]:
    """Open the pictures of a store for as long as the context lasts.

    Raises:
        CorruptStoreError: its kept pictures can't be used; the message says what to do.
    """
    kept = open_kept(store.path, store.recipe.student_side)
    try:
        yield StoredPictures(store, kept)
    finally:
        if kept is not None:
            kept.close()


def _picture(pixels: Pixels) -> Image.Image:
    """Return kept pixels (width, height, 1 or 3) as a picture."""
    upright = pixels.transpose(1, 0, 2)
    return Image.fromarray(upright[:, :, 0] if upright.shape[2] == 1 else upright)

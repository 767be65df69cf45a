"""The pictures of samples that are in a store already: from its kept pictures, or from their files."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from PIL import Image

from embedstore.errors import PictureError
from embedstore.images import leaves
from embedstore.pictures import content_hash, decode
from embedstore.store.embedding_store import EmbeddingStore
from embedstore.store.fields import Record
from embedstore.store.kept_pictures import KeptPictures, Pixels, open_kept
from embedstore.store.layout import UNKNOWN_CONTENT


class StoredPictures:
    """Gives the picture that a sample's vectors are of, never another one that has its name now.

    A kept picture is taken at once where it was not made smaller; else the file, from which a build embeds, too, so that no
    space holds vectors of two kinds of pictures without need. Where the file is gone, a kept picture that was made smaller stands
    in for it.

    Args:
        store: whose samples are asked for.
        kept: its kept pictures, if it has some.
    """

    def __init__(self, store: EmbeddingStore, kept: KeptPictures | None):
        self._root, self._side, self._kept = store.image_root, store.recipe.student_side, kept

    def get(self, record: Record) -> tuple[Image.Image, bool]:
        """Return a sample's picture, and whether it was made smaller than the file's.

        Raises:
            PictureError: there is none any more; the message is the reason alone.
        """
        if record.content == UNKNOWN_CONTENT:
            raise PictureError("its vectors were imported, and nothing says which picture they are of")
        pixels = None if self._kept is None else self._kept.get([record.content])[0]
        if pixels is not None and min(pixels.shape[:2]) < self._side:  # of that size it may have been made smaller
            return _picture(pixels), False
        try:
            return decode(self._bytes(record)), False
        except PictureError:
            if pixels is None:
                raise
            return _picture(pixels), True

    def _bytes(self, record: Record) -> bytes:
        if leaves(record.uri):
            raise PictureError("its path leads out of the image folder")
        try:
            data = (self._root / record.uri).read_bytes()
        except (FileNotFoundError, NotADirectoryError) as error:
            raise PictureError("its file is gone") from error
        except OSError as error:
            raise PictureError(f"its file can't be read: {error.strerror}") from error
        if content_hash(data) != record.content:
            raise PictureError("its file is another picture now, which embedstore build takes up")
        return data


@contextlib.contextmanager
def stored_pictures(store: EmbeddingStore) -> Iterator[StoredPictures]:
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

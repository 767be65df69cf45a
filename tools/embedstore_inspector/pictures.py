"""Small copies of a store's pictures, by sample only: from the image folder, or where that is gone from the kept pictures."""

from __future__ import annotations

import os
import stat
import threading
from collections import OrderedDict
from pathlib import Path
from typing import NamedTuple

from PIL import Image

from embedstore.errors import CorruptStoreError, PictureError
from embedstore.images import leaves
from embedstore.pages.gallery import small_copy
from embedstore.pictures import content_hash
from embedstore.store.embedding_store import EmbeddingStore
from embedstore.store.kept_pictures import open_kept
from embedstore_inspector.decoding import decoded

SIDES = (160, 320, 1024)  # longest sides of the copies, in pixels
MOST_BYTES = 256 << 20  # of a file
_CACHED = 64 << 20  # bytes of copies
_AT_ONCE = 3  # files read and pictures decoded; of large ones, see `decoding`, one


class Copy(NamedTuple):
    """A small copy.

    Attributes:
        data: a WebP file.
        final: it is of the very picture that was embedded, so that there can be no better one; else a makeshift, for as long as
            that is away.
    """

    data: bytes
    final: bool


class Pictures:
    """The pictures of a store's folder, and small copies of those that were asked for last.

    Args:
        root: the image folder; no file outside of it is read, by whatever path or link. None: where the store says.
    """

    def __init__(self, root: Path | None = None):
        self.root = root
        self._copies: OrderedDict[tuple[bytes, int], bytes] = OrderedDict()
        self._size = 0
        self._lock, self._decoding = threading.Lock(), threading.Semaphore(_AT_ONCE)

    def copy(self, store: EmbeddingStore, position: int, side: int) -> Copy:
        """Return a copy of a sample's picture, the one that was embedded.

        Args:
            store: that holds the sample.
            position: of the sample.
            side: one of `SIDES`.

        Raises:
            PictureError: it can't be had; the message is the reason alone.
        """
        content = store.content_at(position)
        with self._lock:
            found = self._copies.get((content, side))
            if found is not None:
                self._copies.move_to_end((content, side))
                return Copy(found, final=True)
        with self._decoding:
            made = self._made(store, position, content, side)
        if made.final and any(content):
            with self._lock:
                self._remember((content, side), made.data)
        return made

    def _remember(self, key: tuple[bytes, int], copy: bytes) -> None:
        if key not in self._copies:
            self._copies[key] = copy
            self._size += len(copy)
        while self._size > _CACHED:
            self._size -= len(self._copies.popitem(last=False)[1])

    def _made(self, store: EmbeddingStore, position: int, content: bytes, side: int) -> Copy:
        try:
            data = _read(store.image_root if self.root is None else self.root, store.sample_at(position).uri)
            if any(content) and content_hash(data) != content:
                raise PictureError("has changed since the store was built; build it again")
            with decoded(data) as picture:
                return Copy(small_copy(picture, side), final=True)
        except PictureError as error:
            kept = _kept(store, content)
            if kept is None:
                raise error
            return Copy(small_copy(kept, side), final=False)


def _read(root: Path, uri: str) -> bytes:
    """Return the bytes of a file of the image folder."""
    if leaves(uri):
        raise PictureError("leads out of the image folder")
    try:
        real = os.path.realpath(root / uri)
        if not Path(real).is_relative_to(os.path.realpath(root)):
            raise PictureError("leads out of the image folder")
        # What was a file when it was looked at may be a link or a pipe now; neither is followed or waited for.
        handle = os.open(
            real,
            os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0),
        )
        with open(handle, "rb") as file:
            about = os.fstat(handle)
            # Nor is a folder on the way that has become a link.
            if os.path.realpath(real) != real or not os.path.samestat(os.lstat(real), about):
                raise PictureError("was moved while it was read")
            if not stat.S_ISREG(about.st_mode):
                raise PictureError("is no file")
            if about.st_size > MOST_BYTES:
                raise PictureError(f"has {about.st_size:,} bytes, more than {MOST_BYTES:,}")
            return file.read(MOST_BYTES)
    except OSError as error:
        raise PictureError(f"can't be read: {error.strerror}") from error


def _kept(store: EmbeddingStore, content: bytes) -> Image.Image | None:
    """Return the picture as it was kept for students; None where it was not."""
    try:
        kept = open_kept(store.path, store.recipe.student_side)
        if kept is None:
            return None
        try:
            (pixels,) = kept.get([content])
        finally:
            kept.close()
    except CorruptStoreError as error:
        raise PictureError("is gone, and the kept pictures are damaged") from error
    if pixels is None:
        return None
    upright = pixels.transpose(1, 0, 2)
    return Image.fromarray(upright[:, :, 0] if upright.shape[2] == 1 else upright)

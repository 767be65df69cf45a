"""The store's teacher, loaded when it is first asked to look at a picture, and kept."""

from __future__ import annotations

from collections.abc import Callable

import anyio

from embedstore.errors import PictureError, TeacherError
from embedstore.store.embedding_store import EmbeddingStore
from embedstore.teachers import TextTeacher
from embedstore.teachers.protocol import EMBEDDING, Teacher
from embedstore.vectors import Vectors
from embedstore.views import WHOLE, render
from embedstore_inspector.decoding import decoded


class Eye:
    """Embeds what readers send, one thing at a time."""

    def __init__(self) -> None:
        self._teacher: Teacher | None = None
        self._one = anyio.CapacityLimiter(1)

    async def look(self, work: Callable[[], Vectors]) -> Vectors:
        """Return what `work`, a call of the two below, gives: in a thread of its own, after those that wait already."""
        return await anyio.to_thread.run_sync(work, limiter=self._one)

    def picture(self, store: EmbeddingStore, data: bytes) -> Vectors:
        """Return the vector (1, d) of a picture's plain view, as the store's own samples have theirs.

        Raises:
            PictureError: the bytes are no picture that can be used.
            TeacherError, TeacherMismatchError, MissingPackageError: the teacher can't be had.
        """
        try:
            with decoded(data) as picture:
                teacher = self._loaded(store)
                seen = render(picture, WHOLE, teacher.input_size, store.recipe.fit)
        except PictureError as error:
            raise PictureError(f"The picture can't be used: {error}; give a readable picture.") from error
        return teacher.embed(seen[None])[EMBEDDING]

    def text(self, store: EmbeddingStore, words: str) -> Vectors:
        """Return the vector (1, d) of some words.

        Raises:
            TeacherError: the teacher reads no text; see also `picture`.
        """
        teacher = self._loaded(store)
        if not isinstance(teacher, TextTeacher):
            raise TeacherError(f"The teacher '{teacher.name}' reads no text; search by a picture instead.")
        return teacher.embed_text([words])

    def _loaded(self, store: EmbeddingStore) -> Teacher:
        if self._teacher is None or self._teacher.fingerprint != store.fingerprint:
            self._teacher = store.load_teacher()
        return self._teacher

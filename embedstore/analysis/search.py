"""Exact nearest neighbours by scanning the store, under an exact filter."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from embedstore.errors import PictureError, SettingsError, StoreError, TeacherError
from embedstore.pictures import read_picture
from embedstore.teachers import TextTeacher, load_teacher
from embedstore.teachers.protocol import EMBEDDING, Teacher
from embedstore.vectors import Vectors, unit_length
from embedstore.views import WHOLE, render

if TYPE_CHECKING:
    from embedstore.store.embedding_store import EmbeddingStore


@dataclass(frozen=True)
class Hit:
    """One answer: the sample and its cosine similarity to the query."""

    id: str
    similarity: float
    label: str | None
    mode: str | None
    group: str | None
    uri: str


def query(
    store: EmbeddingStore,
    *,
    image: str | os.PathLike[str] | None,
    id: str | None,
    text: str | None,
    top: int,
    where: Mapping[str, str | None] | None,
) -> list[Hit]:
    """Return the samples nearest to one of a picture, a sample or a text; see `EmbeddingStore.query`.

    Raises:
        SettingsError: none or more than one of the three was given.
        PictureError: the picture can't be read.
        TeacherError: the store's teacher can't be loaded, or reads no text.
        TeacherMismatchError: what loads under its name is another teacher.
    """
    if sum(given is not None for given in (image, id, text)) != 1:
        raise SettingsError("Give one of --image, --id and --text, to say what is looked for.")
    if id is not None:
        return search(store, store.vectors([id]), top=top, where=where, exclude=[id])[0]
    if image is not None:
        teacher = _own_teacher(store)
        try:
            picture, _ = read_picture(image)
        except PictureError as error:
            raise PictureError(f"The picture '{image}' {error}; give a readable picture.") from error
        pixels = render(picture, WHOLE, teacher.input_size, store.recipe.fit)
        return search(store, teacher.embed(pixels[None])[EMBEDDING], top=top, where=where)[0]
    return search(store, text_vectors(store, [text or ""]), top=top, where=where)[0]


def text_vectors(store: EmbeddingStore, texts: Sequence[str]) -> Vectors:
    """Return the vectors (n, d) of some texts; see `EmbeddingStore.embed_text`."""
    teacher = _own_teacher(store)
    if not isinstance(teacher, TextTeacher):
        raise TeacherError(
            f"The teacher '{teacher.name}' reads no text; build the store with an open_clip teacher for that."
        )
    return teacher.embed_text(list(texts))


def _own_teacher(store: EmbeddingStore) -> Teacher:
    teacher = load_teacher(store.teacher)
    store.check_teacher(teacher)
    return teacher


def search(
    store: EmbeddingStore,
    vectors: npt.ArrayLike,
    *,
    top: int = 5,
    where: Mapping[str, str | None] | None = None,
    exclude: Sequence[str] = (),
) -> list[list[Hit]]:
    """Return for each query (n, d) its `top` nearest samples, best first; see `EmbeddingStore.search`.

    Raises:
        StoreError: `top` is below 1, or the queries are not finite or have another dimension than the store.
    """
    asked = np.atleast_2d(np.asarray(vectors, np.float32))
    if top < 1:
        raise StoreError(f"The number of answers is {top}; ask for 1 or more.")
    if asked.ndim != 2 or asked.shape[1] != store.dim:
        raise StoreError(f"The queries have the shape {asked.shape}; expected (n, {store.dim}).")
    if not np.isfinite(asked).all():
        raise StoreError("A query holds values that are not finite; look for NaN in what made it.")
    # Both sides are multiples of 2^-24 and about 1 long, so float64 adds their products without rounding: equal vectors
    # get equal scores, wherever they stand and however the scan is cut.
    queries = np.round(unit_length(asked).astype(np.float64) * 2**24) / 2**24
    allowed = store.where(where or {})
    allowed[store.positions([sample_id for sample_id in exclude if sample_id in store])] = False
    best = np.zeros((len(queries), 0), np.float64)
    found = np.zeros((len(queries), 0), np.int64)
    for positions, block in store.scan():
        chosen = allowed[positions]
        if not chosen.any():
            continue
        scores = queries @ block[chosen].astype(np.float64).T
        best = np.concatenate([best, scores], axis=1)
        found = np.concatenate([found, np.broadcast_to(positions[chosen], scores.shape)], axis=1)
        # Stable, so that of equal scores the first row wins.
        order = np.argsort(-best, axis=1, kind="stable")[:, :top]
        best, found = np.take_along_axis(best, order, 1), np.take_along_axis(found, order, 1)
    return [
        [
            Hit(s.id, float(score), s.label, s.mode, s.group, s.uri)
            for score, s in zip(scores, map(store.sample_at, row), strict=True)
        ]
        for scores, row in zip(best, found, strict=True)
    ]

"""The batch that is compared with a store: pictures, vectors of another file, or samples that some store has."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from embedstore.analysis.drift.draws import Numbers
from embedstore.analysis.drift.light import light_of, stored_lights
from embedstore.errors import (
    ImagesError,
    NotAStoreError,
    PictureError,
    SettingsError,
    SourceError,
    TeacherMismatchError,
)
from embedstore.images import Sample, leaves, list_images
from embedstore.imports import FOLDER, IMPORTS, open_source
from embedstore.pages.words import Text
from embedstore.pictures import read_picture
from embedstore.store.embedding_store import open_store
from embedstore.store.kept_pictures import to_keep
from embedstore.store.own_teacher import checked_teacher
from embedstore.teachers.protocol import EMBEDDING
from embedstore.vectors import Vectors
from embedstore.views import WHOLE, render

if TYPE_CHECKING:
    from embedstore.store.embedding_store import EmbeddingStore
    from embedstore.teachers import Teacher

MOST = 2_000  # pictures
_AT_ONCE = 64  # pictures in one call of the teacher
_VECTORS_ALONE = Text("only its vectors were given", "ベクトルだけが与えられたため")


@dataclass(frozen=True)
class Batch:
    """Some pictures as the store's teacher sees them.

    Attributes:
        name: what it was made from.
        samples: (m,) of which id and group count.
        vectors: (m, d) as the teacher gave them.
        root: the folder that the samples' paths are relative to; None where no pictures are at hand.
        contents: (m,) the hash of each file, where files were read.
        lights: (m, 3) what `light.light_of` measures of each picture; None where pictures are not at hand, and
            `no_lights` says why.
        set_aside: path -> why a picture can't be used.
    """

    name: str
    samples: list[Sample]
    vectors: Vectors
    root: Path | None = None
    contents: list[bytes] = field(default_factory=list)
    set_aside: dict[str, str] = field(default_factory=dict)
    lights: Numbers | None = None
    no_lights: Text = _VECTORS_ALONE

    def __len__(self) -> int:
        return len(self.samples)

    def ordered(self) -> Batch:
        """Return the same batch in the order of ids, so that no other order decides anything."""
        order = sorted(range(len(self)), key=lambda at: self.samples[at].id)
        contents = [self.contents[at] for at in order] if self.contents else []
        return replace(
            self,
            samples=[self.samples[at] for at in order],
            vectors=self.vectors[order],
            contents=contents,
            lights=None if self.lights is None else self.lights[order],
        )

    def picture(self, at: int) -> Path | None:
        """Return where a picture is; None where that is unknown, or its path leads out of the folder."""
        uri = self.samples[at].uri
        return None if self.root is None or leaves(uri) else self.root / uri


def batch_of(
    store: EmbeddingStore,
    source: str | os.PathLike[str],
    *,
    manifest: str | os.PathLike[str] | None = None,
    teacher: str | Teacher | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Batch:
    """Return a batch from wherever it is: a folder of pictures, a file of vectors, or another store.

    Args:
        store: that the batch will be compared with.
        source: a store of the same teacher; a file that `embedstore import` reads, such as `.npy` with its `.csv`; or a folder
            of pictures, which the store's own teacher embeds.
        manifest: of a folder of pictures, as for a build; its column `group` says which pictures show one part.
        teacher: of a folder of pictures: where it is loaded from, or itself; the store's own spec where not given.
        progress: called with (pictures done, pictures in all).

    Raises:
        ImagesError: there is no such folder, or no picture in it.
        SourceError: the file can't be used.
        TeacherMismatchError: the vectors are of another teacher, or of another length.
        SettingsError: a manifest or a teacher was given for what is no folder of pictures.
    """
    path = Path(source)
    is_file = path.suffix in IMPORTS and path.suffix != FOLDER and not path.is_dir()
    other = None if is_file else _opened(path)
    if not is_file and other is None:
        return embedded(store, path, manifest=manifest, teacher=teacher, progress=progress)
    if manifest is not None or teacher is not None:
        raise SettingsError(f"'{path}' is no folder of pictures, so leave out its manifest and the teacher.")
    if other is None:
        return from_file(store, path)
    with other:
        return from_store(store, other)


def embedded(
    store: EmbeddingStore,
    images: str | os.PathLike[str],
    *,
    manifest: str | os.PathLike[str] | None = None,
    teacher: str | Teacher | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Batch:
    """Return the pictures of a folder, seen whole by the store's teacher, cut as the store cuts them; see `batch_of`."""
    listing = list_images(images, manifest)
    refuse_size(len(listing.samples))
    loaded = checked_teacher(store, teacher)
    if loaded is None:
        loaded = store.load_teacher(list(store.space["outputs"]))
    aside, samples, contents, rows = dict(listing.unreadable), list[Sample](), list[bytes](), list[Vectors]()
    lights: list[Numbers] = []
    crops: list[np.ndarray[tuple[int, ...], np.dtype[np.uint8]]] = []

    def embed() -> None:
        if crops:
            rows.append(np.asarray(loaded.embed(np.stack(crops))[EMBEDDING], np.float32))
            crops.clear()

    for done, sample in enumerate(listing.samples, start=1):
        try:
            picture, content = read_picture(listing.root / sample.uri)
            crops.append(render(picture, WHOLE, loaded.input_size, store.recipe.fit))
        except PictureError as error:
            aside[sample.uri] = str(error)
        else:
            samples.append(sample)
            contents.append(content)
            lights.append(light_of(to_keep(picture, store.recipe)))
        if len(crops) >= _AT_ONCE:
            embed()
        if progress is not None:
            progress(done, len(listing.samples))
    embed()
    if not samples:
        raise ImagesError(f"None of the {len(aside)} pictures under '{images}' can be read; give pictures that can.")
    vectors = np.concatenate(rows)
    _refuse_unusable(vectors, [sample.id for sample in samples])
    return Batch(str(images), samples, vectors, listing.root, contents, aside, np.stack(lights))


def from_file(store: EmbeddingStore, path: str | os.PathLike[str]) -> Batch:
    """Return the rows of a file of vectors of the store's teacher; see `batch_of`.

    Nobody can check of a plain `.npy` file what made its vectors; an exported file names the teacher's fingerprint.
    """
    source = open_source(path)
    if source.origin is not None and source.origin.fingerprint not in (None, store.fingerprint):
        raise TeacherMismatchError(
            f"'{path}' has vectors of another teacher ('{source.origin.teacher}') than the store '{store.path}' "
            f"('{store.teacher}'); give vectors of the store's own."
        )
    _refuse_length(store, source.dim, str(path))
    samples, rows = list[Sample](), list[Vectors]()
    for batch in source.batches():
        groups, uris = batch.fields.get("group"), batch.fields.get("path")
        for at, name in enumerate(batch.ids):
            uri = (uris[at] if uris else None) or name
            samples.append(Sample(name, uri, group=groups[at] if groups else None))
        rows.append(batch.vectors.astype(np.float32))
    names = [sample.id for sample in samples]
    if len(set(names)) < len(names):
        raise SourceError(f"'{path}' has an id in more than one row; give each row an id of its own.")
    vectors = np.concatenate(rows)
    _refuse_unusable(vectors, names)
    return Batch(str(path), samples, vectors).ordered()


def from_store(store: EmbeddingStore, other: EmbeddingStore, ids: Sequence[str] | None = None) -> Batch:
    """Return samples of some store, all or those of some ids; it may be the same store: their parts are then left out of it.

    Raises:
        TeacherMismatchError: it was filled by another teacher.
        StoreError: an id is unknown.
        SettingsError: there are no samples, or an id is given twice.
    """
    if other.fingerprint != store.fingerprint:
        raise TeacherMismatchError(
            f"The store '{other.path}' was filled by the teacher '{other.teacher}', and '{store.path}' by '{store.teacher}'; "
            "their vectors can't be compared."
        )
    names = list(other.ids) if ids is None else list(ids)
    refuse_size(len(names))
    if len(set(names)) < len(names):
        raise SettingsError(
            f"{len(names) - len(set(names))} of the {len(names):,} ids are given twice; give each once."
        )
    at = other.positions(names)
    samples = [other.sample_at(int(one)) for one in at]
    vectors = other.read(at)
    _refuse_unusable(vectors, names)
    if other.recipe.student_side != store.recipe.student_side:
        lights = None
        why = Text(
            f"'{other.path}' keeps pictures of another size than '{store.path}'",
            f"「{other.path}」と「{store.path}」では残した画像の大きさが異なるため",
        )
    else:
        lights, why = stored_lights(other, at)
    return Batch(str(other.path), samples, vectors, other.image_root, lights=lights, no_lights=why).ordered()


def refuse_size(pictures: int) -> None:
    """Raise where a batch is empty, or larger than can be compared; before it is embedded, which takes long.

    Raises:
        SettingsError: it is.
    """
    if not 0 < pictures <= MOST:
        raise SettingsError(
            f"The batch has {pictures:,} pictures; give 1 to {MOST:,}, such as some parts of a day, by a manifest."
        )


def _opened(path: Path) -> EmbeddingStore | None:
    try:
        return open_store(path)
    except NotAStoreError:
        return None


def _refuse_length(store: EmbeddingStore, dim: int, name: str) -> None:
    if dim != store.dim:
        raise TeacherMismatchError(
            f"'{name}' has vectors of {dim} numbers, but the store '{store.path}' has {store.dim}; give those of its teacher."
        )


def _refuse_unusable(vectors: Vectors, names: Sequence[str]) -> None:
    """Raise where a vector has no direction."""
    bad = ~np.isfinite(vectors).all(axis=1) | ~vectors.any(axis=1)
    if bad.any():
        raise SourceError(
            f"The vector of '{names[int(bad.argmax())]}' is zero or not finite ({int(bad.sum())} such); leave those out."
        )

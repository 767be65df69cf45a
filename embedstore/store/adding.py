"""Add: some pictures of the store's image folder, while the rest of the folder is not looked at."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from embedstore.errors import ImagesError, SettingsError
from embedstore.images import Listing, list_images, sample_id
from embedstore.store.build_report import BuildReport
from embedstore.store.embedding_pass import EmbeddingPass, Progress
from embedstore.store.embedding_store import EmbeddingStore, refuse_unbuilt
from embedstore.store.fields import Record, as_stored
from embedstore.store.ingest import keeping, refuse_folder_above
from embedstore.store.lost_manifest import refuse_lost_manifest
from embedstore.store.own_teacher import checked_teacher, kept_by
from embedstore.store.publishing import publish
from embedstore.store.writing import writer
from embedstore.teachers import Teacher

_AnyPath = str | os.PathLike[str]


def add(
    path: _AnyPath,
    images: _AnyPath | Iterable[_AnyPath],
    *,
    label: str | None = None,
    manifest: _AnyPath | None = None,
    teacher: str | Teacher | None = None,
    progress: Progress | None = None,
) -> BuildReport:
    """Embed some pictures and add them as one new version; samples that are not named stay as they are, but for those that moved.

    Where `build` takes the whole folder as the truth, this looks at nothing but what is named. A known picture whose bytes
    changed is embedded again, an interrupted run goes on where it was, and pictures that can't be read are set aside. A picture
    that the store has under another name, where its file is no more, is that sample: see `identities.identify`.

    Args:
        path: the store.
        images: pictures, or folders of them, in the store's image folder; none with a manifest: all that it names.
        label: of all of them, in place of the parent folder's name; kept by later builds.
        manifest: says what is known of them, its paths relative to the store's image folder; see `images.list_images`.
        teacher: a spec or a teacher; the store's own where not given.
        progress: called with (pictures done, pictures in all).

    Returns:
        What was done; `gone` is always 0, `removed` counts samples whose picture was named under another name, `set_aside` and
        `ignored` count named pictures only.

    Raises:
        ImagesError: a picture is not there or lies outside of the store's image folder, or the manifest can't be used; or what
            is named does not tell what became of a known picture: another known one has its name, and it is not named itself,
            or it is named under another name, and the folder of the old one is not there; or the vectors were imported, and
            the pictures of the samples lie in another folder than the store has.
        SettingsError: neither pictures nor a manifest are given, or a label and a manifest; or a manifest is missing that gave
            known pictures other labels than their folders.
        TeacherError: the teacher can't be loaded.
        TeacherMismatchError: the store was filled by another teacher, or its vectors were imported.
        StoreError: there is no store, its first build was not finished, or another process writes.
    """
    started = time.monotonic()
    named = [images] if isinstance(images, str | os.PathLike) else list(images)
    if not named and manifest is None:
        raise SettingsError("No pictures were named; give pictures or folders, or a manifest that names them.")
    if label is not None and (manifest is not None or not label.strip()):
        why = "is empty" if manifest is None else "was given beside a manifest, which has labels of its own"
        raise SettingsError(f"The label {label!r} {why}; give one or the other, and no empty one.")
    with EmbeddingStore(path) as store:
        loaded = checked_teacher(store, teacher)
        refuse_unbuilt(store)
        uris = [_uri(store, one) for one in named] or None
        listing = list_images(store.image_root, manifest, uris=uris)
        refuse_folder_above(store, listing)
        with writer(store.path) as session, keeping(store) as kept:
            store.refresh()
            if manifest is None:
                records = store.records()
                listing = _under_known_ids(listing, records)
                command = f"embedstore add '{path}' IMAGES"
                refuse_lost_manifest(listing, {one.id: one for one in records}, command, labels=label is None)
            embedding = EmbeddingPass(
                store,
                session,
                listing,
                teacher=loaded,
                space=kept_by(store, loaded),
                views=store.views,
                progress=progress,
                keep=kept,
            )
            embedding.run()
            report = publish(store, session, listing, embedding, action="add", label=label and as_stored(label.strip()))
    return replace(report, seconds=time.monotonic() - started)


def _uri(store: EmbeddingStore, path: _AnyPath) -> str:
    """Return a picture's or a folder's path relative to the store's image folder, in POSIX form.

    Links in the path are followed but for the last: a picture may itself be one, and has the name that it has there.
    """
    root = Path(os.path.realpath(store.image_root))
    if not os.path.isdir(root):
        raise ImagesError(
            f"The image folder '{root}' of the store '{store.path}' is not there; put it back, or tell the store where it is now "
            f"with: embedstore build '{store.path}' IMAGES"
        )
    given = Path(path)
    if not os.path.lexists(given):
        meant = f"did you mean '{root / given}'?" if os.path.lexists(root / given) else f"give what is below '{root}'."
        raise ImagesError(f"'{given}' does not exist; {meant}")
    whole = os.path.isdir(given) or not given.name
    real = Path(os.path.realpath(given)) if whole else Path(os.path.realpath(given.parent), given.name)
    if not real.is_relative_to(root):
        raise ImagesError(
            f"'{given}' is not in the store's image folder; copy it to '{root}', into the subfolder that names its label, and "
            "add it there."
        )
    below = real.relative_to(root)
    if hidden := next((part for part in below.parts if part.startswith(".")), None):
        raise ImagesError(
            f"'{given}' can't be added, for names that begin with a dot are passed over; rename '{hidden}'."
        )
    return below.as_posix()


def _under_known_ids(listing: Listing, records: Iterable[Record]) -> Listing:
    """Give pictures that the store knows the ids they have there: a manifest may have given others than the paths."""
    ids: dict[str, str] = {}  # path -> id
    taken: dict[str, str] = {}  # id -> path, where the id is another's path
    for record in records:
        path = sample_id(record.uri)
        ids[path] = record.id
        if record.id != path:
            taken[record.id] = path
    samples = [replace(sample, id=ids.get(sample.id, sample.id)) for sample in listing.samples]
    for sample in samples:
        if sample.id in taken and taken[sample.id] != sample_id(sample.uri):
            raise ImagesError(
                f"The picture '{sample.uri}' can't be added under its path, which is the id of another picture, "
                f"'{taken[sample.id]}'; name it in a manifest with an id of its own."
            )
    return replace(listing, samples=sorted(samples, key=lambda sample: sample.id))

"""Build: from listed images through the teacher into the store; incremental, resumable, visible in one step."""

from __future__ import annotations

import contextlib
import os
import shutil
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath

from embedstore.engines import Engine, RayEngine
from embedstore.engines.shards import folder_of
from embedstore.errors import EmbedstoreError, ImagesError, SettingsError, StoreError, TeacherError
from embedstore.images import Listing, leaves, list_images
from embedstore.store import layout
from embedstore.store.build_report import BuildReport
from embedstore.store.creating import create_store, refuse_other_content
from embedstore.store.embedding_pass import EmbeddingPass, Progress
from embedstore.store.embedding_store import EmbeddingStore, awaits_first_build
from embedstore.store.kept_pictures import KeptPictures, make_kept, open_kept, remove_kept
from embedstore.store.lost_manifest import refuse_lost_manifest
from embedstore.store.own_teacher import checked_teacher, description_of, kept_by
from embedstore.store.publishing import publish
from embedstore.store.rows import staged
from embedstore.store.writing import writer
from embedstore.teachers import DEFAULT_TEACHER, Teacher, load_teacher
from embedstore.teachers.outputs import refuse_text
from embedstore.views import Recipe

DEFAULT_VIEWS = 2
_PROBED = 10  # pictures that are looked for in each folder before all are


def build(
    path: str | os.PathLike[str],
    images: str | os.PathLike[str],
    *,
    manifest: str | os.PathLike[str] | None = None,
    teacher: str | Teacher | None = None,
    outputs: Sequence[str] | None = None,
    views: int | None = None,
    recipe: Recipe | None = None,
    prune: bool = False,
    keep_images: int | None = None,
    engine: Engine | None = None,
    shards: str | os.PathLike[str] | None = None,
    progress: Progress | None = None,
) -> BuildReport:
    """Embed what the store does not have yet, and make it visible as one new version.

    A picture is embedded again only where its bytes, the teacher's outputs or the number of views changed. An interrupted build
    goes on where it was when called again. Pictures that can't be read are set aside and listed.

    Args:
        path: the store; made where there is none.
        images: the folder that holds the images.
        manifest: names the images; see `images.list_images`. Without it, all pictures below `images`.
        teacher: a spec or a teacher; the store's own where not given, an open_clip CLIP for a new store.
        outputs: further vectors of each view to keep beside `embedding`, as `load_teacher` knows them, beside those that the
            store has. A new store keeps all that a teacher gives where not given.
        views: augmented views beside the plain picture; 2 for a new store where not given. Never fewer than there are.
        recipe: how views are drawn; for a new store only.
        prune: remove samples whose picture is not listed any more. One whose very file is listed under another name leaves
            in any case, for what is known of it goes along: see `identities.identify`.
        keep_images: short side in pixels of the pictures to keep for students, that of the recipe; 0: keep none any more. Where
            not given, a store goes on as before; a new one keeps none.
        engine: where pictures are read and embedded; in this process where not given. See `embedstore.engines`.
        shards: folder by which an engine on several machines hands over, that all of them see; `STORE.shards` where not given.
            What an interrupted run left there is taken in, whatever the engine.
        progress: called with (pictures done, pictures in all).

    Raises:
        SettingsError: a number is out of range, another recipe is given than the store's, or a manifest is missing that gave
            the store other labels or ids than the folder.
        ImagesError: folder or manifest can't be used, no picture can be read at all, or the folder is not the store's.
        TeacherError: the teacher can't be loaded, or can't give an output, or the outputs are one text; or it is an object, and
            the engine works elsewhere.
        TeacherMismatchError: the store was filled by another teacher.
        StoreError: `path` is something else, or is being written by another process.
        EngineError, MissingPackageError: the engine can't do the work.
    """
    started = time.monotonic()
    store_path = Path(path)
    if views is not None and not 0 <= views <= 65_535:
        raise SettingsError(f"The number of views is {views}; expected 0 to 65535.")
    refuse_text(outputs or ())
    spec = teacher if isinstance(teacher, str) else None
    if isinstance(engine, RayEngine) and not isinstance(teacher, str | None):
        raise TeacherError(
            f"The teacher '{teacher.name}' was given as an object, which stays in this process; name it by its spec for the "
            "engine 'ray', whose nodes load it themselves."
        )
    listing = list_images(images, manifest)
    is_new = not os.path.exists(store_path / layout.CURRENT)  # Path.exists raises where a name is too long
    if keep_images and (is_new or recipe is not None):
        recipe = recipe or Recipe()
        if recipe.student_side not in (keep_images, Recipe.student_side):
            raise SettingsError(
                f"The recipe has pictures of {recipe.student_side} px for students, and {keep_images} px are to be kept; give "
                "one of them only."
            )
        recipe = replace(recipe, student_side=keep_images)
    if is_new:
        refuse_other_content(store_path)
        _refuse_all_unreadable(listing)
        if teacher is None or isinstance(teacher, str):
            spec = teacher or DEFAULT_TEACHER
            teacher = load_teacher(spec, outputs or ())
        settings = {"recipe": (recipe or Recipe()).to_dict(), "image_root": str(Path(images).resolve())}
        create_store(store_path, settings, teacher.fingerprint, description_of(teacher, outputs))
    try:
        report = _build_existing(
            store_path,
            listing,
            manifest=manifest is not None,
            teacher=teacher,
            outputs=outputs or (),
            views=views,
            recipe=recipe,
            prune=prune,
            keep_images=keep_images,
            engine=engine,
            spec=spec,
            shards=folder_of(store_path) if shards is None else Path(shards),
            progress=progress,
        )
    except EmbedstoreError:
        if is_new:
            remove_empty(store_path)
        raise
    return replace(report, seconds=time.monotonic() - started)


def remove_empty(path: Path) -> None:
    """Remove a store that was made for a change which then failed, unless another process has had the use of it."""
    with contextlib.suppress(StoreError), writer(path) as session:
        if session.read(lambda tables: tables.head().version == 0 and not staged(tables.rows()).any()):
            shutil.rmtree(path, ignore_errors=True)


def _build_existing(
    path: Path,
    listing: Listing,
    *,
    manifest: bool,
    teacher: str | Teacher | None,
    outputs: Sequence[str],
    views: int | None,
    recipe: Recipe | None,
    prune: bool,
    keep_images: int | None,
    engine: Engine | None,
    spec: str | None,
    shards: Path,
    progress: Progress | None,
) -> BuildReport:
    with EmbeddingStore(path) as store:
        if recipe is not None and recipe != store.recipe:
            raise SettingsError(
                f"The store '{path}' draws its views by another recipe ({store.recipe.told_from(recipe)}), and a recipe never "
                "changes; leave the view options out, or build another store."
            )
        loaded = checked_teacher(store, teacher, outputs)
        with writer(store.path) as session:
            store.refresh()
            space = kept_by(store, loaded, outputs)
            refuse_another_folder(store, listing)
            if not manifest:
                known = {record.id: record for record in store.records()}
                refuse_lost_manifest(
                    listing,
                    known,
                    f"embedstore build '{path}' IMAGES",
                    instead=f", or take new pictures alone: embedstore add '{path}' PICTURES",
                )
            with keeping(store, keep_images) as kept:
                asked = DEFAULT_VIEWS if views is None and not store.head.columns else views or 0
                embedding = EmbeddingPass(
                    store,
                    session,
                    listing,
                    teacher=loaded,
                    space=space,
                    views=max(asked, store.views),
                    progress=progress,
                    keep=kept,
                    engine=engine,
                    spec=spec,
                    shards=shards,
                )
                embedding.run()
                if not embedding.done and not embedding.known:
                    raise _no_picture(listing.root, embedding.aside)
                if space != store.space:  # also where there was nothing to embed
                    session.write(lambda tables: tables.put_space(store.fingerprint, space))
                report = publish(store, session, listing, embedding, action="build", whole=True, prune=prune)
                embedding.settle()
                report = replace(report, kept=kept_only(store, kept), shards_resumed=embedding.shards_resumed)
                made, again = (engine.shards, engine.repeated) if isinstance(engine, RayEngine) else (0, 0)
                return replace(report, shards=made, shards_repeated=embedding.shards_unfinished + again)


@contextlib.contextmanager
def keeping(store: EmbeddingStore, side: int | None = None) -> Iterator[KeptPictures | None]:
    """Open the kept pictures of a store for as long as the context lasts; None where it keeps none.

    Args:
        store: under the writer's lock.
        side: asked for; 0 removes them, None leaves it as it is.

    Raises:
        SettingsError: another side than the recipe's is asked for.
    """
    if side and side != store.recipe.student_side:
        raise SettingsError(
            f"The students of the store '{store.path}' cut their views from pictures of {store.recipe.student_side} px, which "
            f"never changes; keep those with {store.recipe.student_side}, or build another store."
        )
    kept = None
    if side != 0:
        kept = (make_kept if side else open_kept)(store.path, store.recipe.student_side)
    try:
        yield kept
    finally:
        if kept is not None:
            kept.settle()
            kept.close()
    if side == 0:
        remove_kept(store.path)


def kept_only(store: EmbeddingStore, kept: KeptPictures | None) -> int:
    """Drop kept pictures that no version has any more; return how many this one has.

    A rollback may bring back what earlier versions saw, and by then the file may be another.
    """
    if kept is None:
        return 0
    rows, there = store.look(lambda tables: tables.rows()), kept.contents()
    kept.drop(there - {content.tobytes() for content in rows["content"][rows["born"] > 0]})
    return len(there & {content.tobytes() for content in store.alive["content"]})


def refuse_another_folder(store: EmbeddingStore, listing: Listing) -> None:
    """Refuse a folder that is not the store's: its pictures would come in again under other ids, twins of the old.

    A folder that was moved still holds most of the store's pictures, or of those that its first build had embedded when it was
    interrupted.
    """
    refuse_folder_above(store, listing)
    if str(listing.root.resolve()) == store.settings.get("image_root"):
        return
    known = set(store.ids)
    found = sum(sample.id in known for sample in listing.samples)
    if awaits_first_build(store):
        rows = store.look(lambda tables: tables.rows())
        begun = {key.tobytes() for key in rows["key"][staged(rows)]}
        there = sum(layout.id_key(sample.id) in begun for sample in listing.samples)
        if there * 2 < len(begun):
            raise ImagesError(
                f"The first build of '{store.path}' was interrupted with {len(begun)} pictures of '{store.image_root}', and "
                f"{there} of them are under '{listing.root}'; give that folder, or build another store."
            )
    if found * 2 < len(known):
        raise ImagesError(
            f"Only {found} of the store's {len(known)} pictures are under '{listing.root}', and the store was built from "
            f"'{store.image_root}'; give that folder, or build another store."
        )


def refuse_folder_above(store: EmbeddingStore, listing: Listing) -> None:
    """Refuse a folder in one of whose folders a store's pictures lie: they would come in again, under other ids.

    So it may be where an import was not told the folder, and took the one that the store lies in. Only files tell, of samples
    whose picture no build has looked at yet.

    Args:
        store: whose samples are looked for.
        listing: what is to be embedded.

    Raises:
        ImagesError: at least half of these have their file there, and not where the store has it.
    """
    if store.alive["content"].any(axis=1).all():
        return
    uris = [one.uri for one in store.records() if not any(one.content) and not leaves(one.uri)]

    def there(folder: str, some: Sequence[str] = uris) -> int:
        return sum(os.path.isfile(listing.root / folder / uri) for uri in some)

    if 2 * there(".") >= len(uris):
        return
    probe = uris[:: max(1, len(uris) // _PROBED)]
    for folder in dict.fromkeys(str(one) for sample in listing.samples for one in PurePosixPath(sample.uri).parents):
        if there(folder, probe) and 2 * there(folder) >= len(uris):
            place = listing.root / folder
            raise ImagesError(
                f"The pictures of '{store.path}' lie under '{place}', and those that are there would come in under other names "
                f"from '{listing.root}'; say first where they are: embedstore build '{store.path}' '{place}'"
            )


def _refuse_all_unreadable(listing: Listing) -> None:
    if not listing.samples:
        raise _no_picture(listing.root, listing.unreadable)


def _no_picture(root: Path, aside: dict[str, str]) -> ImagesError:
    path, reason = next(iter(sorted(aside.items())))
    return ImagesError(
        f"None of the {len(aside)} pictures under '{root}' can be used (the first, '{path}': {reason}); nothing was "
        "stored."
    )

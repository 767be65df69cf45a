"""The work of a refresh: one version of the store a step, each whole or not at all.

    pictures    what is new or changed is embedded, what the source says anew is written, what is gone leaves where that is asked;
                samples without a side of the split get theirs, where that is asked
    sides       that alone, where no picture changes
    summaries   all that see other samples now, in one step; the ones before stay as NAME@VERSION

The first step tags the version before it, so that no compaction removes what a rollback needs. An interrupted refresh goes on
where it was when it is called again: steps that were made are not made twice, and the tag is the first one's.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import cache

from embedstore.images import Listing, list_images, sample_id
from embedstore.refreshing.plan import STAYS, Plan, make_plan, refuse_without_manifest
from embedstore.refreshing.settings import LIMIT, RefreshSettings
from embedstore.store.build_report import BuildReport
from embedstore.store.compaction import compact_if_wasteful
from embedstore.store.embedding_pass import EmbeddingPass, Progress
from embedstore.store.embedding_store import EmbeddingStore, refuse_unbuilt
from embedstore.store.ingest import keeping, kept_only, refuse_another_folder
from embedstore.store.kept_summaries import drop_superseded, put_refreshed
from embedstore.store.own_teacher import checked_teacher, kept_by
from embedstore.store.publishing import publish
from embedstore.store.tables import Tables
from embedstore.store.versions import BEFORE, REFRESH_TAG, STEP, STEPS, is_refresh_tag
from embedstore.store.writing import Writer, next_head, writer
from embedstore.summaries.updating import Renewal, update
from embedstore.teachers import Teacher


@dataclass(frozen=True)
class RefreshReport:
    """What a refresh did, or would do.

    Attributes:
        plan: what it set out to do.
        before, version: of the store, before and after.
        tag: of the version before, to roll back to; None where nothing was done.
        pictures: what the first step did; None where there was none.
        sides: samples that got a side of the split.
        summaries: name -> what became of it, of those that changed.
        seconds: it took, the plan included.
    """

    plan: Plan
    before: int
    version: int
    tag: str | None = None
    pictures: BuildReport | None = None
    sides: int = 0
    summaries: Mapping[str, Renewal] = field(default_factory=dict)
    seconds: float = 0.0


def refresh(
    path: str | os.PathLike[str],
    *,
    images: str | os.PathLike[str] | None = None,
    manifest: str | os.PathLike[str] | None = None,
    teacher: str | Teacher | None = None,
    prune: bool = False,
    side: str | None = None,
    limit: float = LIMIT,
    keep: int | None = None,
    dry_run: bool = False,
    tell: Callable[[Plan], None] | None = None,
    progress: Progress | None = None,
) -> RefreshReport:
    """Bring a store and its summaries to what the image folder holds now, at the price of what changed.

    Args:
        path: the store.
        images: the folder that holds the images; the one that the store remembers where not given.
        manifest: says what is known of them; see `images.list_images`.
        teacher: a spec or a teacher; the store's own where not given.
        prune: remove samples whose picture is not listed any more.
        side: of the split, for samples that have none; a group that is on a side draws its new pictures there.
        limit: by which share of itself a label's averaging loss may rise since it was last clustered, before it is again.
        keep: so many refreshes can be rolled back, the last ones; all where not given.
        dry_run: make the plan, and write nothing.
        tell: called with the plan before the work begins.
        progress: called with (pictures done, pictures in all): once for the plan, once for the work.

    Raises:
        SettingsError: a setting can't be; see `RefreshSettings` and `plan.make_plan`.
        ImagesError: the folder or the manifest can't be used, or the folder is not the store's.
        TeacherError: the teacher can't be loaded.
        TeacherMismatchError: it is another than the store's, or the store's vectors were imported.
        StoreLockedError: another process is writing to the store, such as another refresh.
        StoreError: there is no store, or its first build was not finished.
    """
    started = time.monotonic()
    spec = teacher if isinstance(teacher, str) else None
    settings = RefreshSettings(_text(images), _text(manifest), spec, prune, side, limit, keep)
    with EmbeddingStore(path) as store:
        loaded = checked_teacher(store, teacher)
        refuse_unbuilt(store)
        # Once, for the plan and for the work.
        load = cache(lambda: loaded or store.load_teacher(list(store.space["outputs"])))
        if dry_run:
            plan, _ = make_plan(store, _listing(store, settings), settings, load, progress)
            report = RefreshReport(plan, store.version, store.version)
        else:
            with writer(store.path) as session:
                store.refresh()
                listing = _listing(store, settings)
                plan, contents = make_plan(store, listing, settings, load, progress)
                if tell is not None:
                    tell(plan)
                work = _Work(store, session, settings, plan, contents)
                report = work.done(listing, load() if plan.to_embed else loaded, progress)
                compact_if_wasteful(store.path, session)
    return replace(report, seconds=time.monotonic() - started)


def check(path: str | os.PathLike[str], settings: RefreshSettings) -> None:
    """Refuse settings of which every refresh would be refused before it looks at pictures; write nothing.

    Args:
        path: the store.
        settings: such as those that a nightly job is to have.

    Raises:
        LostManifestError: the store was built with a manifest, and the settings name none.
        ImagesError: the folder or the manifest can't be used, or the folder is not the store's.
        StoreError: there is no store, or its first build was not finished.
    """
    with EmbeddingStore(path) as store:
        refuse_unbuilt(store)
        listing = _listing(store, settings)
        refuse_without_manifest(store, listing, settings, {record.id: record for record in store.records()})


def _listing(store: EmbeddingStore, settings: RefreshSettings) -> Listing:
    def known() -> set[str]:
        return {*store.ids, *store.lost, *(sample_id(uri or "") for uri in store.text_field("uri").to_list())}

    listing = list_images(settings.images or store.image_root, settings.manifest, known=known)
    refuse_another_folder(store, listing)
    return listing


class _Work:
    """The steps of one refresh, under the writer's lock."""

    def __init__(
        self,
        store: EmbeddingStore,
        session: Writer,
        settings: RefreshSettings,
        plan: Plan,
        contents: Mapping[str, bytes],
    ):
        self._store, self._session, self._settings, self._plan, self._contents = (
            store,
            session,
            settings,
            plan,
            contents,
        )
        self._before = _interrupted(store) or store.version
        asked = (plan.pictures_change or bool(plan.sides), any(one.how != STAYS for one in plan.summaries))
        self._steps, self._step = sum(asked), 0

    def done(self, listing: Listing, teacher: Teacher | None, progress: Progress | None) -> RefreshReport:
        """Do all, and tell."""
        store, plan = self._store, self._plan
        pictures = None
        if plan.pictures_change or {one["path"] for one in store.set_aside} != set(plan.unreadable):
            pictures = self._embed(listing, teacher, progress)
        elif plan.sides:
            self._give_sides()
        sides = int((store.find(list(plan.sides)) >= 0).sum())  # a picture may be unreadable since
        summaries = self._update_summaries()
        if _interrupted(store) is not None:
            self._session.write(_end)
        if self._settings.keep is not None:
            self._session.write(self._forget_older)
        tag = f"{REFRESH_TAG}{self._before}" if store.version > self._before else None
        return RefreshReport(plan, self._before, store.version, tag, pictures, sides, summaries)

    def _embed(self, listing: Listing, teacher: Teacher | None, progress: Progress | None) -> BuildReport:
        store, session = self._store, self._session
        with keeping(store) as kept:
            embedding = EmbeddingPass(
                store,
                session,
                listing,
                teacher=teacher,
                space=kept_by(store, teacher),
                views=store.views,
                progress=progress,
                keep=kept,
                just_read=self._contents,
            )
            embedding.run()
            report = publish(
                store,
                session,
                listing,
                embedding,
                action="refresh pictures",
                whole=True,
                prune=self._settings.prune,
                sides=self._plan.sides,
                notes=self._notes(),
                also=self._tag,
                compact=False,
            )
            return replace(report, kept=kept_only(store, kept))

    def _give_sides(self) -> None:
        store, sides = self._store, self._plan.sides
        rows, texts = store.rows[store.positions(list(sides))], list(sides.values())
        version = self._session.begin()
        self._session.write(lambda tables: tables.put_fields(rows, {"split": texts}, version), under=version)
        details = {"updated": len(sides)} | self._notes()
        self._session.publish(next_head(store.head), "refresh sides", details=details, also=self._tag)
        store.refresh()

    def _update_summaries(self) -> dict[str, Renewal]:
        """Update what sees other samples now: all of them as one version, which they are then said to be made of."""
        store, renewed = self._store, dict[str, Renewal]()
        for name in (one.name for one in self._plan.summaries if one.how != STAYS):
            data = self._session.read(lambda tables, name=name: tables.summary(name))  # type: ignore[misc]
            renewal = update(store, data or b"", limit=self._settings.limit, version=store.version + 1)
            if renewal.summary is not None:
                renewed[name] = renewal
        if not renewed:
            return renewed

        def put(tables: Tables) -> None:
            self._tag(tables)
            for name, renewal in renewed.items():
                put_refreshed(tables, name, renewal.data)

        details = {"summaries": len(renewed)} | self._notes()
        self._session.publish(next_head(store.head), "refresh summaries", details=details, also=put)
        store.refresh()
        return renewed

    def _notes(self) -> dict[str, int]:
        self._step += 1
        return {STEP: self._step, STEPS: max(self._steps, self._step), BEFORE: self._before}

    def _tag(self, tables: Tables) -> None:
        """Tag the version before the refresh, in the step that is its first."""
        if tables.head().version > self._before:
            tables.put_tag(f"{REFRESH_TAG}{self._before}", self._before)

    def _forget_older(self, tables: Tables) -> None:
        """Drop the tags, and the summaries kept aside, of refreshes that need not be rolled back any more."""
        assert self._settings.keep is not None  # noqa: S101  else nobody asks
        tags = {name: version for name, version in tables.tags().items() if is_refresh_tag(name)}
        oldest = sorted(tags.values())[-self._settings.keep :][:1]
        for name, version in tags.items():
            if oldest and version < oldest[0]:
                tables.drop_tag(name)
        if oldest:
            drop_superseded(tables, oldest[0])


def _interrupted(store: EmbeddingStore) -> int | None:
    """Return the version before a refresh that was interrupted after one of its steps, where that is the newest one."""
    with suppress(IndexError):
        details: Mapping[str, int] = store.log()[-1].details
        if STEP in details and details[STEP] < details[STEPS]:
            return int(details[BEFORE])
    return None


def _end(tables: Tables) -> None:
    """Say that the newest version ended its refresh: the next is not taken for the rest of it where no step was left to do."""
    entry = tables.log()[-1]
    details = entry["details"]
    tables.put_log_entry(entry["version"], entry | {"details": details | {STEPS: details[STEP]}})


def _text(path: str | os.PathLike[str] | None) -> str | None:
    return None if path is None else os.fspath(path)

"""Migrate: a store gets the vectors of a second teacher beside those it has, and changes over to them in one version."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

import numpy as np

from embedstore.errors import ImagesError, SettingsError, StoreError
from embedstore.images import list_images
from embedstore.pictures import content_hash
from embedstore.store import index_file
from embedstore.store.embedding_store import EmbeddingStore
from embedstore.store.lost_manifest import LostManifestError, refuse_lost_manifest
from embedstore.store.writing import Writer, next_head, writer
from embedstore.teacher_change.filling import PATIENCE_SECONDS, Filled, Progress, fill
from embedstore.teacher_change.mapped_summaries import MapReport, map_summaries
from embedstore.teacher_change.space_maps import MAPS
from embedstore.teacher_change.spaces import (
    Positions,
    Space,
    described_spaces,
    fitting_order,
    present,
    previous_space,
    refuse_further_outputs,
    refuse_unfit,
    space_of,
)
from embedstore.teachers import Teacher

ACTION = "migrate to"  # in the log, before the teacher's name
MAPPING_STEP = "Fitting the map"


@dataclass(frozen=True)
class MigrationReport:
    """What a migration did.

    Attributes:
        version, samples: of the store now.
        teacher, fingerprint: that the store is to have, or has by now.
        teacher_before: the name of the one whose vectors were in use when this began, or just before the switch.
        switched: whether this made the version from which on the new teacher's vectors are in use.
        active: whether they are in use now.
        complete: samples that have all of the new teacher's vectors.
        embedded: (sample, view) pairs that went through the teacher in this run.
        views: augmented views beside the plain picture.
        missing: id -> why the new teacher can't embed the sample; while there are some, the store does not change over, unless
            they are to be left out.
        reduced: ids whose file is gone, so that the teacher saw the smaller picture that the store keeps for students.
        removed: samples that lack vectors and were left out of the new version; `back` leaves them out, a rollback to the version
            before has them again.
        index_removed: whether there was an index of the old vectors, which has to be made again.
        map: what the map is worth, and which summaries it brought over; None where none was asked for.
        seconds: that all of it took.
    """

    version: int
    samples: int
    teacher: str
    fingerprint: str
    teacher_before: str
    switched: bool
    active: bool
    complete: int
    embedded: int
    views: int
    missing: dict[str, str]
    reduced: list[str]
    removed: int
    index_removed: bool
    map: MapReport | None
    seconds: float


def migrate(
    path: str | os.PathLike[str],
    teacher: str | Teacher | None = None,
    *,
    outputs: Sequence[str] | None = None,
    back: bool = False,
    switch: bool = True,
    without_missing: bool = False,
    sample: int | None = None,
    map: str | None = None,
    progress: Progress | None = None,
) -> MigrationReport:
    """Embed all samples by a new teacher, beside the vectors in use, then change over to its vectors in one version.

    Until that version readers see the old vectors and nothing else; other writers are kept waiting only while a few hundred
    samples are committed. A run that was stopped goes on where it was when called again, and so does one that meets samples
    which were added meanwhile. Versions before the switch are read with the vectors of their own teacher, and these stay until
    `drop_old`.

    Args:
        path: the store.
        teacher: the new one, a spec or a teacher.
        outputs: of it, to keep beside `embedding`; where not given, those that the store keeps now.
        back: change over to the teacher that was in use before; what it lacks by now is embedded first.
        switch: change over once all is embedded; else only embed.
        without_missing: leave samples that can't be embedded any more out of the new version, in place of not changing over.
        sample: embed only the plain views of so many samples, drawn from the training side, and do not change over; enough for
            a map.
        map: `orthogonal` or `linear`: fit one to the training samples that both teachers have embedded, and save the old
            teacher's summaries as estimates in the new one's space; see `mapped_summaries`.
        progress: called with (what is done, how much of it, of how much).

    Raises:
        SettingsError: neither a teacher nor `back` is given, or both; or the map is unknown.
        TeacherError: the teacher can't be loaded, or gives no such output.
        TeacherMismatchError: the store's vectors were imported, or an output is something else now under the same name.
        StoreError: the store can't get another teacher, has had one only, or has too few samples for a map; or a sample that is
            to be left out has its picture under another name.
        StoreLockedError: another process writes for more than an hour.
    """
    started = time.monotonic()
    _refuse_options(teacher, outputs, back=back, map=map, sample=sample)
    tell = progress or (lambda step, done, total: None)
    with EmbeddingStore(path) as store:
        refuse_unfit(store)
        old = Space(store.fingerprint, described_spaces(store)[store.fingerprint])
        new = previous_space(store) if teacher is None else space_of(store, teacher, outputs)
        migration = _Migration(store, new, tell)
        in_use = new.fingerprint == old.fingerprint  # given once more, after the switch
        if in_use:
            refuse_further_outputs(store, new)
            old = previous_space(store) if map is not None else old
        elif sample is not None:
            chosen = np.sort(fitting_order(store)[:sample])
            fill(store, new, [0], migration.filled, tell, among=chosen)
        else:
            migration.fill()
        mapped = None
        if map is not None:
            tell(MAPPING_STEP, 0, 1)
            mapped = map_summaries(store, map, old, new)
            tell(MAPPING_STEP, 1, 1)
        if (
            switch and sample is None and not in_use
        ):  # after the map, so that one which can't be made leaves the store as it was
            migration.switch(without_missing=without_missing)
        store.refresh()
        return migration.report(mapped, time.monotonic() - started)


class _Migration:
    """One run, until the new space is complete and in use."""

    def __init__(self, store: EmbeddingStore, space: Space, progress: Progress):
        self._store, self._space, self._progress = store, space, progress
        self.filled = Filled()
        self._before, self._removed, self._index_removed = store.teacher, 0, False
        self._switched = False

    def fill(self) -> None:
        """Embed all that is lacking, and what was added while that was done."""
        while len(lacking := self._lacking()):
            fill(self._store, self._space, self._views, self.filled, self._progress, among=lacking)
            self._store.refresh()

    def switch(self, *, without_missing: bool) -> None:
        """Change over, where nothing is missing or what is missing is to be left out."""
        while not self._switched:
            if without_missing:
                _refuse_renamed(self._store, self._missing_rows())  # before the lock: it reads files
            with writer(self._store.path, wait=PATIENCE_SECONDS) as session:
                self._store.refresh()
                if self._store.fingerprint == self._space.fingerprint:  # another migration was faster
                    return
                if not len(self._lacking()):  # else somebody has added samples just now
                    gone = self._missing_rows()
                    if len(gone) and not without_missing:
                        return
                    self._publish(session, gone)
            self.fill()

    @property
    def _views(self) -> range:
        return range(self._store.views + 1)

    def _incomplete(self) -> Positions:
        """Return the samples that lack a vector."""
        return np.flatnonzero(~present(self._store, self._space.columns(self._views)).all(axis=1))

    def _lacking(self) -> Positions:
        """Return the samples that lack a vector and may get it."""
        incomplete, ids = self._incomplete(), self._store.ids
        return np.array([at for at in incomplete.tolist() if ids[at] not in self.filled.missing], np.int64)

    def _missing_rows(self) -> Positions:
        incomplete = self._incomplete()
        ids = self._store.ids
        lacks = {ids[at] for at in incomplete.tolist()}
        self.filled.missing = {name: why for name, why in self.filled.missing.items() if name in lacks}
        return self._store.rows[incomplete]

    def _publish(self, session: Writer, gone: Positions) -> None:
        """Make the version from which on the new space is in use."""
        store, space = self._store, self._space
        if len(gone) and len(gone) == len(store):
            raise StoreError(
                f"None of the {len(gone)} samples of the store '{store.path}' can be embedded any more, so nothing would be "
                f"left; put the image folder back to '{store.image_root}', or say where it is now with: embedstore build"
            )
        # Before the switch: an index of the old vectors would be taken for a damaged one of the new.
        self._index_removed = index_file.remove(store.generation)
        head = replace(next_head(store.head), space=space.fingerprint, columns=tuple(space.columns(self._views)))
        details = {"switched": len(store) - len(gone), "removed": len(gone)}
        with index_file.building(store.generation):
            session.publish(
                head,
                f"{ACTION} {space.name}",
                details={name: count for name, count in details.items() if count},
                died=gone.tolist(),
                # Its first vectors were written with it, and a store without samples has none.
                also=lambda tables: tables.put_space(space.fingerprint, space.description),
            )
        # No compaction here: who left samples out by mistake can go back to the version that has them.
        self._before, self._removed, self._switched = store.teacher, len(gone), True
        store.refresh()

    def report(self, mapped: MapReport | None, seconds: float) -> MigrationReport:
        store, space = self._store, self._space
        active = store.fingerprint == space.fingerprint
        return MigrationReport(
            version=store.version,
            samples=len(store),
            teacher=space.name,
            fingerprint=space.fingerprint,
            teacher_before=self._before,
            switched=self._switched,
            active=active,
            complete=len(store) - len(self._incomplete()),
            embedded=self.filled.embedded,
            views=store.views,
            missing=dict(sorted(self.filled.missing.items())),
            reduced=sorted(self.filled.reduced),
            removed=self._removed,
            index_removed=self._index_removed,
            map=mapped,
            seconds=seconds,
        )


def _refuse_renamed(store: EmbeddingStore, gone: Positions) -> None:
    """Raise where the picture of a sample that is to be left out lies in the image folder under a name that the store lacks.

    Once it is left out, a refresh takes it for a new one, without the label, verdict and side that people gave it. Not so where
    a refresh needs a manifest: it takes what that names, and nobody knows whether the other name is in it.
    """
    rows, records = set(gone.tolist()), store.records()
    lost = {record.content: record.id for record in records if record.row in rows}
    known, root, found = {record.uri for record in records}, store.image_root, dict[str, str]()
    with suppress(ImagesError, LostManifestError):  # where there is no folder, nothing lies in it
        listing = list_images(root)
        refuse_lost_manifest(listing, {record.id: record for record in records}, "")
        for sample in listing.samples if lost else ():
            if sample.uri not in known:
                with suppress(OSError):
                    if (name := lost.get(content_hash((root / sample.uri).read_bytes()))) is not None:
                        found[name] = sample.uri
    if found:
        name, uri = min(found.items())
        others = f", and {len(found) - 1} more," if len(found) > 1 else ""
        raise StoreError(
            f"'{name}'{others} can't be left out: the picture is in the image folder under another name ('{uri}'), and would "
            f"come back without its label and its side; bring the names up to date first: embedstore refresh '{store.path}'"
        )


def _refuse_options(
    teacher: object, outputs: Sequence[str] | None, *, back: bool, map: str | None, sample: int | None
) -> None:
    """Raise where what a migration was asked for does not go together, with what to give instead."""
    if (teacher is None) != back:
        raise SettingsError(
            "Give either the new teacher (--teacher) or --back, which takes the one that was in use before; "
            + ("neither was given." if teacher is None else "both were given.")
        )
    if back and outputs is not None:
        raise SettingsError("On the way back a teacher has the outputs that it had; leave the outputs out.")
    if map is not None and map not in MAPS:
        raise SettingsError(f"The map '{map}' is unknown; use one of {', '.join(MAPS)}.")
    if sample is not None and sample < 1:
        raise SettingsError(f"The number of pictures to begin with is {sample}; expected 1 or more.")

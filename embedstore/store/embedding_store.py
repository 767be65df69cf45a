"""EmbeddingStore: all that one does with a store."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from embedstore.errors import SettingsError, StoreError, StoreLockedError, SummaryError
from embedstore.splits import SplitPlan, plan_split, refuse_more_folds_than_parts
from embedstore.store.changes import StoreWriter
from embedstore.store.compaction import CompactionReport, compact, compact_if_wasteful
from embedstore.store.creating import create_store
from embedstore.store.fields import as_stored
from embedstore.store.grouping import regrouped
from embedstore.store.searching import SearchableStore
from embedstore.store.tables import Tables
from embedstore.store.versions import Version, head_at, history, number_of, refuse_tag, tag_named
from embedstore.store.writing import is_written, writer
from embedstore.summaries.names import split_name
from embedstore.teachers.protocol import EMBEDDING, fingerprint
from embedstore.views import Recipe

if TYPE_CHECKING:
    from embedstore.summaries import Summary
    from embedstore.summaries.over_shards.shards import Progress


class EmbeddingStore(SearchableStore):
    """A store opened at its newest version, or at one that was asked for; open one with `embedstore.open`.

    What it holds is read by the methods of `StoreReader`, and searched by those of `SearchableStore`; here are changes,
    history, and summaries.
    """

    # Changes

    @contextmanager
    def write(self, action: str = "write", *, wait: float = 0) -> Iterator[StoreWriter]:
        """Change the store: all that is done inside becomes one new version at the end, or nothing where it raises.

        Inside, this store reads what the change began from; afterwards it is at the new version.

        Args:
            action: what to call it in the log.
            wait: for another writer, so many seconds.

        Raises:
            StoreLockedError: another process writes, or this one does, and did not end within that time.
            StoreError: this store was opened at an earlier version, or something inside failed: then nothing is stored, even
                where that was caught inside.
        """
        self.refuse_pinned()
        with writer(self.path, wait=wait) as session:
            self.refresh()
            with closing(StoreWriter(self, session)) as changes:
                yield changes
                changes.publish(action)
            compact_if_wasteful(self.path, session)
        self.refresh()

    def split(self, *, folds: int = 5, fold: int = 0, seed: int = 0, keep: bool = False) -> SplitPlan:
        """Write a split by group into the records; see `splits.plan_split`.

        A split that the manifest gave is kept, and so is `aside`, which no deal gives; with `keep`, so is every split that a
        sample already has.

        Raises:
            SettingsError: see `splits.plan_split`, or samples are to be dealt into more folds than there are groups.
        """
        with self.write("split") as writing:
            splits, given = self.field("split"), self.given("split")
            kept = [
                name
                for name, split, said in zip(self.ids, splits, given, strict=True)
                if split is not None and (keep or split in (said, "aside"))
            ]
            plan = plan_split(self.samples, folds=folds, fold=fold, seed=seed, kept=kept)
            if len(kept) < len(self.ids):
                refuse_more_folds_than_parts(self.samples, folds)
            writing.set("split", plan.splits)
        return plan

    def set_groups(self, groups: Mapping[str, str], *, merge: Mapping[str, str] | None = None) -> int:
        """Give samples that have no group one (id -> name), all in one new version; return how many samples changed.

        Where all is as asked already, nothing changes and no version is made. A later build keeps the groups until the
        manifest says something new of a sample's group.

        Args:
            groups: id -> name.
            merge: groups to unite on purpose, group -> the one it goes into: all pictures of the one, those that `groups`
                adds too, get the name of the other. A group without pictures is passed over; a sample that a later build
                brings with the name of a group that moved is no part of it until they are united again.

        Raises:
            StoreError: an id is unknown, a name is empty, a sample has another group, which only `merge` changes, or
                `merge` moves a group into one that it moves as well.
        """
        with self.write("groups") as writing:
            changed = regrouped(self, groups, merge or {})
            writing.set("group", changed)
        return len(changed)

    # History

    def log(self) -> list[Version]:
        """Return what made each version, oldest first."""
        return self._read(history)

    @property
    def tags(self) -> dict[str, int]:
        """The names that versions were given; a compaction keeps these versions."""
        return self._read(lambda tables: tables.tags())

    def number_of(self, version: int | str) -> int:
        """Return the number of a version, given by that or by a tag; whether the store has such a number is not looked at.

        Raises:
            StoreError: there is no such tag, or it is neither a number nor a text.
        """
        return self._read(lambda tables: number_of(tables, version))

    def tag(self, name: str, version: int | str | None = None) -> int:
        """Name a version, and return its number; `open(path, version=name)` reads it.

        Args:
            name: that no version has yet.
            version: its number, or a tag; where not given, the one that this store was opened at, or else the newest.

        Raises:
            StoreError: the name can't be used or is taken, or there is no such version any more.
        """

        def put(tables: Tables) -> int:
            refuse_tag(tables, name)
            own = tables.head().version if self.pinned is None else self.version
            number = head_at(tables, own if version is None else version).version
            tables.put_tag(as_stored(name), number)
            return number

        with writer(self.path) as session:
            return session.write(put)

    def delete_tag(self, name: str) -> int:
        """Take a name from its version, and return its number; the next compaction may remove what only that version needed.

        Raises:
            StoreError: there is no such tag.
        """

        def drop(tables: Tables) -> int:
            tag = tag_named(tables, name)
            number = tables.tags()[tag]
            tables.drop_tag(tag)
            return number

        with writer(self.path) as session:
            return session.write(drop)

    def compact(self, progress: Callable[[int, int], None] | None = None) -> CompactionReport:
        """Remove all rows that neither the newest version nor one with a tag or a summary sees.

        A change does so by itself where more than half of the rows are of no use; see `compaction.WASTE`.

        Args:
            progress: called with (blocks done, blocks in all).
        """
        self.refuse_pinned()
        with writer(self.path) as session:
            report = compact(self.path, session, progress)
        self.refresh()
        return report

    # Summaries

    def summarize(
        self,
        strategy: str,
        *,
        name: str | None = None,
        split: str | None = None,
        seed: int = 0,
        engine: str | None = None,
        address: str | None = None,
        progress: Progress | None = None,
        **parameters: Any,
    ) -> Summary:
        """Summarise the samples of a split (or all) by a strategy; saved where it gets a name.

        The vectors of one label at a time are gathered, unless an engine is named or they are too many for that (see
        `embedstore.summaries.strategy.MOST_GATHERED`): then steps go over shards, ranges of rows.

        Args:
            strategy: a key of `embedstore.summaries.STRATEGIES`, such as `class-mean`.
            name: to save it under.
            split: `train` in all ordinary work; None takes every sample but those set aside.
            seed: of whatever is drawn.
            engine: `shards`, over shards in this process; `ray`, over shards on a Ray cluster whose nodes see the store under
                the same path.
            address: of that cluster, HOST:PORT or `auto`; where not given, what RAY_ADDRESS says, else one is started here.
            progress: called with what a pass over shards looks for, the shards done, and all; where vectors are gathered, with
                the whole as one piece.
            parameters: of the strategy.

        Raises:
            SummaryError: the name is taken, the version that was summarised has been removed meanwhile, the strategy can't be
                made over shards, or there are more pictures than the store can keep a summary of.
            StoreError: the store can't be written, or was compacted while a cluster worked on it.
            StoreLockedError: another process writes, and does for as long again as the summary took.
            SettingsError: the engine is unknown, or has no address.
            EngineError: the cluster can't be reached, or failed.
            MissingPackageError: Ray is not installed.
        """
        from embedstore.summaries import summarize
        from embedstore.summaries.over_shards.engines import shard_engine

        def refuse_taken(tables: Tables) -> None:
            if name is not None and name in tables.summary_names():
                raise SummaryError(
                    f"The store already has a summary '{name}', and summaries never change; choose another name, or delete it: "
                    f"embedstore summaries '{self.path}' --delete '{name}'"
                )

        self._read(refuse_taken)  # before the work is done, and again under the lock
        if name is not None and not os.access(self.path, os.W_OK):
            raise StoreError(
                f"The store '{self.path}' can't be written, so no summary can be saved there; copy it to where you may write."
            )
        began = time.monotonic()
        with shard_engine(engine, address) as mapping:
            summary = summarize(
                self, strategy, name=name, split=split, seed=seed, engine=mapping, progress=progress, **parameters
            )
        if name is not None:
            data = summary.to_bytes()

            def save(tables: Tables) -> None:
                refuse_taken(tables)
                try:
                    head_at(tables, summary.store_version)
                except StoreError as error:
                    raise SummaryError(
                        f"The summary is of version {summary.store_version}, which was removed from the store meanwhile; open "
                        "the store again and summarise anew."
                    ) from error
                tables.put_summary(name, data)

            with writer(self.path, wait=round(time.monotonic() - began)) as session:  # long work is worth a wait
                session.write(save)
        return summary

    def summary(self, name: str) -> Summary:
        """Return a saved summary; NAME@VERSION is the one of a name that was made of a version of the store.

        Where this store was opened at a version, a name is that of the summary that had it then, if a refresh has put another in
        its place since.

        Raises:
            SummaryError: there is none of that name.
        """
        from embedstore.summaries import Summary

        data = self._summary_of(name)
        plain, version = split_name(name)
        if data is None and version is not None:  # nothing has taken its name since
            data = self._read(lambda tables: tables.summary(plain))
            data = data if data and version == Summary.from_bytes(data).store_version else None
        if data is None:
            self._refuse_unknown(name)
        return Summary.from_bytes(data)

    def _summary_of(self, name: str) -> bytes | None:
        if self.pinned is None:
            return self._read(lambda tables: tables.summary(name))
        from embedstore.store.kept_summaries import summary_at

        return self._read(lambda tables: summary_at(tables, name, self.version))

    def delete_summary(self, name: str) -> None:
        """Delete a saved summary; what was trained from it stays.

        Raises:
            SummaryError: there is none of that name.
        """
        with writer(self.path) as session:
            if not session.write(lambda tables: tables.drop_summary(name)):
                self._refuse_unknown(name)

    @property
    def summary_names(self) -> list[str]:
        """The names of the saved summaries, sorted; without those that a refresh has put others in place of."""
        return [name for name in self.all_summary_names if split_name(name)[1] is None]

    @property
    def all_summary_names(self) -> list[str]:
        """The same with those others, which stay as NAME@VERSION."""
        return self._read(lambda tables: tables.summary_names())

    def _refuse_unknown(self, name: str) -> NoReturn:
        known = ", ".join(self.all_summary_names) or "none yet; make one with: embedstore summarize"
        raise SummaryError(f"The store '{self.path}' has no summary '{name}' (it has: {known}).")


def open_store(path: str | os.PathLike[str], version: int | str | None = None) -> EmbeddingStore:
    """Open a store at its newest version, or at an earlier one, given by its number or a tag; that can only be read.

    Raises:
        NotAStoreError: there is no store at `path`.
        StoreError: the store is of another format version, or has no such version any more.
    """
    return EmbeddingStore(path, version)


def refuse_unbuilt(store: EmbeddingStore) -> None:
    """Raise where nothing can be done with a store yet.

    Raises:
        StoreLockedError: another process writes, which is its first build.
        StoreError: its first build was not finished, or it was made for vectors from elsewhere and has none, or it is read at
            a version from before the first build, or like that one after a rollback.
    """
    if is_built(store):
        return
    if store.declared:
        raise StoreError(f"The store '{store.path}' has no vectors yet; give it some first: embedstore import --help")
    if not awaits_first_build(store):
        other = (
            "choose another one"
            if store.pinned is not None
            else f"bring one back with: embedstore rollback '{store.path}' VERSION"
        )
        raise StoreError(
            f"The store '{store.path}' has no vectors at version {store.version}; {other}; all versions are listed by: "
            f"embedstore log '{store.path}'"
        )
    if is_written(store.path):
        raise StoreLockedError(
            f"The first build of the store '{store.path}' is running in another process; try again when it is done."
        )
    raise StoreError(
        f"The first build of the store '{store.path}' was not finished; run the same embedstore build again first."
    )


def is_built(store: EmbeddingStore) -> bool:
    """Return whether the first build, or another first change, has been finished, so that the store has vectors."""
    return bool(store.head.columns)


def awaits_first_build(store: EmbeddingStore) -> bool:
    """Return whether the first build is running or was not finished: it leaves version 0, as does any other first change."""
    return not store.declared and store.look(lambda tables: tables.head()).version == 0


def create(
    path: str | os.PathLike[str], *, teacher: str, dim: int, images: str | os.PathLike[str] | None = None
) -> EmbeddingStore:
    """Make an empty store for vectors that were made elsewhere, and open it.

    Args:
        path: where; nothing, or an empty directory, is there.
        teacher: the name of what made the vectors. It is *declared*: this program never loads it, and tells declared
            teachers apart by name and dimension alone.
        dim: how many numbers a vector has.
        images: the folder that the samples' paths are relative to, where there are pictures.

    Raises:
        StoreError: something else is at `path`.
        SettingsError: the name is empty, or the dimension is not positive.
    """
    if not teacher.strip() or dim < 1:
        raise SettingsError(
            f"The teacher is {teacher!r} and gives {dim} numbers; give a name, and a dimension of 1 or more."
        )
    space = fingerprint({"declared": teacher, "dim": dim})
    settings = {"recipe": Recipe().to_dict(), "image_root": str(Path(images or Path(path).parent).resolve())}
    description = {"teacher": teacher, "outputs": {EMBEDDING: dim}, "input_size": 0, "declared": True}
    create_store(Path(path), settings, space, description)
    return EmbeddingStore(path)

"""EmbeddingStore: all that one does with a store."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NoReturn

import numpy.typing as npt

from embedstore.errors import StoreError, SummaryError, TeacherMismatchError
from embedstore.splits import SplitPlan, plan_split
from embedstore.store.reading import StoreReader, Where, as_stored
from embedstore.store.tables import Tables
from embedstore.store.writing import next_head, writer
from embedstore.teachers.protocol import Teacher
from embedstore.vectors import Vectors

if TYPE_CHECKING:
    from embedstore.analysis.search import Hit
    from embedstore.summaries import Summary


class EmbeddingStore(StoreReader):
    """A store opened at its newest version; open one with `embedstore.open`.

    What it holds is read by the methods of `StoreReader`; here are search, changes, and summaries.
    """

    # Search

    def search(
        self, vectors: npt.ArrayLike, top: int = 5, where: Where | None = None, exclude: Sequence[str] = ()
    ) -> list[list[Hit]]:
        """Return for each query the samples whose plain view is nearest, by cosine, exactly, under the filter.

        Args:
            vectors: (n, d), or (d,) for one query.
            top: how many.
            where: conditions on label, mode, group, split or attributes; see `where`.
            exclude: ids that are never an answer.
        """
        from embedstore.analysis.search import search

        return search(self, vectors, top=top, where=where, exclude=exclude)

    def query(
        self,
        *,
        image: str | os.PathLike[str] | None = None,
        id: str | None = None,
        text: str | None = None,
        top: int = 5,
        where: Where | None = None,
    ) -> list[Hit]:
        """Return the samples nearest to a picture, to a sample (itself left out) or to a text; see `search`.

        A picture or a text goes through the store's own teacher, whose fingerprint is checked.
        """
        from embedstore.analysis.search import query

        return query(self, image=image, id=id, text=text, top=top, where=where)

    def embed_text(self, texts: Sequence[str]) -> Vectors:
        """Return the vectors (n, d) that the store's own teacher gives to some texts; it is loaded for that.

        Raises:
            TeacherError: the teacher can't be loaded, or reads no text.
            TeacherMismatchError: what loads under its name is another teacher.
        """
        from embedstore.analysis.search import text_vectors

        return text_vectors(self, texts)

    def check_teacher(self, teacher: Teacher) -> None:
        """Raise where vectors of this teacher do not belong into the store.

        Raises:
            TeacherMismatchError: the fingerprints differ; the message names both teachers.
        """
        if teacher.fingerprint != self.fingerprint:
            raise TeacherMismatchError(
                f"The store '{self.path}' was filled by the teacher '{self.teacher}' (fingerprint "
                f"{self.fingerprint[:12]}), but '{teacher.name}' (fingerprint {teacher.fingerprint[:12]}) was given; "
                "use the store's teacher, or build another store."
            )

    # Changes

    def split(self, *, folds: int = 5, fold: int = 0, seed: int = 0, keep: bool = False) -> SplitPlan:
        """Write a split by group into the records; see `splits.plan_split`.

        A split that the manifest gave is kept; with `keep`, so is every split that a sample already has.
        """
        with writer(self.path, self.environment) as session:
            self.refresh()
            kept = [
                r.id
                for r in self._records
                if r.split is not None and (keep or (r.source or {}).get("split") == r.split)
            ]
            plan = plan_split(self.samples, folds=folds, fold=fold, seed=seed, kept=kept)
            changed = [
                replace(record, split=plan.splits[record.id])
                for record in self._records
                if record.id in plan.splits and record.split != plan.splits[record.id]
            ]
            if changed:
                session.publish(next_head(self.head), records=changed)
        self.refresh()
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
        moves: dict[str | None, str | None] = {as_stored(old): as_stored(new) for old, new in (merge or {}).items()}
        for group, into in moves.items():
            if not into or into in moves:
                raise StoreError(
                    f"The group '{group}' can't go into '{into}'; give a name, and of a group that goes nowhere itself."
                )
        with writer(self.path, self.environment) as session:
            self.refresh()
            named = dict(zip(self.positions(list(groups)).tolist(), map(as_stored, groups.values()), strict=True))
            changed = []
            for position, record in enumerate(self._records):
                asked = named.get(position, record.group)
                before, after = moves.get(record.group, record.group), moves.get(asked, asked)
                if position in named and (not asked or before not in (None, after)):
                    raise StoreError(
                        f"The sample '{record.id}' can't get the group '{asked}' (it has {record.group or 'none'}); give a "
                        "name, and only to samples without a group."
                    )
                if record.group != after:
                    changed.append(replace(record, group=after))
            if changed:
                session.publish(next_head(self.head), records=changed)
        self.refresh()
        return len(changed)

    # Summaries

    def summarize(
        self, strategy: str, *, name: str | None = None, split: str | None = None, seed: int = 0, **parameters: Any
    ) -> Summary:
        """Summarise the samples of a split (or all) by a strategy; saved where it gets a name.

        Args:
            strategy: a key of `embedstore.summaries.STRATEGIES`, such as `class-mean`.
            name: to save it under.
            split: `train` in all ordinary work; None takes every sample.
            seed: of whatever is drawn.
            parameters: of the strategy.
        """
        from embedstore.summaries import summarize

        def refuse_taken(tables: Tables) -> None:
            if name is not None and name in tables.summary_names():
                raise SummaryError(
                    f"The store already has a summary '{name}', and summaries never change; choose another name."
                )

        self._read(refuse_taken)  # before the work is done, and again under the lock
        summary = summarize(self, strategy, name=name, split=split, seed=seed, **parameters)
        if name is not None:
            data = summary.to_bytes()

            def save(tables: Tables) -> None:
                refuse_taken(tables)
                tables.put_summary(name, data)

            with writer(self.path, self.environment) as session:
                session.write(save)
        return summary

    def summary(self, name: str) -> Summary:
        """Return a saved summary.

        Raises:
            SummaryError: there is none of that name.
        """
        from embedstore.summaries import Summary

        data = self._read(lambda tables: tables.summary(name))
        if data is None:
            self._refuse_unknown(name)
        return Summary.from_bytes(data)

    def delete_summary(self, name: str) -> None:
        """Delete a saved summary; what was trained from it stays.

        Raises:
            SummaryError: there is none of that name.
        """
        with writer(self.path, self.environment) as session:
            if not session.write(lambda tables: tables.drop_summary(name)):
                self._refuse_unknown(name)

    @property
    def summary_names(self) -> list[str]:
        """The names of the saved summaries."""
        return self._read(lambda tables: tables.summary_names())

    def _refuse_unknown(self, name: str) -> NoReturn:
        known = ", ".join(self.summary_names) or "none yet; make one with: embedstore summarize"
        raise SummaryError(f"The store '{self.path}' has no summary '{name}' (it has: {known}).")


def open_store(path: str | os.PathLike[str]) -> EmbeddingStore:
    """Open a store at its newest version.

    Raises:
        NotAStoreError: there is no store at `path`.
        StoreError: the store is of another format version.
    """
    return EmbeddingStore(path)

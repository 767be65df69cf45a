"""SearchableStore: the nearest samples of a store, by a scan or by its index."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy.typing as npt

from embedstore.errors import TeacherMismatchError
from embedstore.store.reading import StoreReader, Where
from embedstore.teachers.protocol import Teacher
from embedstore.vectors import Vectors

if TYPE_CHECKING:
    from embedstore.analysis.exact_search import Neighbours
    from embedstore.analysis.search import Hit
    from embedstore.search_engines.copies import SearchExport
    from embedstore.store.index_file import IndexInfo


class SearchableStore(StoreReader):
    """A store that is asked which of its samples are like a vector, a picture, a text, or another sample."""

    def search(
        self,
        vectors: npt.ArrayLike,
        top: int = 5,
        where: Where | None = None,
        exclude: Sequence[str] = (),
        exact: bool | None = None,
        *,
        via: SearchExport | None = None,
    ) -> list[list[Hit]]:
        """Return for each query the samples whose plain view is nearest, by cosine, under the filter.

        Args:
            vectors: (n, d), or (d,) for one query.
            top: how many; all that pass the filter where those are fewer.
            where: conditions on label, mode, group, split or attributes; see `where`.
            exclude: ids that are never an answer.
            exact: True scans all samples that pass the filter and misses nothing; by itself, the index is asked where there is
                one, not much has changed since it was made, there is no filter, few ids are excluded, and `top` is not above
                what its recall was measured for, 10. False always asks the index: as many answers as can be, but under a
                filter or for a higher `top` nobody has measured how many of them are the right ones.
            via: ask this export of the store in a search engine; see `search_engines.open_export`. What it names is ranked by
                the store's own vectors.

        Raises:
            StoreError: the queries or `top` can't be, or the index is asked for and there is none.
            SettingsError: a condition is no text, or both `exact` and `via` are given.
            CorruptStoreError: the index is asked for and can't be used. Where it is not, that is a warning.
            OutOfStepError: the export holds something else than the store.
            SearchEngineError: its engine fails.
        """
        from embedstore.analysis.search import search

        return search(self, vectors, top=top, where=where, exclude=exclude, exact=exact, via=via)

    def nearest(
        self,
        vectors: npt.ArrayLike,
        top: int = 5,
        where: Where | None = None,
        exclude: Sequence[str] = (),
        exact: bool | None = None,
        *,
        via: SearchExport | None = None,
    ) -> Neighbours:
        """Return what `search` does as arrays: positions in `ids` and similarities.

        Both are (n, min(top, len(store))); where fewer pass the filter, the positions end in -1, the similarities in NaN.
        """
        from embedstore.analysis.search import nearest_samples

        return nearest_samples(self, vectors, top=top, where=where, exclude=exclude, exact=exact, via=via)

    def build_index(
        self,
        factory: str | None = None,
        *,
        memory: int | None = None,
        recall: float = 0.99,
        rare_recall: float = 0.9,
        seed: int = 0,
        progress: Callable[[str, int, int], None] | None = None,
    ) -> IndexInfo | None:
        """Make an index of the plain views, in place of the one before, and measure how much it finds.

        Args:
            factory: FAISS's word for it, such as `IVF1024,SQfp16`; chosen by size and memory where not given, and no index is
                made of a store that is scanned fast enough.
            memory: bytes that making and using it may take; decides how coarsely vectors are kept in it. Of a kind that
                `factory` names, only its size is checked.
            recall: the share of the 10 nearest that queries should find; as many lists are looked into as that takes.
            rare_recall: the same for rare queries, farther from the centre of every list than 99 of 100 samples are. They look
                into more lists.
            seed: of the samples that it learns from and is measured with.
            progress: called with (what is done, done, total).

        Raises:
            SettingsError: FAISS can't make such an index, or the memory is too small for any.
            StoreError: the store is empty or was opened at an earlier version, the index can't be written, or a compaction
                replaced the rows meanwhile.
            StoreLockedError: another process is making one.
        """
        from embedstore.analysis.index_building import build_index

        self.refuse_pinned()
        self.refresh()
        return build_index(
            self, factory=factory, memory=memory, recall=recall, rare_recall=rare_recall, seed=seed, progress=progress
        )

    @property
    def index_info(self) -> IndexInfo | None:
        """What the index is; None where there is none.

        Raises:
            CorruptStoreError: it can't be used, and why.
        """
        from embedstore.store.index import open_index

        index = open_index(self)
        return None if index is None else index.info

    def delete_index(self) -> bool:
        """Delete the index, after which every search scans; return whether there was one.

        Raises:
            StoreError: the store was opened at an earlier version.
            StoreLockedError: another process is making an index.
        """
        from embedstore.store.index_file import remove

        self.refuse_pinned()
        self.refresh()
        return remove(self.generation)

    def query(
        self,
        *,
        image: str | os.PathLike[str] | None = None,
        id: str | None = None,
        text: str | None = None,
        top: int = 5,
        where: Where | None = None,
        exact: bool | None = None,
        via: SearchExport | None = None,
    ) -> list[Hit]:
        """Return the samples nearest to a picture, to a sample (itself left out) or to a text; see `search`.

        A picture or a text goes through the store's own teacher, whose fingerprint is checked.
        """
        from embedstore.analysis.search import query

        return query(self, image=image, id=id, text=text, top=top, where=where, exact=exact, via=via)

    def embed_text(self, texts: Sequence[str]) -> Vectors:
        """Return the vectors (n, d) that the store's own teacher gives to some texts; it is loaded for that.

        Raises:
            TeacherError: the teacher can't be loaded, or reads no text.
            TeacherMismatchError: what loads under its name is another teacher, or the vectors were imported under the name alone.
        """
        from embedstore.analysis.search import text_vectors

        return text_vectors(self, texts)

    def load_teacher(self, outputs: Sequence[str] = ()) -> Teacher:
        """Load the store's own teacher; that of a thinned store brings its vectors to the axes that the store keeps.

        Args:
            outputs: further vectors that it is to give; see `embedstore.load_teacher`.

        Raises:
            TeacherError: the teacher can't be loaded.
            TeacherMismatchError: what loads under its name is another teacher, or the vectors were imported under the name alone.
        """
        from embedstore.teachers import load_described

        self._refuse_declared()  # before it is loaded: the name may be of something that this program can't load
        teacher = load_described(self.space, outputs)
        self.check_teacher(teacher)
        return teacher

    def check_teacher(self, teacher: Teacher) -> None:
        """Raise where vectors of this teacher do not belong into the store.

        Raises:
            TeacherMismatchError: the fingerprints differ; the message names both teachers.
        """
        self._refuse_declared()
        if teacher.fingerprint != self.fingerprint:
            raise TeacherMismatchError(
                f"The store '{self.path}' was filled by the teacher '{self.teacher}' (fingerprint "
                f"{self.fingerprint[:12]}), but '{teacher.name}' (fingerprint {teacher.fingerprint[:12]}) was given; "
                "use the store's teacher, or build another store."
            )

    def _refuse_declared(self) -> None:
        if self.declared:
            raise TeacherMismatchError(
                f"The vectors of the store '{self.path}' were imported as those of the teacher '{self.teacher}', which nobody "
                "checked, so no picture or text is embedded for it; ask by --id or by vectors, and add vectors by import."
            )

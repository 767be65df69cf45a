"""The store of this project, by what `embedstore` offers to everyone."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from storage_parts.systems.columns import Columns, columns_of
from storage_parts.systems.system import TUNED_TO, Settings, System, Where, size
from storage_parts.vectors import Vectors


class Ours(System):
    """Vectors as float16 with a checksum for each block of 256; synced by itself."""

    name = "embedstore"
    packages = ("embedstore", "lmdb")
    notes = (
        "embedstore: checksums over blocks of 256 rows, verified when a process first reads one; synced by the store itself; "
        "answers are positions, as those of FAISS; the index is given the budget, and the store chooses its kind and how far to "
        "look; a compaction leaves the index to be built again",
    )

    def load(self) -> None:
        """Import it, and what it imports when it searches."""
        import faiss  # noqa: F401

        import embedstore  # noqa: F401

    def prepare(self) -> None:
        """Make the columns."""
        self.columns: Columns = columns_of(self.rows)

    def write(self) -> None:
        """Add all rows as one version."""
        import embedstore

        vectors, columns = self.rows.vectors, self.columns
        with embedstore.create(self.folder, teacher="bench", dim=vectors.shape[1]) as store, store.write("import") as w:
            for start, stop in self.rows.chunks():
                part = slice(start, stop)
                w.add(
                    columns["id"][part],
                    vectors[part],
                    labels=columns["label"][part],
                    groups=columns["group"][part],
                    splits=columns["split"][part],
                    attributes={"machine": columns["machine"][part]},
                )

    def disk(self) -> dict[str, int]:
        """Return LMDB's own count of the pages of the vectors, the folder of the index, and the rest."""
        import lmdb

        import embedstore

        with embedstore.open(self.folder) as store:
            generation = store.generation
        with lmdb.open(str(generation), readonly=True, lock=False, max_dbs=16) as environment:
            opened = environment.open_db(b"vectors", create=False)
            with environment.begin(opened) as transaction:
                stat = transaction.stat(opened)
        vectors = stat["psize"] * (stat["branch_pages"] + stat["leaf_pages"] + stat["overflow_pages"])
        index = size(generation / "index")
        return {"vectors": vectors, "metadata": size(self.folder) - vectors - index, "index": index}

    def open(self) -> int:
        """Open the newest version."""
        import embedstore

        self.store = embedstore.open(self.folder)
        return len(self.store)

    def close(self) -> None:
        """Give the handle back."""
        self.store.close()

    def scan(self) -> Iterator[Vectors]:
        """Scan the plain views."""
        for _, block in self.store.scan():
            yield block

    def read(self, positions: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
        """Read at positions."""
        return self.store.read(positions)

    def exact(self, queries: npt.NDArray[np.float32], top: int, where: Where | None = None) -> Any:
        """Scan."""
        return self.store.nearest(queries, top, where, exact=True).positions

    def records(self, queries: npt.NDArray[np.float32], top: int) -> Any:
        """Scan, and return ids, labels and all else that is known of the answers."""
        return self.store.search(queries, top, exact=True)

    def build_index(self) -> None:
        """Build the index that the store chooses for its size and the budget; where it would rather scan, an IVF."""
        if self.store.build_index(memory=self.budget, recall=TUNED_TO) is None:
            lists = 2 ** max(2, round(np.log2(self.rows.count**0.5)))
            self.store.build_index(f"IVF{lists},SQfp16", memory=self.budget, recall=TUNED_TO)

    def ladders(self) -> Sequence[Sequence[Settings]]:
        """Return nothing to choose: the store has measured how far to look; only say what it chose."""
        info: Any = self.store.index_info
        return [[{"factory": info.factory, "nprobe": info.nprobe, "refine": info.refine}]]

    def approximate(self, queries: npt.NDArray[np.float32], top: int, where: Where | None = None) -> Any:
        """Ask the index."""
        return self.store.nearest(queries, top, where, exact=False).positions

    def filtered(self, queries: npt.NDArray[np.float32], top: int, where: Where) -> Any:
        """Let the store choose between scan and index."""
        return self.store.nearest(queries, top, where).positions

    def row_numbers(self, answers: Any, top: int) -> npt.NDArray[np.int64]:
        """Return them as they are: positions are row numbers until something is deleted."""
        return np.asarray(answers)

    def delete(self, where: Where) -> None:
        """Delete by id what the filter finds."""
        gone = np.flatnonzero(self.store.where(dict(where)))
        ids = self.store.ids
        with self.store.write("delete") as w:
            w.delete([ids[at] for at in gone])

    def compact(self) -> None:
        """Compact."""
        self.store.compact()

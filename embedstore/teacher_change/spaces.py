"""The spaces of a store: which teachers' vectors it holds, and which samples have all of theirs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from embedstore.errors import SettingsError, StoreError, TeacherMismatchError
from embedstore.store.embedding_store import EmbeddingStore, refuse_unbuilt
from embedstore.store.layout import Column
from embedstore.store.own_teacher import description_of
from embedstore.store.tables import Tables
from embedstore.teachers import Teacher, load_described, load_teacher
from embedstore.teachers.protocol import EMBEDDING, definitions_of
from embedstore.vectors import Vectors, widened

Positions = npt.NDArray[np.int64]


@dataclass
class Space:
    """A teacher that a store has, or is to get, the vectors of.

    Attributes:
        fingerprint: of the teacher.
        description: what the store says of it; see `layout`.
        loaded: the teacher; None until it is needed, where its vectors may all be there.
    """

    fingerprint: str
    description: dict[str, Any]
    loaded: Teacher | None = None

    @property
    def name(self) -> str:
        """The spec that the teacher was loaded by."""
        return str(self.description["teacher"])

    def columns(self, views: Iterable[int]) -> list[Column]:
        """Return the columns of some views, in all outputs."""
        chosen = list(views)
        return [Column(self.fingerprint, output, view) for output in self.description["outputs"] for view in chosen]

    def teacher(self) -> Teacher:
        """Return the teacher, loaded.

        Raises:
            TeacherError: it can't be loaded.
            TeacherMismatchError: what loads under its name is another teacher.
        """
        if self.loaded is None:
            outputs = [name for name in self.description["outputs"] if name != EMBEDDING]
            teacher = load_described(self.description, outputs)
            if teacher.fingerprint != self.fingerprint:
                raise TeacherMismatchError(
                    f"What loads as '{self.name}' now is another teacher (fingerprint {teacher.fingerprint[:12]}) than the one "
                    f"that the store has vectors of ({self.fingerprint[:12]}); use the packages and weights of that time."
                )
            self.loaded = teacher
        return self.loaded


def space_of(store: EmbeddingStore, teacher: str | Teacher, outputs: Sequence[str] | None) -> Space:
    """Return the space of a teacher that a store is to get.

    Args:
        store: that gets it.
        teacher: a spec, which is loaded, or a teacher.
        outputs: to keep beside `embedding`; where not given, those that the store keeps of its teacher now.

    Raises:
        TeacherError: the teacher can't be loaded, or does not give one of the outputs.
        TeacherMismatchError: the store has an output of it that is something else under the same name.
    """
    kept = [name for name in (store.space["outputs"] if outputs is None else outputs) if name != EMBEDDING]
    loaded = load_teacher(teacher, kept) if isinstance(teacher, str) else teacher
    described = description_of(loaded, kept)
    known = described_spaces(store).get(loaded.fingerprint)
    if known is None:
        return Space(loaded.fingerprint, described, loaded)
    said = definitions_of(loaded)
    for name in known["outputs"].keys() & described["outputs"].keys():
        was = known["outputs"][name], known.get("definitions", {}).get(name, "")
        if was != (described["outputs"][name], said.get(name, "")):
            raise TeacherMismatchError(
                f"The output '{name}' of '{loaded.name}' is another now than the one that the store '{store.path}' has vectors "
                "of; use the releases of embedstore and of its packages that made them."
            )
    merged = {**described, **known, "outputs": known["outputs"] | described["outputs"]}
    if definitions := known.get("definitions", {}) | described.get("definitions", {}):
        merged["definitions"] = definitions
    missing = merged["outputs"].keys() - loaded.outputs.keys()  # which an earlier run was asked for
    return Space(loaded.fingerprint, merged, None if missing else loaded)


@dataclass(frozen=True)
class SpaceState:
    """How much of a space a store has.

    Attributes:
        teacher, fingerprint: whose it is.
        active: whether it is in use at the version that is read.
        plain: samples that have its plain view.
        complete: samples that have all outputs in all views.
        samples: of the version.
    """

    teacher: str
    fingerprint: str
    active: bool
    plain: int
    complete: int
    samples: int

    def in_words(self) -> str:
        """Say it in one line."""
        if self.complete == self.samples:
            return f"{self.teacher}: complete, not in use"
        if not self.plain:
            return f"{self.teacher}: no vectors"
        return f"{self.teacher}: {self.complete} of {self.samples} samples complete, {self.plain} with their plain view"


def space_states(store: EmbeddingStore) -> list[SpaceState]:
    """Return how much a store has of the vectors of each of its teachers, the one in use first; reads all presence bitmaps."""
    states = []
    for fingerprint, description in described_spaces(store).items():
        space = Space(fingerprint, description)
        there = present(store, space.columns(range(store.views + 1)))
        plain = there[:, [column.view == 0 for column in space.columns(range(store.views + 1))]]
        counts = int(plain.all(axis=1).sum()), int(there.all(axis=1).sum())
        states.append(SpaceState(space.name, fingerprint, fingerprint == store.fingerprint, *counts, len(store)))
    return sorted(states, key=lambda state: (not state.active, state.teacher))


def previous_space(store: EmbeddingStore) -> Space:
    """Return the space that was in use before the one that is.

    Raises:
        StoreError: there was none.
    """

    def look(tables: Tables) -> tuple[list[str], dict[str, dict[str, Any]]]:
        return [str(entry["space"]) for entry in tables.log()], tables.spaces()

    used, spaces = store.look(look)
    before = next((space for space in reversed(used) if space != store.fingerprint and space in spaces), None)
    if before is None:
        raise StoreError(
            f"The store '{store.path}' has had one teacher only, '{store.teacher}', so there is none to go back to or to map "
            "from; name a new one with --teacher."
        )
    return Space(before, spaces[before])


def described_spaces(store: EmbeddingStore) -> dict[str, dict[str, Any]]:
    """Return what the store says of each teacher that it has, or had, vectors of, by fingerprint."""
    return store.look(lambda tables: tables.spaces())


def present(store: EmbeddingStore, columns: Sequence[Column]) -> npt.NDArray[np.bool_]:
    """Return which samples (n, columns) have their vector in some columns; read as of now, whatever the head says."""
    rows = store.rows
    count = int(rows[-1]) + 1 if len(rows) else 0

    def look(tables: Tables) -> npt.NDArray[np.bool_]:
        there = [tables.presence(column, count)[rows] for column in columns]
        return np.stack(there, axis=1) if there else np.zeros((len(rows), 0), bool)

    return store.look(look)


def vectors_in(store: EmbeddingStore, space: str, dim: int, positions: Positions) -> Vectors:
    """Return the plain vectors (m, d) of samples that have one in a space; `positions` ascend."""
    out = np.empty((len(positions), dim), np.float16)
    column = Column(space, EMBEDDING, 0)
    lacking = store.look(lambda tables: tables.take_vectors(column, store.rows[positions], out, set()))
    if lacking is not None:
        raise StoreError(f"The store '{store.path}' lacks vectors of the teacher {space[:12]}; run the command again.")
    return widened(out)


def fitting_order(store: EmbeddingStore) -> Positions:
    """Return the samples that a map may be fitted to, in an order that a hash of their ids decides: any first n are a fair draw.

    Those of the split `train`; where the store has no such split, all but those of another side.
    """
    splits = store.text_field("split")
    train = splits.equals("train")
    chosen = np.flatnonzero(train if train.any() else splits.equals(None))
    keys = store.alive["key"][chosen]
    return chosen[np.lexsort(keys.T[::-1])]


def refuse_unfit(store: EmbeddingStore) -> None:
    """Raise where a store can't get another teacher.

    Raises:
        TeacherMismatchError: its vectors were imported.
        StoreError: its first build was not finished.
    """
    if store.declared:
        raise TeacherMismatchError(
            f"The vectors of the store '{store.path}' were imported as those of the teacher '{store.teacher}', and nothing says "
            "which pictures they are of; build another store from the pictures."
        )
    refuse_unbuilt(store)


def refuse_further_outputs(store: EmbeddingStore, space: Space) -> None:
    """Raise where the teacher in use is asked for outputs that the store does not keep of it.

    Raises:
        SettingsError: it is.
    """
    if further := sorted(space.description["outputs"].keys() - store.space["outputs"].keys()):
        raise SettingsError(
            f"The store '{store.path}' has '{store.teacher}' in use already, without the outputs {', '.join(further)}, and a "
            f"migration adds none to it; add them with: embedstore build '{store.path}' '{store.image_root}' --outputs "
            f"{','.join(further)}"
        )

"""The store's own teacher: what a store says of it, which of its outputs are kept, and whether one at hand gives them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from embedstore.errors import TeacherError, TeacherMismatchError
from embedstore.store.embedding_store import EmbeddingStore
from embedstore.store.writing import Writer
from embedstore.teachers import Teacher, load_teacher
from embedstore.teachers.protocol import EMBEDDING


def description_of(teacher: Teacher, outputs: Sequence[str] | None = None) -> dict[str, Any]:
    """Return what a new store says of its teacher.

    Args:
        teacher: loaded with these outputs at least.
        outputs: to keep beside `embedding`; all that it gives where not given.

    Raises:
        TeacherError: it does not give one of them.
    """
    kept = list(teacher.outputs) if outputs is None else list(dict.fromkeys([EMBEDDING, *outputs]))
    _refuse_missing(teacher, kept)
    described = {"teacher": teacher.name, "outputs": {}, "input_size": teacher.input_size}
    return _with_outputs(described, teacher, kept)


def checked_teacher(
    store: EmbeddingStore, teacher: str | Teacher | None, outputs: Sequence[str] = ()
) -> Teacher | None:
    """Return the teacher that is to fill a store; None where nobody named one, so that it is loaded only if it is needed.

    Args:
        store: to be filled.
        teacher: a spec, which is loaded with the outputs that the store keeps, or a teacher.
        outputs: to be kept, too; where the store does not have them yet, its own teacher is loaded with them.

    Raises:
        TeacherMismatchError: it is another than the store's, or the store's vectors were imported.
        TeacherError: it can't be loaded, or gives no such output.
    """
    if store.declared:
        raise TeacherMismatchError(
            f"The vectors of the store '{store.path}' were imported as those of the teacher '{store.teacher}', which nobody "
            "checked, so no picture is embedded for it; import more of them, or build another store from the pictures."
        )
    kept = store.space["outputs"]
    wanted = list(dict.fromkeys([*kept, *outputs]))
    if teacher is None and len(wanted) > len(kept):
        teacher = store.teacher
    loaded = load_teacher(teacher, wanted) if isinstance(teacher, str) else teacher
    if loaded is not None:
        store.check_teacher(loaded)
    return loaded


def keep_outputs(store: EmbeddingStore, session: Writer, teacher: Teacher | None, outputs: Sequence[str]) -> None:
    """Have a store keep more outputs of its teacher; its samples get them by the pass that follows.

    Until then no version shows them; see `_complete_columns` in `ingest`.

    Args:
        store: to be read anew.
        session: the writer.
        teacher: as `checked_teacher` gave it for these outputs.
        outputs: those that it has already are passed over.

    Raises:
        TeacherError: the teacher does not give one of them.
    """
    fresh = [name for name in outputs if name not in store.space["outputs"]]
    if not fresh:
        return
    assert teacher is not None  # noqa: S101  it was loaded for them
    _refuse_missing(teacher, fresh)
    described = _with_outputs(store.space, teacher, fresh)
    session.write(lambda tables: tables.put_space(store.fingerprint, described))
    store.refresh()


def check_outputs(store: EmbeddingStore, teacher: Teacher) -> None:
    """Raise where a teacher does not give all outputs that a store keeps, each as the store has it.

    Raises:
        TeacherError: it was loaded without one.
        TeacherMismatchError: one is something else under the same name.
    """
    kept, definitions = store.space["outputs"], store.space.get("definitions", {})
    _refuse_missing(teacher, kept)
    for name, dim in kept.items():
        own, given = (dim, definitions.get(name, "")), (teacher.outputs[name], teacher.definitions.get(name, ""))
        if own != given:
            raise TeacherMismatchError(
                f"The output '{name}' of the store '{store.path}' is {_described(*own)}, but the teacher '{teacher.name}' gives "
                f"{_described(*given)}; use the releases of embedstore and of its packages that built the store, or build "
                "another store."
            )


def _refuse_missing(teacher: Teacher, outputs: Sequence[str]) -> None:
    missing = [name for name in outputs if name not in teacher.outputs]
    if missing:
        raise TeacherError(
            f"The teacher '{teacher.name}' was loaded with the outputs {', '.join(teacher.outputs)}, but '{missing[0]}' is to be "
            f"kept, too; load it with: load_teacher(SPEC, outputs={[*outputs]})"
        )


def _with_outputs(described: dict[str, Any], teacher: Teacher, outputs: Sequence[str]) -> dict[str, Any]:
    """Return what a store says of a teacher with some outputs added."""
    definitions = {name: teacher.definitions[name] for name in outputs if name in teacher.definitions}
    definitions = described.get("definitions", {}) | definitions
    added = {"outputs": described["outputs"] | {name: teacher.outputs[name] for name in outputs}}
    return described | added | ({"definitions": definitions} if definitions else {})


def _described(dim: int, definition: str) -> str:
    return f"{dim} numbers" + (f", {definition}" if definition else "")

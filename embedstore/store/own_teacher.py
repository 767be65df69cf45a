"""The store's own teacher: what a store says of it, which of its outputs are kept, and whether one at hand gives them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from embedstore.errors import TeacherError, TeacherMismatchError
from embedstore.store.embedding_store import EmbeddingStore
from embedstore.teachers import Teacher, load_described, load_teacher
from embedstore.teachers.protocol import EMBEDDING, definitions_of


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
    if isinstance(teacher, str):
        own = teacher == store.teacher
        loaded: Teacher | None = load_described(store.space, wanted) if own else load_teacher(teacher, wanted)
    else:
        loaded = teacher
    if loaded is not None:
        store.check_teacher(loaded)
    return loaded


def kept_by(store: EmbeddingStore, teacher: Teacher | None, outputs: Sequence[str] = ()) -> dict[str, Any]:
    """Return what a store is to say of its teacher once it keeps some outputs, too; changes nothing.

    The pass that follows writes it with the first vectors, so that a build that is refused leaves the store as it was.

    Args:
        store: read under the writer's lock.
        teacher: as `checked_teacher` gave it for these outputs.
        outputs: those that the store has already are passed over.

    Raises:
        TeacherError: the teacher does not give all of both.
        TeacherMismatchError: one that the store has is something else under the same name; or the store has changed its teacher
            while this one was loaded.
    """
    if teacher is None:
        return store.space
    store.check_teacher(teacher)
    check_outputs(store, teacher, outputs)
    fresh = [name for name in dict.fromkeys(outputs) if name not in store.space["outputs"]]
    return _with_outputs(store.space, teacher, fresh) if fresh else store.space


def check_outputs(store: EmbeddingStore, teacher: Teacher, outputs: Sequence[str] = ()) -> None:
    """Raise where a teacher does not give all outputs that a store keeps, each as the store has it, and some others.

    Raises:
        TeacherError: it was loaded without one.
        TeacherMismatchError: one is something else under the same name.
    """
    check_against(store.space, f"of the store '{store.path}'", teacher, outputs)


def check_against(space: Mapping[str, Any], of: str, teacher: Teacher, outputs: Sequence[str] = ()) -> None:
    """Do what `check_outputs` does where there is no store at hand.

    Args:
        space: what the store says of its teacher.
        of: whose outputs these are, to speak of.
        teacher: at hand.
        outputs: as there.

    Raises:
        TeacherError, TeacherMismatchError: as there.
    """
    kept, definitions = space["outputs"], space.get("definitions", {})
    _refuse_missing(teacher, list(dict.fromkeys([*kept, *outputs])))
    for name, dim in kept.items():
        own = dim, definitions.get(name, "")
        given = teacher.outputs[name], definitions_of(teacher).get(name, "")
        if own != given:
            raise TeacherMismatchError(
                f"The output '{name}' {of} is {_described(*own)}, but the teacher '{teacher.name}' gives "
                f"{_described(*given)}; use the releases of embedstore and of its packages that built the store, or build "
                "another store."
            )


def _refuse_missing(teacher: Teacher, outputs: Sequence[str]) -> None:
    if any(name not in teacher.outputs for name in outputs):
        further = [name for name in outputs if name != EMBEDDING]
        raise TeacherError(
            f"The teacher '{teacher.name}' gives the outputs {', '.join(teacher.outputs)}, but the store is to keep "
            f"{', '.join(outputs)}; give one that has all of them, as load_teacher(SPEC, outputs={further}) does."
        )


def _with_outputs(described: dict[str, Any], teacher: Teacher, outputs: Sequence[str]) -> dict[str, Any]:
    """Return what a store says of a teacher with some outputs added."""
    said = definitions_of(teacher)
    definitions = described.get("definitions", {}) | {name: said[name] for name in outputs if name in said}
    added = {"outputs": described["outputs"] | {name: teacher.outputs[name] for name in outputs}}
    return described | added | ({"definitions": definitions} if definitions else {})


def _described(dim: int, definition: str) -> str:
    return f"{dim} numbers" + (f", {definition}" if definition else "")

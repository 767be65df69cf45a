"""What each entry of a store must be like: the one place where a value is decoded and checked, for readers and `verify`.

A checksum tells damage, but not a file that somebody else made. Nothing is trusted here: what is not as this program writes
it is a `CorruptStoreError`, and never another error. Blocks of fields and vectors are read by the million: see `layout`,
which checks their sizes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from embedstore.errors import CorruptStoreError, EmbedstoreError
from embedstore.store import layout
from embedstore.store.fields import ID
from embedstore.store.layout import ASIDE, BLOCK, FIELDS, LOG, LOST, META, ROWS, SUMMARIES, TAGS, VECTORS
from embedstore.teachers.protocol import EMBEDDING
from embedstore.teachers.reduction import KIND as REDUCED
from embedstore.teachers.reduction import Reduction
from embedstore.views import Recipe

_KEY_BYTES = {ROWS: 8, FIELDS: 18, LOG: 8, LOST: 16, ASIDE: 16}
_NO_TEXT = 0xFFFF
_HIGHEST_VERSION = (
    2**62
)  # and of all other numbers; far above what can be reached, and an int64 has room for it and more
_HIGHEST_DIM = 2**32 // (2 * BLOCK)  # LMDB takes no larger block
_FOREIGN = "is none that this program writes"


class _UnsoundError(Exception):
    """What is wrong with an entry, in a few words."""


def decode(database: bytes, key: bytes, payload: memoryview) -> Any:
    """Return what an entry holds.

    Raises:
        CorruptStoreError: its key or its value is not as this program writes it.
    """
    try:
        return _decode(database, key, payload)
    except _UnsoundError as error:
        shown = f" ({key.decode(errors='replace')})" if database == META else ""
        raise CorruptStoreError(
            f"An entry of the store's table '{database.decode()}'{shown} {error}; see what else is damaged with: "
            "embedstore verify STORE"
        ) from error


def problem(database: bytes, key: bytes, payload: memoryview) -> str | None:
    """Return in a few words what is wrong with an entry by itself; None where it is sound."""
    try:
        _decode(database, key, payload)
    except _UnsoundError as error:
        return str(error)
    except EmbedstoreError as error:
        return f"can't be read ({type(error).__name__})"
    return None


def sound_key(database: bytes, key: bytes) -> bool:
    """Return whether a key has the form that the keys of a database have."""
    if database in _KEY_BYTES:
        return len(key) == _KEY_BYTES[database]
    try:
        if database == VECTORS:
            return (
                len(key) > 16 + 11 and layout.vector_key(layout.column_of(key), int.from_bytes(key[-8:], "big")) == key
            )
        return bool(key.decode())
    except UnicodeDecodeError:
        return False


def is_version(value: Any) -> bool:
    """Return whether a value can be a version's number, or a count."""
    return type(value) is int and 0 <= value <= _HIGHEST_VERSION


def is_head(values: Any) -> bool:
    """Return whether a value can be a head."""
    return (
        isinstance(values, dict)
        and is_version(values.get("version"))
        and (values.get("samples") is None or is_version(values["samples"]))
        and _is_space(values.get("space"))
        and isinstance(values.get("columns"), list)
        and all(
            isinstance(column, list)
            and len(column) == 3
            and _is_space(column[0])
            and isinstance(column[1], str)
            and type(column[2]) is int
            and 0 <= column[2] <= 0xFFFF
            for column in values["columns"]
        )
    )


def _decode(database: bytes, key: bytes, payload: memoryview) -> Any:
    if not sound_key(database, key):
        raise _UnsoundError("has a key that can't be")
    try:
        return _DECODERS[database](key, payload)
    except (ValueError, TypeError, KeyError, IndexError, AttributeError, RecursionError, OverflowError) as error:
        if isinstance(error, EmbedstoreError):
            raise  # a sentence already, such as that a later release drew the views
        raise _UnsoundError(f"can't be read ({type(error).__name__})") from error


def _is_space(value: Any) -> bool:
    return isinstance(value, str) and len(value) == 32 and not set(value) - set("0123456789abcdef")


def _is_texts(values: Any) -> bool:
    return isinstance(values, dict) and all(isinstance(text, str) for text in [*values, *values.values()])


def _is_space_description(values: Any) -> bool:
    return (
        isinstance(values, dict)
        and isinstance(values.get("teacher"), str)
        and isinstance(values.get("outputs"), dict)
        and EMBEDDING in values["outputs"]
        and all(
            isinstance(name, str) and type(dim) is int and 0 < dim <= _HIGHEST_DIM
            for name, dim in values["outputs"].items()
        )
        and is_version(values.get("input_size"))
        and _is_texts(values.get("definitions", {}))
        and _is_reduced(values)
    )


def _is_reduced(values: Any) -> bool:
    """Return whether axes that a space has give what its outputs say."""
    return REDUCED not in values or Reduction.from_dict(values[REDUCED]).dim == values["outputs"][EMBEDDING]


def _is_settings(values: Any) -> bool:
    Recipe.from_dict(values["recipe"])
    return isinstance(values["image_root"], str)


def _is_names(values: Any) -> bool:
    return (
        isinstance(values, list) and all(isinstance(name, str) for name in values) and len(set(values)) == len(values)
    )


def _is_compacted(values: Any) -> bool:
    return (
        isinstance(values, dict)
        and is_version(values.get("version"))
        and isinstance(values.get("kept"), list)
        and all(map(is_version, values["kept"]))
    )


_META: dict[bytes, Callable[[Any], bool]] = {
    b"head": is_head,
    b"store": _is_settings,
    b"rows": is_version,
    b"names": _is_names,
    b"publishing": lambda value: value is None or is_version(value),
    b"compacted": _is_compacted,
}


def _meta(key: bytes, payload: memoryview) -> Any:
    values = layout.unpack(payload)
    if key.startswith(b"space:"):
        return _checked(values, _is_space(key[6:].decode()) and _is_space_description(values))
    return _checked(values, key in _META and _META[key](values))


def _rows(key: bytes, payload: memoryview) -> Any:
    _checked(None, len(payload) == BLOCK * layout.ROW.itemsize, "has another length than a block of rows")
    return np.frombuffer(payload, layout.ROW)


def _fields(key: bytes, payload: memoryview) -> Any:
    found = layout.unpack_field(payload)
    codes = np.frombuffer(payload[: 2 * BLOCK], "<u2")
    sound = bool(((codes < len(found[0])) | (codes == _NO_TEXT)).all())
    return _checked(found, sound, "names texts that it does not hold")


def _vectors(key: bytes, payload: memoryview) -> Any:
    return layout.unpack_vectors(payload)


def _log(key: bytes, payload: memoryview) -> Any:
    entry = layout.unpack(payload)
    sound = (
        is_head(entry)
        and layout.version_key(entry["version"]) == key
        and isinstance(entry["time"], str)
        and isinstance(entry["action"], str)
        and isinstance(entry["details"], dict)
        and all(isinstance(name, str) and type(count) is int for name, count in entry["details"].items())
    )
    return _checked(entry, sound)


def _tags(key: bytes, payload: memoryview) -> Any:
    version = layout.unpack(payload)
    return _checked(version, is_version(version), "names no version")


def _lost(key: bytes, payload: memoryview) -> Any:
    values = layout.unpack(payload)
    return _checked(values, _is_texts(values) and layout.id_key(values[ID]) == key)


def _aside(key: bytes, payload: memoryview) -> Any:
    values = layout.unpack(payload)
    return _checked(values, _is_texts(values) and "reason" in values and layout.id_key(values["path"]) == key)


def _summaries(key: bytes, payload: memoryview) -> Any:
    from embedstore.summaries import Summary

    return Summary.from_bytes(bytes(payload))


def _checked(values: Any, sound: bool, otherwise: str = _FOREIGN) -> Any:
    if not sound:
        raise _UnsoundError(otherwise)
    return values


_DECODERS: dict[bytes, Callable[[bytes, memoryview], Any]] = {
    META: _meta, ROWS: _rows, FIELDS: _fields, VECTORS: _vectors, LOG: _log,
    TAGS: _tags, LOST: _lost, ASIDE: _aside, SUMMARIES: _summaries,
}  # fmt: skip

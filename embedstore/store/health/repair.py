"""Repair: makes a damaged store sound again without its teacher, and says what has to be embedded again."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from embedstore.errors import StoreError
from embedstore.store import index_file, layout
from embedstore.store.health import isolation
from embedstore.store.health.isolation import DiedError, Event
from embedstore.store.health.problems import Kind
from embedstore.store.health.verification import DAMAGED, FRESH, refuse_no_store
from embedstore.store.writing import locked

Progress = Callable[[int, int], None]  # entries done, entries in all, of one pass over the data


@dataclass(frozen=True)
class RepairReport:
    """What a repair did.

    Attributes:
        path: of the store.
        changed: whether anything was done; False where nothing was wrong.
        version: the newest now, one higher where samples changed; None where nothing was changed.
        samples: it has.
        embed_again: ids of samples that left, for their vectors or rows were lost; a build from their pictures brings them
            back with all that was known of them.
        outputs_incomplete: further outputs of the teacher of which vectors were lost; no sample left for that, and a build from
            the pictures gives them back.
        views: augmented views that it has; None where no vectors of them were lost.
        views_incomplete: so many more it had, that no reader sees any more, for vectors of them were lost; no sample left for
            that, and a build from the pictures gives them back where it asks for as many views.
        nameless: how many samples left whose id can't be told.
        emptied: field -> ids of the samples that have none any more.
        closed: versions that can't be read any more, for something of them was lost.
        tags, summaries: names of those that were dropped.
        dropped: table -> how many of its other entries were dropped.
        index_removed: whether there was a search index, which is to be made again.
        remarks: sentences.
        kept_aside: where the damaged data is now; None where it was removed, or nothing had to be copied.
    """

    path: str
    changed: bool
    version: int | None = None
    samples: int | None = None
    embed_again: tuple[str, ...] = ()
    outputs_incomplete: tuple[str, ...] = ()
    views: int | None = None
    views_incomplete: int = 0
    nameless: int = 0
    emptied: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    closed: tuple[int, ...] = ()
    tags: tuple[str, ...] = ()
    summaries: tuple[str, ...] = ()
    dropped: Mapping[str, int] = field(default_factory=dict)
    index_removed: bool = False
    remarks: tuple[str, ...] = ()
    kept_aside: str | None = None


def repair(path: str | os.PathLike[str], *, discard: bool = False, progress: Progress | None = None) -> RepairReport:
    """Write all that is sound into a new generation, make it whole, and put it in place of the damaged one.

    Where nothing is wrong, nothing is done. A kill at any moment leaves the store as it was, or repaired. It needs as much
    room on the disk as the store itself, and twice as much where the data file is cut off.

    Args:
        path: the store.
        discard: remove the damaged data instead of keeping it aside.
        progress: called with (entries done, entries in all) of each of three passes.

    Raises:
        StoreError: too little is left, the disk is full, or the damage ends the process that reads it; nothing was changed.
        StoreLockedError: another process writes.
    """
    store = Path(path)
    refuse_no_store(store)
    with locked(store):
        _remove_unfinished(store)
        told = _Told()
        try:
            for event in isolation.run("repair", isolation.as_path(store)):
                if "progress" not in event:
                    told.take(event)
                elif progress is not None:
                    progress(event["progress"], event["total"])
            kept_aside = _put_in_place(store, told, discard=discard)
        except DiedError as error:
            raise StoreError(
                f"Reading '{store}' ended the process that read it ({error}), so the data file is too damaged to be repaired; "
                "restore the store from a copy. Nothing was changed."
            ) from error
        except OSError as error:
            raise StoreError(
                f"The store '{store}' can't be repaired: {error.strerror}; it stays as it was, or is repaired already: run "
                "the command again."
            ) from error
        finally:
            _remove_unfinished(store)
    return told.report(str(store), kept_aside)


class _Told:
    """What the repairing process has told so far."""

    def __init__(self) -> None:
        self.facts: Event = {}
        self._lists: dict[str, list[Any]] = {
            "embed_again": [],
            "outputs_incomplete": [],
            "closed": [],
            "tags": [],
            "summaries": [],
            "remarks": [],
        }
        self._emptied: dict[str, list[str]] = {}
        self._dropped: dict[str, int] = {}
        self._nameless = 0
        self.index_removed = False

    def take(self, event: Event) -> None:
        """Take one event of `mending.work`."""
        match event:
            case {"said": sentence}:
                self._lists["remarks"].append(sentence)
            case {"lost": ids}:
                self._lists["embed_again"] += ids
            case {"versions": versions}:
                self._lists["closed"] += versions
            case {"list": name, "names": names}:
                self._lists[name] += names
            case {"emptied": name, "ids": ids}:
                self._emptied.setdefault(name, []).extend(ids)
            case {"dropped": table, "count": count}:
                self._dropped[table] = count
            case {"nameless": count}:
                self._nameless += count
            case _:
                self.facts |= event

    def report(self, path: str, kept_aside: str | None) -> RepairReport:
        """Return what was done."""
        return RepairReport(
            path=path,
            changed=bool(self.facts.get("kinds")),
            version=self.facts.get("version"),
            samples=self.facts.get("samples"),
            views=self.facts.get("views"),
            views_incomplete=self.facts.get("views_incomplete", 0),
            nameless=self._nameless,
            emptied={name: tuple(ids) for name, ids in self._emptied.items()},
            dropped=self._dropped,
            index_removed=self.index_removed,
            kept_aside=kept_aside,
            **{name: tuple(values) for name, values in self._lists.items()},
        )


def _put_in_place(store: Path, told: _Told, *, discard: bool) -> str | None:
    """Make the fresh generation the one in use; return where the damaged one is kept."""
    used = store / layout.GENERATIONS / told.facts["used"]
    kinds = told.facts["kinds"]
    if "fresh" not in told.facts:
        if Kind.INDEX in kinds:
            told.index_removed = index_file.remove(used)
        if Kind.CURRENT in kinds:
            layout.write_current(store, used.name)
        return None
    told.index_removed = index_file.marker_state(used) is not None
    fresh = used.with_name(told.facts["fresh"])
    new = fresh.with_name(fresh.name.removesuffix(FRESH))
    fresh.rename(new)
    layout.sync_directory(new.parent)
    marker = used / layout.DAMAGED
    if not discard:  # a kill before it has its new name must not let the next writer remove it
        marker.touch()
        layout.sync_directory(used)
    layout.write_current(store, new.name)
    if discard:
        shutil.rmtree(used, ignore_errors=True)
        return None
    names = (f"{used.name}{DAMAGED}{number}" for number in ("", *range(2, 1000)))
    aside = next(used.with_name(name) for name in names if not used.with_name(name).exists())
    with contextlib.suppress(
        OSError
    ):  # on Windows, where another process has it open: it stays for the next change to remove
        used.rename(aside)
        return str(aside)
    return None


def _remove_unfinished(store: Path) -> None:
    """Remove what a repair that did not end has written."""
    for left in (store / layout.GENERATIONS).glob(f"*{FRESH}"):
        shutil.rmtree(left, ignore_errors=True)

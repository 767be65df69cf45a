"""Undo: a new version that sets back what an earlier one changed. It needs no record of its own: versions are compared."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from embedstore.errors import ConflictError, StoreError
from embedstore.images import FIELDS
from embedstore.store.earlier_pictures import other_pictures
from embedstore.store.fields import ATTRIBUTE, spelt
from embedstore.store.versions import BEFORE, STEP, STEPS, TARGET
from embedstore.triage.change import WAIT_SECONDS, Change
from embedstore.triage.conflicts import in_words

if TYPE_CHECKING:
    from embedstore.store.embedding_store import EmbeddingStore
    from embedstore.store.versions import Version

ACTION, UNDONE = "undo", "undone"  # in the log: what made the version, and the detail that names the version undone
# Details of versions: of those that did more than change fields, and those that tell which version or step it is.
OF_SAMPLES = frozenset({"new", "changed", "removed", "back", "gone"})
NO_COUNTS = frozenset({UNDONE, TARGET, STEP, STEPS, BEFORE})


def undo(store: EmbeddingStore, version: int) -> Change:
    """Set back the fields that a version changed, of exactly those samples, as a new version; that can be undone as well.

    Any version can be undone that changed labels, modes, groups, splits or attributes only, whatever made it. What folder or
    manifest said last stays, so that a later build does not bring back what was undone.

    Args:
        store: open at its newest version. Another writer is waited for, up to 10 s.
        version: its number.

    Raises:
        ConflictError: a later version changed one of these again, removed the sample, or gave its name to another picture; or
            it moved other samples into or out of a group that this would take apart, and they may be twins of these.
        StoreLockedError: another writer takes longer.
        StoreError: there is no such version, it added or removed samples or changed no field, or a compaction removed it, or
            the version before it.
    """
    with store.write(ACTION, wait=WAIT_SECONDS) as writing:
        change = plan_undo(store, version)
        return change.write(store, writing, {UNDONE: int(version), "updated": change.samples})


def plan_undo(store: EmbeddingStore, version: int) -> Change:
    """Return what `undo` would change, and change nothing; it refuses the same."""
    from embedstore.store.embedding_store import open_store

    made = _made_by(store, version, store.log())
    for name, texts in made.fields.items():
        field, positions = store.text_field(spelt(name)), store.find(list(texts)).tolist()
        if -1 in positions:
            raise ConflictError(
                f"Version {version} can't be undone, for the sample '{list(texts)[positions.index(-1)]}', which it changed, is "
                "no longer in the store; change the others with: embedstore relabel"
            )
        decided = _decided_by(store, list(texts), name, version)
        for (sample_id, (_, after)), at in zip(texts.items(), positions, strict=True):
            now = field.at(at)
            if now != after or decided[sample_id] != version:
                by = decided[sample_id] if now == after else store.changed_by([sample_id], name)[0]
                what = f"the {name} of '{sample_id}' was changed again, {_to(now)}"
                with open_store(store.path, version) as then:
                    if other_pictures(then, store, [sample_id]):
                        what = f"'{sample_id}' has another picture since"
                raise _conflict(store, version, what, by)
    if "group" in made.fields:
        _refuse_regrouped(store, version, made.fields["group"])
    return Change.towards(
        store, {name: {one: before for one, (before, _) in texts.items()} for name, texts in made.fields.items()}
    )


def last_undoable(store: EmbeddingStore) -> int | None:
    """Return the newest version that changed fields only and was not undone, nor is an undo itself; None: there is none.

    So who undoes again and again goes back step by step.
    """
    log = store.log()
    gone: set[int] = set()  # undone, by an undo that stands
    for entry in reversed(log):
        # A look at what a version changed reads all samples twice, so what the log tells of it is enough where it does.
        if entry.number in gone or entry.details.keys() & OF_SAMPLES:
            continue
        if (undone := _undone_by(entry)) is not None:
            gone.add(undone)
            continue
        try:
            _made_by(store, entry.number, log)
        except StoreError:
            continue
        return entry.number
    return None


def refuse_newer_samples(store: EmbeddingStore, version: int) -> None:
    """Refuse to undo the last change of fields where a newer version added or removed samples, which may be what was meant.

    Raises:
        ConflictError: there is such a version; the message names what takes it back.
    """
    later = [one for one in store.log() if one.number > version and one.details.keys() & OF_SAMPLES]
    newer = later[-1] if later else None
    if newer is not None:
        raise ConflictError(
            f"Version {newer.number} ({newer.action}) is newer than version {version}, the last that can be undone, and added or "
            f"removed samples. To take that back: embedstore rollback '{store.path}' {newer.number - 1}; to undo version "
            f"{version} all the same: embedstore undo '{store.path}' {version}"
        )


def _undone_by(entry: Version) -> int | None:
    """Return the version that a version took back; None where it is no undo."""
    return entry.details.get(UNDONE) if entry.action == ACTION else None


def _decided_by(reader: EmbeddingStore, ids: Sequence[str], name: str, version: int) -> dict[str, int]:
    """Return the version, from `version` on, that decided what each sample has in a field.

    An undo decides nothing, for it brings back what was there before; nor does a picture that was taken again, for which the
    text stayed. So both are followed back, as far as a compaction left versions. A name that another picture got is not.
    """
    from embedstore.store.embedding_store import open_store

    undone = {entry.number: _undone_by(entry) or entry.number for entry in reader.log()}
    readable = {entry.number for entry in reader.log() if entry.readable}
    changed = defaultdict[int, list[str]](list)
    for one, number in zip(ids, reader.changed_by(ids, name), strict=True):
        changed[number].append(one)
    decided: dict[str, int] = {}
    for number, some in changed.items():
        decided |= dict.fromkeys(some, number)
        before = undone.get(number, number) - 1
        if before < version or before not in readable:
            continue
        after = min(one for one in readable if one >= number)
        with open_store(reader.path, before) as earlier, open_store(reader.path, after) as later:
            now, then = reader.text_field(spelt(name)), earlier.text_field(spelt(name))
            places = zip(some, reader.find(some).tolist(), earlier.find(some).tolist(), strict=True)
            stayed = [one for one, at, was in places if was >= 0 and now.at(at) == then.at(was)]
            others = other_pictures(earlier, later, stayed)
            stayed = [one for one in stayed if one not in others]
            if stayed:
                decided |= _decided_by(earlier, stayed, name, version)
    return decided


def _refuse_regrouped(store: EmbeddingStore, version: int, texts: Mapping[str, tuple[str | None, str | None]]) -> None:
    """Raise where other samples came into the groups of a version since, or left them: nothing tells whose twins they are."""
    from embedstore.store.embedding_store import open_store

    groups = {group for pair in texts.values() for group in pair if group is not None}
    with open_store(store.path, version) as then:
        before = dict(zip(then.ids, then.field("group"), strict=True))
    for one, group in zip(store.ids, store.field("group"), strict=True):
        if before.get(one, group) != group and groups & {before[one], group}:
            what = f"the group of '{one}', which may be a twin of its samples, was changed later, {_to(group)}"
            raise _conflict(store, version, what, store.changed_by([one], "group")[0])


def _to(text: str | None) -> str:
    return "to none" if text is None else f"to '{text}'"


def _conflict(store: EmbeddingStore, version: int, what: str, by: int) -> StoreError:
    """Return the error that says what a later version changed, and what to do about that one."""
    if any(entry.number == by and _undone_by(entry) == version for entry in store.log()):
        return ConflictError(
            f"Version {version} was undone already, by {in_words(store, by)}; to have it back, undo that one."
        )
    try:
        _made_by(store, by, store.log())
        advice = "undo that first"
    except StoreError:
        advice = "put the samples right with: embedstore relabel"
    return ConflictError(f"Version {version} can't be undone, for {what}, by {in_words(store, by)}; {advice}.")


def _made_by(store: EmbeddingStore, version: int, history: Sequence[Version]) -> Change:
    """Return what a version changed, where that was fields only; `history` is all that made the store."""
    from embedstore.store.embedding_store import open_store

    log = {entry.number: entry for entry in history}
    if version not in log or version < 1:
        has = f"it has 1 to {max(log)}" if max(log) else "nothing has changed it yet"
        raise StoreError(f"The store '{store.path}' has no version {version} to undo; {has}.")
    for number in (version, version - 1):
        if number not in log or not log[number].readable:
            raise StoreError(
                f"Version {version} can't be undone, for version {number}, which tells what it changed, was removed by a "
                "compaction; put the samples right with: embedstore relabel"
            )
    action = log[version].action
    with open_store(store.path, version - 1) as before, open_store(store.path, version) as after:
        if before.fingerprint != after.fingerprint:
            raise StoreError(
                f"Version {version} ({action}) changed the teacher from '{before.teacher}' to '{after.teacher}', which no "
                f"undo takes back; change over again with: embedstore migrate '{store.path}' --back"
            )
        if not np.array_equal(before.rows, after.rows):
            raise StoreError(
                f"Version {version} ({action}) added or removed samples, and only changes of labels, modes, groups, splits and "
                f"attributes can be undone; version {version - 1} can still be read, with --version {version - 1}."
            )
        ids, fields = after.ids, {}
        for name in after.field_names:
            if name in FIELDS or name.startswith(ATTRIBUTE):
                pairs = zip(ids, before.text_field(name).to_list(), after.text_field(name).to_list(), strict=True)
                changed = {one: (old, new) for one, old, new in pairs if old != new}
                if changed:
                    fields[name.removeprefix(ATTRIBUTE)] = changed
    if not fields:
        raise StoreError(
            f"Version {version} ({action}) changed no label, mode, group, split or attribute, so there is nothing to undo; see "
            f"what made each version: embedstore log '{store.path}'"
        )
    return Change(fields)

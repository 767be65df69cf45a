"""Decisions of a person at the page: read from what may be hostile, written as one version, or refused one by one."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import embedstore
from embedstore.errors import ConflictError, SettingsError
from embedstore.pages import Text
from embedstore.store.embedding_store import EmbeddingStore
from embedstore.store.fields import spelt
from embedstore.triage import VERDICT, Change, Verdict, plan_triage, plan_undo
from embedstore.triage.change import WAIT_SECONDS
from embedstore.triage.undoing import ACTION, UNDONE
from embedstore_inspector.boards import check_key
from embedstore_inspector.history import FIELD_NAMES, made_by, text_of
from embedstore_inspector.refusals import RefusedError, in_both
from embedstore_inspector.words import WORDS

MOST = 1_000  # decisions saved together
MOST_BYTES = 1 << 20  # of what is sent
LONGEST_LABEL = 200  # letters

_WATCHED = ("label", "split", "group", VERDICT)
_STRANGE = Text(
    "What was sent is no list of decisions; load the page again.",
    "送信された内容は判定の一覧ではありません。ページを再読み込みしてください。",
)
_CHANGED = Text(
    "Others have changed some of these pictures since you looked at them; nothing was saved. Look at those again; the rest can "
    "be saved now.",
    "確認した後に、一部の画像が変更されました。まだ何も保存されていません。該当する画像を見直してください。残りの判定はこのまま保存できます。",
)


@dataclass(frozen=True)
class Decision:
    """What a person says of a sample, and the version that was on the screen then."""

    sample_id: str
    verdict: Verdict
    since: int


def read_object(data: bytes) -> dict[str, Any]:
    """Return a JSON object.

    Raises:
        RefusedError: it is none.
    """
    try:
        found = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise RefusedError(400, _STRANGE) from error
    if not isinstance(found, dict):
        raise RefusedError(400, _STRANGE)
    return found


def read_decisions(data: bytes) -> list[Decision]:
    """Return what a page sent: `{"verdicts": [{"id", "kind", "value", "since"}, ...]}`, each sample once.

    Raises:
        RefusedError: it is something else, or too much.
        SettingsError: there is no such verdict, or it lacks its value.
    """
    listed = read_object(data).get("verdicts")
    if not isinstance(listed, list) or not listed:
        raise RefusedError(400, _STRANGE)
    if len(listed) > MOST:
        raise RefusedError(
            413,
            Text(
                f"{len(listed):,} decisions were sent, more than {MOST:,}; save fewer at once.",
                f"{len(listed):,} 件の判定が送信されました。一度に保存できるのは {MOST:,} 件までです。",
            ),
        )
    decisions = [_decision(one) for one in listed]
    if len({one.sample_id for one in decisions}) < len(decisions):
        raise RefusedError(400, _STRANGE)
    return decisions


def _decision(given: Any) -> Decision:
    if not isinstance(given, dict) or set(given) != {"id", "kind", "value", "since"}:
        raise RefusedError(400, _STRANGE)
    sample_id, kind, value, since = given["id"], given["kind"], given["value"], given["since"]
    texts = [sample_id, kind, *([] if value is None else [value])]
    if type(since) is not int or since < 0 or not all(isinstance(one, str) and _whole(one) for one in texts):
        raise RefusedError(400, _STRANGE)
    return Decision(sample_id, Verdict(kind, value), since)


def _whole(text: str) -> bool:
    """Return whether a text has no half characters, which JSON can hold and a store can't."""
    return not any("\ud800" <= letter <= "\udfff" for letter in text)


def save(path: Path, key: str, decisions: Sequence[Decision]) -> Change:
    """Write decisions as one version; each is checked against the version that was on the screen when it was made.

    Args:
        path: the store.
        key: of the store that is meant; see `boards.key_of`.
        decisions: on one sample each.

    Raises:
        RefusedError: some samples have changed since, and it tells which; another store is at the path; a new label is too long.
            Nothing is written.
        StoreLockedError: another writer takes longer than 10 s.
        StoreError, SettingsError: see `triage.triage`.
    """
    verdicts = {one.sample_id: one.verdict for one in decisions}
    since = {one.sample_id: one.since for one in decisions}
    with embedstore.open(path) as store:
        try:
            with store.write("triage", wait=WAIT_SECONDS) as writing:
                check_key(store, key)
                _refuse_ahead(store, since)
                _refuse_long(store, verdicts)
                change = plan_triage(store, verdicts, since=since)
                return change.write(store, writing, Counter(said.kind for said in verdicts.values()))
        except ConflictError as error:
            # Without the lock: this may take a while, and nothing is written any more.
            raise _refused(store, _conflicts(store, verdicts, since)) from error


def take_back(path: Path, key: str, version: int) -> Change:
    """Undo a version; see `triage.undo`, which refuses the same.

    Raises:
        RefusedError: another store is at the path.
    """
    with embedstore.open(path) as store, store.write(ACTION, wait=WAIT_SECONDS) as writing:
        check_key(store, key)
        change = plan_undo(store, version)
        return change.write(store, writing, {UNDONE: version, "updated": change.samples})


def _refused(store: EmbeddingStore, conflicts: Mapping[str, Text]) -> RefusedError:
    told = [{"id": sample_id, **in_both(text)} for sample_id, text in conflicts.items()]
    return RefusedError(409, _CHANGED, {"version": store.version, "conflicts": told})


def _refuse_ahead(store: EmbeddingStore, since: Mapping[str, int]) -> None:
    """Raise where an earlier copy of the store was put back, after which nothing tells what a person looked at."""
    if ahead := [sample_id for sample_id, version in since.items() if version > store.version]:
        raise _refused(store, dict.fromkeys(ahead, WORDS["put_back"]))


def _refuse_long(store: EmbeddingStore, verdicts: Mapping[str, Verdict]) -> None:
    """Raise where a label is long and new; one that the store has may be chosen whatever its length."""
    labels = {one: said.value or "" for one, said in verdicts.items() if said.kind == "wrong-label"}
    if not any(len(label) > LONGEST_LABEL for label in labels.values()):
        return
    known = set(store.field("label"))
    for sample_id, label in labels.items():
        if len(label) > LONGEST_LABEL and label not in known:
            raise RefusedError(
                400,
                Text(
                    f"The label for '{sample_id}' has {len(label):,} letters, more than {LONGEST_LABEL}; give a shorter one.",
                    f"「{sample_id}」のラベルが {len(label):,} 文字あります。{LONGEST_LABEL} 文字以内にしてください。",
                ),
            )


def _conflicts(store: EmbeddingStore, verdicts: Mapping[str, Verdict], since: Mapping[str, int]) -> dict[str, Text]:
    """Return id -> what has changed, of the samples that have; halves are looked at apart, so that a few are found fast."""
    try:
        plan_triage(store, verdicts, since=since)
    except ConflictError as error:
        if len(verdicts) == 1:
            ((sample_id, said),) = verdicts.items()
            other = [said.value] if said.kind == "twin" and said.value is not None else []
            return {sample_id: _told(store, sample_id, other, since[sample_id]) or _as_it_says(error)}
        items = list(verdicts.items())
        half = len(items) // 2
        return _conflicts(store, dict(items[:half]), since) | _conflicts(store, dict(items[half:]), since)
    except SettingsError:  # its own twin, told when the rest is saved
        return {}
    return {}


def _told(store: EmbeddingStore, sample_id: str, others: Sequence[str], since: int) -> Text | None:
    """Return what changed of a sample since a version, and by what; None where no field did, or nothing tells."""
    log = {entry.number: entry for entry in store.log()}
    if since in log and not log[since].readable:
        return None
    changes: list[Text] = []
    with embedstore.open(store.path, version=since) as seen:
        for one, names in ((sample_id, _WATCHED), *((other, ("group",)) for other in others)):
            (at,), (before,) = store.find([one]).tolist(), seen.find([one]).tolist()
            if at < 0 or before < 0:
                continue
            for name in names:
                then, now = seen.text_field(spelt(name)).at(before), store.text_field(spelt(name)).at(at)
                if then != now:
                    by = made_by(log.get(store.changed_by([one], name)[0]))
                    field, old, new = FIELD_NAMES[name], text_of(name, then), text_of(name, now)
                    whose = Text("", "") if one == sample_id else Text(f" of '{one}'", f"「{one}」の")
                    changes.append(
                        Text(
                            f"the {field.en}{whose.en} was changed from {old.en} to {new.en} by {by.en}",
                            f"{whose.ja}{field.ja}が{old.ja}から{new.ja}に変更されました（{by.ja}）",
                        )
                    )
    if not changes:
        return None
    english = "; ".join(one.en for one in changes)
    return Text(english[0].upper() + english[1:] + ".", "。".join(one.ja for one in changes) + "。")


def _as_it_says(error: ConflictError) -> Text:
    return Text(str(error), f"その後に別の変更がありました（{error}）")

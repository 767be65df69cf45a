"""What made each version, and what an undo would do, in sentences of both languages."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from embedstore.pages import Text
from embedstore.pages.odd_page import VERDICTS
from embedstore.store.embedding_store import EmbeddingStore
from embedstore.store.migrations import BEFORE as UPGRADE
from embedstore.store.versions import STEP, STEPS, TARGET, Version
from embedstore.teacher_change.migration import ACTION as MIGRATION
from embedstore.triage import VERDICT, Change
from embedstore.triage.undoing import NO_COUNTS, OF_SAMPLES, UNDONE
from embedstore_inspector.refusals import in_both

MOST = 200  # versions listed
EXAMPLES = 12  # of an undo

FIELD_NAMES = {
    "label": Text("label", "ラベル"),
    "mode": Text("kind", "種類"),
    "split": Text("side", "用途"),
    "group": Text("part", "部品"),
    VERDICT: Text("verdict", "判定"),
}
_ACTIONS = {
    "create": Text("Begun", "ストアを作成"),
    "build": Text("Built from the pictures", "画像から作成"),
    "add": Text("Pictures added", "画像を追加"),
    "import": Text("Vectors imported", "ベクトルを取り込み"),
    "write": Text("Changed by a program", "プログラムによる変更"),
    "delete": Text("Samples removed", "画像を削除"),
    "split": Text("Split dealt", "用途の分割"),
    "groups": Text("Parts found", "部品の割り当て"),
    "relabel": Text("Fields changed", "項目を変更"),
    "triage": Text("Decisions", "判定"),
    "undo": Text("Undo", "取り消し"),
    "refresh pictures": Text("Refresh: the pictures", "更新：画像"),
    "refresh sides": Text("Refresh: sides for new parts", "更新：新しい部品の用途"),
    "refresh summaries": Text("Refresh: the summaries", "更新：要約"),
    "rollback": Text("Went back", "以前の内容に戻す操作"),
    "thin": Text("Thinned", "間引き"),
    "repair": Text("Repaired", "修復"),
    UPGRADE: Text("Before an upgrade of the format", "形式の更新前"),
}
_AMOUNTS = {
    **VERDICTS,
    "wrong-label": Text("wrong label", "ラベルの訂正"),
    "new": Text("new", "新規"),
    "changed": Text("with another picture", "画像の更新"),
    "updated": Text("with other fields", "項目の更新"),
    "given a side": Text("given a side", "用途の割り当て"),
    "removed": Text("removed", "削除"),
    "back": Text("back again", "戻した画像"),
    "gone": Text("gone again", "外した画像"),
    "summaries": Text("summaries", "要約"),
    "verdicts dropped": Text("verdicts dropped", "消えた判定"),
    "switched": Text("with vectors of the new teacher", "新しい教師の埋め込み"),
    "samples": Text("samples", "サンプル"),
    "views": Text("views left", "残したビュー"),
}
_SWITCH = f"{MIGRATION} "  # then the teacher


def told(version: Version, before: Version | None) -> dict[str, Any]:
    """Return a version as the page lists it; whatever programs called their actions is shown as they wrote it.

    Args:
        version: what to tell.
        before: the version before it; None: there is none.
    """
    return {
        "number": version.number,
        "time": version.time,
        "what": in_both(_action(version)),
        "amount": in_both(_amount(version)),
        "tags": list(version.tags),
        # Whether it is worth asking; the plan tells where something else is in the way.
        "undoable": version.readable
        and before is not None
        and before.readable
        and not OF_SAMPLES & version.details.keys(),
    }


def made_by(version: Version | None) -> Text:
    """Return a version with what made it and when, as a sentence names it."""
    if version is None:
        return Text("an earlier version", "以前のバージョン")
    when = datetime.fromisoformat(version.time).astimezone().strftime("%Y-%m-%d %H:%M")
    action = _action(version)
    return Text(
        f"version {version.number} ({action.en.lower()}, {when})", f"バージョン {version.number}、{action.ja}、{when}"
    )


def planned(store: EmbeddingStore, number: int, change: Change) -> dict[str, Any]:
    """Return what the undo of a version would do, as the page asks before it does it."""
    examples = [
        {
            "id": sample_id,
            **in_both(
                Text(
                    f"{_field(name).en}: {text_of(name, before).en} → {text_of(name, after).en}",
                    f"{_field(name).ja}：{text_of(name, before).ja} → {text_of(name, after).ja}",
                )
            ),
        }
        for name, texts in change.fields.items()
        for sample_id, (before, after) in list(texts.items())[:EXAMPLES]
    ]
    english = ", ".join(f"the {_field(name).en} of {len(texts)}" for name, texts in change.fields.items())
    japanese = "、".join(f"{_field(name).ja} {len(texts)} 枚" for name, texts in change.fields.items())
    pictures = "picture" if change.samples == 1 else "pictures"
    return {
        "version": store.version,
        "undoes": number,
        "samples": change.samples,
        "sentence": in_both(
            Text(
                f"Sets back {english} ({change.samples} {pictures} in all).",
                f"{japanese}を元に戻します（画像は合計 {change.samples} 枚）。",
            )
            if change.fields
            else Text("All of it is back already; nothing would change.", "すべて元に戻っています。変更はありません。")
        ),
        "examples": examples[:EXAMPLES],
    }


def text_of(name: str, text: str | None) -> Text:
    """Return the text of a field as sentences name it."""
    if text is None:
        return Text("none", "なし")
    if name == VERDICT and text in VERDICTS:
        return Text(f"'{VERDICTS[text].en}'", f"「{VERDICTS[text].ja}」")
    return Text(f"'{text}'", f"「{text}」")


def _field(name: str) -> Text:
    return FIELD_NAMES.get(name, Text(name, name))


def _action(version: Version) -> Text:
    details = version.details
    if version.action.startswith(_SWITCH):
        teacher = version.action.removeprefix(_SWITCH)
        return Text(f"Switched to the teacher {teacher}", f"教師を {teacher} に切り替え")
    action = _ACTIONS.get(version.action, Text(version.action, version.action))
    if UNDONE in details:
        return Text(f"{action.en} of version {details[UNDONE]}", f"バージョン {details[UNDONE]} の{action.ja}")
    if TARGET in details:
        return Text(f"{action.en} to version {details[TARGET]}", f"バージョン {details[TARGET]} に戻す操作")
    if STEP in details and STEPS in details:
        step = f"{details[STEP]}/{details[STEPS]}"
        return Text(f"{action.en} (step {step})", f"{action.ja}（手順 {step}）")
    return action


def _amount(version: Version) -> Text:
    counts = [
        (count, _AMOUNTS.get(name, Text(name, name)))
        for name, count in version.details.items()
        if name not in NO_COUNTS
    ]
    return Text(
        ", ".join(f"{count:,} {what.en}" for count, what in counts),
        "、".join(f"{what.ja} {count:,}" for count, what in counts),
    )

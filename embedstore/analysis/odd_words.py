"""What is said of odd samples, in English and in Japanese, from what was measured."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, NamedTuple

from embedstore.analysis.odd_reasons import NEIGHBOURS, Neighbour, OddSample
from embedstore.store.earlier_pictures import is_kept

if TYPE_CHECKING:
    from embedstore.store.embedding_store import EmbeddingStore
    from embedstore.summaries import Summary


class Sentence(NamedTuple):
    """The same in both languages."""

    en: str
    ja: str


def compared_with(summary: Summary, *, given: bool) -> Sentence:
    """Say what samples were compared with: a summary that was given, or one that was made for this."""
    count, seen = len(summary.labels), f"{len(summary.seen):,}"
    en, ja = (f" of the {summary.split} side", f"（{summary.split}）") if summary.split else ("", "")
    if given:
        return Sentence(
            f"Compared with the summary '{summary.name}': {count} prototypes of {seen} pictures{en}.",
            f"要約「{summary.name}」（画像 {seen} 枚{ja}から作られた {count} 個の代表例）と比べました。",
        )
    return Sentence(
        f"Compared with {count} sub-prototypes of {seen} pictures{en}, made for this and not saved.",
        f"画像 {seen} 枚{ja}からこのために作った {count} 個の代表例（保存されません）と比べました。",
    )


def remarks(store: EmbeddingStore, summary: Summary, labels: Iterable[str | None], *, given: bool) -> list[Sentence]:
    """Say what makes the findings doubtful, where something does; see `compared_with` for `given`."""
    found = []
    if not given and summary.split is None and "train" in store.counts("split"):
        found.append(
            Sentence(
                "No picture of the training side has a label, so the prototypes were made from the labelled pictures of all "
                "sides.",
                "学習用（train）の画像にラベルがないため、代表例は全用途のラベル付き画像から作りました。",
            )
        )
    if summary.store_version != store.version:
        named = Sentence("", "") if is_kept(store, summary.store_version) else _BY_NAME
        found.append(
            Sentence(
                f"The summary '{summary.name}' was made of version {summary.store_version} of the store, which is at version "
                f"{store.version} now; what changed since then is not in it.{named.en}",
                f"要約「{summary.name}」はストアのバージョン {summary.store_version} から作られました。"
                f"現在のバージョンは {store.version} で、その後の変更は含まれていません。{named.ja}",
            )
        )
    without = [label for label in labels if label is not None and label not in summary.labels]
    if without:
        found.append(
            Sentence(
                f"The summary has no prototype of {', '.join(_quoted(label, False) for label in without)}; those pictures are "
                "compared with the prototypes of all labels.",
                f"この要約には{'、'.join(_quoted(label, True) for label in without)}の代表例がないため、"
                "全ラベルの代表例と比べました。",
            )
        )
    alone = store.counts("group").get(None, 0)
    if alone:
        found.append(
            Sentence(
                f"{alone} of {len(store)} pictures have no group, so each counts as a part of its own: what was photographed "
                "twice has a near neighbour and does not look odd. To find such groups: embedstore twins",
                f"画像 {len(store)} 枚のうち {alone} 枚にはグループがなく、それぞれ別の部品として扱われます。2 回撮影された部品は"
                "近い画像があるため特異に見えません。グループの検出: embedstore twins",
            )
        )
    return found


def why(odd: OddSample, language: str = "en") -> str:
    """Say in a sentence or two what is odd, in English (`en`) or Japanese (`ja`)."""
    japanese = language == "ja"
    case, first = _case(odd)
    prototype = odd.prototype
    members = 0 if prototype is None else prototype.members
    closer = round((odd.percentile or 0) / 100 * members)
    facts: dict[str, object] = {
        "label": _quoted(odd.label, japanese),
        "whose": _quoted(prototype.label if prototype else odd.label, japanese),
        "other": _quoted(odd.other_label, japanese),
        "first": _quoted(first.label if first else None, japanese),
        "first_kind": _quoted(first.label if first else None, japanese),
        "distance": _two_digits(odd.distance),
        "other_distance": _two_digits(odd.other_distance),
        "away": _two_digits(first.distance if first else None),
        "near": _two_digits(odd.near),
        "members": members,
        "closer": closer,
        "pictures": "picture" if members == 1 else "pictures",
        "are": "is" if closer == 1 else "are",
        "count": NEIGHBOURS,
    }
    if first is not None and first.mode not in (None, first.label):
        facts["first_kind"] = f"「{first.label}・{first.mode}」" if japanese else f"{facts['first']} ({first.mode})"
    return _SENTENCES[case][japanese].format(**facts)


def _case(odd: OddSample) -> tuple[str, Neighbour | None]:
    """Return which sentence fits, and the neighbour that it speaks of."""
    first = odd.nearest[0] if odd.nearest else None
    if first is None:
        return "alone", None
    if odd.reason == "averaged-away":
        seen = odd.seen or any(near.seen for near in odd.kin)
        return ("averaged-away" if seen else "unseen"), odd.kin[0]
    if odd.reason == "nothing-special" and odd.percentile is None:
        return "without members", first
    return odd.reason, first


def _quoted(label: str | None, japanese: bool) -> str:
    if label is None:
        return "ラベルなし" if japanese else "without a label"
    return f"「{label}」" if japanese else f"'{label}'"


def _two_digits(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"


_BY_NAME = Sentence(
    " That version is no longer kept, so pictures are told by their names, and one that was renamed since is taken for another.",
    "そのバージョンは残っていないため、画像は名前で照合しています。その後に名前が変わった画像は、別の画像と取り違えられます。",
)
_SENTENCES = {
    "alone": (
        "The store has no other part to compare it with.",
        "比べられる別の部品がストアにありません。",
    ),
    "nothing-to-compare": (
        "Nothing tells how usual it is, since no prototype that it could be compared with comes from another part. The part "
        "most like it is {first_kind}, {away} away.",
        "比較できる代表例に別の部品から作られたものがないため、どれほど珍しいか判断できません。"
        "最も似ている別の部品は{first_kind}で、距離は {away} です。",
    ),
    "nothing-near": (
        "It stands apart: the nearest other part, {first_kind}, is {away} away, while half of the pictures of "
        "{whose} have one within {near}. A rare kind, or a spoilt picture.",
        "他から離れています。最も近い別の部品（{first_kind}）でも距離は {away} です。"
        "{whose}の画像の半数には {near} 以内に別の部品があります。まれな種類か、画像の不具合と考えられます。",
    ),
    "other-label": (
        "It is labelled {label}, but the {count} parts most like it are all {first} (the nearest {away} away). Its label may "
        "be wrong, or what sets it apart is small.",
        "ラベルは{label}ですが、最も似ている {count} 個の部品はすべて{first}です（最も近いもので距離 {away}）。"
        "ラベルの誤りか、違いがごく小さい可能性があります。",
    ),
    "between-labels": (
        "It lies between {label} and {other}: their nearest prototypes are {distance} and {other_distance} away, and the part "
        "most like it is {first_kind}, {away} away. See whether its label is right.",
        "{label}と{other}の中間にあります。最も近い代表例までの距離はそれぞれ {distance} と {other_distance} で、"
        "最も似ている別の部品は{first_kind}（距離 {away}）です。ラベルが正しいか確認してください。",
    ),
    "averaged-away": (
        "Other parts are like it (the nearest, {first_kind}, {away} away), but its nearest prototype is {distance} away: this "
        "summary hides such parts.",
        "似た部品はありますが（最も近い{first_kind}まで {away}）、最も近い代表例までは {distance} あります。"
        "この要約ではこうした部品が埋もれます。",
    ),
    "unseen": (
        "The summary was made without the parts that are like it: the nearest of those, {first_kind}, is {away} away, its "
        "nearest prototype {distance}.",
        "似た部品は、この要約を作るときに使われていません。最も近い{first_kind}まで {away}、最も近い代表例まで {distance} です。",
    ),
    "edge": (
        "It lies at the edge of {whose}: of the {members} {pictures} of other parts that its prototype stands for, {closer} "
        "{are} nearer to it than this one ({distance}). The part most like it is {first_kind}, {away} away.",
        "{whose}の端にあります。同じ代表例に属する別の部品の画像 {members} 枚のうち {closer} 枚が、"
        "この画像（{distance}）より代表例に近くあります。最も似ている別の部品は{first_kind}（距離 {away}）です。",
    ),
    "nothing-special": (
        "Nothing about it is special: of the {members} {pictures} of other parts that its prototype stands for, {closer} {are} "
        "nearer to it than this one ({distance}). The part most like it is {first_kind}, {away} away.",
        "特に変わった点はありません。同じ代表例に属する別の部品の画像 {members} 枚のうち、"
        "この画像（{distance}）より代表例に近いものは {closer} 枚です。最も似ている別の部品は{first_kind}（距離 {away}）です。",
    ),
    "without members": (
        "Its nearest prototype, of {whose}, is {distance} away. The part most like it is {first_kind}, {away} away.",
        "最も近い代表例（{whose}）までの距離は {distance} です。最も似ている別の部品は{first_kind}（距離 {away}）です。",
    ),
}

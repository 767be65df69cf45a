"""What a look at a store says in plain sentences, in English and Japanese."""

from __future__ import annotations

from collections.abc import Sequence

from distill.advice.looks import Looks
from embedstore.pages import Text

MOST_NAMES = 3  # of kinds of defect, or labels, in one sentence
_FEWEST_PARTS = 5  # of a label: with fewer, some of five folds have none


def shown(looks: Looks) -> list[Text]:
    """Say what the store shows: sizes, labels of few parts, odd pictures, twins."""
    return [_sizes(looks), *_few_parts(looks), *_odd(looks), *_groups(looks), *_views(looks)]


def unsure(looks: Looks) -> list[Text]:
    """Say what of that makes figures too good, or unsure: labels of few parts, and pictures that look like one part."""
    return [*_few_parts(looks), *_groups(looks)]


def listed(names: Sequence[str]) -> str:
    """Return names as an English list."""
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _sizes(looks: Looks) -> Text:
    some = looks.labels[:MOST_NAMES]
    more = len(looks.labels) - len(some)
    told = ", ".join(f"'{one.label}' {one.pictures:,} ({one.parts:,} parts)" for one in some)
    told_ja = "、".join(f"「{one.label}」{one.pictures:,} 枚（{one.parts:,} 部品）" for one in some)
    return Text(
        f"The store: {looks.pictures:,} pictures, by label, the rarest first: {told}"
        f"{f', and {more} more labels' if more else ''}"
        f"{f'; {looks.unlabelled:,} without a label' if looks.unlabelled else ''}"
        f"{f'; {looks.aside:,} set aside' if looks.aside else ''}.",
        f"ストア：画像 {looks.pictures:,} 枚。ラベル別（少ない順）：{told_ja}{f'、ほか {more} ラベル' if more else ''}"
        f"{f'、ラベルなし {looks.unlabelled:,} 枚' if looks.unlabelled else ''}"
        f"{f'、別扱い（aside）{looks.aside:,} 枚' if looks.aside else ''}。",
    )


def _few_parts(looks: Looks) -> list[Text]:
    names = [one.label for one in looks.labels if one.parts < _FEWEST_PARTS]
    if not names:
        return []
    return [
        Text(
            f"Fewer than {_FEWEST_PARTS} parts show {_quoted(names)}: not every fold can test that, and no figure of it can be "
            "trusted; take pictures of more parts.",
            f"{_quoted_ja(names)}は {_FEWEST_PARTS} 部品未満です。すべての分割ではテストできず、その値は当てになりません。"
            "別の部品の画像を増やしてください。",
        )
    ]


def _odd(looks: Looks) -> list[Text]:
    return [
        Text(
            f"Of the {one.oddest} oddest pictures of '{one.label}', {one.apart} {'has' if one.apart == 1 else 'have'} no other "
            f"part near; {one.hidden} {'is' if one.hidden == 1 else 'are'} like other parts, but far from every prototype. "
            "Look at them with: embedstore inspect",
            f"「{one.label}」で最も特異な画像 {one.oddest} 枚のうち、{one.apart} 枚は近い部品がなく、{one.hidden} 枚は似た部品が"
            "あるのに代表例から離れています。確認：embedstore inspect",
        )
        for one in looks.labels[:MOST_NAMES]
        if one.apart or one.hidden
    ]


def _groups(looks: Looks) -> list[Text]:
    said = []
    if not looks.compared:
        said.append(
            Text(
                "Whether pictures show the same part was not looked at, since there are too many or too few; see: embedstore "
                "twins",
                "画像が多すぎるか少なすぎるため、同じ部品の画像かどうかは調べていません。確認：embedstore twins",
            )
        )
    if looks.ungrouped_twins:
        said.append(
            Text(
                f"Sets of pictures that look like one part, while some of them have no group: {looks.ungrouped_twins:,}. Where "
                "they are one part, the figures are too good; give them groups first: embedstore twins STORE --apply",
                f"グループのない画像を含み、同じ部品に見える組：{looks.ungrouped_twins:,}。実際に同じ部品なら値は良すぎます。"
                "先にグループを付けてください：embedstore twins STORE --apply",
            )
        )
    if looks.meeting_groups:
        said.append(
            Text(
                f"Groups with pictures that look like one part with pictures of another group: {looks.meeting_groups:,}. Where "
                "they are one part, the figures are too good; unite them: embedstore twins STORE --apply --merge",
                f"別のグループと同じ部品に見える画像を含むグループ：{looks.meeting_groups:,}。実際に同じ部品なら値は良すぎます。"
                "統合：embedstore twins STORE --apply --merge",
            )
        )
    if looks.torn_sets:
        said.append(
            Text(
                f"Sets of pictures that look like one part, while the written split puts them on several sides: "
                f"{looks.torn_sets:,}. The report of the training will be too good; the trials dealt folds of their own.",
                f"同じ部品に見えるのに、書き込まれた分割で複数の側（学習・検証・テスト）に分かれている組：{looks.torn_sets:,}。本学習の報告は"
                "良すぎる値になります（試行は独自の分割です）。",
            )
        )
    return said


def _views(looks: Looks) -> list[Text]:
    if looks.views:
        return []
    return [
        Text(
            "The store has no augmented views, from which students learn more: embedstore build STORE IMAGES --views 8",
            "ストアに拡張ビューがありません。追加すると生徒はより多く学べます：embedstore build STORE IMAGES --views 8",
        )
    ]


def _quoted(names: Sequence[str]) -> str:
    more = len(names) - MOST_NAMES
    return listed([*(f"'{name}'" for name in names[:MOST_NAMES]), *([f"{more} more labels"] if more > 0 else [])])


def _quoted_ja(names: Sequence[str]) -> str:
    more = len(names) - MOST_NAMES
    return "、".join(f"「{name}」" for name in names[:MOST_NAMES]) + (f"ほか {more} ラベル" if more > 0 else "")

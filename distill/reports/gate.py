"""A new student against the one it is to replace, in words and as a section of the run's page, in English and Japanese."""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup

from distill.evaluation.gate import FALSE_ALARMS, POWER, Change, Gate, parts_needed
from embedstore.pages import Column, Text, bullets, percent, points, section, table

COLUMNS = (
    Text("kind of defect", "不良の種類"),
    Text("test parts", "テスト部品"),
    Text("escaped before", "以前の見逃し"),
    Text("escape now", "現在の見逃し"),
    Text("rise (points)", "増加（ポイント）"),
    Text("interval", "区間"),
    Text("parts worse, better", "悪化・改善した部品"),
    Text("found if as many get worse", "検出できる悪化"),
    Text("so", "判定"),
)
_VERDICTS = {
    "more": Text("more escape", "見逃し増"),
    "less": Text("fewer escape", "見逃し減"),
    "noise": Text("no change beyond chance", "偶然の範囲内"),
    "unknown": Text("can't tell", "判定不能"),
}
_OF_GOODS = {
    "more": Text("more rejected", "誤判定増"),
    "less": Text("fewer rejected", "誤判定減"),
}


def answer(gate: Gate) -> Text:
    """Say whether the new student may replace the old one, and what to do."""
    old = gate.old.run
    if gate.outcome == "failed":
        rose = _listed([_name(gate, one) for one in gate.gated if one.verdict == "more"])
        return Text(
            f"FAILED: beyond chance, the new student is worse than '{old}' on {rose.en}; keep '{old}'.",
            f"不合格：新しい生徒モデルは、{rose.ja}について「{old}」より偶然の範囲を超えて悪化しています。「{old}」を使い続けて"
            "ください。",
        )
    doubt = _doubt(gate)
    if gate.outcome == "unknown":
        # Also those that can be told today, but not any more once the others have their parts.
        few = _listed([_counted(gate, one) for one in gate.gated if one.parts < one.needed])
        needed = gate.defects.needed
        return Text(
            f"CAN'T TELL: nothing is shown to be worse than with '{old}', but too few test parts show {few.en}: for all to be "
            f"told, each needs {needed}. Add pictures of other such parts to the test side, or look at what escapes and decide "
            f"yourself (--accept-unknown).{doubt.en}",
            f"判定不能：「{old}」より悪化したものは見つかりませんが、{few.ja}のテスト部品が足りません"
            f"（すべてを判定するには、それぞれ {needed} 個必要です）。同じ種類の別の部品の画像をテスト側に追加するか、"
            "見逃しを目で確認して判断してください（--accept-unknown）。"
            f"{doubt.ja}",
        )
    return Text(
        f"PASSED: nothing is worse than with '{old}' beyond chance.{doubt.en}",
        f"合格：「{old}」より偶然の範囲を超えて悪化したものはありません。{doubt.ja}",
    )


def rows(gate: Gate) -> list[list[Text]]:
    """Return the cells of the table: all defects, each kind, the good parts; in the order of `COLUMNS`."""
    return [
        _row(gate.defects, Text("all defects", "不良全体")),
        *(_row(one, Text(one.kind or "", one.kind or "")) for one in gate.kinds),
        _row(gate.goods, Text("good parts rejected", "良品の誤判定"), goods=True),
    ]


def notes(gate: Gate) -> list[Text]:
    """Return what a reader of the figures should know."""
    count = len(gate.gated)
    able = sum(one.verdict != "unknown" for one in gate.gated)
    worse = parts_needed(gate.level)
    said = [
        Text(
            "Both students judge the same pictures, each with its own threshold. Intervals are paired and over parts: would "
            f"other parts say the same? Each end of an interval is passed by chance in {percent(gate.level, 1)} of cases, so "
            f"that one of the rows that have parts enough to be told ({able} of the {count} that decide) raises a false alarm in "
            f"{percent(FALSE_ALARMS)} of comparisons at most, where the students are equally good.",
            "2 つの生徒モデルは同じ画像を、それぞれ自分のしきい値で判定しています。区間は部品を単位とする対の差で、別の部品でも"
            f"同じ結果になるかを示します。区間の各端を偶然に超える確率は {percent(gate.level, 1)} で、同等のモデルであれば、"
            f"部品が足りて判定できる行（判定に使う {count} 行のうち {able} 行）のどれかが誤って不合格になる確率は "
            f"{percent(FALSE_ALARMS)} 以下です。",
        ),
        Text(
            f"Where so large a share of all parts gets worse, and none better, it is found in {percent(POWER)} of cases; a "
            f"smaller one often goes unseen. To be shown at all, a rise needs {worse} parts that get worse.",
            f"「検出できる悪化」の割合の部品が悪化し、改善する部品がなければ、{percent(POWER)} の確率で検出できます。それより"
            f"少ない悪化は見落としがちです。増加が示されるには、少なくとも {worse} 部品の悪化が必要です。",
        ),
    ]
    if not gate.overkill_gated:
        said.append(
            Text(
                "Good parts rejected are told and do not decide.",
                "良品の誤判定は参考値で、合否の判定には使いません。",
            )
        )
    if gate.pictures_without_kind:
        said.append(
            Text(
                f"{gate.pictures_without_kind:,} pictures of defects have no mode, though others of their label do, so they "
                "count among all defects only; give them one: embedstore relabel STORE ID MODE --field mode",
                f"不良画像 {gate.pictures_without_kind:,} 枚には、同じラベルの他の画像にある mode がないため、"
                "「不良全体」にだけ数えています。mode を付けるには：embedstore relabel STORE ID MODE --field mode",
            )
        )
    if gate.defects.parts == gate.defects.pictures:
        said.append(
            Text(
                "Each picture of a defect counts as a part of its own; where several show one part, give them a group, or the "
                "intervals are too narrow.",
                "不良画像は 1 枚を 1 部品として数えています。同じ部品の画像が複数ある場合はグループを付けてください。付けないと"
                "区間は狭すぎます。",
            )
        )
    left = gate.left_out
    if left.learned or left.validated:
        said.append(
            Text(
                f"Left out of the test side: {left.learned:,} pictures of parts that one of the students, or one it began with, "
                f"learned from, and {left.validated:,} of parts by which one of the thresholds was chosen.",
                "テストから除いた画像：どちらかの生徒モデル（またはその出発点のモデル）が学習した部品の画像 "
                f"{left.learned:,} 枚、どちらかのしきい値を決めた部品の画像 {left.validated:,} 枚。",
            )
        )
    if left.untraced:
        said.append(
            Text(
                f"{left.untraced:,} pictures that one of the students learned from are not in this store; should it have them "
                "under other names, that student is tested on what it knows.",
                f"どちらかの生徒モデルが学習した画像のうち {left.untraced:,} 枚は、このストアにありません。"
                "別の名前で入っている場合、その生徒モデルは学習済みの画像でテストされています。",
            )
        )
    return said


def gate_section(gate: Gate) -> Markup:
    """Return the section of the run's page."""
    columns = [
        Column(title, form="text" if at in (0, len(COLUMNS) - 1) else "number") for at, title in enumerate(COLUMNS)
    ]
    return section(
        Text("Better and worse than the student before", "以前の生徒モデルとの比較"),
        table(
            columns,
            rows(gate),
            caption=Text(
                f"Against '{gate.old.run}', on the test side of today", f"「{gate.old.run}」との比較（現在のテスト側）"
            ),
            emphasised=[0],
        ),
        bullets(*notes(gate)),
        lead=answer(gate),
    )


def _row(one: Change, name: Text, *, goods: bool = False) -> list[Text]:
    verdict = _OF_GOODS.get(one.verdict, _VERDICTS[one.verdict]) if goods else _VERDICTS[one.verdict]
    span = Text("–", "–")
    if one.low is not None and one.high is not None:
        low, high = points(one.low), points(one.high)
        span = Text(f"{low} to {high}", f"{low} ～ {high}")
    found = Text("none", "なし")
    if one.detectable is not None:
        found = Text(f"{percent(one.detectable)} of parts", f"部品の {percent(one.detectable)}")
    return [
        name,
        _alike(f"{one.parts:,}"),
        Text(f"{one.old:,} of {one.pictures:,}", f"{one.pictures:,} 枚中 {one.old:,}"),
        Text(f"{one.new:,} of {one.pictures:,}", f"{one.pictures:,} 枚中 {one.new:,}"),
        _alike(points(one.rise)),
        span,
        _alike(f"{one.parts_worse:,}, {one.parts_better:,}"),
        found,
        verdict,
    ]


def _alike(text: str) -> Text:
    return Text(text, text)


def _name(gate: Gate, one: Change) -> Text:
    """Name a row that decides."""
    if one is gate.defects:
        return Text("all defects together", "不良全体")
    if one is gate.goods:
        return Text("good parts", "良品")
    return Text(f"'{one.kind}'", f"「{one.kind}」")


def _counted(gate: Gate, one: Change) -> Text:
    name = _name(gate, one)
    return Text(f"{name.en} ({one.parts:,})", f"{name.ja}（{one.parts:,} 個）")


def _listed(names: Sequence[Text]) -> Text:
    return Text(", ".join(one.en for one in names), "、".join(one.ja for one in names))


def _doubt(gate: Gate) -> Text:
    """Say which kind got worse most, though chance may do as much: that nothing is shown does not mean that nothing is there."""
    most = next(iter(gate.kinds), gate.defects)
    if not most.rise or most.rise < 0:
        return Text("", "")
    name = _name(gate, most)
    return Text(
        f" Look at {name.en} all the same: of {most.parts:,} parts {most.parts_worse:,} got worse and {most.parts_better:,} "
        "better, which chance may do.",
        f"ただし{name.ja}は確認してください：{most.parts:,} 部品のうち {most.parts_worse:,} が悪化、{most.parts_better:,} が改善"
        "しました（偶然でも起こり得ます）。",
    )

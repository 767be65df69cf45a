"""What saved summaries cost and what they hide, side by side."""

from collections.abc import Sequence

from markupsafe import Markup

from embedstore.pages.page import Part, bullets
from embedstore.pages.shares import Share, share_chart
from embedstore.pages.tables import Cell, Column, Value, table
from embedstore.pages.words import Text
from embedstore.summaries import Summary
from embedstore.summaries.class_loss import ClassLoss

_PROTOTYPE, _CODE = Text("prototype", "代表例"), Text("code", "符号")


def summaries_table(summaries: Sequence[Summary]) -> Markup:
    """Return a table: prototypes and size of each summary, and the share of each label without a prototype, or code, near."""
    labels = sorted({label for summary in summaries for label in summary.averaging_loss})
    kept = _kept(summaries)
    columns = [
        Column(Text("summary", "要約")),
        Column(Text("prototypes", "代表例"), "number"),
        Column(Text("size", "サイズ"), "number", 0, note="kB"),
        *(
            Column(
                Text(f"'{label}' hidden", f"「{label}」で埋もれる画像"),
                "percent",
                0,
                better="lower",
                note=Text(f"no {kept.en} near", f"近い{kept.ja}なし"),
            )
            for label in labels
        ),
    ]
    rows: list[list[Value | Cell]] = []
    for summary in summaries:
        row: list[Value | Cell] = [summary.name, len(summary.labels), summary.training_bytes() / 1e3]
        for label in labels:
            loss = summary.averaging_loss.get(label)
            row.append(None if loss is None or loss.near is None else loss.far / loss.count)
        rows.append(row)
    return table(
        columns,
        rows,
        caption=Text("What each summary keeps, and what it hides", "各要約が保持するものと埋もれさせるもの"),
        note=Text(
            "Size: of all that training needs of the summary, with the vectors in all views of pictures that it keeps. Near: "
            "closer than pictures of the label usually are to the nearest other part. Summaries of the same pictures and groups "
            "can be compared.",
            "「サイズ」とは、学習に必要な要約データ全体の容量（保持する画像は全ビューの埋め込みを含む）。"
            "「近い」とは、同じラベルの別部品との通常の距離より近いこと。同じ画像とグループから作った要約どうしを比べてください。",
        ),
    )


def hidden_modes(summaries: Sequence[Summary], *, title: Text | None = None) -> Part:
    """Return a chart: of each kind, how many pictures have a prototype, or code, near, in each summary."""
    modes = sorted({mode for summary in summaries for loss in summary.averaging_loss.values() for mode in loss.modes})
    shares = []
    for mode in modes:
        for summary in summaries:
            losses = list(summary.averaging_loss.values())
            count = sum(loss.modes.get(mode, 0) for loss in losses)
            far = sum(loss.far_modes.get(mode, 0) for loss in losses)
            shares.append(Share(summary.name, count - far, count, group=mode))
    if not shares:
        return Text("The pictures have no kinds finer than their labels.", "ラベルより細かい種類の情報はありません。")
    kept = _kept(summaries)
    return share_chart(
        shares,
        title=title
        or Text(f"Training pictures with a {kept.en} near, by kind", f"近い{kept.ja}がある学習画像（種類別）"),
        caught=Text(f"has a {kept.en} near", f"近い{kept.ja}あり"),
        missed=Text("hidden", f"近い{kept.ja}なし"),
    )


def warnings_list(summaries: Sequence[Summary]) -> Markup:
    """Return a list of what each summary is likely to lose, as `Summary.warnings` says it; nothing where that is nothing."""
    said = [
        Text(f"{summary.name}: {sentence.en}", f"{summary.name}：{sentence.ja}")
        for summary in summaries
        for loss in summary.averaging_loss.values()
        for sentence in _warnings(loss)
    ]
    return bullets(*said) if said else Markup("")


def _kept(summaries: Sequence[Summary]) -> Text:
    """Return what speaks for a picture: a prototype, or its own code where a summary has codes."""
    coded = {bool(summary.codes) for summary in summaries}
    if coded == {True, False}:
        return Text(f"{_PROTOTYPE.en} or {_CODE.en}", f"{_PROTOTYPE.ja}・{_CODE.ja}")
    return _CODE if coded == {True} else _PROTOTYPE


def _warnings(loss: ClassLoss) -> list[Text]:
    said = []
    kept = (_CODE if loss.coded else _PROTOTYPE).ja
    if loss.mostly_hidden:
        said.append(
            f"「{loss.label}」の過半数（画像 {loss.count} 枚中 {loss.far} 枚）には近い{kept}がなく、"
            "この要約だけではこのラベルの見た目がほとんど分かりません。"
        )
    said += [
        f"種類「{mode}」の過半数（「{loss.label}」の画像 {loss.modes[mode]} 枚中 {far} 枚）には近い{kept}がなく、"
        "この要約だけで学習すると見逃すおそれがあります。"
        for mode, far in loss.hidden_modes.items()
    ]
    return [Text(en, ja) for en, ja in zip(loss.warnings(), said, strict=True)]

"""The technical parts of a comparison's page: all figures, costs and learning curves."""

from __future__ import annotations

import math

from markupsafe import Markup

from distill.evaluation.comparison import Comparison, PolicyFigures, RecallFigures
from distill.evaluation.figures import finds_none
from distill.reports.words import LIVE, NO_ESCAPE, order, short, taught
from embedstore.pages import (
    Cell,
    Column,
    Series,
    Text,
    fold,
    line_chart,
    number,
    percent,
    section,
    table,
)
from embedstore.pages.tables import Value

_BEST = Text(
    "'Best' marks the highest number, not a proven difference.",
    "「最良」は数値の大小で、有意差ではありません。",
)


def ways(comparison: Comparison) -> Markup:
    """Return a table of what each way teaches."""
    return table(
        [
            Column(Text("way", "方法")),
            Column(Text("what a picture is taught beside its label", "ラベルのほかに教えること")),
        ],
        [[Cell(short(one.policy), _code(one.policy)), taught(one.policy)] for one in comparison.policies],
        caption=Text("The ways of training", "学習方法"),
    )


def costs(comparison: Comparison) -> Markup:
    """Return what each way costs to train."""
    seconds = [one.seconds / (comparison.folds * comparison.seeds) for one in comparison.policies]
    digits = 0 if min(seconds) >= 10 else 1
    live = [short(one.policy) for one in comparison.policies if one.policy in LIVE]
    where = (
        Text(
            f"in {', '.join(name.en for name in live)}, and in no other",
            f"大きなモデルが動くのは「{'」「'.join(name.ja for name in live)}」だけです",
        )
        if live
        else Text("in none of them", "いずれの学習でも大きなモデルは動きません")
    )
    return section(
        Text("What each way costs", "方法ごとのコスト"),
        table(
            [
                Column(Text("way", "方法")),
                Column(Text("training", "学習時間"), "number", digits, note=Text("seconds a run", "1 回あたり秒")),
                Column(
                    Text("memory", "メモリ"), "number", 0, note=Text("peak of the process, MB", "プロセスの最大、MB")
                ),
            ],
            [
                [
                    Cell(short(one.policy), _code(one.policy)),
                    each,
                    None if one.peak_memory is None else one.peak_memory / 1e6,
                ]
                for one, each in zip(comparison.policies, seconds, strict=True)
            ],
            caption=Text("Time and memory of training", "学習の時間とメモリ"),
            note=Text(
                f"The large model runs {where.en}. Memory includes Python and PyTorch themselves.",
                f"{where.ja}。メモリには Python と PyTorch 自体を含みます。",
            ),
        ),
    )


def details(comparison: Comparison) -> Markup:
    """Return the table of all figures and the learning curves."""
    runs = comparison.folds * comparison.seeds
    curve = "val_accuracy" if comparison.good is None else "val_auroc"
    curves = [
        Series(
            short(one.policy),
            [_known(epoch.get(curve)) for epoch in one.curve],
            at=[_known(epoch.get("epoch", at)) for at, epoch in enumerate(one.curve, start=1)],
            quiet=one.policy == comparison.baseline,
        )
        for one in comparison.policies
    ]
    return section(
        Text("All figures", "すべての数値"),
        _table(comparison),
        _worst_table(comparison),
        _no_escape_table(comparison),
        fold(
            Text("Learning curves", "学習曲線"),
            line_chart(
                curves,
                title=Text(
                    f"Validation {'accuracy' if comparison.good is None else 'AUROC'} by epoch",
                    f"エポックごとの検証{'正解率' if comparison.good is None else ' AUROC'}",
                ),
                x_title=Text("epoch", "エポック"),
                y_title="",
                note=Text("One run of each.", "各 1 回の学習。")
                if runs == 1
                else Text(f"Mean over {runs} runs of each.", f"各 {runs} 回の平均。"),
            ),
        ),
        fold(intervals_title(comparison), _kind_table(comparison)),
    )


def intervals_title(comparison: Comparison) -> Text:
    """Return the title of the fold that has each kind of defect, or each label, with its interval."""
    if comparison.good is None:
        return Text("By label, with intervals", "ラベル別の区間")
    return Text("By kind, with intervals", "種類別の区間")


NONE_CAUGHT = Text("none is caught of any kind", "どの種類も検出なし")  # so that none is the worst


def kinds_of(comparison: Comparison, one: PolicyFigures) -> list[RecallFigures]:
    """Return a policy's figures of each kind of defect; without a good label, of each label."""
    return one.by_class if comparison.good is None else one.by_mode


def between(one: RecallFigures) -> Text | None:
    """Return the interval of a recall in words."""
    if one.low is None or one.high is None:
        return None
    return Text(
        f"95 %: {percent(one.low)} to {percent(one.high)}", f"95 % 区間：{percent(one.low)}～{percent(one.high)}"
    )


def counted(value: float) -> str:
    """Return a mean number of pictures, whole where it is."""
    return number(value, 0 if abs(value - round(value)) < 0.05 else 1)


def trainings_of(comparison: Comparison) -> Text:
    """Say how many trainings each way had."""
    folds, seeds, looks = comparison.folds, comparison.seeds, comparison.looks
    each, each_ja = (
        (f" (each picture by {looks} trainings)", f"（各画像を学習 {looks} 回分でテスト）")
        if looks > seeds
        else ("", "")
    )
    return Text(
        f"{folds} fold{'' if folds == 1 else 's'} and {seeds} seed{'' if seeds == 1 else 's'}{each}",
        f"{folds} 分割、乱数 {seeds} 通り{each_ja}",
    )


def _table(comparison: Comparison) -> Markup:
    if comparison.good is None:
        columns = [
            Column(Text("way", "方法")),
            Column(Text("accuracy", "正解率"), better="higher", form="number"),
            Column(Text("recall, mean over labels", "ラベル平均の再現率"), better="higher", form="number"),
        ]
        labels: list[list[Value | Cell]] = [
            [Cell(short(one.policy), _code(one.policy)), one.accuracy, one.macro_recall] for one in comparison.policies
        ]
        return table(columns, labels, caption=_tested(comparison), note=_note(comparison))
    columns = [
        Column(Text("way", "方法")),
        Column("AUROC", "number", better="higher"),
        Column(Text("recall", "検出率"), "percent", note=Text("at the threshold", "しきい値で")),
        Column(Text("overkill", "誤判定"), "percent", note=Text("good parts rejected", "良品の不良判定")),
        Column(
            Text("recall", "検出率"),
            "percent",
            better="higher",
            note=Text("mean over 2 to 10 % overkill", "誤判定 2～10 % の平均"),
        ),
        Column(Text("recall", "検出率"), "percent", better="higher", note=Text("mean over kinds", "種類の平均")),
    ]
    figures: list[list[Value | Cell]] = [
        [
            Cell(short(one.policy), _code(one.policy)),
            one.auroc,
            one.recall,
            one.overkill,
            one.mean_recall,
            one.macro_mode_recall,
        ]
        for one in comparison.policies
    ]
    return table(
        columns,
        figures,
        caption=_tested(comparison),
        note=_note(comparison),
    )


def _note(comparison: Comparison) -> Text:
    said = order(comparison)
    return _BEST if said is None else Text(f"{said.en} {_BEST.en}", f"{said.ja}{_BEST.ja}")


def _worst_table(comparison: Comparison) -> Markup:
    """Return which kind of defect, or label, each way finds worst, with its interval."""
    rows: list[list[Value | Cell]] = []
    for one in comparison.policies:
        way = Cell(short(one.policy), _code(one.policy))
        if finds_none(one.by_mode):
            pictures = sum(kind.pictures for kind in one.by_mode)
            rows.append([way, NONE_CAUGHT, Text(f"0 of {pictures}", f"{pictures} 件中 0 件"), Cell(0.0)])
            continue
        for worst in kinds_of(comparison, one)[:1]:
            right, pictures = counted(worst.caught), worst.pictures
            told = Text(f"{right} of {pictures}", f"{pictures} 件中 {right} 件")
            rows.append([way, worst.name, told, Cell(worst.recall, between(worst))])
    if not rows:
        return Markup("")
    kind, caught = (
        (Text("worst kind", "最も苦手な種類"), Text("caught", "検出"))
        if comparison.good is not None
        else (Text("worst label", "最も苦手なラベル"), Text("right", "正解"))
    )
    return table(
        [Column(Text("way", "方法")), Column(kind), Column(caught), Column(_recall(comparison), "percent")],
        rows,
        caption=Text("What each way finds worst", "方法ごとに最も苦手なもの"),
        note=Text("The worst of several looks worse than it is.", "複数の中の最低値は、実際より低く出ます。"),
    )


def _no_escape_table(comparison: Comparison) -> Markup:
    """Return what each way rejects where its threshold lets no defect of the parts pass that it is chosen on."""
    if all(one.zero_escape_recall is None for one in comparison.policies):
        return Markup("")
    return table(
        [
            Column(Text("way", "方法")),
            Column(Text("overkill", "誤判定"), "percent", note=Text("good parts rejected", "良品の不良判定")),
            Column(Text("recall", "検出率"), "percent", note=Text("on the tested parts", "テスト部品で")),
        ],
        [
            [Cell(short(one.policy), _code(one.policy)), one.zero_escape_overkill, one.zero_escape_recall]
            for one in comparison.policies
        ],
        caption=Text("With no escape among the training parts", "学習側の部品に見逃しがないしきい値のとき"),
        note=NO_ESCAPE,
    )


def _kind_table(comparison: Comparison) -> Markup:
    rows: list[list[Value | Cell]] = [
        [
            one.name,
            short(policy.policy),
            one.caught,
            one.pictures,
            Cell(one.recall, between(one)),
            one.parts,
            one.escape_bound,
        ]
        for policy in comparison.policies
        for one in kinds_of(comparison, policy)
    ]
    kind, caught, missed = (
        (Text("kind", "種類"), Text("caught", "検出"), Text("parts missed, up to", "見逃し部品の上限"))
        if comparison.good is not None
        else (Text("label", "ラベル"), Text("right", "正解"), Text("parts wrong, up to", "不正解部品の上限"))
    )
    return table(
        [
            Column(kind),
            Column(Text("way", "方法")),
            Column(caught, "number", 1),
            Column(Text("of pictures", "画像数"), "number"),
            Column(_recall(comparison), "percent"),
            Column(Text("parts", "部品数"), "number"),
            Column(missed, "percent", note=Text("95 % bound", "95 % 上限")),
        ],
        rows,
        caption=Text("Each kind", "種類別") if comparison.good is not None else Text("Each label", "ラベル別"),
    )


def _tested(comparison: Comparison) -> Text:
    runs = trainings_of(comparison)
    return Text(
        f"{comparison.pictures:,} test pictures of {comparison.parts:,} parts, {runs.en}",
        f"テスト画像 {comparison.pictures:,} 枚（{comparison.parts:,} 部品）、{runs.ja}",
    )


def _code(policy: str) -> str | None:
    """Return what the commands call a policy, where its short name is another."""
    return None if short(policy).en == policy else policy


def _known(value: float | None) -> float:
    return math.nan if value is None else value


def _recall(comparison: Comparison) -> Text:
    """Return what recall is called: defects are found, labels are told."""
    return Text("recall", "再現率" if comparison.good is None else "検出率")

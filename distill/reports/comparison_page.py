"""A comparison as one HTML page for people who decide: the answer first, then what it rests on."""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup

from distill.evaluation.comparison import Comparison, PolicyFigures, RecallFigures
from distill.evaluation.intervals import Difference
from distill.reports.words import short, taught
from embedstore.pages import (
    Cell,
    Column,
    Interval,
    Series,
    Share,
    Text,
    bullets,
    callout,
    fold,
    interval_chart,
    key_figure,
    key_figures,
    line_chart,
    number,
    percent,
    render_page,
    section,
    share_chart,
    table,
)
from embedstore.pages.tables import Value

MOST_KINDS = 12  # rows of a chart; the table has them all


def comparison_page(comparison: Comparison, title: Text | None = None) -> str:
    """Return the page of `distill compare`."""
    return render_page(
        title or Text("What each way of training finds, and what it misses", "学習方法ごとの検出と見逃し"),
        [
            headline(comparison),
            misses(comparison),
            section(Text("The ways", "学習方法"), ways(comparison)),
            sureness(comparison),
            costs(comparison),
            details(comparison),
            caveats(comparison),
        ],
        kicker=Text("Comparison of target policies", "学習方法の比較"),
        lead=answer(comparison),
    )


def answer(comparison: Comparison) -> Text:
    """Say in a sentence or two which way of training finds more than the baseline, as far as one can tell."""
    figure = main_figure(comparison)
    better = [d for d in comparison.differences if d.figure == figure and d.verdict == "more"]
    worse = [d for d in comparison.differences if d.figure == figure and d.verdict == "less"]
    base = short(comparison.baseline)
    if better:
        best = max(better, key=lambda d: d.value or 0)
        name = short(best.policy)
        said = Text(
            f"On these pictures the way '{name.en}' finds more defects than {base.en}: {_points(best)}.",
            f"この画像では「{name.ja}」が「{base.ja}」より多く不良を検出しました：{_points_ja(best)}。",
        )
    elif worse:
        said = Text(
            f"On these pictures no way finds more defects than {base.en}.",
            f"この画像では「{base.ja}」より多く検出する方法はありませんでした。",
        )
    else:
        said = Text(
            f"On these pictures no way of training finds more or fewer defects than {base.en} beyond what chance gives.",
            f"この画像では、「{base.ja}」との検出数の差はどの方法も偶然の範囲内です。",
        )
    if worse:
        names = [short(d.policy) for d in worse]
        return Text(
            f"{said.en} Fewer are found by: {', '.join(name.en for name in names)}.",
            f"{said.ja} 検出が減った方法：{'、'.join(name.ja for name in names)}。",
        )
    return said


def main_figure(comparison: Comparison) -> str:
    """Return the figure by which ways are compared."""
    return "macro_recall" if comparison.good is None else "mean_recall"


def headline(comparison: Comparison) -> Markup:
    """Return the row of large figures."""
    chosen = max(comparison.policies, key=lambda one: _main(comparison, one) or 0)
    base = comparison.policies[0]
    kinds = _kinds(comparison, chosen)
    figures = [
        key_figure(
            percent(_main(comparison, chosen)),
            _main_title(comparison),
            Text(f"by '{short(chosen.policy).en}', the highest", f"最も高い「{short(chosen.policy).ja}」"),
            strong=True,
        ),
        key_figure(
            percent(_main(comparison, base)),
            Text(f"by {short(base.policy).en}, the baseline", f"比較の基準「{short(base.policy).ja}」"),
        )
        if chosen is not base
        else key_figure(
            percent(chosen.overkill),
            Text("of good parts rejected", "良品の誤判定"),
            Text(f"{percent(comparison.overkill_wanted)} was aimed at", f"目標 {percent(comparison.overkill_wanted)}"),
        ),
    ]
    if kinds:
        worst = kinds[0]
        figures.append(
            key_figure(
                Text(f"{_count(worst.caught)} of {worst.pictures}", f"{worst.pictures} 件中 {_count(worst.caught)} 件"),
                Text(f"caught of the kind it finds worst, '{worst.name}'", f"最も苦手な種類「{worst.name}」の検出"),
                _between(worst),
            )
        )
    return key_figures(*figures)


def misses(comparison: Comparison) -> Markup:
    """Return what each way catches and misses, in all and by kind."""
    shares = [
        Share(short(one.policy), _caught(comparison, one), _pictures(comparison, one)) for one in comparison.policies
    ]
    kinds = [one.name for one in _kinds(comparison, comparison.policies[0])]
    by_kind = [
        Share(short(policy.policy), one.caught, one.pictures, group=one.name)
        for name in kinds[:MOST_KINDS]
        for policy in comparison.policies
        for one in _kinds(comparison, policy)
        if one.name == name
    ]
    if comparison.good is None:
        return section(
            Text("What each way gets right", "方法ごとの正解"),
            share_chart(
                by_kind,
                title=Text("By label", "ラベル別"),
                caught=Text("right", "正解"),
                missed=Text("wrong", "不正解"),
            ),
        )
    wanted = percent(comparison.overkill_wanted)
    return section(
        Text("What each way misses", "方法ごとの見逃し"),
        share_chart(
            shares,
            title=Text(
                f"Defects caught and missed, threshold set for {wanted} of good parts rejected",
                f"不良の検出と見逃し（良品の誤判定 {wanted} を狙ったしきい値）",
            ),
            note=Text(
                "The threshold is chosen on other parts than these, so the share of good parts that is really rejected "
                "differs; the table below has it.",
                "しきい値は別の部品で決めたため、実際の誤判定率は異なります（下の表を参照）。",
            ),
        ),
        share_chart(
            by_kind,
            title=Text("By kind of defect, which training was not told", "不良の種類別（種類は学習に使っていません）"),
        ),
    )


def sureness(comparison: Comparison) -> Markup:
    """Return the paired differences to the baseline with their intervals."""
    figure = main_figure(comparison)
    rows = [Interval(short(d.policy), d.value, d.low, d.high) for d in comparison.differences if d.figure == figure]
    if not rows:
        return Markup("")
    return section(
        Text("How sure is that?", "どれくらい確かか"),
        interval_chart(
            rows,
            title=Text(f"Difference to {short(comparison.baseline).en}", f"「{short(comparison.baseline).ja}」との差"),
            x_title=Text(
                f"{_main_title(comparison).en}, percentage points", f"{_main_title(comparison).ja}（ポイント）"
            ),
            worse=Text("misses more", "見逃し増"),
            better=Text("misses less", "見逃し減"),
            note=Text(
                f"Dots are what was measured, lines 95 % intervals over {comparison.parts} parts and {comparison.seeds} "
                "trainings. A line that crosses zero means: it may be chance.",
                f"点は測定値、線は {comparison.parts} 部品・学習 {comparison.seeds} 回での 95 % 区間です。線が 0 をまたぐ場合は"
                "偶然かもしれません。",
            ),
        ),
    )


def costs(comparison: Comparison) -> Markup:
    """Return what each way costs to train."""
    runs = comparison.folds * comparison.seeds
    return section(
        Text("What each way costs", "方法ごとのコスト"),
        table(
            [
                Column(Text("way", "方法")),
                Column(Text("training", "学習時間"), "number", 0, note=Text("seconds a run", "1 回あたり秒")),
                Column(
                    Text("memory", "メモリ"), "number", 0, note=Text("peak of the process, MB", "プロセスの最大、MB")
                ),
            ],
            [
                [
                    Cell(short(one.policy), _code(one.policy)),
                    one.seconds / runs,
                    None if one.peak_memory is None else one.peak_memory / 1e6,
                ]
                for one in comparison.policies
            ],
            caption=Text("Time and memory of training", "学習の時間とメモリ"),
            note=Text(
                "The teacher does not run in any of them. Memory includes Python and PyTorch themselves.",
                "いずれの学習でも教師モデルは動きません。メモリには Python と PyTorch 自体を含みます。",
            ),
        ),
    )


def details(comparison: Comparison) -> Markup:
    """Return the table of all figures and the learning curves."""
    runs = comparison.folds * comparison.seeds
    curve = "val_accuracy" if comparison.good is None else "val_auroc"
    curves = [
        Series(
            one.policy,
            [epoch.get(curve) or float("nan") for epoch in one.curve],
            quiet=one.policy == comparison.baseline,
        )
        for one in comparison.policies
    ]
    return section(
        Text("All figures", "すべての数値"),
        _table(comparison),
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
                note=Text(f"Mean over {runs} runs of each.", f"各 {runs} 回の平均。"),
            ),
        ),
        fold(Text("By kind, with intervals", "種類別の区間"), _kind_table(comparison)),
    )


def caveats(comparison: Comparison) -> Markup:
    """Return what the figures can't prove."""
    sentences = [Text(remark, remark) for remark in comparison.remarks]  # for engineers, in English
    fixed = [
        Text(
            "Intervals say how much other parts, to test on and to set thresholds by, would move these figures.",
            "区間は、テスト部品としきい値を決める部品が変わった場合のぶれを示します。",
        )
        if comparison.seeds == 1
        else Text(
            "Intervals say how much other parts and other trainings would move these figures, as far as "
            f"{comparison.seeds} trainings can tell.",
            f"区間は、部品が変わった場合と学習をやり直した場合のぶれを示します（学習 {comparison.seeds} 回から分かる範囲）。",
        ),
    ]
    if comparison.seeds == 1:
        fixed.append(
            Text(
                "Each way was trained once per fold. Another seed moves AUROC by some hundredths, which no interval here holds: "
                "compare with three seeds or more before you decide.",
                "各方法の学習は 1 回ずつです。乱数を変えると AUROC は 0.01～0.05 程度動き、そのぶれは区間に含まれません。"
                "判断の前に、3 通り以上の乱数で比較してください。",
            )
        )
    return callout(
        Text("What this can not prove", "この結果から言えないこと"),
        bullets(*fixed),
        *([fold(Text("Notes for engineers", "技術者向けの注記（英語）"), bullets(*sentences))] if sentences else []),
    )


def _table(comparison: Comparison) -> Markup:
    if comparison.good is None:
        columns = [
            Column(Text("way", "方法")),
            Column(Text("accuracy", "正解率"), better="higher", form="number"),
            Column(Text("recall, mean over labels", "ラベル平均の再現率"), better="higher", form="number"),
            Column(Text("worst label", "最も苦手なラベル")),
        ]
        rows = [
            [
                short(one.policy),
                one.accuracy,
                one.macro_recall,
                f"{one.worst_class} ({percent(one.worst_class_recall)})",
            ]
            for one in comparison.policies
        ]
        return table(columns, rows, caption=Text("Test sides", "テスト"))
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
        Column(Text("worst kind", "最も苦手な種類")),
    ]
    figures: list[list[Value | Cell]] = [
        [
            Cell(short(one.policy), _code(one.policy)),
            one.auroc,
            one.recall,
            one.overkill,
            one.mean_recall,
            one.macro_mode_recall,
            _worst(one.by_mode),
        ]
        for one in comparison.policies
    ]
    return table(
        columns,
        figures,
        caption=Text(
            f"{comparison.pictures} test pictures of {comparison.parts} parts, {comparison.folds} folds, {comparison.seeds} "
            "seeds",
            f"テスト画像 {comparison.pictures} 枚（{comparison.parts} 部品）、{comparison.folds} 分割、乱数 {comparison.seeds}",
        ),
        note=Text(
            "'Best' marks the highest number, not a proven difference.",
            "「最良」は数値の大小で、有意差ではありません。",
        ),
    )


def _kind_table(comparison: Comparison) -> Markup:
    rows: list[list[Value | Cell]] = [
        [
            one.name,
            short(policy.policy),
            one.caught,
            one.pictures,
            Cell(one.recall, _between(one)),
            one.parts,
            one.escape_bound,
        ]
        for policy in comparison.policies
        for one in _kinds(comparison, policy)
    ]
    return table(
        [
            Column(Text("kind", "種類")),
            Column(Text("way", "方法")),
            Column(Text("caught", "検出"), "number", 1),
            Column(Text("of pictures", "画像数"), "number"),
            Column(Text("recall", "検出率"), "percent"),
            Column(Text("parts", "部品数"), "number"),
            Column(Text("parts missed, up to", "見逃し部品の上限"), "percent", note=Text("95 % bound", "95 % 上限")),
        ],
        rows,
        caption=Text("Each kind", "種類別"),
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


def _code(policy: str) -> str | None:
    """Return what the commands call a policy, where its short name is another."""
    return None if short(policy).en == policy else policy


def _main_title(comparison: Comparison) -> Text:
    if comparison.good is None:
        return Text("recall, averaged over the labels", "ラベル平均の再現率")
    return Text("of defects caught, averaged over 2 to 10 % overkill", "不良の検出率（誤判定 2～10 % の平均）")


def _main(comparison: Comparison, one: PolicyFigures) -> float | None:
    return one.macro_recall if comparison.good is None else one.mean_recall


def _kinds(comparison: Comparison, one: PolicyFigures) -> list[RecallFigures]:
    return one.by_class if comparison.good is None else one.by_mode


def _pictures(comparison: Comparison, one: PolicyFigures) -> int:
    return sum(kind.pictures for kind in _kinds(comparison, one))


def _caught(comparison: Comparison, one: PolicyFigures) -> float:
    return sum(kind.caught for kind in _kinds(comparison, one))


def _worst(kinds: Sequence[RecallFigures]) -> Text:
    if not kinds:
        return Text("–", "–")
    worst = kinds[0]
    return Text(
        f"{worst.name}: {_count(worst.caught)} of {worst.pictures}",
        f"{worst.name}：{worst.pictures} 件中 {_count(worst.caught)} 件",
    )


def _between(one: RecallFigures) -> Text | None:
    if one.low is None or one.high is None:
        return None
    return Text(
        f"95 %: {percent(one.low)} to {percent(one.high)}", f"95 % 区間：{percent(one.low)}～{percent(one.high)}"
    )


def _count(value: float) -> str:
    return number(value, 0 if abs(value - round(value)) < 0.05 else 1)


def _points(difference: Difference) -> str:
    low, high = (number(100 * (value or 0), 1, signed=True) for value in (difference.low, difference.high))
    return f"{number(100 * (difference.value or 0), 1, signed=True)} percentage points (95 % interval {low} to {high})"


def _points_ja(difference: Difference) -> str:
    low, high = (number(100 * (value or 0), 1, signed=True) for value in (difference.low, difference.high))
    return f"{number(100 * (difference.value or 0), 1, signed=True)} ポイント（95 % 区間 {low}～{high}）"

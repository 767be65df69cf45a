"""A comparison as one HTML page for people who decide: the answer first, then what it rests on."""

from __future__ import annotations

from markupsafe import Markup

from distill.evaluation.comparison import Comparison, PolicyFigures, RecallFigures, main_figure
from distill.evaluation.figures import finds_none
from distill.reports import caveats as words
from distill.reports.answer import answer, trained_once
from distill.reports.comparison_tables import (
    NONE_CAUGHT,
    between,
    costs,
    counted,
    details,
    intervals_title,
    kinds_of,
    trainings_of,
    ways,
)
from distill.reports.words import quoted, short
from embedstore.pages import (
    Interval,
    Share,
    Text,
    bullets,
    callout,
    fold,
    interval_chart,
    key_figure,
    key_figures,
    percent,
    render_page,
    section,
    share_chart,
)

__all__ = ["answer", "caveats", "comparison_page", "costs", "details", "headline", "misses", "sureness", "ways"]

MOST_KINDS = 12  # groups of a chart; the table has them all


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


def headline(comparison: Comparison) -> Markup:
    """Return the row of large figures: the highest, what it is held against, and the kind it finds worst."""
    chosen = max(comparison.policies, key=lambda one: _main(comparison, one) or 0)
    base = comparison.policies[0]
    name = quoted(chosen.policy)
    highest = Text(f"by {name.en}, the highest", f"最も高い{name.ja}")
    figures = [
        key_figure(
            percent(_main(comparison, chosen)),
            _main_title(comparison),
            highest if len(comparison.policies) > 1 else Text(f"by {name.en}", name.ja),
            strong=True,
        )
    ]
    if chosen is not base:
        name = quoted(base.policy)
        figures.append(
            key_figure(
                percent(_main(comparison, base)),
                Text(f"by {name.en}", name.ja),
                Text("what the others are held against", "比較の基準"),
            )
        )
    elif comparison.good is not None:
        wanted = _wanted(comparison)
        figures.append(
            key_figure(
                percent(chosen.overkill),
                Text("of good parts rejected", "良品の誤判定"),
                Text(f"{wanted} was aimed at", f"目標 {wanted}"),
            )
        )
    else:
        figures.append(key_figure(percent(chosen.accuracy), Text("of pictures get the right label", "正解率")))
    if finds_none(chosen.by_mode):
        pictures = sum(kind.pictures for kind in chosen.by_mode)
        nothing = Text(f"0 of {pictures}", f"{pictures} 件中 0 件")
        return key_figures(*figures, key_figure(nothing, NONE_CAUGHT))
    return key_figures(*figures, *(_worst_kind(comparison, one) for one in kinds_of(comparison, chosen)[:1]))


def _worst_kind(comparison: Comparison, worst: RecallFigures) -> Markup:
    found = counted(worst.caught)
    return key_figure(
        Text(f"{found} of {worst.pictures}", f"{worst.pictures} 件中 {found} 件"),
        Text(f"right of its worst label, '{worst.name}'", f"最も苦手なラベル「{worst.name}」の正解")
        if comparison.good is None
        else Text(f"caught of the kind it finds worst, '{worst.name}'", f"最も苦手な種類「{worst.name}」の検出"),
        between(worst),
    )


def misses(comparison: Comparison) -> Markup:
    """Return what each way catches and misses, in all and by kind."""
    shares = [
        Share(short(one.policy), _caught(comparison, one), _pictures(comparison, one)) for one in comparison.policies
    ]
    kinds = [one.name for one in kinds_of(comparison, comparison.policies[0])]
    by_kind = [
        Share(short(policy.policy), one.caught, one.pictures, group=one.name)
        for name in kinds[:MOST_KINDS]
        for policy in comparison.policies
        for one in kinds_of(comparison, policy)
        if one.name == name
    ]
    worst = None
    if len(kinds) > MOST_KINDS:
        base = quoted(comparison.baseline)
        folded = intervals_title(comparison)
        worst = Text(
            f"The {MOST_KINDS} of {len(kinds)} that {base.en} finds worst; all of them are under '{folded.en}'.",
            f"{base.ja}が苦手な順に {len(kinds)} 件中 {MOST_KINDS} 件。すべては「{folded.ja}」にあります。",
        )
    if comparison.good is None:
        return section(
            Text("What each way gets right", "方法ごとの正解"),
            share_chart(
                by_kind,
                title=Text("By label", "ラベル別"),
                caught=Text("right", "正解"),
                missed=Text("wrong", "不正解"),
                note=worst,
            ),
        )
    wanted = _wanted(comparison)
    return section(
        Text("What each way misses", "方法ごとの見逃し"),
        share_chart(
            shares,
            title=Text(
                f"Defects caught and missed, threshold set for {wanted} of good parts rejected",
                f"不良の検出と見逃し（良品の誤判定 {wanted} を狙ったしきい値）",
            ),
            note=Text(
                "The thresholds are chosen on other parts than these, so the share of good parts that is really rejected "
                "differs; the table below has it.",
                "しきい値は別の部品で決めたため、実際の誤判定率は異なります（下の表を参照）。",
            ),
        ),
        share_chart(by_kind, title=Text("By kind of defect", "不良の種類別"), note=worst),
        Text(
            "Training is told labels only. Where kinds are finer than labels, they are used for this report alone.",
            "学習に使うのはラベルだけです。ラベルより細かい種類は、この集計にのみ使います。",
        ),
    )


def sureness(comparison: Comparison) -> Markup:
    """Return the paired differences to the baseline with their intervals."""
    figure = main_figure(comparison.good)
    rows = [
        Interval(short(d.policy), d.value, d.low, d.high) for d in comparison.against_baseline if d.figure == figure
    ]
    if not rows:
        return Markup("")
    base, title = quoted(comparison.baseline), _main_title(comparison)
    parts, runs = f"{comparison.parts:,}", trainings_of(comparison)
    if comparison.seeds == 1:
        once = trained_once(comparison)
        means = Text(
            f"{once.en}, so a line that does not cross zero may still be the training's doing.",
            f"{once.ja}なので、線が 0 をまたがなくても学習のばらつきかもしれません。",
        )
    else:
        means = Text("A line that crosses zero means: it may be chance.", "線が 0 をまたぐ場合は偶然かもしれません。")
    return section(
        Text("How sure is that?", "どれくらい確かか"),
        interval_chart(
            rows,
            title=Text(f"Difference to {base.en}", f"{base.ja}との差"),
            x_title=Text(f"{title.en}, percentage points", f"{title.ja}（ポイント）"),
            worse=Text("misses more", "見逃し増") if comparison.good is not None else Text("fewer right", "正解減"),
            better=Text("misses less", "見逃し減") if comparison.good is not None else Text("more right", "正解増"),
            note=Text(
                f"Dots are what was measured, lines 95 % intervals, on {parts} parts with {runs.en}. {means.en}",
                f"点は測定値、線は 95 % 区間です（{parts} 部品、{runs.ja}）。{means.ja}",
            ),
        ),
    )


def caveats(comparison: Comparison) -> Markup:
    """Return what the figures can't prove, and under a fold what the runs remark on their data, in English."""
    notes = [Text(remark, remark) for remark in comparison.remarks]
    return callout(
        Text("What this can not prove", "この結果から言えないこと"),
        bullets(*words.caveats(comparison)),
        *([fold(Text("Notes for engineers", "技術者向けの注記（英語）"), bullets(*notes))] if notes else []),
    )


def _main_title(comparison: Comparison) -> Text:
    if comparison.good is None:
        return Text("recall, averaged over the labels", "ラベル平均の再現率")
    return Text(
        "of defects caught, averaged over 2 to 10 % of good parts rejected",
        "不良の検出率（良品の誤判定 2～10 % の平均）",
    )


def _main(comparison: Comparison, one: PolicyFigures) -> float | None:
    return one.macro_recall if comparison.good is None else one.mean_recall


def _pictures(comparison: Comparison, one: PolicyFigures) -> int:
    return sum(kind.pictures for kind in kinds_of(comparison, one))


def _caught(comparison: Comparison, one: PolicyFigures) -> float:
    return sum(kind.caught for kind in kinds_of(comparison, one))


def _wanted(comparison: Comparison) -> str:
    share = comparison.overkill_wanted or 0.0
    return percent(share, 0 if float(round(100 * share, 6)).is_integer() else 1)

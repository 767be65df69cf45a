"""The reasons for an advice in plain sentences, in English and Japanese, saying no more than is known.

What the trials were, and what they can't tell, stands in `trial_words`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from distill.advice.advice import Advice
from distill.advice.candidates import Candidate
from distill.advice.decision import MARGIN, NO_ESCAPE, Decision, Estimate, Standing
from distill.advice.footprint import Footprint
from distill.advice.look_words import MOST_NAMES, listed
from distill.advice.trials import EPOCHS
from distill.evaluation.figures import RecallFigures
from distill.reports.words import named
from distill.training.settings import PATCHES
from embedstore.pages import Text, number


def reasons(advice: Advice) -> list[Text]:
    """Return why this way, what is expected of it, and what it costs; what matters most first."""
    return [
        verdict(advice),
        *judged_by_both(advice),
        *patched(advice),
        *unlearned(advice),
        *hidden(advice),
        expected(advice),
        cost(advice),
    ]


def verdict(advice: Advice) -> Text:
    """Say which way is advised, and how it stands beside the best; where it is the best, beside the next best.

    A way that was not shown to know more than chance was not to be chosen where another was, so it is neither, whatever it
    reached.
    """
    decision, chosen = advice.decision, advice.candidate(advice.decision.chosen)
    figure, reached = figure_named(decision.figure), estimate(decision.standing(chosen.name).deciding)
    excluded = [] if chosen.name in decision.unlearned else decision.unlearned
    others = [one for one in decision.standings if one.name not in {chosen.name, *excluded}]
    if not others:
        opening = _opening(advice, chosen, None)
    elif decision.chosen == decision.best:
        beside = _foremost(others, decision.figure)
        opening = _opening(advice, chosen, beside.name)
    else:
        beside = decision.standing(decision.best)
        opening = _opening(advice, chosen, beside.name)
    first = Text(
        f"{opening.en}: {figure.en} {reached.en}; {chosen.why.en}.",
        f"{opening.ja}。{figure.ja}は {reached.ja}。{chosen.why.ja}。",
    )
    if not others:
        return first
    other, value, ways = advice.candidate(beside.name), share(beside.deciding.value), len(advice.tried)
    if decision.chosen == decision.best:
        gap = _gap(beside.gap)
        if _is_above(beside, decision):
            return Text(
                f"{first.en} Of {ways} ways this figure is best of {other.says.en}, {value}; the difference is {gap.en}.",
                f"{first.ja}{ways} 方法中でこの値が最も良いのは{other.says.ja}（{value}）、差は {gap.ja}です。",
            )
        return Text(
            f"{first.en} The next best of {counted(ways, 'way')}, {other.says.en}, reached {value}; the difference is {gap.en}.",
            f"{first.ja}{ways} 方法中で次に良い{other.says.ja}は {value}、差は {gap.ja}です。",
        )
    gap, among, judged = _gap(decision.standing(chosen.name).gap), Text("", ""), Text("", "")
    if advice.decision.counts_alone:
        points = _points_judged(advice)
        among = Text(", where what the students reach alone is counted in,", "、生徒が単独で達した値も合わせたときに")
        judged = Text(f", {points} so counted", f"（合わせた値では {points} ポイント）")
    return Text(
        f"{first.en} The best of {ways} ways{among.en or ','} {other.says.en}, reached {value}; the difference is {gap.en}"
        f"{judged.en}, and a simpler way may cost up to {100 * MARGIN:.0f}.",
        f"{first.ja}{ways} 方法中で{among.ja}最も良い{other.says.ja}は {value}、差は {gap.ja}です{judged.ja}。"
        f"{100 * MARGIN:.0f} ポイント以内の差なら、より簡単な方法を勧めます。",
    )


def _foremost(some: Sequence[Standing], figure: str) -> Standing:
    """Return the way with the best deciding figure, the simplest of equals."""
    sign = -1 if figure == NO_ESCAPE else 1
    return max(some, key=lambda one: -math.inf if one.deciding.value is None else sign * one.deciding.value)


def _is_above(one: Standing, decision: Decision) -> bool:
    """Return whether a way has a better figure than the one that is judged best."""
    gap = one.gap.value or 0.0
    return gap < 0 if decision.figure == NO_ESCAPE else gap > 0


def _points_judged(advice: Advice) -> str:
    """Return how far the advised way is from the best where both are judged by what their students reach alone, too."""
    decision = advice.decision
    best, chosen = (decision.standing(name).judged or 0.0 for name in (decision.best, decision.chosen))
    return number(100 * abs(best - chosen), 1)


def _opening(advice: Advice, chosen: Candidate, beside: str | None) -> Text:
    """Begin the sentence that advises a way: it is enough where what it is held against needs more, and else the one to take."""
    if chosen.name in advice.decision.unlearned:
        return Text(
            f"No advice: {chosen.says.en} was not shown to know more than chance, nor was any other way. Of what was "
            "tried it stands first",
            f"推奨できません：{chosen.says.ja}も、ほかのどの方法も、偶然の水準を超えたとは言えません。試した中では首位です",
        )
    order = [one.name for one in advice.tried]
    if beside is None or order.index(beside) < order.index(chosen.name):
        return Text(f"Take {chosen.says.en}", f"{chosen.says.ja}を勧めます")
    return chosen.enough


def judged_by_both(advice: Advice) -> list[Text]:
    """Say why of the ways beside patches another one is not advised, which would be by its own figure; see `decision.judged`."""
    decision = advice.decision
    if decision.by_figure == decision.chosen or not decision.counts_alone:
        return []
    other, best = advice.candidate(decision.by_figure), advice.candidate(decision.best)
    value = share(decision.standing(other.name).deciding.value)
    if decision.chosen == decision.best:
        return [
            Text(
                f"By that figure and simplicity alone it would be {other.says.en}, with {value}. But a student that is better "
                "alone is mostly better beside patches, too; where what the students reached alone is counted in, it is the way "
                "that is advised.",
                f"この値と簡単さだけなら{other.says.ja}（{value}）になります。ただし、単独で優れた生徒はパッチ照合を併用しても優れて"
                "いることが多く、単独で達した値も合わせると、推奨の方法になります。",
            )
        ]
    return [
        Text(
            f"By that figure and simplicity alone it would be {other.says.en}, with {value}. Where what the students reached "
            f"alone is counted in, {best.says.en} comes first, and the way that is advised is within {100 * MARGIN:.0f} points "
            "of it and simpler.",
            f"この値と簡単さだけなら{other.says.ja}（{value}）になります。生徒が単独で達した値も合わせると首位は{best.says.ja}で、"
            f"推奨の方法はそれより簡単で、差は {100 * MARGIN:.0f} ポイント以内です。",
        )
    ]


def unlearned(advice: Advice) -> list[Text]:
    """Say which ways were trained too shortly to be judged."""
    ways = [advice.candidate(name).says for name in advice.decision.unlearned]
    if not ways:
        return []
    epochs = advice.plan.epochs
    minutes = advice.needs.train_minutes
    if epochs >= advice.settings.epochs and minutes is not None and epochs < EPOCHS:
        return [
            Text(
                f"Not beyond chance: {listed([one.en for one in ways])}, in the {epochs} epochs that {minutes:g} minutes of "
                "training allow; give more --train-minutes.",
                f"{'、'.join(one.ja for one in ways)}は、学習の上限 {minutes:g} 分でできる {epochs} エポックでは"
                "偶然の水準を超えません。--train-minutes を増やしてください。",
            )
        ]
    if epochs >= advice.settings.epochs:
        return [
            Text(
                f"Not beyond chance: {listed([one.en for one in ways])}, in as many epochs as the training has ({epochs}). Look "
                "at the labels (embedstore suggest), or take pictures of more parts.",
                f"{'、'.join(one.ja for one in ways)}は、本学習と同じ {epochs} エポックでも偶然の水準を超えません。"
                "ラベルを確認するか（embedstore suggest）、"
                "別の部品の画像を増やしてください。",
            )
        ]
    return [
        Text(
            f"Too short to judge {listed([one.en for one in ways])}: {counted(epochs, 'epoch')} did not bring "
            f"{'it' if len(ways) == 1 else 'them'} beyond chance. What {'it' if len(ways) == 1 else 'they'} would reach in "
            f"{advice.settings.epochs} is unknown; give more --minutes to find out.",
            f"{'、'.join(one.ja for one in ways)}は {epochs} エポックでは偶然の水準を超えず、判断できません。"
            f"{advice.settings.epochs} エポックでどこまで達するかは不明です。--minutes を増やしてください。",
        )
    ]


def patched(advice: Advice) -> list[Text]:
    """Say what patches change of the advised way, where it was tried without them and with them."""
    decision = advice.decision
    chosen = advice.candidate(decision.chosen)
    others = [one for one in advice.tried if one.trained == chosen.trained and one is not chosen]
    if not others:
        return []
    other = decision.standing(others[0].name)
    needed, now = (needed_by(advice.footprints[name]) for name in (other.name, chosen.name))
    with_them, without = (
        Text("Beside patches", "パッチ照合を併用した場合"),
        Text("Without patches", "パッチ照合を併用しない場合"),
    )
    asked = without if chosen.alone else with_them
    says = (others[0] if chosen.alone else chosen).says
    gap = Text("", "")
    if decision.chosen == decision.best:  # gaps are to that
        told = _gap(other.gap)
        gap = Text(f", a difference of {told.en}", f"、差は {told.ja}")
    reached = share(other.deciding.value)
    return [
        Text(
            f"{asked.en}, {says.en} reached {reached}{gap.en}; at the terminal that would need {needed} instead of {now}.",
            f"{asked.ja}、{says.ja}は {reached}{gap.ja}でした。端末での必要量は {needed}（推奨の方法は {now}）です。",
        )
    ]


def hidden(advice: Advice) -> list[Text]:
    """Say which kinds of defect a class mean hides; where no kinds are told apart, what it hides of the labels."""
    looks = advice.looks
    if looks.hidden:
        some = looks.hidden[:MOST_NAMES]
        names = [one.mode for one in some]
        of = share(sum(one.far for one in some) / sum(one.pictures for one in some))
        more = len(looks.hidden) - len(some)
        others = f"; of {counted(more, 'more kind')} most pictures have none, either" if more else ""
        return [
            Text(
                f"A class mean hides {listed(names)}: {of} of their pictures have no mean near{others}.",
                f"クラス平均では{''.join(f'「{name}」' for name in names)}が埋もれます。その画像の {of} は平均から離れています。"
                f"{f'ほか {more} 種類も、半数を超える画像が平均から離れています。' if more else ''}",
            )
        ]
    if looks.modes:
        return [
            Text(
                f"A class mean hides none of the {looks.modes} kinds of defect: most pictures of each have a mean near.",
                f"クラス平均に埋もれる不良の種類はありません（{looks.modes} 種類とも、半数以上の画像が平均の近くにあります）。",
            )
        ]
    told = [one for one in looks.labels if one.label != advice.needs.good and one.far is not None][:MOST_NAMES]
    return [
        Text(
            f"Of '{one.label}', {share((one.far or 0) / one.pictures)} of the pictures have no class mean near.",
            f"「{one.label}」の画像の {share((one.far or 0) / one.pictures)} はクラス平均から離れています。",
        )
        for one in told
    ]


def expected(advice: Advice) -> Text:
    """Say what the advised way reached in the trials, with intervals."""
    decision = advice.decision
    figures, own = decision.standing(decision.chosen).figures, decision.figures_of(decision.chosen)
    wanted = f"{100 * advice.needs.overkill:g} %"
    if advice.needs.good is None:
        right, macro = estimate(figures["accuracy"]), estimate(figures["macro_recall"])
        worst = _worst(own.by_class[0], advice)
        return Text(
            f"Expected: {right.en} of the pictures get the right label; averaged over the labels {macro.en}; the worst label is "
            f"{worst.en}.",
            f"見込み：正しいラベルになる画像 {right.ja}、ラベルの平均 {macro.ja}、最も苦手なラベルは{worst.ja}。",
        )
    worst = _worst(own.by_mode[0], advice)
    if decision.figure == NO_ESCAPE:
        detected, lost = share(own.zero_escape_recall), share(own.zero_escape_overkill)
        task = _threshold_of_task(advice)
        return Text(
            f"Expected: with a threshold below the lowest score of all defects that set it, {detected} of the defects of other "
            f"parts are caught and {lost} of the good parts are rejected. One lowest score has no honest interval, and a new "
            f"defect may score lower: no threshold promises that nothing escapes. {task.en} At {wanted} overkill the worst "
            f"kind is {worst.en}.",
            f"見込み：しきい値を、それを決めた全不良の最低スコアに置くと、別の部品の不良の {detected} を検出し、良品の {lost} "
            f"を誤って不良とします。最低スコア 1 点には信頼できる区間がなく、新しい不良はさらに低いかもしれません。見逃しゼロを"
            f"保証するしきい値はありません。{task.ja}誤判定率 {wanted} では、最も苦手な種類は{worst.ja}。",
        )
    caught, rejected = estimate(figures["recall"]), estimate(figures["overkill"])
    return Text(
        f"Expected: with a threshold for {wanted} overkill, {caught.en} of the defects are caught and "
        f"{rejected.en} of the good parts are rejected; the worst kind is {worst.en}.",
        f"見込み：誤判定率 {wanted} のしきい値で、不良の {caught.ja}を検出し、良品の {rejected.ja}を"
        f"誤って不良とします。最も苦手な種類は{worst.ja}。",
    )


def _threshold_of_task(advice: Advice) -> Text:
    """Say which threshold the task file sets where nothing may escape: one for the good parts, whose scores are many."""
    written = share(advice.settings.overkill)
    reached = advice.decision.standing(advice.decision.chosen).deciding.value or 0.0
    if reached > advice.settings.overkill:
        return Text(
            f"So no usable threshold lets nothing escape: the task file is written for {written} overkill, the most that can be "
            "set, and defects will escape.",
            f"つまり、見逃しゼロで使えるしきい値はありません。タスクファイルは設定できる最大の誤判定率 {written} で書かれており、"
            "不良の一部は見逃されます。",
        )
    return Text(
        f"The task file sets the threshold by the good parts instead, for {written} overkill.",
        f"タスクファイルのしきい値は、代わりに良品のスコアから、誤判定率 {written} に合わせて決めます。",
    )


def cost(advice: Advice) -> Text:
    """Say what the advised training and its student cost."""
    need, epochs = advice.footprints[advice.decision.chosen], advice.settings.epochs
    minutes = duration(advice.training_minutes)
    among = Text(", patches among them,", "（パッチを含む）") if advice.settings.answer == PATCHES else Text("", "")
    return Text(
        f"Cost: {epochs} epochs, about {minutes.en} on this machine; at the terminal {need.megabytes:.1f} MB of "
        f"weights{among.en} and {need.milliseconds:.1f} ms a picture with one thread of this machine's CPU, its {need.flips} "
        "flips averaged.",
        f"コスト：{epochs} エポックの学習にこのマシンで約 {minutes.ja}。端末では重み {need.megabytes:.1f} MB{among.ja}、"
        f"1 枚あたり {need.milliseconds:.1f} ms（このマシンの CPU 1 スレッド、反転 {need.flips} 通りの平均を含む）。",
    )


def figure_named(figure: str) -> Text:
    """Return what a deciding figure is called."""
    if figure == NO_ESCAPE:
        return Text("overkill where no defect passes", "見逃しゼロのしきい値での誤判定率")
    return named(figure)


def share(value: float | None) -> str:
    """Return a share as a whole percentage, with plain blanks, since editors show these files."""
    return "–" if value is None else f"{number(100 * value, 0 if abs(value) >= 0.095 or not value else 1)} %"


def estimate(one: Estimate) -> Text:
    """Return a share with its interval, where it has one."""
    if one.low is None or one.high is None:
        return Text(share(one.value), share(one.value))
    low, high = (number(100 * end, 0 if 100 * end >= 9.5 else 1) for end in (one.low, one.high))
    return Text(f"{share(one.value)} (95 % interval {low} to {high})", f"{share(one.value)}（95 % 区間 {low}～{high}）")


def duration(minutes: float) -> Text:
    """Return a time in one unit."""
    if minutes < 1.5:
        return Text(f"{60 * minutes:.0f} s", f"{60 * minutes:.0f} 秒")
    if minutes < 90:
        return Text(f"{minutes:.0f} min", f"{minutes:.0f} 分")
    return Text(f"{minutes / 60:.1f} h", f"{minutes / 60:.1f} 時間")


def _gap(gap: Estimate) -> Text:
    """Return how far a way lies from the best, and whether that is beyond chance."""
    points = number(100 * abs(gap.value or 0), 1)
    if gap.low is None or gap.high is None:
        return Text(f"{points} points (no interval can be had)", f"{points} ポイント（区間は得られません）")
    low, high = sorted((100 if (gap.value or 0) >= 0 else -100) * end for end in (gap.low, gap.high))
    beyond = gap.low > 0 or gap.high < 0
    return Text(
        f"{points} points (95 % interval {number(low, 1)} to {number(high, 1)}), "
        f"{'beyond' if beyond else 'no more than'} what chance gives",
        f"{points} ポイント（95 % 区間 {number(low, 1)}～{number(high, 1)}、"
        f"{'偶然の範囲を超える' if beyond else '偶然の範囲内'}）",
    )


def _worst(one: RecallFigures, advice: Advice) -> Text:
    """Return the recall of a kind, or of a label, and what so few parts can promise."""
    reached, bound = estimate(Estimate(one.recall, one.low, one.high)), share(one.escape_bound)
    lost, lost_ja = ("be told wrong", "誤る") if advice.needs.good is None else ("escape", "見逃す")
    return Text(
        f"'{one.name}', {reached.en}, of {counted(one.parts, 'part')}: up to {bound} of such parts may {lost}",
        f"「{one.name}」{reached.ja}（{one.parts} 部品なので、このような部品の最大 {bound} を{lost_ja}おそれがあります）",
    )


def needed_by(need: Footprint) -> str:
    """Return what something needs at the terminal."""
    return f"{need.megabytes:.1f} MB / {need.milliseconds:.1f} ms"


def counted(count: int, noun: str) -> str:
    """Return a number with its noun."""
    return f"{count} {noun}{'' if count == 1 else 's'}"

"""Reasons in words say what the figures say, and no more; in both languages."""

from dataclasses import replace

import pytest
from toy_advice import LOOKS, advice_of, runs

from distill.advice.advice import Advice
from distill.advice.candidates import chosen_candidates
from distill.advice.decision import Estimate, Standing, select
from distill.advice.footprint import Footprint, LeftOut
from distill.advice.look_words import shown
from distill.advice.looks import HiddenMode, LabelLook
from distill.advice.needs import Needs
from distill.advice.trial_words import doubts, tried
from distill.advice.trials import Plan
from distill.advice.words import cost, duration, estimate, expected, hidden, judged_by_both, share, unlearned, verdict
from embedstore.pages import Text


def test_a_way_that_is_as_good_and_simpler_is_enough() -> None:
    advice = advice_of(runs())
    value = share(advice.decision.standing("none").deciding.value)
    said = verdict(advice)
    assert said.en.startswith(
        f"For this task plain training is enough: recall averaged over the kinds of defect {value} (95 % interval "
    )
    assert said.en.endswith(
        f"The next best of 3 ways, the class mean, reached {value}; the difference is 0.0 points (95 % interval 0.0 to "
        "0.0), no more than what chance gives."
    )
    assert said.ja.startswith(f"この課題には通常の学習で十分です。検出率（不良の種類の平均）は {value}（95 % 区間 ")


def test_the_last_way_is_taken_where_it_is_the_best() -> None:
    advice = advice_of(runs(own=0.4))
    assert advice.decision.chosen == "own"
    said = verdict(advice)
    assert said.en.startswith("Take own embeddings: recall averaged over the kinds of defect ")
    gap = advice.decision.standing("class-mean").gap  # as good as none, and after it
    assert gap == advice.decision.standing("none").gap
    assert gap.high is not None
    assert gap.high < 0
    value = share(advice.decision.standing("none").deciding.value)
    assert f"The next best of 3 ways, plain training, reached {value}; the difference is " in said.en
    assert said.en.endswith("), beyond what chance gives.")
    assert f" {-100 * (gap.value or 0):.1f} points (95 % interval {-100 * gap.high:.1f} to " in said.en


def test_a_way_between_is_enough_and_the_best_is_told_with_what_simplicity_may_cost() -> None:
    advice = advice_of(runs(class_mean=0.4, own=0.4))
    assert advice.decision.chosen == "class-mean"
    assert verdict(advice).en.startswith("For this task the class mean is enough: ")
    decision = replace(
        advice.decision,
        best="own",
        standings=[
            replace(one, gap=Estimate(-0.015, -0.05, 0.02)) if one.name == "class-mean" else one
            for one in advice.decision.standings
        ],
    )
    said = verdict(replace(advice, decision=decision))
    assert said.en.endswith(
        "the difference is 1.5 points (95 % interval −2.0 to 5.0), no more than what chance gives, and a simpler way may cost up "
        "to 2."
    )
    assert "差は 1.5 ポイント（95 % 区間 −2.0～5.0、偶然の範囲内）です。" in said.ja


def beside_patches(values: dict[str, float]) -> Advice:
    """Return the advice on ways with some figures, alone and beside patches."""
    tried = chosen_candidates(list(values))
    order = [one.name for one in tried]
    beside = {one.name: one.trained for one in tried if one.alone}
    best, chosen, by_figure, judged = select(values, order, beside)
    decision = advice_of(runs()).decision
    standings = [
        Standing(name, {}, Estimate(values[name]), judged[name], Estimate(values[name] - values[best]))
        for name in order
    ]
    return replace(
        advice_of(runs()),
        tried=tried,
        decision=replace(decision, best=best, chosen=chosen, by_figure=by_figure, standings=standings),
        footprints={name: Footprint(1.1, 4.25, 4) for name in order},
    )


def test_why_the_best_figure_beside_patches_is_not_taken_is_told() -> None:
    values = {"none": 0.1, "own": 0.3, "none-patches": 0.52, "own-patches": 0.48}
    advice = beside_patches(values)
    decision = advice.decision
    assert (decision.best, decision.chosen, decision.by_figure) == ("own-patches", "own-patches", "none-patches")
    other = advice.candidate("none-patches").says
    said = verdict(advice)
    assert f"Of 4 ways this figure is best of {other.en}, 52 %; the difference is 4.0 points" in said.en
    assert f"4 方法中でこの値が最も良いのは{other.ja}（52 %）、差は 4.0 ポイント" in said.ja
    (why,) = judged_by_both(advice)
    assert why.en.startswith(f"By that figure and simplicity alone it would be {other.en}, with 52 %. But a student")
    assert why.ja.startswith(f"この値と簡単さだけなら{other.ja}（52 %）になります。")
    assert judged_by_both(advice_of(runs(own=0.4))) == []


def test_a_simpler_way_beside_patches_is_told_with_the_difference_that_the_margin_is_for() -> None:
    advice = beside_patches({"none": 0.2, "own": 0.2, "none-patches": 0.5, "own-patches": 0.532})
    assert (advice.decision.best, advice.decision.chosen) == ("own-patches", "none-patches")
    said = verdict(advice)
    best = advice.candidate("own-patches").says
    assert said.en.endswith(
        f"The best of 4 ways, where what the students reach alone is counted in, {best.en}, reached 53 %; the difference is 3.2 "
        "points (no interval can be had), 1.6 so counted, and a simpler way may cost up to 2."
    )
    assert "（合わせた値では 1.6 ポイント）。2 ポイント以内の差なら" in said.ja
    (why,) = judged_by_both(advice)
    assert why.en.endswith(
        f"counted in, {best.en} comes first, and the way that is advised is within 2 points of it and simpler."
    )
    assert why.ja.endswith(f"首位は{best.ja}で、推奨の方法はそれより簡単で、差は 2 ポイント以内です。")


def test_what_students_reach_alone_is_not_told_where_it_was_not_counted() -> None:
    advice = beside_patches({"none-patches": 0.5, "own-patches": 0.515})
    assert (advice.decision.best, advice.decision.chosen) == ("own-patches", "none-patches")
    assert "; the difference is 1.5 points (no interval can be had), and a simpler way" in verdict(advice).en
    assert judged_by_both(advice) == []
    # Own would be first beside patches by what it reached alone, but it did better there; so the figures themselves decide.
    figures = beside_patches(
        {"none": 0.1, "trunk": 0.1, "own": 0.46, "none-patches": 0.49, "trunk-patches": 0.5, "own-patches": 0.45}
    )
    assert (figures.decision.best, figures.decision.chosen) == ("trunk-patches", "none-patches")
    assert "counted" not in verdict(figures).en
    head = beside_patches({"none": 0.1, "own": 0.6, "none-patches": 0.59, "own-patches": 0.57})
    assert head.decision.chosen == "own"
    assert f"The next best of 4 ways, {head.candidate('none-patches').says.en}, reached 59 %" in verdict(head).en


def test_ways_that_were_trained_too_shortly_are_named() -> None:
    advice = advice_of(runs(own=0.4))
    assert unlearned(replace(advice, decision=replace(advice.decision, unlearned=[]))) == []
    (said,) = unlearned(replace(advice, decision=replace(advice.decision, unlearned=["none", "class-mean"])))
    assert said.en == (
        "Too short to judge plain training and the class mean: 20 epochs did not bring them beyond chance. What they would reach "
        "in 100 is unknown; give more --minutes to find out."
    )


def test_a_way_that_was_not_to_be_chosen_is_not_the_next_best() -> None:
    """It may have reached more, by luck."""
    advice = advice_of(runs(own=0.4))
    lucky = replace(advice.decision, best="none", chosen="none", unlearned=["own"])
    said = verdict(replace(advice, decision=lucky))
    assert "The next best of 3 ways, the class mean, reached" in said.en
    assert advice.candidate("own").says.ja not in said.ja
    alone = verdict(replace(advice, decision=replace(lucky, unlearned=["class-mean", "own"])))
    assert alone.en.startswith("Take plain training: ")
    assert alone.en.endswith(f"; {advice.candidate('none').why.en}.")
    assert alone.ja.endswith(f"。{advice.candidate('none').why.ja}。")


def test_where_nothing_was_learned_nothing_is_advised() -> None:
    advice = advice_of(runs(own=0.4))
    nothing = replace(advice.decision, unlearned=["none", "class-mean", "own"])
    said = verdict(replace(advice, decision=nothing))
    assert said.en.startswith("No advice: own embeddings was not shown to know more than chance")
    assert said.ja.startswith("推奨できません：")
    as_long = replace(advice, decision=nothing, plan=Plan(5, 3, 100, 1.0))
    (told,) = unlearned(as_long)
    assert told.en.startswith(
        "Not beyond chance: plain training, the class mean and own embeddings, in as many epochs as"
    )
    assert told.en.endswith("or take pictures of more parts.")
    short = replace(as_long, plan=Plan(5, 3, 12, 1.0), settings=replace(advice.settings, epochs=12))
    (told,) = unlearned(replace(short, needs=replace(advice.needs, train_minutes=2.0)))
    assert told.en.endswith("in the 12 epochs that 2 minutes of training allow; give more --train-minutes.")


def test_the_best_beside_a_simpler_way_is_taken_and_not_called_enough() -> None:
    advice = advice_of(runs(class_mean=0.4))
    assert (advice.decision.chosen, advice.decision.best) == ("class-mean", "class-mean")
    said = verdict(replace(advice, decision=replace(advice.decision, standings=advice.decision.standings[:2])))
    assert said.en.startswith("Take the class mean: ")
    assert "The next best of 3 ways, plain training, reached" in said.en


def test_kinds_that_a_mean_hides_are_named_with_their_share() -> None:
    advice = advice_of(runs())
    assert hidden(advice) == [
        Text(
            "A class mean hides Fray and Crack: 70 % of their pictures have no mean near.",
            "クラス平均では「Fray」「Crack」が埋もれます。その画像の 70 % は平均から離れています。",
        )
    ]
    four = [HiddenMode(name, "defect", 10, 9) for name in ("A", "B", "C", "D")]
    (said,) = hidden(replace(advice, looks=replace(LOOKS, hidden=four)))
    assert said.en == (
        "A class mean hides A, B and C: 90 % of their pictures have no mean near; of 1 more kind most pictures have none, either."
    )
    (said,) = hidden(replace(advice, looks=replace(LOOKS, hidden=[])))
    assert said.en.startswith("A class mean hides none of the 3 kinds of defect")
    (said,) = hidden(replace(advice, looks=replace(LOOKS, hidden=[], modes=0)))
    assert said.en == "Of 'defect', 75 % of the pictures have no class mean near."


def test_what_is_expected_is_what_the_chosen_way_reached() -> None:
    advice = advice_of(runs(own=0.4))
    figures, own = advice.decision.standing("own").figures, advice.decision.figures_of("own")
    said = expected(advice).en
    assert said.startswith(
        f"Expected: with a threshold for 5 % overkill, {estimate(figures['recall']).en} of the defects"
    )
    assert f"and {estimate(figures['overkill']).en} of the good parts are rejected" in said
    worst = own.by_mode[0]
    assert f"the worst kind is '{own.worst_mode}', {share(worst.recall)}" in said
    assert said.endswith(f"of {worst.parts} parts: up to {share(worst.escape_bound)} of such parts may escape.")


def test_without_a_good_label_labels_are_expected_and_the_lack_is_told() -> None:
    advice = advice_of(runs(own=0.4), Needs())
    own = advice.decision.figures_of(advice.decision.chosen)
    said = expected(advice).en
    assert said.startswith(f"Expected: {share(own.accuracy)} (95 % interval ")
    assert f"the worst label is '{own.worst_class}'" in said
    assert any("nothing is told of escapes" in one.en for one in doubts(advice))


def test_zero_escapes_are_never_promised() -> None:
    advice = advice_of(runs(own=0.4), Needs(good="good", escape=0))
    own = advice.decision.figures_of(advice.decision.chosen)
    said = expected(advice).en
    assert f"{share(own.zero_escape_overkill)} of the good parts are rejected" in said
    assert "no threshold promises that nothing escapes" in said
    assert "(no interval can be had)" in verdict(advice).en
    assert "The task file sets the threshold by the good parts instead, for 5.0 % overkill." in said
    capped = [
        replace(one, deciding=Estimate(0.97)) if one.name == advice.decision.chosen else one
        for one in advice.decision.standings
    ]
    most = replace(advice.settings, overkill=0.5)
    said = expected(replace(advice, settings=most, decision=replace(advice.decision, standings=capped))).en
    assert "So no usable threshold lets nothing escape: the task file is written for 50 % overkill" in said


def test_costs_trials_and_what_was_left_out_are_told() -> None:
    advice = advice_of(runs(own=0.4), Needs(good="good", max_megabytes=2))
    assert cost(advice).en == (
        "Cost: 100 epochs, about 2 min on this machine; at the terminal 1.1 MB of weights and 4.2 ms a picture with one thread "
        "of this machine's CPU, its 4 flips averaged."
    )
    first, left_out = tried(advice)
    assert first.en.startswith(
        "The trials: each of 3 students was trained for 20 epochs on 3 folds with 1 seed, 9 runs that trained 3 min all together"
    )
    assert left_out.en == "Not tried: 'trunk' needs 2.84 MB / 9.1 ms; the terminal allows 2 MB."
    advice = replace(advice, left_out=[LeftOut("trunk", None, Text("It is not there.", "ありません。"))])
    assert tried(advice)[1].en == "Not tried: 'trunk'. It is not there."
    assert tried(advice)[1].ja == "試していない方法：「trunk」。ありません。"


def test_doubts_follow_from_how_short_the_trials_were() -> None:
    advice = advice_of(runs(own=0.4))
    said = [one.en for one in doubts(advice)]
    assert said[0].startswith("The trials had 20 epochs and the training has 100.")
    assert said[1].startswith("A run of the trials learned from 40 pictures, and the training learns from 80")
    assert said[2].startswith("The figures of the best of 3 ways are a little too good")
    assert said[-1] == "Split by chance."
    tested = [one.en for one in doubts(replace(advice, looks=replace(LOOKS, tested=12)))]
    assert tested[3].startswith("The trials tested the 12 pictures on the store's test side, too")
    assert [*tested[:3], *tested[4:]] == said
    as_long = replace(advice, plan=Plan(5, 3, 100, 1.0), learned=80)
    assert [one.en for one in doubts(as_long)] == said[2:]


def test_the_store_is_told_with_what_is_wrong_with_it() -> None:
    plain = [one.en for one in shown(LOOKS)]
    assert plain == [
        "The store: 120 pictures, by label, the rarest first: 'defect' 40 (20 parts), 'good' 75 (50 parts); 3 without a label; 2 "
        "set aside.",
        "Of the 20 oddest pictures of 'defect', 1 has no other part near; 4 are like other parts, but far from every prototype. "
        "Look at them with: embedstore inspect",
    ]
    scarce = replace(LOOKS, labels=[LabelLook("crack", 4, 2, 1, 0, 0, 4)])
    assert "Fewer than 5 parts show 'crack'" in shown(scarce)[1].en
    worse = replace(LOOKS, ungrouped_twins=3, meeting_groups=2, torn_sets=1, views=0, compared=False)
    said = [one.en for one in shown(worse)][2:]
    assert [one.split(":")[0] for one in said] == [
        "Whether pictures show the same part was not looked at, since there are too many or too few; see",
        "Sets of pictures that look like one part, while some of them have no group",
        "Groups with pictures that look like one part with pictures of another group",
        "Sets of pictures that look like one part, while the written split puts them on several sides",
        "The store has no augmented views, from which students learn more",
    ]


@pytest.mark.parametrize(
    ("value", "told"), [(0.0, "0 %"), (0.052, "5.2 %"), (0.0949, "9.5 %"), (0.62, "62 %"), (1.0, "100 %"), (None, "–")]
)
def test_shares_have_two_digits(value: float | None, told: str) -> None:
    assert share(value) == told


@pytest.mark.parametrize(("minutes", "told"), [(0.2, "12 s"), (1.49, "89 s"), (20, "20 min"), (120, "2.0 h")])
def test_times_have_one_unit(minutes: float, told: str) -> None:
    assert duration(minutes).en == told

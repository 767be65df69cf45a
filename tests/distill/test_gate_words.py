"""What the gate says, in both languages: the answer, what to do, and what the figures can't tell."""

import pytest
from test_gate_figures import gate, parts

from distill.evaluation.gate import UNKNOWN_KIND
from distill.reports.gate import answer, notes


def test_a_failure_says_which_kinds_and_what_to_keep() -> None:
    found = gate(parts(20, "a", ".", "x"), parts(3, "b", ".", "x"), parts(9, None, ".", "."))
    said = answer(found)
    assert said.en == (
        "FAILED: beyond chance, the new student is worse than 'old' on all defects together, 'a'; keep 'old'."
    )
    assert "不良全体、「a」について「old」より" in said.ja


def test_what_cannot_be_told_says_how_many_parts_it_needs() -> None:
    found = gate(parts(20, "a", ".", "."), parts(3, "b", ".", "."), parts(2, None, ".", "."), overkill=True)
    said = answer(found)
    assert said.en == (
        "CAN'T TELL: nothing is shown to be worse than with 'old', but no rise could be shown of 'b' (3), good parts (2): it "
        "needs 6 test parts. Add pictures of other such parts to the test side, or look at what escapes and decide yourself "
        "(--accept-unknown)."
    )
    assert "「b」（3 個）、良品（2 個）は増加を示せません（テスト部品が 6 個必要です）" in said.ja


def test_a_rise_that_chance_may_do_is_not_passed_over() -> None:
    worse = gate(
        parts(5, "a", ".", "x"), parts(2, "a", ".", ".", start=5), parts(20, "b", "x", "."), parts(9, None, ".", ".")
    )
    assert worse.outcome == "passed"  # 2^-5 is more than 0.05 / 3
    assert answer(worse).en == (
        "PASSED: nothing is worse than with 'old' beyond chance. Look at 'a' all the same: of 7 parts 5 got worse and 0 better, "
        "which chance may do."
    )
    assert "「a」は確認してください：7 部品のうち 5 が悪化、0 が改善" in answer(worse).ja
    assert answer(gate(parts(9, "a", "x", "."))).en == "PASSED: nothing is worse than with 'old' beyond chance."


@pytest.mark.parametrize(("pictures", "told"), [("..", False), (".", True)])
def test_pictures_without_a_group_are_told(pictures: str, told: bool) -> None:
    found = gate(parts(9, "a", pictures, pictures))
    assert any("counts as a part of its own" in one.en for one in notes(found)) == told


def test_defects_of_unknown_kind_are_told() -> None:
    known = parts(9, "a", ".", ".")
    told = notes(gate(known, parts(2, UNKNOWN_KIND, ".", ".")))
    assert any(one.en.startswith("2 pictures of defects have no mode, though others of their label do") for one in told)
    assert any("不良画像 2 枚には" in one.ja for one in told)
    assert not any("no mode" in one.en for one in notes(gate(known)))
    alone = gate(parts(3, UNKNOWN_KIND, ".", "x"))
    assert "Look at all defects together all the same: of 3 parts 3 got worse" in answer(alone).en

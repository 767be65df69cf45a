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
        "CAN'T TELL: nothing is shown to be worse than with 'old', but too few test parts show 'b' (3), good parts (2): for "
        "all to be told, each needs 7. Add pictures of other such parts to the test side, or look at what escapes and decide "
        "yourself (--accept-unknown)."
    )
    assert (
        "「b」（3 個）、良品（2 個）のテスト部品が足りません（すべてを判定するには、それぞれ 7 個必要です）" in said.ja
    )


def test_what_would_be_too_few_once_the_others_have_their_parts_is_told_at_once() -> None:
    counts = {"a": 6, "b": 6, "c": 0, "d": 0, "e": 0}
    found = gate(*(parts(count, kind, ".", ".") for kind, count in counts.items()), kinds=counts)
    assert {one.kind for one in found.kinds if one.verdict == "unknown"} == {"c", "d", "e"}
    few = "'a' (6), 'b' (6), 'c' (0), 'd' (0), 'e' (0): for all to be told, each needs 7."
    assert few in answer(found).en
    grown = gate(*(parts(max(count, 6 + (not count)), kind, ".", ".") for kind, count in counts.items()), kinds=counts)
    assert {one.kind for one in grown.kinds if one.verdict == "unknown"} == {"a", "b"}  # had they not been told


@pytest.mark.parametrize(("count", "able"), [(1, 0), (2, 1), (7, 6)])
def test_only_rows_with_parts_enough_are_said_to_raise_false_alarms(count: int, able: int) -> None:
    found = gate(*(parts(count, kind, ".", ".") for kind in "abcde"[: 5 if count > 1 else 4]))
    rows = len(found.gated)
    told = notes(found)[0]
    assert f"that have parts enough to be told ({able} of the {rows} that decide) raises a false alarm in" in told.en
    assert f"（判定に使う {rows} 行のうち {able} 行）のどれかが" in told.ja
    assert f"a rise needs {5 if count < 7 else 7} parts that get worse" in notes(found)[1].en


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

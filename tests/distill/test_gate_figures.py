"""The figures of the gate against oracles: sign flips by hand, binomials, planted rises, and noise over many seeds."""

import math
from itertools import product

import numpy as np
import pytest

from distill.evaluation.gate import (
    UNKNOWN_KIND,
    Change,
    Gate,
    Judged,
    LeftOut,
    Rated,
    detectable_rise,
    make_gate,
    parts_needed,
    rise_interval,
    row_level,
)
from embedstore.errors import TrainingError

OLD, NEW = Rated("old", "a", 0.5), Rated("new", "b", 0.5)


def part(name: str, kind: str | None, old: str, new: str) -> list[Judged]:
    """Return a part's pictures; `x` in the texts: judged wrongly by that student, `.`: rightly."""
    return [
        Judged(name, kind, (then == "x") == (kind is None), (now == "x") == (kind is None))
        for then, now in zip(old, new, strict=True)
    ]


def parts(count: int, kind: str | None, old: str, new: str, start: int = 0) -> list[Judged]:
    return [one for number in range(start, start + count) for one in part(f"{kind} {number}", kind, old, new)]


def gate(*tested: list[Judged], **options: object) -> Gate:
    return make_gate([one for some in tested for one in some], OLD, NEW, **options)  # type: ignore[arg-type]


def of(found: Gate, kind: str) -> Change:
    return next(one for one in found.kinds if one.kind == kind)


def flips_p(rises: list[int]) -> float:
    """Return how often swapping the students at random, part by part, gives as high a rise."""
    flipped = [
        sum(sign * rise for sign, rise in zip(signs, rises, strict=True))
        for signs in product((1, -1), repeat=len(rises))
    ]
    return float(np.mean([one >= sum(rises) for one in flipped]))


@pytest.mark.parametrize("level", [0.05, 0.0125, 0.2, 0.0625])  # the last just that of four parts
def test_the_low_end_excludes_zero_just_where_sign_flips_are_that_rare(level: float) -> None:
    random = np.random.default_rng(0)
    told = []
    for _ in range(150):
        count = int(random.integers(3, 9))
        sizes = random.integers(1, 5, count)
        rises = np.array([random.integers(-1, size + 1) for size in sizes])
        low, _ = rise_interval(rises, sizes, level, draws=1, seed=0)
        rose = low is not None and low > 0
        assert rose == (flips_p(rises.tolist()) <= level)
        told.append(rose)
    assert 0 < sum(told) < 150


def test_the_ends_are_where_shifted_sign_flips_begin_to_be_that_rare() -> None:
    rises, sizes = np.array([2, 1, 0, 1, 3, -1, 0]), np.array([3, 2, 1, 4, 3, 2, 2])
    low, high = rise_interval(rises, sizes, 0.05, draws=1, seed=0)
    assert low is not None
    assert high is not None
    for end, sign in ((low, 1), (high, -1)):
        for inside, rare in ((1e-9, False), (-1e-9, True)):
            shifted = [sign * (r - (end + sign * inside) * s) for r, s in zip(rises, sizes, strict=True)]
            assert (flips_p(shifted) <= 0.05) == rare  # type: ignore[arg-type]


def test_many_parts_are_drawn_as_if_all_draws_were_taken() -> None:
    random = np.random.default_rng(1)
    rises, sizes = random.integers(-1, 3, 16), np.full(16, 2)
    found = rise_interval(rises, sizes, 0.05, draws=50_000, seed=0)
    held = (np.arange(1, 1 << 16)[:, None] >> np.arange(16)) & 1
    means = (held @ rises) / (held @ sizes)
    assert found == pytest.approx(np.quantile(means, [0.05, 0.95]), abs=0.02)
    assert found == rise_interval(rises[::-1], sizes, 0.05, draws=50_000, seed=0)


@pytest.mark.parametrize(("level", "needed"), [(0.05, 5), (0.03125, 5), (0.025, 6), (0.01, 7), (0.5, 1)])
def test_parts_needed(level: float, needed: int) -> None:
    assert parts_needed(level) == needed
    assert 2.0**-needed <= level < 2.0 ** (1 - needed)


@pytest.mark.parametrize(
    ("counts", "rows"),
    [
        ([30, 30, 30], 3),
        ([30, 30, 3, 2, 1], 2),  # what can never raise an alarm takes none of the chance
        ([18, 5, 5, 3, 2], 2),  # at a third of it two rows fall out, at a half all but one
        ([3, 3], 1),
        ([], 1),
    ],
)
def test_the_chance_of_a_false_alarm_is_shared_among_rows_that_can_raise_one(counts: list[int], rows: int) -> None:
    assert row_level(counts) == 0.05 / rows


@pytest.mark.parametrize("overkill", [False, True])
@pytest.mark.parametrize("kinds", range(1, 13))
def test_who_collects_what_is_asked_for_is_told(kinds: int, overkill: bool) -> None:
    random = np.random.default_rng(kinds)
    for few in (2, 4, 6, 8):
        counts = {f"k{number}": int(random.integers(few + 1)) for number in range(kinds)} | {"k0": few}
        goods = int(random.integers(few + 1))

        def found(least: int, counts: dict[str, int] = counts, goods: int = goods) -> Gate:
            some = [parts(max(count, least), kind, ".", ".") for kind, count in counts.items()]
            return gate(*some, parts(max(goods, least), None, ".", "."), kinds=counts, overkill=overkill)

        needed = {one.needed for one in found(0).gated}
        assert needed == {one.needed for one in found(20).gated}  # never more than was asked for
        assert found(*needed).outcome == "passed"
        assert few >= min(needed) or found(min(needed) - 1).outcome == "unknown"  # and never more than is needed


@pytest.mark.parametrize(("kinds", "needed"), [(1, 5), (2, 6), (3, 7), (5, 7), (6, 8), (11, 8), (12, 9)])
def test_the_parts_that_the_handbook_names_are_needed(kinds: int, needed: int) -> None:
    assert gate(*(parts(1, f"k{number}", ".", ".") for number in range(kinds))).defects.needed == needed


def test_the_detectable_rise_is_found_in_four_cases_of_five() -> None:
    rise = detectable_rise(20, 7)
    assert rise is not None
    found = sum(math.comb(20, k) * rise**k * (1 - rise) ** (20 - k) for k in range(7, 21))
    assert found == pytest.approx(0.8)
    assert detectable_rise(6, 7) is None


def test_what_is_counted() -> None:
    found = gate(
        parts(4, "scratch", "..x", ".xx"),
        parts(2, "scratch", "xx.", "...", start=4),
        parts(3, None, "x.", "xx"),
    )
    one = of(found, "scratch")
    assert (one.pictures, one.parts, one.old, one.new) == (18, 6, 8, 8)
    assert (one.parts_worse, one.parts_better, one.rise) == (4, 2, 0.0)
    assert (found.defects.pictures, found.defects.old, found.defects.kind) == (18, 8, None)
    assert (found.goods.pictures, found.goods.old, found.goods.new, found.goods.rise) == (6, 3, 6, 0.5)


def test_a_rise_of_three_parts_can_never_be_told() -> None:
    found = gate(parts(3, "rare", "...", "xxx"), parts(30, "common", ".", "."), parts(9, None, ".", "."))
    rare = of(found, "rare")
    assert (rare.verdict, rare.low, rare.high, rare.detectable) == ("unknown", None, None, None)
    assert rare.rise == 1.0
    assert found.outcome == "unknown"


def test_a_planted_rise_fails_and_the_others_do_not() -> None:
    found = gate(parts(9, "a", "..", "x."), parts(12, "b", "x.", ".x"), parts(20, None, ".", "."))
    assert found.outcome == "failed"
    assert [(one.kind, one.verdict) for one in found.kinds] == [("a", "more"), ("b", "noise")]
    assert found.level == 0.05 / 3
    assert (of(found, "a").low, of(found, "a").high) == (0.5, 0.5)


def test_fewer_escapes_pass() -> None:
    found = gate(parts(9, "a", "x.", ".."), parts(9, None, ".", "."))
    assert (found.outcome, of(found, "a").verdict) == ("passed", "less")


def test_good_parts_decide_only_where_they_are_asked() -> None:
    tested = [*parts(9, "a", "..", ".."), *parts(20, None, ".", "x")]
    told, gated = gate(tested), gate(tested, overkill=True)
    assert (told.outcome, gated.outcome) == ("passed", "failed")
    assert told.goods.verdict == gated.goods.verdict == "more"
    assert (told.level, gated.level) == (0.05, 0.05 / 2)
    few = gate(parts(9, "a", "..", ".."), parts(2, None, ".", "x"), overkill=True)
    assert few.outcome == "unknown"


def test_a_single_kind_is_not_counted_twice() -> None:
    found = gate(parts(5, "a", "..", "xx"), parts(9, None, ".", "."))
    assert (found.level, found.defects.needed) == (0.05, 5)
    assert (found.outcome, found.gated) == ("failed", found.kinds)  # 2^-5 is less than 0.05, and more than its half
    both = gate(parts(5, "a", "..", "xx"), parts(1, "b", ".", "."), parts(9, None, ".", "."))
    assert both.gated == [both.defects, *both.kinds]


def test_a_known_kind_that_no_picture_shows_is_not_passed() -> None:
    found = gate(parts(9, "a", ".", "."), parts(9, None, ".", "."), kinds=["a", "gone"])
    gone = of(found, "gone")
    assert (gone.pictures, gone.rise, gone.verdict) == (0, None, "unknown")
    assert found.outcome == "unknown"


def test_defects_of_unknown_kind_count_among_all_defects_only() -> None:
    found = gate(
        parts(9, "a", ".", "."), parts(2, UNKNOWN_KIND, ".", "x"), parts(9, None, ".", "."), kinds=["a", UNKNOWN_KIND]
    )
    assert [one.kind for one in found.kinds] == ["a"]
    assert (found.defects.parts, found.defects.new, found.pictures_without_kind) == (11, 2, 2)
    assert (found.outcome, found.gated) == (
        "passed",
        [found.defects, *found.kinds],
    )  # of 'a' alone they would say the same
    assert found.level == 0.05 / 2
    alone = gate(parts(9, UNKNOWN_KIND, ".", "x"), parts(9, None, ".", "."))
    assert (alone.outcome, alone.gated, alone.level) == ("failed", [alone.defects], 0.05)


def test_a_part_of_two_kinds_counts_in_both() -> None:
    both = [*part("one", "a", ".", "x"), *part("one", "b", ".", ".")]
    found = gate(both, parts(9, None, ".", "."))
    assert (of(found, "a").parts, of(found, "b").parts, found.defects.parts) == (1, 1, 1)


def test_the_order_of_pictures_changes_nothing() -> None:
    random = np.random.default_rng(0)
    tested = [
        Judged(f"p{number // 2}", ("a", "b", None)[number % 3], bool(random.integers(2)), bool(random.integers(2)))
        for number in range(120)
    ]
    assert gate(tested) == gate(tested[::-1])


def test_equal_students_pass_and_only_gated_rows_count() -> None:
    found = gate(parts(20, "a", "x.", "x."), parts(20, None, "x", "x"), left_out=LeftOut(3, 4))
    assert found.outcome == "passed"
    assert of(found, "a").rise == found.goods.rise == 0
    assert found.to_dict()["left_out"] == {"learned": 3, "validated": 4, "untraced": 0}


def test_nothing_to_compare_is_refused() -> None:
    with pytest.raises(TrainingError, match="No defect on the test side is held out for both students"):
        gate(parts(9, None, ".", "."))


def simulated(seed: int, *, hard: float = 0.3, rise: float = 0.0) -> Gate:
    """Return a gate of students that err alike but for chance; pictures of a part mostly fare alike."""
    random = np.random.default_rng(seed)
    tested = []
    for kind, count in (("a", 13), ("b", 9), ("c", 7), ("d", 3)):
        for number in range(count):
            missed = random.random() < hard
            wrong = [missed ^ (random.random() < 0.25) for _ in range(2)]
            wrong[1] |= kind == "a" and random.random() < rise
            for _ in range(4):
                old, new = (one ^ (random.random() < 0.1) for one in wrong)
                tested.append(Judged(f"{kind}{number}", kind, not old, not new))
    return make_gate(tested, OLD, NEW, draws=999)


def test_noise_fails_no_oftener_than_stated_and_planted_rises_mostly_do() -> None:
    alarms = [simulated(seed).outcome == "failed" for seed in range(300)]
    assert 0 < np.mean(alarms) <= 0.05
    found = [of(simulated(seed, hard=0.05, rise=0.9), "a").verdict == "more" for seed in range(50)]
    assert np.mean(found) >= 0.8

"""Scores by the most alike parts, against sums done by hand and against a slow loop."""

import math

import numpy as np
import pytest

from distill.terminal import retrieval
from distill.terminal.retrieval import defect_scores, most_alike
from embedstore.errors import SettingsError

# On a circle, so that a cosine is that of an angle.
GALLERY_AT = [0, 10, 40, 90, 100]
IS_DEFECT = [False, False, False, True, True]


def at(*degrees: float) -> np.ndarray:
    angles = np.radians(degrees)
    return np.stack([np.cos(angles), np.sin(angles)], axis=1)


def cos(degrees: float) -> float:
    return math.cos(math.radians(degrees))


def test_the_best_defect_minus_the_best_good_part() -> None:
    scores = defect_scores(at(60, 0), at(*GALLERY_AT), IS_DEFECT)
    assert scores == pytest.approx([cos(30) - cos(20), cos(90) - 1], abs=1e-6)


def test_lengths_say_nothing() -> None:
    scores = defect_scores(7 * at(60), np.arange(1, 6)[:, None] * at(*GALLERY_AT), IS_DEFECT)
    assert scores == pytest.approx([cos(30) - cos(20)], abs=1e-6)


def test_of_several_the_mean_counts_and_fewer_where_there_are_fewer() -> None:
    defects, good = (cos(30) + cos(40)) / 2, (cos(20) + cos(50) + cos(60)) / 3
    assert defect_scores(at(60), at(*GALLERY_AT), IS_DEFECT, k=3) == pytest.approx([defects - good], abs=1e-6)


def test_one_part_is_heard_once() -> None:
    scores = defect_scores(at(60), at(*GALLERY_AT), IS_DEFECT, k=2, groups=["a", "b", "b", "c", "c"])
    assert scores == pytest.approx([cos(30) - (cos(20) + cos(60)) / 2], abs=1e-6)


def test_a_part_with_pictures_of_both_kinds_is_heard_of_each() -> None:
    scores = defect_scores(at(60), at(*GALLERY_AT), IS_DEFECT, groups=["a", "b", "c", "c", "d"])
    assert scores == pytest.approx([cos(30) - cos(20)], abs=1e-6)


def test_the_own_part_is_left_out() -> None:
    groups = np.array(["a", "b", "c", "d", "e"])
    scores = defect_scores(at(*GALLERY_AT), at(*GALLERY_AT), IS_DEFECT, groups=groups, query_groups=groups)
    by_hand = [cos(90) - cos(10), cos(80) - cos(10), cos(50) - cos(30), cos(10) - cos(50), cos(10) - cos(60)]
    assert scores == pytest.approx(by_hand, abs=1e-6)


def test_a_query_of_a_part_that_the_gallery_does_not_have_is_compared_with_all() -> None:
    groups = ["b", "c", "d", "e", "f"]
    for unknown in ("a", "cc", "z"):
        own = defect_scores(at(60), at(*GALLERY_AT), IS_DEFECT, groups=groups, query_groups=[unknown])
        assert own == pytest.approx([cos(30) - cos(20)], abs=1e-6)


def test_where_the_own_part_is_the_only_defect_no_other_is_alike() -> None:
    scores = defect_scores(at(90), at(0, 90), [False, True], groups=["a", "b"], query_groups=["b"])
    assert scores == pytest.approx([-1 - cos(90)], abs=1e-6)


def test_many_are_scored_as_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(0)
    queries, gallery = random.normal(size=(23, 5)), random.normal(size=(40, 5))
    defect, groups, own = random.random(40) < 0.3, random.integers(0, 15, 40), random.integers(0, 20, 23)
    expected = []
    for query, group in zip(queries, own, strict=True):
        cosines = gallery @ query / np.linalg.norm(gallery, axis=1) / np.linalg.norm(query)
        kinds = []
        for kind in (True, False):
            of_part = [
                max(c for c, g, d in zip(cosines, groups, defect, strict=True) if g == part and d == kind)
                for part in range(15)
                if part != group and ((groups == part) & (defect == kind)).any()
            ]
            kinds.append(np.mean(sorted(of_part)[-3:]))
        expected.append(kinds[0] - kinds[1])
    monkeypatch.setattr(retrieval, "_BYTES", 4 * 40 * 7)  # seven at a time
    scores = defect_scores(queries, gallery, defect, k=3, groups=groups, query_groups=own)
    np.testing.assert_allclose(scores, expected, atol=1e-6)


def test_several_own_parts_are_left_out() -> None:
    groups, own = ["a", "b", "c", "d", "e"], [["a", "b"], ["d", ""], ["", ""]]
    scores = defect_scores(at(0, 92, 0), at(*GALLERY_AT), IS_DEFECT, groups=groups, query_groups=own)
    assert scores == pytest.approx([cos(90) - cos(40), cos(8) - cos(52), cos(90) - 1], abs=1e-6)
    found = most_alike(at(0, 92, 0), at(*GALLERY_AT), groups=groups, query_groups=own)
    assert found.tolist() == [2, 4, 0]


def test_no_query_has_no_score() -> None:
    assert defect_scores(np.zeros((0, 2)), at(*GALLERY_AT), IS_DEFECT).shape == (0,)


def test_what_is_refused() -> None:
    gallery = at(*GALLERY_AT)
    with pytest.raises(SettingsError, match="number of nearest parts is 0"):
        defect_scores(gallery, gallery, IS_DEFECT, k=0)
    for kinds in ([True] * 5, [False] * 5):
        with pytest.raises(ValueError, match="needs defects and good parts"):
            defect_scores(gallery, gallery, kinds)
    with pytest.raises(ValueError, match="do not fit together"):
        defect_scores(np.zeros((1, 3)), gallery, IS_DEFECT)
    with pytest.raises(ValueError, match="are not those of 5 members and 5 queries"):
        defect_scores(gallery, gallery, IS_DEFECT, groups=["a"])


def test_the_most_alike_is_the_nearest_of_another_part() -> None:
    assert most_alike(at(60, 92, 40), at(*GALLERY_AT)).tolist() == [2, 3, 2]
    groups = ["a", "b", "c", "d", "e"]
    own = most_alike(at(60, 92, 40), at(*GALLERY_AT), groups=groups, query_groups=["c", "d", ""])
    assert own.tolist() == [3, 4, 2]
    assert most_alike(at(60), at(*GALLERY_AT), groups=["a"] * 5, query_groups=["a"]).tolist() == [2]  # none is left

"""Torn twins: the planted ones and no others, each told with the picture it is torn from."""

from pathlib import Path

import numpy as np
import planted_parts as planted
import pytest
from helpers import store_of

from embedstore.analysis.suggestions import Suggestion, suggest, torn_twins
from embedstore.triage import Verdict, plan_triage
from embedstore.vectors import unit_length

TWINS = (planted.IDS[planted.TWIN], planted.IDS[planted.TWIN_OF])
TORN = (planted.IDS[planted.TORN[1]], planted.IDS[planted.TORN[0]])


def found(path: Path, **changed: list[object]) -> tuple[list[Suggestion], list[str]]:
    with planted.make(path, **changed) as store:
        result = suggest(store, kinds=["torn-twins"])
    return result.by_kind["torn-twins"], [remark.en for remark in result.remarks["torn-twins"]]


def cosine(one: int, other: int) -> float:
    first, second = unit_length(planted.VECTORS[[one, other]].astype(np.float16)).astype(float)
    return float(first @ second)


@pytest.mark.parametrize("at_once", [1_024, 1])
def test_the_planted_twins_are_found_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at_once: int
) -> None:
    monkeypatch.setattr(torn_twins, "_AT_ONCE", at_once)
    listed, remarks = found(tmp_path / "s")
    scores = {one.ids: one.score for one in listed}
    assert scores == {
        TWINS: pytest.approx(cosine(planted.TWIN, planted.TWIN_OF), abs=1e-6),
        TORN: pytest.approx(cosine(*planted.TORN), abs=1e-6),
    }
    assert remarks == ["The sides stay as they are until they are dealt anew, by group: embedstore split"]


def test_twins_of_two_groups_are_to_be_united_and_those_of_one_need_no_verdict(tmp_path: Path) -> None:
    by_ids = {one.ids: one for one in found(tmp_path / "s")[0]}
    assert by_ids[TWINS].verdicts == {TWINS[0]: Verdict("twin", TWINS[1])}
    assert by_ids[TORN].verdicts == {}
    assert f"on the test side and '{TWINS[1]}' on the train side" in by_ids[TWINS].reason.en
    assert f"(cosine {cosine(planted.TWIN, planted.TWIN_OF):.3f}) that they probably show" in by_ids[TWINS].reason.en
    assert (
        f"on the val side and '{TORN[1]}' on the train side, but both have the group 'part 31'"
        in by_ids[TORN].reason.en
    )


def test_what_is_aside_is_on_no_side(tmp_path: Path) -> None:
    splits = list(planted.SPLITS)
    splits[planted.TWIN] = "aside"
    assert [one.ids for one in found(tmp_path / "s", splits=splits)[0]] == [TORN]


def test_each_held_out_picture_is_told_with_the_most_alike_of_an_earlier_side(tmp_path: Path) -> None:
    group = [*planted.of(20), *planted.of(23), *planted.of(26), *planted.of(29)]
    groups = ["one" if at in group else name for at, name in enumerate(planted.GROUPS)]
    splits = list(planted.SPLITS)
    for at, side in zip(group, ("train", "val", "test", "test", "train"), strict=False):
        splits[at] = side
    listed = found(tmp_path / "s", groups=groups, splits=splits)[0]
    rank = {"train": 0, "val": 1, "test": 2}
    expected = {
        planted.IDS[at]: planted.IDS[
            max((b for b in group if rank[splits[b]] < rank[splits[at]]), key=lambda b, a=at: cosine(a, b))
        ]  # type: ignore[misc]
        for at in group
        if any(rank[splits[b]] < rank[splits[at]] for b in group)
    }
    assert len(expected) >= 2
    assert {one.ids[0]: one.ids[1] for one in listed if one.ids[0] in expected} == expected


def test_few_pictures_are_judged_by_their_groups_alone(tmp_path: Path) -> None:
    order = [*planted.TORN, planted.TWIN, planted.TWIN_OF]
    with planted.make(tmp_path / "s", order) as store:
        result = suggest(store, kinds=["torn-twins"])
    assert [one.ids for one in result.by_kind["torn-twins"]] == [TORN]
    assert "With fewer than 50 pictures, or only equal ones" in result.remarks["torn-twins"][0].en


def test_equal_vectors_are_judged_by_their_groups_alone_and_stop_no_other_kind(tmp_path: Path) -> None:
    same = np.tile(planted.VECTORS[0], (60, 1))
    groups = ["one" if at < 2 else f"part {at}" for at in range(60)]
    with store_of(
        tmp_path / "s",
        same,
        ids=[f"{at:02}" for at in range(60)],
        labels=["a", "b"] * 30,
        groups=groups,
        splits=["train", "test"] * 30,
    ) as store:
        result = suggest(store)
    assert [one.ids for one in result.by_kind["torn-twins"]] == [("01", "00")]
    assert "or only equal ones" in result.remarks["torn-twins"][0].en
    assert result.remarks["wrong-labels"]


@pytest.mark.parametrize("verdict", ["rare", "ok"])
def test_a_verdict_that_a_person_gave_stays(tmp_path: Path, verdict: str) -> None:
    one, other = {planted.TWIN: {"verdict": verdict}}, {planted.TWIN_OF: {"verdict": verdict}}
    for number, (given, proposed) in enumerate(
        (
            (one, {TWINS[1]: Verdict("twin", TWINS[0])}),
            (other, {TWINS[0]: Verdict("twin", TWINS[1])}),
            (one | other, {}),
        )
    ):
        attributes = [given.get(at) for at in range(planted.COUNT)]
        with planted.make(tmp_path / str(number), attributes=attributes) as store:
            by_ids = {s.ids: s for s in suggest(store, kinds=["torn-twins"]).by_kind["torn-twins"]}
            assert by_ids[TWINS].verdicts == proposed
            if proposed:
                groups = plan_triage(store, proposed).fields["group"]
                assert set(groups.values()) == {("part 5", "part 20")} or set(groups.values()) == {
                    ("part 20", "part 5")
                }


def test_without_a_split_nothing_is_torn(tmp_path: Path) -> None:
    listed, remarks = found(tmp_path / "s", splits=[None] * planted.COUNT)
    assert listed == []
    assert remarks == ["No split is written, so nothing can be torn; write one with: embedstore split"]
    listed, remarks = found(tmp_path / "t", splits=["train"] * planted.COUNT)
    assert listed == []
    assert remarks == ["All pictures that are on a side are on the same one, so nothing can be torn."]

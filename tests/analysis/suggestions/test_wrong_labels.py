"""Wrong labels: planted ones come first, a part does not vouch for itself, people have the last word."""

from pathlib import Path

import numpy as np
import planted_parts as planted
import pytest

from embedstore.analysis.suggestions import Suggestion, suggest
from embedstore.analysis.suggestions.wrong_labels import judge
from embedstore.triage import Verdict, triage

RNG = np.random.default_rng(5)


def found(path: Path, **changed: list[object]) -> tuple[dict[str, Suggestion], list[str]]:
    """Return the suggestions by id, and the remarks."""
    with planted.make(path, **changed) as store:
        result = suggest(store, kinds=["wrong-labels"])
    return {one.ids[0]: one for one in result.by_kind["wrong-labels"]}, [r.en for r in result.remarks["wrong-labels"]]


def test_planted_labels_come_first_with_the_right_one(tmp_path: Path) -> None:
    with planted.make(tmp_path / "s") as store:
        listed = suggest(store, kinds=["wrong-labels"]).by_kind["wrong-labels"]
    first = listed[: len(planted.WRONG)]
    assert {one.ids[0] for one in first} == planted.WRONG_IDS
    assert all(one.verdicts == {one.ids[0]: Verdict("wrong-label", "good")} for one in first)
    assert first[-1].score > listed[len(first)].score + 0.2
    # The others are short cracks, which look like good ones, and the right one of two pictures that contradict each other.
    rest = {planted.IDS.index(one.ids[0]) for one in listed[len(first) :]}
    assert {at for at in rest if planted.MODES[at] != "short"} == {planted.of(7)[0]}


def most_alike(at: int, left_out: list[int]) -> list[str | None]:
    """Return the labels of the ten other parts most like a picture, as plain loops find them."""
    alike = planted.VECTORS.astype(np.float16).astype(float) @ planted.VECTORS[at]
    others = [planted.of(part) for part in range(planted.PARTS) if part != planted.PART[at]]
    kept = [[one for one in members if one not in left_out] for members in others]
    best = [max(members, key=alike.__getitem__) for members in kept if members]
    return [planted.LABELS[one] for one in sorted(best, key=lambda one: -alike[one])[:10]]


def test_the_reason_counts_its_own_part_and_the_most_alike_others(tmp_path: Path) -> None:
    listed, _ = found(tmp_path / "s")
    of_two = listed[planted.IDS[planted.of(7)[1]]].reason
    assert "labelled 'crack', but other labelled pictures of its part say 'good' (1 of 1). Judged by" in of_two.en
    assert "Judged by the pictures of other parts it is 'good'; the parts" in of_two.en
    assert "他のラベル付き画像 1 枚のうち 1 枚は「good」" in of_two.ja
    right = listed[planted.IDS[planted.of(7)[0]]].reason  # the others do not contradict its label, and that is told
    assert "its part say 'crack' (1 of 1). Judged by the pictures of other parts it is 'good'; the parts" in right.en
    at = planted.of(13)[1]
    good = most_alike(at, []).count("good")
    assert listed[planted.IDS[at]].reason.en == (
        "It is labelled 'crack', but judged by the pictures of other parts it is 'good'; the parts most like it say 'good' "
        f"({good} of 10) and 'crack' ({10 - good} of 10)."
    )


@pytest.mark.parametrize("how", ["dirt", "without a label"])
def test_dirt_and_pictures_without_a_label_are_no_evidence(tmp_path: Path, how: str) -> None:
    at = planted.of(13)[1]
    alike = planted.VECTORS @ planted.VECTORS[at]
    gone = [one for one in np.argsort(-alike).tolist() if one not in planted.WRONG][:6]
    if how == "dirt":
        changed = {"attributes": [{"verdict": "dirt"} if one in gone else None for one in range(planted.COUNT)]}
    else:
        changed = {"labels": [None if one in gone else label for one, label in enumerate(planted.LABELS)]}
    listed, _ = found(tmp_path / "s", **changed)
    near = most_alike(at, gone)
    assert len(near) == 10 != most_alike(at, [])
    assert f"say 'good' ({near.count('good')} of 10) and 'crack' ({near.count('crack')} of 10)." in (
        listed[planted.IDS[at]].reason.en
    )
    assert not {planted.IDS[one] for one in gone} & set(listed)


def test_samples_with_a_verdict_or_without_a_label_are_no_suspects(tmp_path: Path) -> None:
    said, unlabelled = planted.WRONG[0], planted.WRONG[1]
    attributes = [{"verdict": "rare"} if at == said else None for at in range(planted.COUNT)]
    labels = [None if at == unlabelled else label for at, label in enumerate(planted.LABELS)]
    with planted.make(tmp_path / "s", attributes=attributes, labels=labels) as store:
        listed = suggest(store, kinds=["wrong-labels"]).by_kind["wrong-labels"]
    named = {one.ids[0] for one in listed}
    assert named & planted.WRONG_IDS == planted.WRONG_IDS - {planted.IDS[said], planted.IDS[unlabelled]}


def test_the_remarks_count_suspects_and_name_missing_groups(tmp_path: Path) -> None:
    with planted.make(tmp_path / "s") as store:
        whole = suggest(store, kinds=["wrong-labels"])
        assert suggest(store, kinds=["wrong-labels"], top=1).remarks == whole.remarks
    (counted,) = whole.remarks["wrong-labels"]
    assert f"the labels of {len(whole.by_kind['wrong-labels'])} pictures. That is no count of wrong" in counted.en
    groups = [None if at < 5 else group for at, group in enumerate(planted.GROUPS)]
    with planted.make(tmp_path / "t", groups=groups) as store:
        remarks = suggest(store, kinds=["wrong-labels"]).remarks["wrong-labels"]
    assert f"5 of {planted.COUNT} pictures have no group" in remarks[1].en


def test_one_label_or_one_part_tells_nothing(tmp_path: Path) -> None:
    for number, changed in enumerate(({"labels": ["good"] * planted.COUNT}, {"groups": ["all"] * planted.COUNT})):
        with planted.make(tmp_path / str(number), **changed) as store:
            result = suggest(store, kinds=["wrong-labels"])
        assert result.by_kind["wrong-labels"] == []
        assert "it takes labelled pictures of two labels and two parts" in result.remarks["wrong-labels"][0].en


def test_a_label_that_no_other_part_has_is_not_suspected(tmp_path: Path) -> None:
    only = planted.WRONG[2:]  # both pictures of a part
    labels = ["dent" if at in only else label for at, label in enumerate(planted.LABELS)]
    with planted.make(tmp_path / "s", labels=labels) as store:
        listed = suggest(store, kinds=["wrong-labels"]).by_kind["wrong-labels"]
    assert {one.ids[0] for one in listed} & planted.WRONG_IDS == {planted.IDS[at] for at in planted.WRONG[:2]}


def test_a_label_that_no_other_part_has_is_named_as_one_that_nothing_can_be_said_of(tmp_path: Path) -> None:
    misspelt = planted.of(9)[0]
    labels = ["crak" if at == misspelt else label for at, label in enumerate(planted.LABELS)]
    listed, remarks = found(tmp_path / "s", labels=labels)
    assert planted.IDS[misspelt] not in listed
    assert remarks[1] == (
        "Of 1 picture with a label that no other part has, nothing can be said; see whether it is misspelt: 'crak'."
    )
    many = [f"only {planted.PART[at]}" if planted.PART[at] < 8 else label for at, label in enumerate(labels)]
    _, remarks = found(tmp_path / "t", labels=many)
    assert remarks[1].startswith("Of 13 pictures with a label")
    assert remarks[1].endswith("'crak', 'only 0', 'only 1', 'only 2', 'only 3', and 4 more.")
    looked_at = [{"verdict": "rare"} if at == misspelt else None for at in range(planted.COUNT)]
    assert len(found(tmp_path / "u", labels=labels, attributes=looked_at)[1]) == 1


def test_a_label_that_a_person_calls_right_is_not_suggested_again(tmp_path: Path) -> None:
    with planted.make(tmp_path / "s") as store:
        first = suggest(store, kinds=["wrong-labels"]).by_kind["wrong-labels"][0].ids[0]
        label = store.sample(first).label
        triage(store, {first: Verdict("wrong-label", label)})
        assert store.sample(first).label == label
        assert first not in {one.ids[0] for one in suggest(store, kinds=["wrong-labels"]).by_kind["wrong-labels"]}


@pytest.mark.parametrize("label", ["", " ", " good", "good\0"])
def test_odd_labels_are_told_apart_and_proposed_only_where_a_verdict_can_name_them(tmp_path: Path, label: str) -> None:
    labels = [label if one == "good" else "good\0\0" if one == "crack" else one for one in planted.LABELS]
    listed, _ = found(tmp_path / "s", labels=labels)
    for sample_id in planted.WRONG_IDS:
        said = {sample_id: Verdict("wrong-label", label)} if label == "good\0" else {}
        assert listed[sample_id].verdicts == said
        assert f"it is '{label}'" in listed[sample_id].reason.en


def test_judgement_is_as_plain_loops_find_it() -> None:
    own, parts = RNG.integers(0, 4, 60), RNG.integers(0, 20, 60)
    scores = RNG.random((60, 4))
    judged = judge(scores, own, parts)
    below = 0
    for at in range(60):
        members = [other for other in range(60) if parts[other] == parts[at]]
        count = {label: sum(own[other] == label for other in members) for label in range(4)}
        said = {label: (scores[at, label] + np.mean([scores[m, label] for m in members])) / 2 for label in range(4)}
        speaks = {label: said[label] + 2 * count[label] / len(members) for label in range(4) if label != own[at]}
        best = max(speaks, key=lambda label: speaks[label])
        assert judged.new[at] == best
        assert judged.others[at] == max(said, key=lambda label: said[label])
        assert judged.mates[at] == count[best]
        expected = speaks[best] - said[own[at]]
        if said[best] <= said[own[at]] and count[best] <= count[own[at]] - 1 and expected > 0:
            expected, below = 0, below + 1
        assert judged.scores[at] == pytest.approx(expected)
    assert below


def test_pictures_of_its_own_part_speak_against_a_label_and_never_for_it() -> None:
    scores, own = np.array([[0.2, 0.8]] * 3), np.array([0, 0, 1])
    ways = ((0, 1, 2), (0, 0, 2), (0, 1, 0))
    alone, vouched, contradicted = (judge(scores, own, np.array(parts)).scores[0] for parts in ways)
    assert vouched == alone == pytest.approx(0.8 - 0.2)
    assert contradicted == pytest.approx(0.8 - 0.2 + 2 / 2)


def test_one_wrong_picture_makes_no_suspects_of_the_right_ones_of_its_part() -> None:
    scores = np.array([[0.6, 0.4]] * 4)
    judged = judge(scores, np.array([1, 0, 0, 0]), np.zeros(4, np.int64))
    assert judged.scores[0] == pytest.approx(0.6 - 0.4 + 2 * 3 / 4)
    assert (judged.scores[1:] <= 0).all()
    of_two = judge(scores[:2], np.array([1, 0]), np.zeros(2, np.int64))  # nothing tells which is right but the others
    np.testing.assert_allclose(of_two.scores, [0.6 - 0.4 + 2 / 2, 0.4 - 0.6 + 2 / 2])

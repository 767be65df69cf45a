"""Where teacher and student differ: the planted mistakes, the surest first, from scores in any order."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import planted_parts as planted
import pytest

from embedstore.analysis.suggestions import Evidence, StudentScores, Suggestion, suggest
from embedstore.errors import SettingsError


def found(path: Path, student: StudentScores) -> tuple[list[Suggestion], list[str]]:
    with planted.make(path) as store:
        result = suggest(store, kinds=["student"], student=student)
    return result.by_kind["student"], [remark.en for remark in result.remarks["student"]]


def test_the_planted_mistakes_are_found_the_surer_one_first(tmp_path: Path) -> None:
    listed = [one.ids[0] for one in found(tmp_path / "s", planted.student())[0]]
    missed = [planted.IDS[at] for at in planted.MISSED]
    assert listed[0] == missed[0]
    assert missed[1] in listed
    # Beside these only what looks good to the teacher, and was labelled otherwise: planted labels and short cracks.
    rest = {planted.IDS.index(one) for one in listed} - set(planted.MISSED)
    assert all(at in planted.WRONG or planted.MODES[at] == "short" for at in rest)


def test_the_score_is_the_mean_of_both_margins(tmp_path: Path) -> None:
    with planted.make(tmp_path / "s") as store:
        labelled = Evidence(store).labelled
        assert labelled is not None
        listed = suggest(store, kinds=["student"], student=planted.student()).by_kind["student"]
    crack, good = labelled.scores[labelled.samples.ids.index(planted.IDS[planted.MISSED[0]])].tolist()
    assert labelled.labels == ["crack", "good"]
    assert listed[0].score == pytest.approx((0.99 - 0.01 + crack - good) / 2, abs=1e-6)


def test_the_reason_tells_what_the_student_learned_from(tmp_path: Path) -> None:
    kept, _ = found(tmp_path / "s", planted.student())
    shown, _ = found(tmp_path / "t", planted.student(held_out=False))
    assert "The student says 'good' (0.99), but judged by the pictures of other parts" in kept[0].reason.en
    assert kept[0].reason.en.endswith("Its label is 'crack'. The student did not learn from it.")
    assert shown[0].reason.en.endswith("The student may have learned from it, so that its answer says less.")
    assert kept[0].verdicts == {}


def test_the_order_of_scores_and_classes_is_all_one(tmp_path: Path) -> None:
    said = planted.student()
    order = np.random.default_rng(2).permutation(len(said.ids))
    turned = StudentScores(
        [said.ids[at] for at in order], list(said.classes)[::-1], said.probabilities[order][:, ::-1], True
    )
    assert found(tmp_path / "s", turned) == found(tmp_path / "t", said)


def test_what_is_not_in_the_store_is_counted_and_left_out(tmp_path: Path) -> None:
    said = planted.student()
    more = StudentScores([*said.ids, "gone.png"], said.classes, np.vstack([said.probabilities, [[0, 1]]]), True)
    listed, remarks = found(tmp_path / "s", more)
    assert listed == found(tmp_path / "t", said)[0]
    assert remarks[0].startswith(f"Of {len(said.ids)} labelled pictures that the student was asked about")
    of_left_out = (
        "Left out: {} that the student was asked about, but that the store does not have, or that were taken again since, or "
        "that have no label or are dirt."
    )
    assert remarks[1:] == [of_left_out.format("1 picture")]
    listed, remarks = found(tmp_path / "u", replace(more, left_out=2))
    assert remarks[1:] == [of_left_out.format("3 pictures")]


def test_it_is_told_where_names_alone_tell_which_pictures_the_student_was_asked_about(tmp_path: Path) -> None:
    with planted.make(tmp_path / "s") as store:
        result = suggest(store, kinds=["student"], student=replace(planted.student(), by_name=True))
    assert result.remarks["student"][-1].en == (
        "The store does not keep the version that the run learned from, so pictures are told by their names, and one that was "
        "renamed since is taken for another."
    )
    assert "画像は名前で照合しています" in result.remarks["student"][-1].ja


def test_each_answers_out_of_all_labels_and_what_the_other_does_not_know_is_left_out(tmp_path: Path) -> None:
    said = planted.student()
    dent = np.full((len(said.ids), 1), 0.05)
    surest = said.ids.index(planted.IDS[planted.MISSED[0]])
    dent[surest] = 1.0  # so the student says 'dent' of it, and not 'good'
    wide = StudentScores(said.ids, [*said.classes, "dent"], np.hstack([said.probabilities, dent]), True)
    before, (whole, *_) = found(tmp_path / "s", said)
    listed, remarks = found(tmp_path / "t", wide)
    assert before[0].ids[0] == said.ids[surest]
    assert listed == before[1:]
    assert remarks[0] == whole.replace(f"Of {len(said.ids)}", f"Of {len(said.ids) - 1}").replace(
        f"sees {len(before)}", f"sees {len(listed)}"
    )
    assert remarks[1] == "Left out: 1 picture of which student or teacher says a label that the other does not know."


def test_what_the_teacher_says_and_the_student_does_not_know_is_left_out(tmp_path: Path) -> None:
    # Long cracks of the test side are dents by now, which the student never learned; the others say dent, too.
    labels = ["dent" if mode == "long" else label for mode, label in zip(planted.MODES, planted.LABELS, strict=True)]
    with planted.make(tmp_path / "s", labels=labels) as store:
        labelled = Evidence(store).labelled
        assert labelled is not None
        result = suggest(store, kinds=["student"], student=planted.student())
    answers = dict(zip(labelled.samples.ids, labelled.scores.argmax(axis=1).tolist(), strict=True))
    unknown = [one for one in planted.student().ids if labelled.labels[answers[one]] == "dent"]
    assert len(unknown) > 1
    assert not set(unknown) & {one.ids[0] for one in result.by_kind["student"]}
    assert result.remarks["student"][1].en.startswith(f"Left out: {len(unknown)} pictures of which student or teacher")


def test_a_student_of_other_labels_can_not_be_compared(tmp_path: Path) -> None:
    said = planted.student()
    listed, remarks = found(tmp_path / "s", StudentScores(said.ids, ["a", "crack"], said.probabilities, True))
    assert listed == []
    assert "share fewer than two labels" in remarks[0]


def test_scores_that_can_not_be_are_refused() -> None:
    for ids, classes, numbers, sentence in (
        (["a"], ["x", "y"], [[0.5]], r"shape \(1, 1\) for 1 ids and 2 classes"),
        (["a"], ["x"], [[np.nan]], "not all finite"),
        (["a", "a"], ["x"], [[1.0], [1.0]], "an id or a class twice"),
    ):
        with pytest.raises(SettingsError, match=sentence):
            StudentScores(ids, classes, np.array(numbers), True)
